//! What `global_defs` says of the plane beside its services: `lvs_timeouts` and `lvs_sync_daemon`.

use std::ops::RangeInclusive;

use super::value::{self, error, interface, number_word, parsed};
use crate::config::model::{SyncDaemon, Timeouts};
use crate::config::problem::{Problem, Severity};
use crate::config::source::Span;
use crate::config::tree::{Statement, Word};

/// 31 days (`ip_vs_set_timeout`, `ip_vs_ctl.c`).
const TIMEOUT_MAX_S: i64 = 2_678_400;

/// `lvs_timeouts [tcp S] [tcpfin S] [udp S]`; what comes later counts.
pub fn timeouts(inner: &Statement<'_>, timeouts: &mut Option<Timeouts>, problems: &mut Vec<Problem>) {
    let mut held = timeouts.unwrap_or_default();
    for pair in inner.args.chunks(2) {
        let [name, rest @ ..] = pair else { continue };
        let place = match name.text {
            "tcp" => &mut held.tcp_s,
            "tcpfin" => &mut held.tcp_fin_s,
            "udp" => &mut held.udp_s,
            _ => {
                problems.push(unknown(*name, "tcp, tcpfin and udp, each with its seconds"));
                return;
            }
        };
        let Some(given) = rest.first() else {
            problems.push(error("missing-argument", *name, format!("`{}` has no seconds", name.text)));
            return;
        };
        value::set(place, number_word(problems, name.text, *given, 0..=TIMEOUT_MAX_S, "s").map(Some));
    }
    *timeouts = Some(held).filter(|held| *held != Timeouts::default());
}

fn unknown(word: Word<'_>, known: &str) -> Problem {
    error("unknown-word", word, format!("`{}` is not known here; there are {known}", word.text))
}

/// `lvs_sync_daemon IFNAME [inst NAME] [id N] [maxlen N] [port N] [ttl N] [group ADDRESS]`, or the old form
/// `lvs_sync_daemon IFNAME NAME [N]`.
pub fn sync_daemon(inner: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<SyncDaemon> {
    const NUMBERS: [(&str, RangeInclusive<i64>); 4] =
        [("id", 0..=255), ("maxlen", 1..=65507), ("port", 1..=65535), ("ttl", 1..=255)];
    let mut daemon = of_interface(inner, problems)?;
    let mut words = inner.args.iter().skip(1).peekable();
    // The old form has the name where the new one has a keyword.
    let is_keyword =
        |word: &Word<'_>| ["inst", "group"].contains(&word.text) || NUMBERS.iter().any(|n| n.0 == word.text);
    if let Some(name) = words.next_if(|word| !is_keyword(word)) {
        daemon.instance = Some(name.text.to_owned());
        if let Some(id) = words.next_if(|word| !is_keyword(word)) {
            daemon.id = number_word(problems, "id", *id, 0..=255, "");
            let message = "the number of a sync daemon without the word `id` is an old form";
            let problem = error("deprecated-keyword", *id, message).label("taken as the id");
            problems.push(problem.help(format!("write: inst {} id {}", name.text, id.text)));
        }
    }
    while let Some(name) = words.next() {
        let Some(given) = words.next() else {
            problems.push(error("missing-argument", *name, format!("`{}` has no value", name.text)));
            break;
        };
        let range = NUMBERS.iter().find(|(known, _)| *known == name.text).map_or(0..=0, |(_, range)| range.clone());
        match name.text {
            "inst" => daemon.instance = Some(given.text.to_owned()),
            "group" => daemon.group = parsed(problems, "not-an-address", *given),
            "id" => daemon.id = number_word(problems, "id", *given, range, ""),
            "maxlen" => daemon.max_len = number_word(problems, "maxlen", *given, range, ""),
            "port" => daemon.port = number_word(problems, "port", *given, range, ""),
            "ttl" => daemon.ttl = number_word(problems, "ttl", *given, range, ""),
            _ => {
                problems.push(unknown(*name, "inst, id, maxlen, port, ttl and group"));
                break;
            }
        }
    }
    Some(daemon)
}

/// The deprecated `lvs_sync_daemon_interface IFNAME` of an instance.
pub fn of_instance(instance: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<SyncDaemon> {
    let name = instance.arg(0)?;
    let statements = instance.statements();
    let line = statements.iter().rev().find(|inner| inner.keyword.text == "lvs_sync_daemon_interface")?;
    Some(SyncDaemon { instance: Some(name.text.to_owned()), ..of_interface(line, problems)? })
}

fn of_interface(line: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<SyncDaemon> {
    let interface = interface(problems, line, 0)?;
    Some(SyncDaemon {
        interface,
        at: line.at(),
        instance: None,
        id: None,
        max_len: None,
        port: None,
        ttl: None,
        group: None,
    })
}

/// Two instances that each want one: the kernel has one.
pub fn keep_first(kept: &mut Option<SyncDaemon>, other: Option<SyncDaemon>, problems: &mut Vec<Problem>) {
    match (kept, other) {
        (place @ None, other) => *place = other,
        (Some(kept), Some(other)) if other.instance != kept.instance || other.interface != kept.interface => {
            let at: Span = other.at;
            let message = "the kernel has one sync daemon of each kind, and it is spoken for";
            problems.push(
                Problem::new("second-sync-daemon", Severity::Warning, at, message)
                    .label("not used")
                    .help("one `lvs_sync_daemon IFNAME inst NAME` in global_defs synchronises the connections of all"),
            );
        }
        (Some(_), _) => {}
    }
}
