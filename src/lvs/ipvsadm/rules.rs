//! Which options go with which command, and with which kind of tunnel: ipvsadm's table, in its order of complaints.

use std::collections::BTreeSet;

use super::command::Refusal;

/// Options as the rules know them; several switches can be one (`-t -u -f`). In the order they are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Numeric,
    Connection,
    Service,
    Scheduler,
    Persistent,
    Netmask,
    Server,
    Forward,
    Weight,
    UpperThreshold,
    LowerThreshold,
    McastInterface,
    Timeout,
    Daemon,
    Stats,
    Rate,
    Thresholds,
    PersistentConn,
    NoSort,
    SyncId,
    Exact,
    Ops,
    Pe,
    SyncMaxlen,
    McastGroup,
    McastPort,
    McastTtl,
    SchedFlags,
    TunInfo,
    TunType,
    TunPort,
    TunNocsum,
    TunCsum,
    TunRemcsum,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Numeric => "numeric",
            Self::Connection => "connection",
            Self::Service => "service-address",
            Self::Scheduler => "scheduler",
            Self::Persistent => "persistent",
            Self::Netmask => "netmask",
            Self::Server => "real-server",
            Self::Forward => "forwarding-method",
            Self::Weight => "weight",
            Self::UpperThreshold => "u-threshold",
            Self::LowerThreshold => "l-threshold",
            Self::McastInterface => "mcast-interface",
            Self::Timeout => "timeout",
            Self::Daemon => "daemon",
            Self::Stats => "stats",
            Self::Rate => "rate",
            Self::Thresholds => "thresholds",
            Self::PersistentConn => "persistent-conn",
            Self::NoSort => "nosort",
            Self::SyncId => "syncid",
            Self::Exact => "exact",
            Self::Ops => "ops",
            Self::Pe => "pe",
            Self::SyncMaxlen => "sync-maxlen",
            Self::McastGroup => "mcast-group",
            Self::McastPort => "mcast-port",
            Self::McastTtl => "mcast-ttl",
            Self::SchedFlags => "sched-flags",
            Self::TunInfo => "tun-info",
            Self::TunType => "tun-type",
            Self::TunPort => "tun-port",
            Self::TunNocsum => "tun-nocsum",
            Self::TunCsum => "tun-csum",
            Self::TunRemcsum => "tun-remcsum",
        }
    }
}

/// The commands as the rules know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    AddService,
    EditService,
    DeleteService,
    Flush,
    List,
    AddServer,
    DeleteServer,
    EditServer,
    Set,
    StartDaemon,
    StopDaemon,
    Restore,
    Save,
    Zero,
}

/// What a command needs, allows, and allows one of.
struct Rule {
    name: &'static str,
    needs: &'static [Kind],
    allows: &'static [Kind],
    one_of: &'static [Kind],
}

const SERVICE: &[Kind] = &[Kind::Scheduler, Kind::Persistent, Kind::Netmask, Kind::Ops, Kind::Pe, Kind::SchedFlags];
const SERVER: &[Kind] = &[
    Kind::Forward,
    Kind::Weight,
    Kind::UpperThreshold,
    Kind::LowerThreshold,
    Kind::TunType,
    Kind::TunPort,
    Kind::TunNocsum,
    Kind::TunCsum,
    Kind::TunRemcsum,
];
const LIST: &[Kind] = &[
    Kind::Numeric,
    Kind::Stats,
    Kind::Rate,
    Kind::Thresholds,
    Kind::PersistentConn,
    Kind::NoSort,
    Kind::SyncId,
    Kind::Exact,
    Kind::TunInfo,
];
const DAEMON: &[Kind] =
    &[Kind::McastInterface, Kind::SyncId, Kind::SyncMaxlen, Kind::McastGroup, Kind::McastPort, Kind::McastTtl];

