//! What forwarding asks of the director's own kernel settings: facts in, findings out. Pure.
//!
//! Only what the methods in use need, each with the reason; what others may want set is not looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use super::table::{Forwarding, ServiceKey};
use crate::base::{Cidr, Family};

/// One real server of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    pub service: ServiceKey,
    pub to: IpAddr,
    pub forwarding: Forwarding,
    /// Clients of the service stay with their real server.
    pub persistent: bool,
}

/// What is forwarded, and by which plane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    pub ebpf: bool,
    pub ways: Vec<Way>,
    /// Persistent clients are to stay with a server of weight 0.
    pub quiescent_keeps: bool,
    /// Interfaces that the configuration names for virtual addresses.
    pub vip_on: BTreeMap<IpAddr, String>,
}

/// How the host stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// The networks of each interface.
    pub networks: Vec<(String, Cidr)>,
    /// Where the IPv4 default route leads.
    pub default_way: Option<String>,
    /// By key below `/proc/sys`.
    pub sysctls: BTreeMap<String, String>,
}

/// A setting that keeps a method from working.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Below `/proc/sys`.
    pub key: String,
    pub is: String,
    pub needed: String,
    pub because: &'static str,
}

impl Finding {
    /// As sysctl(8) writes it. An interface's own dots become slashes there.
    pub fn name(&self) -> String {
        let swap = |c| match c {
            '/' => '.',
            '.' => '/',
            other => other,
        };
        self.key.chars().map(swap).collect()
    }

    pub fn remedy(&self) -> String {
        format!("sysctl -w {}={}, or `lvs_sysctl auto` in global_defs", self.name(), self.needed)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, and must be {}: {}", self.name(), self.is, self.needed, self.because)
    }
}

const FORWARD_V4: &str = "net/ipv4/ip_forward";
const FORWARD_V6: &str = "net/ipv6/conf/all/forwarding";
/// Both are IPVS's (`ipvs-sysctl.rst`); the eBPF program does as they say when they are set.
const NODEST: &str = "net/ipv4/vs/expire_nodest_conn";
const QUIESCENT: &str = "net/ipv4/vs/expire_quiescent_template";

const EBPF_FORWARDS: &str = "without it the kernel gives the eBPF program no route, and nothing is forwarded";
const MASQ_ANSWERS: &str = "without it the answers of real servers behind NAT do not pass";
const ONE_ARM: &str =
    "real servers behind NAT are on the network of the VIP, and a redirect would send their answers past the director";
const STRICT: &str = "clients arrive here and the way back is another, so a strict reverse path filter drops them";

const GONE: &str =
    "without it clients of a real server that was removed get no answer until their connections time out";
const LEAVES: &str = "with it clients of a persistent service leave a real server of weight 0, and \
    `lvs_expire_quiescent_template false` keeps them";
const STAYS: &str =
    "without it clients of a persistent service go on to a real server of weight 0, and a drain does not end";

fn conf(interface: &str, name: &str) -> String {
    format!("net/ipv4/conf/{interface}/{name}")
}

/// Everything that [`findings`] looks at.
pub fn keys<'a>(interfaces: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let of = |interface| [conf(interface, "send_redirects"), conf(interface, "rp_filter")];
    let all = [FORWARD_V4, FORWARD_V6, NODEST, QUIESCENT].map(str::to_owned);
    all.into_iter().chain(["all"].into_iter().chain(interfaces).flat_map(of)).collect()
}

