//! The options by name, and how words become options: popt's rules, which ipvsadm follows.
//!
//! What an option means is `parse.rs`; which options go together is `rules.rs`.

use super::rules::{Kind, Verb};
use crate::lvs::table::Protocol;

/// Whether an option takes a word with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    Nothing,
    Word,
    /// The next word, unless it begins with a dash.
    PerhapsWord,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opt {
    /// What is to be done; it comes first, and once.
    Verb(Verb),
    Help,
    Version,
    Service(Protocol),
    Fwmark,
    Ipv6,
    Scheduler,
    SchedFlags,
    Persistent,
    Netmask,
    Engine,
    OnePacket,
    RealServer,
    Method(Method),
    /// A number about a server.
    Amount(Kind),
    Tunnel(Kind),
    /// About a sync daemon.
    Sync(Kind),
    /// It only has to be there.
    Plain(Kind),
    /// It does nothing.
    Sort,
}

/// `-g -i -m`, and our `-b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Route,
    Tunnel,
    Masq,
    FullNat,
}

const NONE: char = '\0';

const KNOWN: [(Opt, &str, char, Takes); 58] = [
    (Opt::Verb(Verb::AddService), "add-service", 'A', Takes::Nothing),
    (Opt::Verb(Verb::EditService), "edit-service", 'E', Takes::Nothing),
    (Opt::Verb(Verb::DeleteService), "delete-service", 'D', Takes::Nothing),
    (Opt::Verb(Verb::Flush), "clear", 'C', Takes::Nothing),
    (Opt::Verb(Verb::List), "list", 'L', Takes::Nothing),
    (Opt::Verb(Verb::List), "list", 'l', Takes::Nothing),
    (Opt::Verb(Verb::Zero), "zero", 'Z', Takes::Nothing),
    (Opt::Verb(Verb::AddServer), "add-server", 'a', Takes::Nothing),
    (Opt::Verb(Verb::EditServer), "edit-server", 'e', Takes::Nothing),
    (Opt::Verb(Verb::DeleteServer), "delete-server", 'd', Takes::Nothing),
    (Opt::Verb(Verb::Set), "set", NONE, Takes::Nothing),
    (Opt::Help, "help", 'h', Takes::Nothing),
    (Opt::Version, "version", 'v', Takes::Nothing),
    (Opt::Verb(Verb::Restore), "restore", 'R', Takes::Nothing),
    (Opt::Verb(Verb::Save), "save", 'S', Takes::Nothing),
    (Opt::Verb(Verb::StartDaemon), "start-daemon", NONE, Takes::Word),
    (Opt::Verb(Verb::StopDaemon), "stop-daemon", NONE, Takes::Word),
    (Opt::Service(Protocol::Tcp), "tcp-service", 't', Takes::Word),
    (Opt::Service(Protocol::Udp), "udp-service", 'u', Takes::Word),
    (Opt::Service(Protocol::Sctp), "sctp-service", NONE, Takes::Word),
    (Opt::Fwmark, "fwmark-service", 'f', Takes::Word),
    (Opt::Scheduler, "scheduler", 's', Takes::Word),
    (Opt::Persistent, "persistent", 'p', Takes::PerhapsWord),
    (Opt::Netmask, "netmask", 'M', Takes::Word),
    (Opt::RealServer, "real-server", 'r', Takes::Word),
    (Opt::Method(Method::Masq), "masquerading", 'm', Takes::Nothing),
    (Opt::Method(Method::Tunnel), "ipip", 'i', Takes::Nothing),
    (Opt::Method(Method::Route), "gatewaying", 'g', Takes::Nothing),
    (Opt::Amount(Kind::Weight), "weight", 'w', Takes::Word),
    (Opt::Amount(Kind::UpperThreshold), "u-threshold", 'x', Takes::Word),
    (Opt::Amount(Kind::LowerThreshold), "l-threshold", 'y', Takes::Word),
    (Opt::Plain(Kind::Numeric), "numeric", 'n', Takes::Nothing),
    (Opt::Plain(Kind::Connection), "connection", 'c', Takes::Nothing),
    (Opt::Sync(Kind::McastInterface), "mcast-interface", NONE, Takes::Word),
    (Opt::Sync(Kind::SyncId), "syncid", NONE, Takes::Word),
    (Opt::Plain(Kind::Timeout), "timeout", NONE, Takes::Nothing),
    (Opt::Plain(Kind::Daemon), "daemon", NONE, Takes::Nothing),
    (Opt::Plain(Kind::Stats), "stats", NONE, Takes::Nothing),
    (Opt::Plain(Kind::Rate), "rate", NONE, Takes::Nothing),
    (Opt::Plain(Kind::Thresholds), "thresholds", NONE, Takes::Nothing),
    (Opt::Plain(Kind::PersistentConn), "persistent-conn", NONE, Takes::Nothing),
    (Opt::Plain(Kind::TunInfo), "tun-info", NONE, Takes::Nothing),
    (Opt::Plain(Kind::NoSort), "nosort", NONE, Takes::Nothing),
    (Opt::Sort, "sort", NONE, Takes::Nothing),
    (Opt::Plain(Kind::Exact), "exact", 'X', Takes::Nothing),
    (Opt::Ipv6, "ipv6", '6', Takes::Nothing),
    (Opt::OnePacket, "ops", 'o', Takes::Nothing),
    (Opt::Engine, "pe", NONE, Takes::Word),
    (Opt::SchedFlags, "sched-flags", 'b', Takes::Word),
    (Opt::Sync(Kind::SyncMaxlen), "sync-maxlen", NONE, Takes::Word),
    (Opt::Sync(Kind::McastGroup), "mcast-group", NONE, Takes::Word),
    (Opt::Sync(Kind::McastPort), "mcast-port", NONE, Takes::Word),
    (Opt::Sync(Kind::McastTtl), "mcast-ttl", NONE, Takes::Word),
    (Opt::Tunnel(Kind::TunType), "tun-type", NONE, Takes::Word),
    (Opt::Tunnel(Kind::TunPort), "tun-port", NONE, Takes::Word),
    (Opt::Tunnel(Kind::TunNocsum), "tun-nocsum", NONE, Takes::Nothing),
    (Opt::Tunnel(Kind::TunCsum), "tun-csum", NONE, Takes::Nothing),
    (Opt::Tunnel(Kind::TunRemcsum), "tun-remcsum", NONE, Takes::Nothing),
];

