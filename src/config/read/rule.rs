//! The lines of `virtual_rules` and `static_rules`: `[not] SELECTOR... ACTION`, the words of ip-rule(8).

use super::route::{OWN_PROTOCOL, Words, family_word, foreign_protocol, leave_out, missing, realms, table, tos};
use super::value::{c_integer, c_number_word, error, number_word, parsed};
use crate::base::{Cidr, Family, Rule, RuleAction};
use crate::config::model::KernelRule;
use crate::config::names::Names;
use crate::config::problem::Problem;
use crate::config::source::Span;
use crate::config::tree::{Statement, Word};

/// All lines of a block; one that is not understood, or contradicts itself, is left out.
pub fn read(block: &Statement<'_>, names: &Names, rules: &mut Vec<KernelRule>, problems: &mut Vec<Problem>) {
    let is_static = block.keyword.text == "static_rules";
    for line in block.statements() {
        let before = problems.len();
        let mut reader = Reader { problems, names, is_static, said: Said::default(), wrong: false };
        let mut rule = reader.line(line);
        let Reader { said, mut wrong, .. } = reader;
        if !wrong && let Some((code, message, help)) = contradiction(&rule, &said) {
            problems.push(error(code, line.keyword, message).help(help));
            wrong = true;
        }
        if wrong {
            leave_out(problems.get_mut(before..).unwrap_or_default(), "rule");
            continue;
        }
        let mut track_group = said.track_group;
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
        if let Some(at) = said.protocol.filter(|_| !said.no_track && rule.protocol != Some(OWN_PROTOCOL)) {
            problems.push(foreign_protocol(at, "rule"));
            rule.protocol = None;
        }
        rules.push(KernelRule { rule, track_group, at: line.keyword.at });
    }
}

/// What a line says beside its rule, and what is held against the rest of it.
#[derive(Debug, Default)]
struct Said {
    /// `inet` or `inet6`.
    family: Option<Family>,
    /// How many actions there are.
    actions: usize,
    no_track: bool,
    track_group: Option<String>,
    /// Where the word `protocol` stands.
    protocol: Option<Span>,
}

/// Why a rule that was understood could not be: the code, the message, the way out.
fn contradiction(rule: &Rule, said: &Said) -> Option<(&'static str, String, &'static str)> {
    const CODE: &str = "rule-contradiction";
    const ACTIONS: &str = "add: table NUMBER, goto PREFERENCE, nop, l3mdev, blackhole, unreachable or prohibit";
    let looks_up = matches!(rule.action, RuleAction::Table(_) | RuleAction::L3Mdev);
    let of_table = [
        ("realms", rule.realms.is_some()),
        ("suppress_prefixlength", rule.suppress_prefix_len.is_some()),
        ("suppress_ifgroup", rule.suppress_group.is_some()),
    ];
    if said.actions == 0 {
        return Some(("rule-without-action", "the rule says nothing of what is done".to_owned(), ACTIONS));
    }
    if said.actions > 1 {
        return Some((CODE, "the rule has more than one action".to_owned(), "write one rule for each action"));
    }
    if let RuleAction::Goto(target) = rule.action
        && rule.preference.is_none_or(|own| own >= target)
    {
        let own = rule.preference.map_or_else(|| "none".to_owned(), |own| own.to_string());
        let message = format!("the rule goes to {target}, and its own preference is {own}");
        return Some((CODE, message, "a rule goes forward: write a preference below the target of `goto`"));
    }
    if rule.action == RuleAction::Table(0) {
        return Some((CODE, "a rule cannot look up table 0".to_owned(), "write the number of a table from 1"));
    }
    if let Some((option, _)) = of_table.into_iter().find(|(_, given)| *given && !looks_up) {
        let message = format!("`{option}` is for a table, and the rule looks up none");
        return Some((CODE, message, "remove it, or write `table NUMBER` as the action"));
    }
    let realm = rule.realms.map(|_| Family::V4);
    let mut families =
        [said.family, rule.from.map(Cidr::family), rule.to.map(Cidr::family), realm].into_iter().flatten();
    let first = families.next()?;
    families.any(|family| family != first).then(|| {
        let help = "write one rule for each family; realms are for IPv4 only";
        (CODE, "the rule has something of IPv4 and something of IPv6".to_owned(), help)
    })
}

struct Reader<'a> {
    problems: &'a mut Vec<Problem>,
    names: &'a Names,
    is_static: bool,
    said: Said,
    /// Something was not understood.
    wrong: bool,
}

impl Reader<'_> {
    fn line(&mut self, line: &Statement<'_>) -> Rule {
        let mut words = Words::new(line);
        let mut rule = Rule::new(Family::V4);
        while let Some(option) = words.next() {
            if let Some(family) = family_word(option) {
                self.said.family = Some(family);
            } else if !self.selectors(option, &mut words, &mut rule) && !self.actions(option, &mut words, &mut rule) {
                self.others(option, &mut words, &mut rule);
            }
        }
        let named = rule.from.or(rule.to).map(Cidr::family);
        rule.family = self.said.family.or(named).unwrap_or(Family::V4);
        rule
    }

    fn value<'w>(&mut self, option: Word<'_>, words: &mut Words<'w>) -> Option<Word<'w>> {
        let value = words.next();
        if value.is_none() {
            self.problems.push(missing(option, "rule"));
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

    fn c_number(&mut self, option: Word<'_>, words: &mut Words<'_>) -> Option<u32> {
        let given = self.value(option, words)?;
        let value = c_number_word(self.problems, option.text, given, u32::MAX.into());
        self.wrong |= value.is_none();
        value
    }

    /// A number; names stand for protocols in routes only. A bad one is passed over, and the rule stays.
    fn protocol(&mut self, option: Word<'_>, words: &mut Words<'_>) -> Option<u8> {
        let given = self.value(option, words)?;
        let value = number_word(self.problems, option.text, given, 0..=u8::MAX.into(), "");
        if value.is_none() {
            self.said.protocol = None;
        }
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
            self.problems.push(error("not-a-number", given, message));
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
                        Some((value, mask)) => (mark(value), Some(mark(mask))),
                        None => (mark(given.text), None),
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
            "type" if words.peek().is_none() => return self.value(option, words).is_none(),
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
                rule.suppress_group = self.c_number(option, words);
                return true;
            }
            _ => return false,
        };
        self.said.actions += 1;
        if let Some(action) = action {
            rule.action = action;
        }
        true
    }

    fn others(&mut self, option: Word<'_>, words: &mut Words<'_>, rule: &mut Rule) {
        match option.text {
            "preference" | "priority" | "order" => rule.preference = self.c_number(option, words),
            "protocol" => {
                self.said.protocol = Some(option.at);
                rule.protocol = self.protocol(option, words);
            }
            "no_track" => self.said.no_track = true,
            "track_group" if self.is_static => {
                self.said.track_group = self.value(option, words).map(|word| word.text.to_owned());
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

/// A firewall mark, as C writes numbers.
fn mark(text: &str) -> Option<u32> {
    c_integer(text).and_then(|mark| u32::try_from(mark).ok())
}