/// What is wrong, each key once. A key that the host does not have (IPv6 turned off) is not asked for.
pub fn findings(uses: &Uses, facts: &HostFacts) -> Vec<Finding> {
    let mut found = BTreeMap::new();
    let mut need = |key: String, fine: &[&str], needed: &str, because: &'static str| {
        let Some(is) = facts.sysctls.get(&key) else { return };
        if !fine.contains(&is.as_str()) {
            let (is, needed) = (is.clone(), needed.to_owned());
            found.entry(key.clone()).or_insert(Finding { key, is, needed, because });
        }
    };
    for way in &uses.ways {
        let masq = matches!(way.forwarding, Forwarding::Masq | Forwarding::FullNat);
        if uses.ebpf || masq {
            let because = if uses.ebpf { EBPF_FORWARDS } else { MASQ_ANSWERS };
            match way.service.family() {
                Family::V4 => need(FORWARD_V4.to_owned(), &["1"], "1", because),
                // 2 forwards, and goes on taking router advertisements (`ip-sysctl.rst`).
                Family::V6 => need(FORWARD_V6.to_owned(), &["1", "2"], "1", because),
            }
        }
        if !uses.ebpf {
            need(NODEST.to_owned(), &["1"], "1", GONE);
        }
        if !uses.ebpf && way.persistent {
            let (needed, because) = if uses.quiescent_keeps { ("0", LEAVES) } else { ("1", STAYS) };
            need(QUIESCENT.to_owned(), &[needed], needed, because);
        }
        // The eBPF program takes packets before the stack filters or redirects them.
        let ServiceKey::Address { addr: vip, .. } = way.service else { continue };
        let Some(arrives) = arrives(uses, facts, vip) else { continue };
        if uses.ebpf || vip.is_ipv6() {
            continue;
        }
        if masq && network_of(facts, way.to) == Some(arrives) {
            for interface in ["all", arrives] {
                // The kernel sends them where either says so.
                need(conf(interface, "send_redirects"), &["0"], "0", ONE_ARM);
            }
        }
        let value = |interface: &str| facts.sysctls.get(&conf(interface, "rp_filter")).map_or("0", String::as_str);
        let strict = value("all").max(value(arrives)) == "1";
        if !masq && strict && facts.default_way.as_deref().is_some_and(|way| way != arrives) {
            // The larger one of `all` and the interface counts.
            need(conf(arrives, "rp_filter"), &["2"], "2", STRICT);
        }
    }
    found.into_values().collect()
}

/// The interface by which clients of this VIP arrive.
fn arrives<'a>(uses: &'a Uses, facts: &'a HostFacts, vip: IpAddr) -> Option<&'a str> {
    uses.vip_on.get(&vip).map(String::as_str).or_else(|| network_of(facts, vip))
}

/// The interface whose network has this address.
fn network_of(facts: &HostFacts, addr: IpAddr) -> Option<&str> {
    let has = |(_, cidr): &&(String, Cidr)| contains(*cidr, addr);
    facts.networks.iter().find(has).map(|(interface, _)| interface.as_str())
}