/// A word that is no option, with popt's reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Unknown,
    NoArgument,
    UnwantedArgument,
}

impl Fault {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Unknown => "unknown option",
            Self::NoArgument => "missing argument",
            Self::UnwantedArgument => "option does not take an argument",
        }
    }
}

/// The words being read.
#[derive(Debug)]
pub(super) struct Words<'a> {
    args: &'a [String],
    next: usize,
    /// What is left of a bundle such as `-Ln`.
    bundle: &'a str,
    /// Words that belong to no option.
    pub(super) plain: Vec<&'a str>,
    /// `-a` and `-e`: `-b` is `FullNat` there, for ipvsadm knows no flags of a server.
    pub(super) server: bool,
}

impl<'a> Words<'a> {
    pub(super) const fn new(args: &'a [String]) -> Self {
        Self { args, next: 0, bundle: "", plain: vec![], server: false }
    }

    /// The word that was read last: what ipvsadm names when it complains.
    pub(super) fn last(&self) -> &'a str {
        self.next.checked_sub(1).and_then(|at| self.args.get(at)).map_or("", String::as_str)
    }

    /// The next option with its word; `None` where there is no more.
    pub(super) fn option(&mut self) -> Option<Result<(Opt, Option<&'a str>), Fault>> {
        while self.bundle.is_empty() {
            let word = self.args.get(self.next)?.as_str();
            self.next += 1;
            if word == "--" {
                self.plain.extend(self.args.get(self.next..).unwrap_or_default().iter().map(String::as_str));
                self.next = self.args.len();
                return None;
            }
            if let Some(long) = word.strip_prefix("--") {
                return Some(self.long(long));
            }
            match word.strip_prefix('-') {
                Some(short) if !short.is_empty() => self.bundle = short,
                Some(_) | None => self.plain.push(word),
            }
        }
        Some(self.short())
    }

    fn long(&mut self, word: &'a str) -> Result<(Opt, Option<&'a str>), Fault> {
        let (name, attached) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        if self.server && name == "fullnat" {
            return Ok((Opt::Method(Method::FullNat), None));
        }
        let (opt, _, _, takes) = KNOWN.iter().find(|(_, long, _, _)| *long == name).ok_or(Fault::Unknown)?;
        match (takes, attached) {
            (Takes::Nothing, Some(_)) => Err(Fault::UnwantedArgument),
            (Takes::Nothing, None) => Ok((*opt, None)),
            (Takes::Word | Takes::PerhapsWord, Some(value)) => Ok((*opt, Some(value))),
            (Takes::Word | Takes::PerhapsWord, None) => Ok((*opt, self.word(*takes)?)),
        }
    }

    fn short(&mut self) -> Result<(Opt, Option<&'a str>), Fault> {
        let mut letters = self.bundle.chars();
        let letter = letters.next().unwrap_or(NONE);
        self.bundle = letters.as_str();
        if self.server && letter == 'b' {
            return Ok((Opt::Method(Method::FullNat), None));
        }
        let known = KNOWN.iter().find(|(_, _, short, _)| *short == letter && letter != NONE);
        let (opt, _, _, takes) = known.ok_or(Fault::Unknown)?;
        match takes {
            Takes::Nothing => Ok((*opt, None)),
            Takes::Word | Takes::PerhapsWord if !self.bundle.is_empty() => {
                let value = std::mem::take(&mut self.bundle);
                Ok((*opt, Some(value.strip_prefix('=').unwrap_or(value))))
            }
            Takes::Word | Takes::PerhapsWord => Ok((*opt, self.word(*takes)?)),
        }
    }

    fn word(&mut self, takes: Takes) -> Result<Option<&'a str>, Fault> {
        match self.args.get(self.next) {
            Some(word) if takes == Takes::Word || !word.starts_with('-') => {
                self.next += 1;
                Ok(Some(word))
            }
            Some(_) => Ok(None),
            None if takes == Takes::PerhapsWord => Ok(None),
            None => Err(Fault::NoArgument),
        }
    }
}
