//! What a real server needs so that it takes packets for a VIP that a director owns: facts in, changes out. Pure.
//!
//! Direct routing: the VIP on lo, and no ARP for it. Tunnels: the VIP on tunl0, no ARP for it, no reverse path filter
//! (what comes out of the tunnel has the client's address, to which the way back is another).
//! IPv6 needs no sysctl: neighbour solicitations for an address on lo are not answered on other links.

use std::net::IpAddr;

/// How the director sends packets: `-g` or `-i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Route,
    Tunnel,
}

/// One thing to change, in the order in which they are carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Below `/proc/sys`.
    Sysctl {
        key: String,
        from: String,
        to: String,
    },
    LinkUp {
        interface: &'static str,
    },
    AddAddress {
        addr: IpAddr,
        interface: &'static str,
    },
    DeleteAddress {
        addr: IpAddr,
        interface: &'static str,
    },
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sysctl { key, from, to } => write!(f, "sysctl {} = {to} (is {from})", key.replace('/', ".")),
            Self::LinkUp { interface } => write!(f, "ip link set {interface} up"),
            Self::AddAddress { addr, interface } => write!(f, "ip address add {} dev {interface}", host(*addr)),
            Self::DeleteAddress { addr, interface } => write!(f, "ip address delete {} dev {interface}", host(*addr)),
        }
    }
}

/// The address with a prefix that holds nobody else.
pub fn host(addr: IpAddr) -> String {
    match addr {
        IpAddr::V4(addr) => format!("{addr}/32"),
        IpAddr::V6(addr) => format!("{addr}/128"),
    }
}

/// What is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    pub vip: IpAddr,
    pub method: Method,
}

/// How the host stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub has_address: bool,
    pub link_up: bool,
    /// Values of [`Setup::sysctls`], in their order.
    pub sysctls: Vec<String>,
}

impl Setup {
    pub const fn interface(&self) -> &'static str {
        match (self.method, self.vip) {
            (Method::Route, _) => "lo",
            (Method::Tunnel, IpAddr::V4(_)) => "tunl0",
            (Method::Tunnel, IpAddr::V6(_)) => "ip6tnl0",
        }
    }

    /// Keys below `/proc/sys` with the value they need and the kernel's default.
    ///
    /// The kernel takes the larger one of `all` and the interface for each of them (`ip-sysctl.rst`), so a filter that
    /// is to be off must be off in `all` too.
    pub fn sysctls(&self) -> Vec<(String, &'static str, &'static str)> {
        if self.vip.is_ipv6() {
            return vec![];
        }
        let key = |interface: &str, name: &str| format!("net/ipv4/conf/{interface}/{name}");
        let mut keys = vec![(key("all", "arp_ignore"), "1", "0"), (key("all", "arp_announce"), "2", "0")];
        if self.method == Method::Tunnel {
            keys.push((key("all", "rp_filter"), "0", "0"));
            keys.push((key("tunl0", "rp_filter"), "0", "0"));
        }
        keys
    }

    /// From how it stands to what is needed; nothing where it is so already. ARP is kept quiet before the address comes.
    pub fn changes(&self, facts: &Facts) -> Vec<Change> {
        let interface = self.interface();
        let mut changes = vec![];
        if !facts.link_up {
            changes.push(Change::LinkUp { interface });
        }
        for ((key, to, _), from) in self.sysctls().into_iter().zip(&facts.sysctls) {
            if from != to {
                changes.push(Change::Sysctl { key, from: from.clone(), to: to.to_owned() });
            }
        }
        if !facts.has_address {
            changes.push(Change::AddAddress { addr: self.vip, interface });
        }
        changes
    }

    /// The way back: the address goes first. `alone`: no other VIP stands there, so ARP may speak again; the reverse
    /// path filter stays as it is, since nobody knows how it was.
    pub fn undo(&self, facts: &Facts, alone: bool) -> Vec<Change> {
        let mut changes = vec![];
        if facts.has_address {
            changes.push(Change::DeleteAddress { addr: self.vip, interface: self.interface() });
        }
        for ((key, needed, default), from) in self.sysctls().into_iter().zip(&facts.sysctls) {
            if alone && from == needed && needed != default {
                changes.push(Change::Sysctl { key, from: from.clone(), to: default.to_owned() });
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(changes: &[Change]) -> Vec<String> {
        changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_what_differs_is_changed_and_arp_is_quiet_before_the_address_comes() {
        let dr = Setup { vip: "192.0.2.100".parse().unwrap(), method: Method::Route };
        let tun = Setup { method: Method::Tunnel, ..dr };
        let dr6 = Setup { vip: "fd00::1".parse().unwrap(), ..dr };
        let facts = |has_address, link_up, values: &[&str]| Facts {
            has_address,
            link_up,
            sysctls: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        let rows: [(&str, Setup, Facts, &[&str]); 4] = [
            ("done already", dr, facts(true, true, &["1", "2"]), &[]),
            (
                "direct routing",
                dr,
                facts(false, true, &["0", "2"]),
                &["sysctl net.ipv4.conf.all.arp_ignore = 1 (is 0)", "ip address add 192.0.2.100/32 dev lo"],
            ),
            (
                "tunnel",
                tun,
                facts(false, false, &["1", "2", "2", "0"]),
                &[
                    "ip link set tunl0 up",
                    "sysctl net.ipv4.conf.all.rp_filter = 0 (is 2)",
                    "ip address add 192.0.2.100/32 dev tunl0",
                ],
            ),
            ("IPv6", dr6, facts(false, true, &[]), &["ip address add fd00::1/128 dev lo"]),
        ];
        for (name, setup, facts, wanted) in rows {
            assert_eq!(words(&setup.changes(&facts)), wanted, "{name}");
        }
    }

    #[test]
    fn undo_lets_arp_speak_only_after_the_last_vip() {
        let dr = Setup { vip: "192.0.2.100".parse().unwrap(), method: Method::Route };
        let facts = Facts { has_address: true, link_up: true, sysctls: vec!["1".into(), "2".into()] };
        assert_eq!(words(&dr.undo(&facts, false)), ["ip address delete 192.0.2.100/32 dev lo"]);
        assert_eq!(dr.undo(&facts, true).len(), 3);
    }
}
