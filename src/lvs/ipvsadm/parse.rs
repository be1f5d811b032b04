//! From words to a [`Command`], complaining as ipvsadm 1.31 does, in the same order and words.

mod address;
mod draft;
mod finish;

use super::command::{Change, Command, Listed, Refusal, Spelling, SyncDaemon, SyncRole, Timeouts};
use super::name::Names;
use super::option::{Opt, Words};
use super::rules::{self, Kind, Verb};
use crate::lvs::table::{ServiceKey, Step};
use crate::lvs::view::Listing;
use draft::Draft;

/// Longest timeout, in seconds: 31 days.
const TIMEOUT_MAX_S: i64 = 86_400 * 31;

/// The arguments without the program's name; none at all lists the table.
///
/// # Errors
/// [`Refusal`] with ipvsadm's words and exit status.
pub fn parse(args: &[String], names: &mut dyn Names) -> Result<Command, Refusal> {
    if args.is_empty() {
        let what = Listed::Services { service: None, listing: Listing::Table, sorted: true };
        return Ok(Command::List { what, spelling: Spelling::Names });
    }
    let mut words = Words::new(args);
    let help = Refusal::try_help;
    let Some(Ok((first, word))) = words.option() else { return Err(help()) };
    if first == Opt::Help {
        return Ok(Command::Help);
    }
    if first == Opt::Version {
        return Ok(Command::Version);
    }
    let Opt::Verb(verb) = first else { return Err(help()) };
    let role = match verb {
        Verb::StartDaemon => role(word, "illegal start-daemon parameter specified")?,
        // The underscore is ipvsadm's.
        Verb::StopDaemon => role(word, "illegal start_daemon specified")?,
        Verb::AddService
        | Verb::EditService
        | Verb::DeleteService
        | Verb::Flush
        | Verb::List
        | Verb::AddServer
        | Verb::DeleteServer
        | Verb::EditServer
        | Verb::Set
        | Verb::Restore
        | Verb::Save
        | Verb::Zero => SyncRole::Master,
    };
    words.server = matches!(verb, Verb::AddServer | Verb::EditServer);
    let mut draft = Draft::default();
    while let Some(option) = words.option() {
        let (opt, word) = option.map_err(|fault| Refusal::kernel(format!("{}: {}", words.last(), fault.text())))?;
        draft.take(opt, word, words.last(), names)?;
    }
    let timeouts = set(verb, &mut words.plain)?;
    if let Some(word) = words.plain.first() {
        return Err(Refusal::usage(format!("unexpected argument {word}")));
    }
    draft.check_flags()?;
    rules::check(verb, &draft.given)?;
    command(verb, role, timeouts, &draft)
}

fn role(word: Option<&str>, illegal: &str) -> Result<SyncRole, Refusal> {
    match word {
        Some("master") => Ok(SyncRole::Master),
        Some("backup") => Ok(SyncRole::Backup),
        Some(_) | None => Err(Refusal::usage(illegal)),
    }
}

/// The three values of `--set`.
fn set(verb: Verb, plain: &mut Vec<&str>) -> Result<Timeouts, Refusal> {
    let mut timeouts = Timeouts { tcp_s: 0, tcp_fin_s: 0, udp_s: 0 };
    if verb == Verb::Set {
        if plain.len() < 3 {
            return Err(Refusal::usage("--set option requires 3 timeout values"));
        }
        let values = [&mut timeouts.tcp_s, &mut timeouts.tcp_fin_s, &mut timeouts.udp_s];
        for (value, word) in values.into_iter().zip(plain.drain(..3)) {
            *value = timeout(word, 0)?;
        }
    }
    Ok(timeouts)
}

fn timeout(word: &str, min: i64) -> Result<u32, Refusal> {
    let illegal = || Refusal::usage(format!("invalid timeout value `{word}' specified"));
    number(word, min, TIMEOUT_MAX_S).ok_or_else(illegal)
}

/// A decimal number in the range, as `strtol(3)` reads it to the word's end.
fn number<N: TryFrom<i64>>(word: &str, min: i64, max: i64) -> Option<N> {
    let number: i64 = word.trim_start().parse().ok()?;
    (min..=max).contains(&number).then_some(number).and_then(|number| N::try_from(number).ok())
}

fn command(verb: Verb, role: SyncRole, timeouts: Timeouts, draft: &Draft) -> Result<Command, Refusal> {
    let change = match verb {
        Verb::List => return list(draft),
        Verb::Save => return Ok(Command::Save { spelling: draft.spelling() }),
        Verb::Restore => return Ok(Command::Restore),
        Verb::AddService => {
            let (key, service) = draft.service_settings()?;
            Change::Step(Step::AddService(key, service))
        }
        Verb::EditService => {
            let (key, service) = draft.service_settings()?;
            Change::Step(Step::EditService(key, service))
        }
        Verb::DeleteService => Change::Step(Step::DeleteService(draft.key()?)),
        Verb::AddServer => {
            let (key, at, to) = draft.server_settings()?;
            Change::Step(Step::AddDestination(key, at, to))
        }
        Verb::EditServer => {
            let (key, at, to) = draft.server_settings()?;
            Change::Step(Step::EditDestination(key, at, to))
        }
        Verb::DeleteServer => Change::Step(Step::DeleteDestination(draft.key()?, draft.server_key()?)),
        Verb::Flush => Change::Clear,
        Verb::Zero => Change::Zero(zeroed(draft)?),
        Verb::Set => Change::Set(timeouts),
        Verb::StartDaemon => Change::StartDaemon(sync_daemon(role, draft)),
        Verb::StopDaemon => Change::StopDaemon(role),
    };
    Ok(Command::Change(change))
}

fn zeroed(draft: &Draft) -> Result<Option<ServiceKey>, Refusal> {
    if draft.given.contains(&Kind::Service) { draft.key().map(Some) } else { Ok(None) }
}

fn sync_daemon(role: SyncRole, draft: &Draft) -> SyncDaemon {
    SyncDaemon {
        role,
        interface: draft.interface.clone().unwrap_or_else(|| "eth0".to_owned()),
        sync_id: draft.sync_id,
        max_len: draft.max_len,
        group: draft.group,
        port: draft.port,
        ttl: draft.ttl,
    }
}

fn list(draft: &Draft) -> Result<Command, Refusal> {
    let has = |kind| draft.given.contains(&kind);
    let alone = has(Kind::Connection) || has(Kind::Timeout) || has(Kind::Daemon);
    let engine = has(Kind::PersistentConn);
    let table = has(Kind::Stats) || has(Kind::Rate) || has(Kind::Thresholds);
    // ipvsadm 1.31 lets -c stand with --persistent-conn: it shows the engine's data.
    if alone && (table || engine && !has(Kind::Connection)) {
        return Err(Refusal::usage("options conflicts in the list command"));
    }
    let exact = has(Kind::Exact);
    let what = if has(Kind::Connection) {
        Listed::Connections { engine }
    } else if has(Kind::Timeout) {
        Listed::Timeouts
    } else if has(Kind::Daemon) {
        Listed::Daemons
    } else {
        let listing = if has(Kind::Stats) {
            Listing::Stats { exact }
        } else if has(Kind::Rate) {
            Listing::Rate { exact }
        } else if has(Kind::Thresholds) {
            Listing::Thresholds
        } else if engine {
            Listing::PersistentConnections
        } else if has(Kind::TunInfo) {
            Listing::TunnelInfo
        } else {
            Listing::Table
        };
        Listed::Services { service: zeroed(draft)?, listing, sorted: !has(Kind::NoSort) }
    };
    Ok(Command::List { what, spelling: draft.spelling() })
}