fn contains(network: Cidr, addr: IpAddr) -> bool {
    let same = |bits: u32, ours: u128, theirs: u128| {
        let host = bits.saturating_sub(network.prefix_len().into());
        ours.checked_shr(host).unwrap_or(0) == theirs.checked_shr(host).unwrap_or(0)
    };
    match (network.addr(), addr) {
        (IpAddr::V4(ours), IpAddr::V4(theirs)) => same(32, u32::from(ours).into(), u32::from(theirs).into()),
        (IpAddr::V6(ours), IpAddr::V6(theirs)) => same(128, ours.into(), theirs.into()),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// Interfaces that have a way of these, for [`keys`].
pub fn interfaces(facts: &HostFacts) -> BTreeSet<&str> {
    facts.networks.iter().map(|(interface, _)| interface.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lvs::table::{Encapsulation, Protocol};

    /// Name, eBPF, way, the default route's interface, settings that are not 0, what is needed.
    type Row<'a> = (&'a str, bool, Way, &'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);

    fn way(vip: &str, to: &str, forwarding: Forwarding) -> Way {
        let service = ServiceKey::Address { protocol: Protocol::Tcp, addr: vip.parse().unwrap(), port: 80 };
        Way { service, to: to.parse().unwrap(), forwarding, persistent: false }
    }

    fn told(ebpf: bool, way: Way, default_way: &str, sysctls: &[(&str, &str)]) -> Vec<String> {
        let network = |interface: &str, addr: &str, length| {
            (interface.to_owned(), Cidr::new(addr.parse().unwrap(), length).unwrap())
        };
        let networks =
            vec![network("eth0", "192.0.2.2", 24), network("eth1", "10.0.0.2", 8), network("eth0", "fd00::2", 64)];
        let zero = |key: &String| key != NODEST && key != QUIESCENT;
        let defaults = keys(["eth0", "eth1"]).into_iter().filter(zero).map(|key| (key, "0".to_owned()));
        let mut facts = HostFacts { networks, default_way: Some(default_way.to_owned()), sysctls: defaults.collect() };
        facts.sysctls.extend(sysctls.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let uses = Uses { ebpf, ways: vec![way], vip_on: BTreeMap::new(), quiescent_keeps: false };
        findings(&uses, &facts).iter().map(|finding| format!("{}={}", finding.name(), finding.needed)).collect()
    }

    #[test]
    fn each_method_asks_for_what_it_needs_and_no_more() {
        let (masq, route, tunnel) = (Forwarding::Masq, Forwarding::Route, Forwarding::Tunnel(Encapsulation::Ipip));
        let (vip, inside, beside) = ("192.0.2.100", "10.1.2.3", "192.0.2.11");
        let redirects = [("net/ipv4/conf/all/send_redirects", "1"), ("net/ipv4/conf/eth0/send_redirects", "1")];
        let strict = [("net/ipv4/conf/all/rp_filter", "1")];
        let on = [(FORWARD_V4, "1")];
        let rows: [Row<'_>; 12] = [
            ("eBPF, any method", true, way(vip, beside, route), "eth0", &[], &["net.ipv4.ip_forward=1"]),
            ("eBPF, set", true, way(vip, beside, route), "eth0", &on, &[]),
            ("eBPF looks before the filters do", true, way(vip, beside, tunnel), "eth1", &[on[0], strict[0]], &[]),
            ("eBPF, IPv6", true, way("fd00::1", "fd00::11", masq), "eth0", &[], &["net.ipv6.conf.all.forwarding=1"]),
            ("IPVS, NAT", false, way(vip, inside, masq), "eth0", &[], &["net.ipv4.ip_forward=1"]),
            ("IPVS, NAT of two arms may redirect", false, way(vip, inside, masq), "eth0", &[on[0], redirects[0]], &[]),
            (
                "IPVS, NAT of one arm",
                false,
                way(vip, beside, masq),
                "eth0",
                &[on[0], redirects[0], redirects[1]],
                &["net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.eth0.send_redirects=0"],
            ),
            ("IPVS, direct routing", false, way(vip, beside, route), "eth0", &[strict[0], redirects[0]], &[]),
            (
                "IPVS, clients arrive where the way back is not",
                false,
                way(vip, beside, tunnel),
                "eth1",
                &strict,
                &["net.ipv4.conf.eth0.rp_filter=2"],
            ),
            (
                "loose already",
                false,
                way(vip, beside, tunnel),
                "eth1",
                &[strict[0], ("net/ipv4/conf/eth0/rp_filter", "2")],
                &[],
            ),
            ("IPVS, IPv6, direct routing", false, way("fd00::1", "fd00::11", route), "eth0", &[], &[]),
            ("a VIP of no interface", false, way("198.51.100.1", beside, route), "eth1", &strict, &[]),
        ];
        for (name, ebpf, way, default_way, sysctls, wanted) in rows {
            assert_eq!(told(ebpf, way, default_way, sysctls), wanted, "{name}");
        }
    }

    #[test]
    fn ipvs_lets_clients_of_a_gone_server_and_of_one_that_drains_go() {
        let plain = way("192.0.2.100", "192.0.2.11", Forwarding::Route);
        let persistent = Way { persistent: true, ..plain.clone() };
        let (zero, one) = ([(NODEST, "0"), (QUIESCENT, "0")], [(NODEST, "1"), (QUIESCENT, "1")]);
        let (nodest, quiescent) = ("net.ipv4.vs.expire_nodest_conn=1", "net.ipv4.vs.expire_quiescent_template=1");
        let of_ebpf = [(FORWARD_V4, "1"), zero[0], zero[1]];
        let rows: [Row<'_>; 5] = [
            ("plain", false, plain, "eth0", &zero, &[nodest]),
            ("persistent", false, persistent.clone(), "eth0", &zero, &[nodest, quiescent]),
            ("set", false, persistent.clone(), "eth0", &one, &[]),
            ("no IPVS in this kernel yet", false, persistent.clone(), "eth0", &[], &[]),
            ("eBPF", true, persistent, "eth0", &of_ebpf, &[]),
        ];
        for (name, ebpf, way, default_way, sysctls, wanted) in rows {
            assert_eq!(told(ebpf, way, default_way, sysctls), wanted, "{name}");
        }
    }

    #[test]
    fn a_network_holds_its_addresses() {
        let rows = [
            ("10.0.0.2", 8, "10.9.9.9", true),
            ("10.0.0.2", 24, "10.0.1.2", false),
            ("0.0.0.0", 0, "8.8.8.8", true),
            ("fd00::2", 64, "10.0.0.2", false),
        ];
        for (network, length, addr, holds) in rows {
            let network = Cidr::new(network.parse().unwrap(), length).unwrap();
            assert_eq!(contains(network, addr.parse().unwrap()), holds, "{addr} in {network}");
        }
    }
}
