//! A command as far as it has been read: each option is looked at when it comes, as ipvsadm does.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;

use super::super::command::{Refusal, Spelling};
use super::super::name::{Names, aton};
use super::super::option::{Method, Opt};
use super::super::rules::{Kind, Tunnel};
use super::{address, number, timeout};
use crate::base::{Family, Weight};
use crate::lvs::table::{DestinationKey, Protocol, ServiceKey, TunnelChecksum};

/// `-p` without a timeout, in seconds.
const PERSISTENT_DEFAULT_S: u32 = 360;
const INT_MAX: i64 = 0x7fff_ffff;

/// `-M`: an IPv4 mask can have holes, which no plane of ours has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Netmask {
    Mask(u32),
    Prefix(u8),
}

#[derive(Debug)]
pub(super) struct Draft {
    pub(super) given: BTreeSet<Kind>,
    pub(super) key: Option<ServiceKey>,
    pub(super) scheduler: String,
    pub(super) flags: String,
    pub(super) persistent_s: Option<u32>,
    pub(super) netmask: Option<Netmask>,
    pub(super) engine: Option<String>,
    pub(super) one_packet: bool,
    pub(super) server: Option<DestinationKey>,
    pub(super) method: Method,
    pub(super) weight: Weight,
    pub(super) upper: u32,
    pub(super) lower: u32,
    pub(super) tunnel: Tunnel,
    pub(super) tunnel_port: u16,
    pub(super) checksum: TunnelChecksum,
    pub(super) interface: Option<String>,
    pub(super) sync_id: u8,
    pub(super) max_len: u16,
    pub(super) group: Option<IpAddr>,
    pub(super) port: u16,
    pub(super) ttl: u8,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            given: BTreeSet::new(),
            key: None,
            scheduler: String::new(),
            flags: String::new(),
            persistent_s: None,
            netmask: None,
            engine: None,
            one_packet: false,
            server: None,
            method: Method::Route,
            weight: Weight::ONE,
            upper: 0,
            lower: 0,
            tunnel: Tunnel::Ipip,
            tunnel_port: 0,
            checksum: TunnelChecksum::None,
            interface: None,
            sync_id: 0,
            max_len: 0,
            group: None,
            port: 0,
            ttl: 0,
        }
    }
}

impl Draft {
    pub(super) fn spelling(&self) -> Spelling {
        if self.given.contains(&Kind::Numeric) { Spelling::Numbers } else { Spelling::Names }
    }

    fn once(&mut self, kind: Kind) -> Result<(), Refusal> {
        if self.given.insert(kind) {
            Ok(())
        } else {
            Err(Refusal::usage(format!("multiple '{}' options specified", kind.name())))
        }
    }

    /// Take in one option; `bad` is what a complaint about the option itself names.
    pub(super) fn take(
        &mut self,
        opt: Opt,
        word: Option<&str>,
        bad: &str,
        names: &mut dyn Names,
    ) -> Result<(), Refusal> {
        let text = word.unwrap_or_default();
        match opt {
            Opt::Service(protocol) => self.service(text, protocol, names),
            Opt::Fwmark => self.fwmark(text),
            Opt::Ipv6 => self.ipv6(),
            Opt::Scheduler => self.once(Kind::Scheduler).map(|()| text.clone_into(&mut self.scheduler)),
            Opt::SchedFlags => self.once(Kind::SchedFlags).map(|()| text.clone_into(&mut self.flags)),
            Opt::Persistent => {
                self.once(Kind::Persistent)?;
                self.persistent_s = Some(word.map_or(Ok(PERSISTENT_DEFAULT_S), |word| timeout(word, 1))?);
                Ok(())
            }
            Opt::Netmask => self.netmask(text, names),
            Opt::Engine => self.once(Kind::Pe).map(|()| self.engine = Some(text.to_owned())),
            Opt::OnePacket => self.once(Kind::Ops).map(|()| self.one_packet = true),
            Opt::RealServer => self.server(text, names),
            Opt::Method(method) => self.once(Kind::Forward).map(|()| self.method = method),
            Opt::Amount(kind) => self.amount(kind, text),
            Opt::Tunnel(kind) => self.tunnel(kind, text),
            Opt::Sync(kind) => self.sync(kind, text),
            Opt::Plain(kind) => self.once(kind),
            Opt::Sort => Ok(()),
            Opt::Verb(_) | Opt::Help | Opt::Version => Err(Refusal::usage(format!("invalid option `{bad}'"))),
        }
    }

    fn service(&mut self, word: &str, protocol: Protocol, names: &mut dyn Names) -> Result<(), Refusal> {
        self.once(Kind::Service)?;
        let illegal = || Refusal::usage("illegal virtual server address[:port] specified");
        let (addr, port) = address::parse(word, Some(protocol), names).ok_or_else(illegal)?;
        if addr.is_ipv6() {
            self.netmask = None; // as ipvsadm: a mask before the address is forgotten
        }
        self.key = Some(ServiceKey::Address { protocol, addr, port: port.unwrap_or(0) });
        Ok(())
    }

