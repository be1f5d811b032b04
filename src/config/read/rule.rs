//! The lines of `virtual_rules` and `static_rules`: `[not] SELECTOR... ACTION`, the words of ip-rule(8).

use super::route::{Words, family_word, protocol, realms, table, tos};
use super::value::{error, number_word, parsed};
use crate::base::{Cidr, Family, Rule, RuleAction};
use crate::config::model::KernelRule;
use crate::config::names::Names;
use crate::config::problem::Problem;
use crate::config::tree::{Statement, Word};

/// All lines of a block; one that is not understood is left out.
pub fn read(block: &Statement<'_>, names: &Names, rules: &mut Vec<KernelRule>, problems: &mut Vec<Problem>) {
    let is_static = block.keyword.text == "static_rules";
    for line in block.statements() {
        let mut reader = Reader { problems, names, is_static, track_group: None, wrong: false, acts: false };
        let rule = reader.line(line);
        let Reader { mut track_group, wrong, acts, .. } = reader;
        if rule.iif.is_none() && track_group.take().is_some() {
            let message = "a rule without an interface (`iif`) cannot have a `track_group`";
            let help = "add: iif IFNAME, or remove track_group";
            problems.push(error("rule-without-device", line.keyword, message).label("not tracked").help(help));
        }
        if rule.preference.is_none() {
            let message = "the rule has no preference, and gets one that nobody chose";
            problems.push(
                error("rule-without-preference", line.keyword, message)
                    .label("16384 or below")
                    .help("add: preference 1000"),
            );
        }
        if !acts && !wrong {
            let message = "the rule says nothing of what is done";
            let help = "add: table NUMBER, goto PREFERENCE, nop, l3mdev, blackhole, unreachable or prohibit";
            problems.push(error("rule-without-action", line.keyword, message).label("left out").help(help));
        } else if !wrong {
            rules.push(KernelRule { rule, track_group, at: line.keyword.at });
        }
    }
}

struct Reader<'a> {
    problems: &'a mut Vec<Problem>,
    names: &'a Names,
    is_static: bool,
    track_group: Option<String>,
    /// Something was not understood.
    wrong: bool,
    /// There is an action.
    acts: bool,
}

