//! From a draft to what the table holds: the rules that need all options.

use super::super::command::Refusal;
use super::super::option::Method;
use super::super::rules::{self, Kind};
use super::draft::{Draft, Netmask};
use crate::base::Family;
use crate::lvs::ipvsadm::rules::Tunnel;
use crate::lvs::table::{
    Destination, DestinationKey, Encapsulation, Forwarding, Persistence, Protocol, Scheduler, SchedulerFlags, Service,
    ServiceKey,
};

/// What the kernel says to a name it has no module for.
const NO_ENGINE: &str = "Scheduler or persistence engine not found";
const SCHEDULER_DEFAULT: &str = "wlc";

impl Draft {
    fn scheduler_name(&self) -> &str {
        if self.scheduler.is_empty() { SCHEDULER_DEFAULT } else { &self.scheduler }
    }

    /// `-b`: every flag is known, and known to this scheduler.
    pub(super) fn check_flags(&self) -> Result<(), Refusal> {
        self.scheduler_flags().map(|_| ())
    }

    fn scheduler_flags(&self) -> Result<SchedulerFlags, Refusal> {
        let mut flags = SchedulerFlags::default();
        for flag in self.flags.split(',').filter(|flag| !flag.is_empty()) {
            let (place, owner) = match flag {
                "flag-1" => (&mut flags.one, None),
                "flag-2" => (&mut flags.two, None),
                "flag-3" => (&mut flags.three, None),
                "sh-fallback" => (&mut flags.one, Some("sh")),
                "sh-port" => (&mut flags.two, Some("sh")),
                "mh-fallback" => (&mut flags.one, Some("mh")),
                "mh-port" => (&mut flags.two, Some("mh")),
                _ => return Err(Refusal::usage(format!("invalid scheduler flag `{flag}'"))),
            };
            if owner.is_some_and(|owner| owner != self.scheduler_name()) {
                return Err(Refusal::usage(format!("incompatible scheduler flag `{flag}'")));
            }
            *place = true;
        }
        Ok(flags)
    }

    /// The service; the rules have made sure that it is given.
    pub(super) fn key(&self) -> Result<ServiceKey, Refusal> {
        self.key.ok_or_else(|| Refusal::usage("illegal virtual server address[:port] specified"))
    }

    pub(super) fn server_key(&self) -> Result<DestinationKey, Refusal> {
        let illegal = || Refusal::usage("illegal real server address[:port] specified");
        self.server.ok_or_else(illegal)
    }

    /// What `-A` and `-E` say.
    pub(super) fn service_settings(&self) -> Result<(ServiceKey, Service), Refusal> {
        let key = self.key()?;
        if let ServiceKey::Address { protocol, port, .. } = key {
            if port == 0 && self.persistent_s.is_none() {
                return Err(Refusal::usage("Zero port specified for non-persistent service"));
            }
            if self.one_packet && protocol != Protocol::Udp {
                return Err(Refusal::usage("One-Packet Scheduling is only for UDP virtual services"));
            }
        }
        let scheduler: Scheduler = self.scheduler_name().parse().map_err(|_| Refusal::kernel(NO_ENGINE))?;
        let sip = match self.engine.as_deref() {
            None => false,
            Some("sip") => true,
            Some(_) => return Err(Refusal::kernel(NO_ENGINE)),
        };
        if sip && self.persistent_s.is_none() {
            return Err(Refusal::usage("a persistence engine (--pe) needs a persistent service (-p)"));
        }
        let persistence = match self.persistent_s {
            Some(timeout_s) => Some(Persistence { timeout_s, prefix_len: self.prefix_len(key.family())?, sip }),
            None => None,
        };
        let service = Service { scheduler, flags: self.scheduler_flags()?, persistence, one_packet: self.one_packet };
        Ok((key, service))
    }

    fn prefix_len(&self, family: Family) -> Result<u8, Refusal> {
        match (self.netmask, family) {
            (None, _) => Ok(family.bits()),
            (Some(Netmask::Prefix(length)), _) => Ok(length),
            (Some(Netmask::Mask(mask)), _) => {
                let length = mask.leading_ones();
                let holes = mask.checked_shl(length).unwrap_or(0) != 0;
                let illegal = || Refusal::usage("illegal virtual server persistent mask specified");
                if holes { Err(illegal()) } else { u8::try_from(length).map_err(|_| illegal()) }
            }
        }
    }

    /// What `-a` and `-e` say.
    pub(super) fn server_settings(&self) -> Result<(ServiceKey, DestinationKey, Destination), Refusal> {
        let (key, mut at) = (self.key()?, self.server_key()?);
        let routed = matches!(self.method, Method::Route | Method::Tunnel);
        if let ServiceKey::Address { port, .. } = key
            && routed
        {
            at.port = port;
        }
        if Family::of(at.addr) != key.family() && self.method != Method::Tunnel {
            return Err(Refusal::usage("Different address family is allowed only for tunneling servers"));
        }
        let forwarding = match self.method {
            Method::Tunnel => Forwarding::Tunnel(self.encapsulation()?),
            Method::Masq | Method::Route | Method::FullNat if self.has_tunnel_option() => {
                return Err(Refusal::usage("Tunnel options conflict with forward method"));
            }
            Method::Masq => Forwarding::Masq,
            Method::Route => Forwarding::Route,
            Method::FullNat => Forwarding::FullNat,
        };
        let (upper_threshold, lower_threshold) = (self.upper, self.lower);
        Ok((key, at, Destination { forwarding, weight: self.weight, upper_threshold, lower_threshold }))
    }

    fn has_tunnel_option(&self) -> bool {
        let kinds = [Kind::TunType, Kind::TunPort, Kind::TunNocsum, Kind::TunCsum, Kind::TunRemcsum];
        kinds.iter().any(|kind| self.given.contains(kind))
    }

    fn encapsulation(&self) -> Result<Encapsulation, Refusal> {
        rules::check_tunnel(self.tunnel, &self.given)?;
        let checksum = self.checksum;
        Ok(match self.tunnel {
            Tunnel::Ipip => Encapsulation::Ipip,
            Tunnel::Gue => Encapsulation::Gue { port: self.tunnel_port, checksum },
            Tunnel::Gre => Encapsulation::Gre { checksum },
        })
    }
}
