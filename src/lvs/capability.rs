//! Whether a plane can do what a table asks: refused before anything is touched.
//!
//! One rule for every plane, so that a reload, a dry run and the plane itself refuse the same things
//! with the same words.

use super::datapath::{Capabilities, DatapathError, Feature};
use super::table::{
    Destination, DestinationKey, Encapsulation, Forwarding, Protocol, Service, ServiceKey, Step, Table, TunnelChecksum,
};
use crate::base::Family;

impl Feature {
    pub const ALL: [Self; 14] = [
        Self::Masq,
        Self::Route,
        Self::Tunnel,
        Self::Gue,
        Self::Gre,
        Self::TunnelChecksum,
        Self::FullNat,
        Self::Sctp,
        Self::Ipv6,
        Self::Fwmark,
        Self::Persistence,
        Self::PersistenceEngine,
        Self::OnePacket,
        Self::Thresholds,
    ];

    /// What the plane would have to do, to follow "the plane cannot".
    const fn verb(self) -> &'static str {
        match self {
            Self::Masq => "forward by Masq",
            Self::Route => "forward by Route",
            Self::Tunnel => "forward by Tunnel",
            Self::Gue => "forward by Tunnel in GUE",
            Self::Gre => "forward by Tunnel in GRE",
            Self::TunnelChecksum => "put checksums into tunnels",
            Self::FullNat => "forward by FullNat",
            Self::Sctp => "balance SCTP",
            Self::Ipv6 => "balance IPv6",
            Self::Fwmark => "balance by firewall mark",
            Self::Persistence => "keep a client on its server (persistence)",
            Self::PersistenceEngine => "keep a caller on its server by the Call-ID of SIP (persistence engine)",
            Self::OnePacket => "schedule every datagram on its own (one-packet)",
            Self::Thresholds => "limit the connections of a destination (thresholds)",
        }
    }
}

impl Forwarding {
    pub const fn feature(self) -> Feature {
        match self {
            Self::Masq => Feature::Masq,
            Self::Route => Feature::Route,
            Self::Tunnel(Encapsulation::Ipip) => Feature::Tunnel,
            Self::Tunnel(Encapsulation::Gue { .. }) => Feature::Gue,
            Self::Tunnel(Encapsulation::Gre { .. }) => Feature::Gre,
            Self::FullNat => Feature::FullNat,
        }
    }
}

const fn has_checksum(forwarding: Forwarding) -> bool {
    match forwarding {
        Forwarding::Tunnel(Encapsulation::Gue { checksum, .. } | Encapsulation::Gre { checksum }) => match checksum {
            TunnelChecksum::None => false,
            TunnelChecksum::Checksum | TunnelChecksum::Remote => true,
        },
        Forwarding::Tunnel(Encapsulation::Ipip) | Forwarding::Masq | Forwarding::Route | Forwarding::FullNat => false,
    }
}

impl Capabilities {
    /// # Errors
    /// [`DatapathError::Unsupported`] names the first thing of the step that the plane cannot do. Deletions
    /// are always fine.
    pub fn check_step(&self, step: &Step) -> Result<(), DatapathError> {
        let unmet = match step {
            Step::AddService(key, service) | Step::EditService(key, service) => self.unmet_by_service(*key, *service),
            Step::AddDestination(key, at, destination) | Step::EditDestination(key, at, destination) => {
                self.unmet_by_destination(*key, *at, *destination)
            }
            Step::DeleteDestination(..) | Step::DeleteService(_) => None,
        };
        unmet.map_or(Ok(()), |what| Err(DatapathError::Unsupported { plane: self.plane, what }))
    }

    /// Everything of the table that the plane cannot do, one error per service or destination.
    pub fn check_table(&self, table: &Table) -> Vec<DatapathError> {
        let mut unmet = vec![];
        for (key, entry) in &table.services {
            unmet.extend(self.check_step(&Step::AddService(*key, entry.service)).err());
            for (at, destination) in &entry.destinations {
                unmet.extend(self.check_step(&Step::AddDestination(*key, *at, *destination)).err());
            }
        }
        unmet
    }