impl Reader<'_> {
    fn line(&mut self, line: &Statement<'_>) -> Rule {
        let mut words = Words::new(line);
        let mut rule = Rule::new(Family::V4);
        while let Some(option) = words.next() {
            if let Some(family) = family_word(option) {
                rule.family = family;
            } else if !self.selectors(option, &mut words, &mut rule) && !self.actions(option, &mut words, &mut rule) {
                self.others(option, &mut words, &mut rule);
            }
        }
        if let Some(cidr) = rule.from.or(rule.to) {
            rule.family = cidr.family();
        }
        rule
    }

    fn value<'w>(&mut self, option: Word<'_>, words: &mut Words<'w>) -> Option<Word<'w>> {
        let value = words.next();
        if value.is_none() {
            let message = format!("nothing follows `{}`", option.text);
            self.problems.push(error("value-missing", option, message).label("a value is missing"));
            self.wrong = true;
        }
        value
    }

    fn number<T: TryFrom<i64>>(&mut self, option: Word<'_>, words: &mut Words<'_>, most: u32) -> Option<T> {
        let given = self.value(option, words)?;
        let value = number_word(self.problems, option.text, given, 0..=most.into(), "");
        self.wrong |= value.is_none();
        value
    }

    fn network(&mut self, option: Word<'_>, words: &mut Words<'_>) -> Option<Cidr> {
        let given = self.value(option, words).filter(|word| !matches!(word.text, "all" | "default"))?;
        let network = given.text.parse().ok();
        if network.is_none() {
            let message = format!("`{}` is no address and no network", given.text);
            self.problems.push(error("not-an-address", given, message).label("not an address"));
            self.wrong = true;
        }
        network
    }

    /// `FIRST[-LAST]`
    fn range<T: std::str::FromStr + Copy>(&mut self, option: Word<'_>, words: &mut Words<'_>) -> Option<(T, T)> {
        let given = self.value(option, words)?;
        let (first, last) = given.text.split_once('-').unwrap_or((given.text, given.text));
        let range = first.parse().ok().zip(last.parse().ok());
        self.bad_unless(range.is_some(), option, given);
        range
    }

    fn bad_unless(&mut self, good: bool, option: Word<'_>, given: Word<'_>) {
        if !good {
            let message = format!("`{}` of a rule is `{}`, which is no value of it", option.text, given.text);
            self.problems.push(error("not-a-number", given, message).label("the rule is left out"));
            self.wrong = true;
        }
    }

    fn selectors(&mut self, option: Word<'_>, words: &mut Words<'_>, rule: &mut Rule) -> bool {
        match option.text {
            "not" => rule.inverted = true,
            "from" => rule.from = self.network(option, words),
            "to" => rule.to = self.network(option, words),
            "tos" | "dsfield" => {
                let given = self.value(option, words);
                rule.tos = given.and_then(|word| tos(word, self.names, self.problems)).unwrap_or(0);
            }
            "fwmark" => {
                if let Some(given) = self.value(option, words) {
                    let (value, mask) = match given.text.split_once('/') {
                        Some((value, mask)) => (integer(value), Some(integer(mask))),
                        None => (integer(given.text), None),
                    };
                    rule.fwmark = value.map(|value| (value, mask.flatten()));
                    self.bad_unless(value.is_some() && mask != Some(None), option, given);
                }
            }
            "dev" | "iif" => rule.iif = self.interface(option, words),
            "oif" => rule.oif = self.interface(option, words),
            "uidrange" => rule.uids = self.range(option, words),
            "sport" => rule.source_ports = self.range(option, words),
            "dport" => rule.destination_ports = self.range(option, words),
            "ipproto" => {
                const NAMES: [(&str, u8); 5] = [("icmp", 1), ("tcp", 6), ("udp", 17), ("ipv6-icmp", 58), ("sctp", 132)];
                if let Some(given) = self.value(option, words) {
                    let known = NAMES.iter().find(|(name, _)| *name == given.text).map(|(_, number)| *number);
                    rule.ip_protocol = known.or_else(|| given.text.parse().ok());
                    self.bad_unless(rule.ip_protocol.is_some(), option, given);
                }
            }
            "tunnel-id" => {
                if let Some(given) = self.value(option, words) {
                    rule.tunnel_id = given.text.parse().ok();
                    self.bad_unless(rule.tunnel_id.is_some(), option, given);
                }
            }
            _ => return false,
        }
        true
    }

    fn interface(&mut self, option: Word<'_>, words: &mut Words<'_>) -> Option<String> {
        let given = self.value(option, words)?;
        let name: Option<crate::base::IfName> = parsed(self.problems, "bad-interface-name", given);
        self.wrong |= name.is_none();
        name.map(|name| name.to_string())
    }

    fn actions(&mut self, option: Word<'_>, words: &mut Words<'_>, rule: &mut Rule) -> bool {
        let action = match option.text {
            "table" | "lookup" => {
                let table = self.value(option, words).and_then(|word| table(word, self.names, self.problems));
                self.wrong |= table.is_none();
                table.map(RuleAction::Table)
            }
            "goto" => self.number(option, words, u32::MAX).map(RuleAction::Goto),
            "nop" => Some(RuleAction::Nop),
            "l3mdev" => Some(RuleAction::L3Mdev),
            "blackhole" => Some(RuleAction::Blackhole),
            "unreachable" => Some(RuleAction::Unreachable),
            "prohibit" => Some(RuleAction::Prohibit),
            "type" => return true,
            "realms" => {
                let given = self.value(option, words);
                rule.realms = given.and_then(|word| realms(word, self.names, self.problems));
                return true;
            }
            "suppress_prefixlength" | "sup_pl" => {
                rule.suppress_prefix_len = self.number(option, words, 128);
                return true;
            }
            "suppress_ifgroup" | "sup_group" => {
                rule.suppress_group = self.number(option, words, u32::MAX);
                return true;
            }
            _ => return false,
        };
        self.acts = true;
        if let Some(action) = action {
            rule.action = action;
        }
        true
    }

    fn others(&mut self, option: Word<'_>, words: &mut Words<'_>, rule: &mut Rule) {
        match option.text {
            "preference" | "priority" | "order" => rule.preference = self.number(option, words, u32::MAX),
            "protocol" => {
                let given = self.value(option, words);
                rule.protocol = given.and_then(|word| protocol(word, self.names, self.problems));
            }
            "no_track" => {}
            "track_group" if self.is_static => {
                self.track_group = self.value(option, words).map(|word| word.text.to_owned());
            }
            text => {
                let message = format!("`{text}` is no word of a rule");
                let help = "as: from 192.0.2.0/24 table 100 preference 1000";
                self.problems.push(error("unknown-word", option, message).label("not known here").help(help));
                self.wrong = true;
                while words.next().is_some() {}
            }
        }
    }
}

/// Decimal, or hexadecimal with `0x`.
fn integer(text: &str) -> Option<u32> {
    text.strip_prefix("0x").map_or_else(|| text.parse().ok(), |digits| u32::from_str_radix(digits, 16).ok())
}