impl Verb {
    const fn rule(self) -> Rule {
        const fn rule(name: &'static str, needs: &'static [Kind], allows: &'static [Kind]) -> Rule {
            Rule { name, needs, allows, one_of: &[] }
        }
        match self {
            Self::AddService => rule("add-service", &[Kind::Service], SERVICE),
            Self::EditService => rule("edit-service", &[Kind::Service], SERVICE),
            Self::DeleteService => rule("delete-service", &[Kind::Service], &[]),
            Self::Flush => rule("flush", &[], &[]),
            Self::List => Rule {
                one_of: &[Kind::Connection, Kind::Service, Kind::Timeout, Kind::Daemon],
                ..rule("list", &[], LIST)
            },
            Self::AddServer => rule("add-server", &[Kind::Service, Kind::Server], SERVER),
            Self::DeleteServer => rule("delete-server", &[Kind::Service, Kind::Server], &[]),
            Self::EditServer => rule("edit-server", &[Kind::Service, Kind::Server], SERVER),
            Self::Set => rule("set", &[], &[]),
            Self::StartDaemon => rule("start-daemon", &[], DAEMON),
            Self::StopDaemon => rule("stop-daemon", &[], &[Kind::SyncId]),
            Self::Restore => rule("restore", &[], &[]),
            Self::Save => rule("save", &[], &[Kind::Numeric]),
            Self::Zero => rule("zero", &[], &[Kind::Service]),
        }
    }
}

const ALL: [Kind; 34] = [
    Kind::Numeric,
    Kind::Connection,
    Kind::Service,
    Kind::Scheduler,
    Kind::Persistent,
    Kind::Netmask,
    Kind::Server,
    Kind::Forward,
    Kind::Weight,
    Kind::UpperThreshold,
    Kind::LowerThreshold,
    Kind::McastInterface,
    Kind::Timeout,
    Kind::Daemon,
    Kind::Stats,
    Kind::Rate,
    Kind::Thresholds,
    Kind::PersistentConn,
    Kind::NoSort,
    Kind::SyncId,
    Kind::Exact,
    Kind::Ops,
    Kind::Pe,
    Kind::SyncMaxlen,
    Kind::McastGroup,
    Kind::McastPort,
    Kind::McastTtl,
    Kind::SchedFlags,
    Kind::TunInfo,
    Kind::TunType,
    Kind::TunPort,
    Kind::TunNocsum,
    Kind::TunCsum,
    Kind::TunRemcsum,
];

/// Do these options go with the command?
pub(super) fn check(verb: Verb, given: &BTreeSet<Kind>) -> Result<(), Refusal> {
    let Rule { name, needs, allows, one_of } = verb.rule();
    let mut chosen: Option<Kind> = None;
    for kind in ALL {
        let option = kind.name();
        match given.contains(&kind) {
            false if needs.contains(&kind) => {
                return Err(Refusal::usage(format!(
                    "You need to supply the '{option}' option for the '{name}' command"
                )));
            }
            false => {}
            true if one_of.contains(&kind) => {
                if let Some(last) = chosen.replace(kind) {
                    return Err(conflict(option, last.name(), &format!("'{name}' command")));
                }
            }
            true if needs.contains(&kind) || allows.contains(&kind) => {}
            true => return Err(Refusal::usage(format!("Illegal '{option}' option with the '{name}' command"))),
        }
    }
    Ok(())
}

fn conflict(option: &str, last: &str, within: &str) -> Refusal {
    Refusal::usage(format!("The option '{option}' conflicts with the '{last}' option in the {within}"))
}

/// `--tun-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tunnel {
    Ipip,
    Gue,
    Gre,
}

/// Do these options go with the kind of tunnel?
pub(super) fn check_tunnel(tunnel: Tunnel, given: &BTreeSet<Kind>) -> Result<(), Refusal> {
    let (name, one_of): (_, &[Kind]) = match tunnel {
        Tunnel::Ipip => ("ipip", &[]),
        Tunnel::Gue => ("gue", &[Kind::TunNocsum, Kind::TunCsum, Kind::TunRemcsum]),
        Tunnel::Gre => ("gre", &[Kind::TunNocsum, Kind::TunCsum]),
    };
    let mut chosen: Option<Kind> = None;
    for kind in [Kind::TunPort, Kind::TunNocsum, Kind::TunCsum, Kind::TunRemcsum] {
        let option = kind.name();
        let port = kind == Kind::TunPort && tunnel == Tunnel::Gue;
        match given.contains(&kind) {
            false if port => {
                let text = format!("You need to supply the '{option}' option for the '{name}' tunnel type");
                return Err(Refusal::usage(text));
            }
            false => {}
            true if port => {}
            true if one_of.contains(&kind) => {
                if let Some(last) = chosen.replace(kind) {
                    return Err(conflict(option, last.name(), &format!("'{name}' tunnel type")));
                }
            }
            true => return Err(Refusal::usage(format!("Illegal '{option}' option with the '{name}' tunnel type"))),
        }
    }
    Ok(())
}