    fn fwmark(&mut self, word: &str) -> Result<(), Refusal> {
        self.once(Kind::Service)?;
        let mark = number::<u32>(word, 1, i64::from(u32::MAX)).and_then(NonZeroU32::new);
        let mark = mark.ok_or_else(|| Refusal::usage(format!("invalid fwmark value `{word}' specified")))?;
        self.key = Some(ServiceKey::Fwmark { mark, family: Family::V4 });
        Ok(())
    }

    fn ipv6(&mut self) -> Result<(), Refusal> {
        match self.key {
            Some(ServiceKey::Fwmark { mark, .. }) => {
                self.netmask = None;
                self.key = Some(ServiceKey::Fwmark { mark, family: Family::V6 });
                Ok(())
            }
            Some(ServiceKey::Address { .. }) | None => Err(Refusal::usage("-6 used before -f\n")),
        }
    }

    fn netmask(&mut self, word: &str, names: &mut dyn Names) -> Result<(), Refusal> {
        self.once(Kind::Netmask)?;
        if self.key.is_some_and(|key| key.family() == Family::V6) {
            // atoi(3): as far as there are digits.
            let digits: String = word.chars().take_while(char::is_ascii_digit).collect();
            let prefix = number::<u8>(&digits, 1, 128);
            self.netmask =
                Some(Netmask::Prefix(prefix.ok_or_else(|| Refusal::usage("illegal ipv6 netmask specified"))?));
        } else {
            let mask = aton(word).or_else(|| names.host(word)).map(Ipv4Addr::to_bits);
            let illegal = || Refusal::usage("illegal virtual server persistent mask specified");
            self.netmask = Some(Netmask::Mask(mask.ok_or_else(illegal)?));
        }
        Ok(())
    }

    fn server(&mut self, word: &str, names: &mut dyn Names) -> Result<(), Refusal> {
        self.once(Kind::Server)?;
        let (protocol, service_port) = match self.key {
            Some(ServiceKey::Address { protocol, port, .. }) => (Some(protocol), port),
            Some(ServiceKey::Fwmark { .. }) => (Some(Protocol::Tcp), 0),
            None => (None, 0),
        };
        let illegal = || Refusal::usage("illegal real server address[:port] specified");
        let (addr, port) = address::parse(word, protocol, names).ok_or_else(illegal)?;
        self.server = Some(DestinationKey { addr, port: port.unwrap_or(service_port) });
        Ok(())
    }

    fn amount(&mut self, kind: Kind, word: &str) -> Result<(), Refusal> {
        self.once(kind)?;
        let amount = number::<u32>(word, 0, INT_MAX);
        if kind == Kind::Weight {
            let weight = amount.and_then(|amount| Weight::new(amount).ok());
            self.weight = weight.ok_or_else(|| Refusal::usage("illegal weight specified"))?;
        } else if kind == Kind::UpperThreshold {
            self.upper = amount.ok_or_else(|| Refusal::usage("illegal u_threshold specified"))?;
        } else {
            self.lower = amount.ok_or_else(|| Refusal::usage("illegal l_threshold specified"))?;
        }
        Ok(())
    }

    fn tunnel(&mut self, kind: Kind, word: &str) -> Result<(), Refusal> {
        self.once(kind)?;
        if kind == Kind::TunType {
            self.tunnel = match word {
                "ipip" => Tunnel::Ipip,
                "gue" => Tunnel::Gue,
                "gre" => Tunnel::Gre,
                _ => return Err(Refusal::usage("illegal tunnel type specified")),
            };
        } else if kind == Kind::TunPort {
            let illegal = || Refusal::usage("illegal tunnel port specified");
            self.tunnel_port = number(word, 1, 65_535).ok_or_else(illegal)?;
        } else if kind == Kind::TunCsum {
            self.checksum = TunnelChecksum::Checksum;
        } else if kind == Kind::TunRemcsum {
            self.checksum = TunnelChecksum::Remote;
        }
        Ok(())
    }

    fn sync(&mut self, kind: Kind, word: &str) -> Result<(), Refusal> {
        self.once(kind)?;
        let illegal = |what: &str| Refusal::usage(format!("illegal {what} specified"));
        if kind == Kind::McastInterface {
            // IFNAMSIZ: the kernel's names have 15 bytes.
            self.interface = Some(word.chars().take(15).collect());
        } else if kind == Kind::SyncId {
            self.sync_id = number(word, 0, 255).ok_or_else(|| illegal("syncid"))?;
        } else if kind == Kind::SyncMaxlen {
            self.max_len = number(word, 1, 65_507).ok_or_else(|| illegal("sync-maxlen"))?;
        } else if kind == Kind::McastGroup {
            let family = if word.contains(':') { "IPv6" } else { "IPv4" };
            let group = word.parse().ok().filter(IpAddr::is_multicast);
            let invalid = || Refusal::usage(format!("invalid {family} mcast-group `{word}'"));
            self.group = Some(group.ok_or_else(invalid)?);
        } else if kind == Kind::McastPort {
            self.port = number(word, 1, 65_535).ok_or_else(|| illegal("mcast-port"))?;
        } else {
            self.ttl = number(word, 1, 255).ok_or_else(|| illegal("mcast-ttl"))?;
        }
        Ok(())
    }
}