    fn unmet_by_service(&self, key: ServiceKey, service: Service) -> Option<String> {
        if !self.schedulers.contains(&service.scheduler) {
            return Some(format!("schedule by `{}` ({key})", service.scheduler));
        }
        let asked = [
            (matches!(key, ServiceKey::Address { protocol: Protocol::Sctp, .. }), Feature::Sctp),
            (key.family() == Family::V6, Feature::Ipv6),
            (matches!(key, ServiceKey::Fwmark { .. }), Feature::Fwmark),
            (service.persistence.is_some(), Feature::Persistence),
            (service.persistence.is_some_and(|kept| kept.sip), Feature::PersistenceEngine),
            (service.one_packet, Feature::OnePacket),
        ];
        self.first_lacking(asked).map(|feature| format!("{} ({key})", feature.verb()))
    }

    fn unmet_by_destination(&self, key: ServiceKey, at: DestinationKey, destination: Destination) -> Option<String> {
        let family = Family::of(at.addr);
        // ip_vs_ctl.c: only a tunnel may join two families.
        if family != key.family() && !matches!(destination.forwarding, Forwarding::Tunnel(_)) {
            return Some(format!("reach {at} from {key} other than by Tunnel: their address families differ"));
        }
        let asked = [
            (true, destination.forwarding.feature()),
            (has_checksum(destination.forwarding), Feature::TunnelChecksum),
            (family == Family::V6, Feature::Ipv6),
            (destination.upper_threshold != 0 || destination.lower_threshold != 0, Feature::Thresholds),
        ];
        self.first_lacking(asked).map(|feature| format!("{} ({at} of {key})", feature.verb()))
    }

    fn first_lacking<const N: usize>(&self, asked: [(bool, Feature); N]) -> Option<Feature> {
        asked.into_iter().filter(|(wanted, _)| *wanted).map(|(_, f)| f).find(|f| !self.features.contains(f))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Weight;
    use crate::lvs::table::{Scheduler, SchedulerFlags};

    const KEY: ServiceKey = ServiceKey::Address {
        protocol: Protocol::Tcp,
        addr: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        port: 80,
    };

    fn destination(forwarding: Forwarding) -> Destination {
        Destination { forwarding, weight: Weight::ONE, upper_threshold: 0, lower_threshold: 0 }
    }

    #[test]
    fn what_a_plane_lacks_is_refused_by_name() {
        let plane = Capabilities {
            plane: "memory",
            schedulers: [Scheduler::Rr].into(),
            features: [Feature::Masq, Feature::Tunnel, Feature::Ipv6].into(),
        };
        let service =
            |scheduler| Service { scheduler, flags: SchedulerFlags::default(), persistence: None, one_packet: false };
        let at = DestinationKey { addr: "10.0.0.1".parse().unwrap(), port: 80 };
        let at6 = DestinationKey { addr: "fd00::1".parse().unwrap(), port: 80 };
        let ipip = Forwarding::Tunnel(Encapsulation::Ipip);
        let rows = [
            ("known scheduler", Step::AddService(KEY, service(Scheduler::Rr)), None),
            ("unknown scheduler", Step::AddService(KEY, service(Scheduler::Mh)), Some("schedule by `mh`")),
            ("masq", Step::AddDestination(KEY, at, destination(Forwarding::Masq)), None),
            ("route", Step::AddDestination(KEY, at, destination(Forwarding::Route)), Some("forward by Route")),
            ("families differ", Step::AddDestination(KEY, at6, destination(Forwarding::Masq)), Some("families differ")),
            ("families differ in a tunnel", Step::AddDestination(KEY, at6, destination(ipip)), None),
            ("a deletion", Step::DeleteDestination(KEY, at), None),
        ];
        for (name, step, refused) in rows {
            match (plane.check_step(&step), refused) {
                (Ok(()), None) => {}
                (Err(error), Some(words)) => assert!(error.to_string().contains(words), "{name}: {error}"),
                (got, wanted) => panic!("{name}: {got:?}, not {wanted:?}"),
            }
        }
    }
}
