//! What a real server needs so that it takes packets for a VIP that a director owns: facts in, changes out. Pure.
//!
//! Direct routing: the VIP on lo, and no ARP for it. Tunnels: the VIP on tunl0, or on lo with a program that takes the
//! outer header off, no ARP for it, and no strict reverse path filter (what comes out of the tunnel has the client's
//! address, to which the way back is another). IPv6 needs no sysctl: neighbour solicitations for an address of another
//! interface are not answered (`ndisc_recv_ns`, net/ipv6/ndisc.c).

mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

pub use record::{Kept, Record};

/// How the director sends packets: `-g` or `-i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Route,
    Tunnel,
}

/// One thing to change, in the order in which they are carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    LoadModule {
        module: &'static str,
    },
    LinkUp {
        interface: &'static str,
    },
    LinkDown {
        interface: &'static str,
    },
    /// Below `/proc/sys`.
    Sysctl {
        key: String,
        from: String,
        to: String,
    },
    /// The eBPF program takes the outer header off what comes for this address.
    Decapsulate {
        addr: IpAddr,
        interfaces: Vec<String>,
    },
    StopDecapsulating {
        addr: IpAddr,
    },
    AddAddress {
        addr: IpAddr,
        interface: &'static str,
    },
    DeleteAddress {
        addr: IpAddr,
        interface: String,
    },
    WriteFile {
        path: PathBuf,
        text: String,
    },
    RemoveFile {
        path: PathBuf,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoadModule { module } => write!(f, "modprobe {module}"),
            Self::LinkUp { interface } => write!(f, "ip link set {interface} up"),
            Self::LinkDown { interface } => write!(f, "ip link set {interface} down"),
            Self::Sysctl { key, from, to } => write!(f, "sysctl {} = {to} (is {from})", dotted(key)),
            Self::Decapsulate { addr, interfaces } => {
                write!(f, "eBPF program on {}: takes IPIP for {addr} out of its tunnel", interfaces.join(" "))
            }
            Self::StopDecapsulating { addr } => write!(f, "eBPF program: takes no IPIP for {addr} any more"),
            Self::AddAddress { addr, interface } => {
                write!(f, "ip address add {} dev {interface}", host(*addr))?;
                label(*addr, interface).map_or(Ok(()), |label| write!(f, " label {label}"))
            }
            Self::DeleteAddress { addr, interface } => write!(f, "ip address delete {} dev {interface}", host(*addr)),
            Self::WriteFile { path, .. } => write!(f, "write {}", path.display()),
            Self::RemoveFile { path } => write!(f, "remove {}", path.display()),
        }
    }
}

/// As sysctl(8) writes it. An interface's own dots become slashes there.
fn dotted(key: &str) -> String {
    let swap = |c| match c {
        '/' => '.',
        '.' => '/',
        other => other,
    };
    key.chars().map(swap).collect()
}

/// The address with a prefix that holds nobody else.
pub fn host(addr: IpAddr) -> String {
    match addr {
        IpAddr::V4(addr) => format!("{addr}/32"),
        IpAddr::V6(addr) => format!("{addr}/128"),
    }
}

/// What `ip address` shows it by; IPv6 has no labels.
pub fn label(addr: IpAddr, interface: &str) -> Option<String> {
    addr.is_ipv4().then(|| format!("{interface}:vipd"))
}

/// What is to be set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    pub vip: IpAddr,
    pub method: Method,
    /// Let a program take the outer header off even where the kernel has a tunnel device.
    pub program: bool,
    /// The file that sets the sysctls when the host boots.
    pub persist: Option<PathBuf>,
}

/// The kernel's tunnel device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    Up,
    Down,
    /// Comes with its module, which is not loaded.
    Loadable,
    /// This kernel has none.
    Absent,
}

/// How the host stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Interfaces that have the VIP.
    pub held_on: Vec<String>,
    /// Those of them on which it has the label that setup gives it: [`label`].
    pub labelled_on: Vec<String>,
    /// Other addresses of the VIP's family that may be VIPs: on lo, the tunnel device and interfaces without ARP (those of
    /// the loopback network and link-local ones aside), and any that is alone in its network (/32, /128).
    pub others: usize,
    /// `None`: nothing was written down.
    pub record: Option<Record>,
    pub device: Device,
    /// Addresses that the program serves, and the interfaces it is on.
    pub decapsulated: BTreeSet<IpAddr>,
    pub program_on: Vec<String>,
    /// The interfaces that packets come in by: neither lo nor a tunnel device.
    pub interfaces: Vec<String>,
    /// By key below `/proc/sys`: [`keys`].
    pub sysctls: BTreeMap<String, String>,
    /// The text of [`Setup::persist`]; `None`: no such file.
    pub persisted: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("{vip} is no unicast address that a director could balance: --vip takes the address of a virtual_server")]
    NotUnicast { vip: IpAddr },
    #[error(
        "{vip} is on {interface}, where this host answers ARP for it: is it a director? On a real server, \
         `ip address delete` it there first"
    )]
    Elsewhere { vip: IpAddr, interface: String },
    #[error(
        "this kernel has no {device} (`modprobe {module}` makes none), and the eBPF program takes IPv4 tunnels only"
    )]
    NoTunnel { device: &'static str, module: &'static str },
    #[error("{} was not written by `vipd real-server setup`: --persist=FILE takes one of its own", path.display())]
    ForeignFile { path: PathBuf },
}

/// `net/ipv4/conf/INTERFACE/NAME`.
fn conf(interface: &str, name: &str) -> String {
    format!("net/ipv4/conf/{interface}/{name}")
}

/// Everything that [`Setup::changes`] looks at: sysctls of these interfaces and of `all`.
pub fn keys<'a>(interfaces: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let of = |interface| ["arp_ignore", "arp_announce", "rp_filter"].map(|name| conf(interface, name));
    ["all"].into_iter().chain(interfaces).flat_map(of).collect()
}

/// Where the VIP may be on a real server.
const QUIET: [&str; 3] = ["lo", "tunl0", "ip6tnl0"];

impl Setup {
    /// The kernel's tunnel device for the VIP's family, and the module it comes with.
    pub const fn device(&self) -> (&'static str, &'static str) {
        match self.vip {
            IpAddr::V4(_) => ("tunl0", "ipip"),
            IpAddr::V6(_) => ("ip6tnl0", "ip6_tunnel"),
        }
    }

    /// From how it stands to what is needed; nothing where it is so already. ARP is kept quiet before the address comes.
    ///
    /// # Errors
    /// [`Unfit`]: this host is no real server, or cannot be one by this method.
    pub fn changes(&self, facts: &Facts) -> Result<Vec<Change>, Unfit> {
        let (device, module) = self.device();
        if !is_unicast(self.vip) {
            return Err(Unfit::NotUnicast { vip: self.vip });
        }
        if let Some(interface) = facts.held_on.iter().find(|interface| !QUIET.contains(&interface.as_str())) {
            return Err(Unfit::Elsewhere { vip: self.vip, interface: interface.clone() });
        }
        if let Some(path) = self.persist.as_ref().filter(|_| facts.persisted.as_deref().is_some_and(is_foreign)) {
            return Err(Unfit::ForeignFile { path: path.clone() });
        }
        let tunnel = self.method == Method::Tunnel;
        let program = tunnel && (self.program || facts.device == Device::Absent);
        if program && self.vip.is_ipv6() {
            return Err(Unfit::NoTunnel { device, module });
        }
        let mut changes = vec![];
        if tunnel && !program {
            if facts.device == Device::Loadable {
                changes.push(Change::LoadModule { module });
            }
            if facts.device != Device::Up {
                changes.push(Change::LinkUp { interface: device });
            }
        }
        let needed = self.sysctls(facts, program);
        for (key, to) in &needed {
            match facts.sysctls.get(key) {
                Some(from) if from != to => {
                    changes.push(Change::Sysctl { key: key.clone(), from: from.clone(), to: to.clone() });
                }
                Some(_) | None => {}
            }
        }
        let unserved = !facts.decapsulated.contains(&self.vip)
            || facts.interfaces.iter().any(|interface| !facts.program_on.contains(interface));
        if program && unserved {
            changes.push(Change::Decapsulate { addr: self.vip, interfaces: facts.interfaces.clone() });
        }
        if facts.held_on.is_empty() {
            let interface = if tunnel && !program { device } else { "lo" };
            changes.push(Change::AddAddress { addr: self.vip, interface });
        }
        changes.extend(self.persist.as_ref().and_then(|path| {
            let text = file(facts.persisted.as_deref().unwrap_or_default(), &needed);
            (facts.persisted.as_ref() != Some(&text)).then(|| Change::WriteFile { path: path.clone(), text })
        }));
        Ok(changes)
    }

    /// Each sysctl that matters, and the value it shall have: its own where that will do.
    ///
    /// The kernel takes the larger one of `all` and the interface for each of the three (`ip-sysctl.rst`).
    fn sysctls(&self, facts: &Facts, program: bool) -> BTreeMap<String, String> {
        let mut needed = BTreeMap::new();
        if self.vip.is_ipv6() {
            return needed;
        }
        let value = |interface: &str, name: &str| -> u8 {
            facts.sysctls.get(&conf(interface, name)).and_then(|text| text.parse().ok()).unwrap_or(0)
        };
        // Of arp_ignore 3 answers for addresses of global scope, and 4 to 7 are reserved.
        let is_quiet = |ignore: u8| matches!(ignore, 1 | 2 | 8);
        let all = if is_quiet(value("all", "arp_ignore")) { value("all", "arp_ignore") } else { 1 };
        needed.insert(conf("all", "arp_ignore"), all.to_string());
        needed.insert(conf("all", "arp_announce"), "2".to_owned());
        for interface in &facts.interfaces {
            if !is_quiet(value(interface, "arp_ignore").max(all)) {
                needed.insert(conf(interface, "arp_ignore"), all.to_string());
            }
        }
        // What leaves the tunnel: loose (2) is enough, and touches no other interface.
        let device = self.device().0.to_owned();
        let ends = match (self.method, program) {
            (Method::Route, _) => &[][..],
            (Method::Tunnel, true) => &facts.interfaces[..],
            (Method::Tunnel, false) => std::slice::from_ref(&device),
        };
        for interface in ends {
            let (own, all) = (value(interface, "rp_filter"), value("all", "rp_filter"));
            let to = if own.max(all) == 1 { 2 } else { own };
            needed.insert(conf(interface, "rp_filter"), to.to_string());
        }
        needed
    }

    /// The way back: the address goes first. What setup did not change stays, and so does what other VIPs need.
    pub fn undo(&self, facts: &Facts) -> Vec<Change> {
        let mut changes: Vec<Change> = vec![];
        let ours = facts.held_on.iter().filter(|interface| self.is_ours(facts, interface));
        changes.extend(ours.map(|interface| Change::DeleteAddress { addr: self.vip, interface: interface.clone() }));
        if facts.decapsulated.contains(&self.vip) {
            changes.push(Change::StopDecapsulating { addr: self.vip });
        }
        if facts.others > 0 {
            return changes;
        }
        if let Some(record) = &facts.record {
            let device = self.device().0;
            if facts.device == Device::Up && record.has_link(device) {
                changes.push(Change::LinkDown { interface: device });
            }
            changes.extend(record.restore(&facts.sysctls));
        }
        let written =
            self.persist.as_ref().filter(|_| facts.persisted.as_deref().is_some_and(|text| !is_foreign(text)));
        changes.extend(written.map(|path| Change::RemoveFile { path: path.clone() }));
        changes
    }

    /// What [`Setup::undo`] leaves, and an operator may not expect.
    pub fn kept(&self, facts: &Facts) -> Vec<Kept> {
        let theirs = facts.held_on.iter().filter(|interface| !self.is_ours(facts, interface));
        let theirs = theirs.map(|interface| Kept::Address { addr: self.vip, interface: interface.clone() });
        let rest = match &facts.record {
            None => Some(Kept::Unrecorded),
            Some(record) if facts.others > 0 => record.restore(&facts.sysctls).next().map(|_| Kept::Needed),
            Some(_) => None,
        };
        let foreign = self.persist.as_ref().filter(|_| facts.persisted.as_deref().is_some_and(is_foreign));
        theirs.chain(rest).chain(foreign.map(|path| Kept::File { path: path.clone() })).collect()
    }

    /// Setup put the VIP there: it was written down, or the label says so.
    fn is_ours(&self, facts: &Facts, interface: &str) -> bool {
        let recorded = facts.record.as_ref().is_some_and(|record| record.has_address(self.vip, interface));
        recorded || facts.labelled_on.iter().any(|labelled| labelled == interface)
    }
}

fn is_unicast(addr: IpAddr) -> bool {
    let own = match addr {
        IpAddr::V4(addr) => addr.is_broadcast() || addr.is_link_local(),
        IpAddr::V6(addr) => addr.is_unicast_link_local(),
    };
    !own && !addr.is_unspecified() && !addr.is_multicast() && !addr.is_loopback()
}

const HEAD: &str =
    "# Written by `vipd real-server setup --persist`: the VIPs of this real server are not answered by ARP.\n";

/// Somebody else wrote it.
fn is_foreign(text: &str) -> bool {
    !text.starts_with(HEAD)
}

/// The file with these sysctls in it, beside those that it had. A device that comes later is no error (`-`).
fn file(had: &str, needed: &BTreeMap<String, String>) -> String {
    let known = had.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" = "));
    let mut lines: BTreeMap<String, String> = known.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    for (key, value) in needed {
        let optional = if key.contains("/all/") { "" } else { "-" };
        lines.insert(format!("{optional}{}", dotted(key)), value.clone());
    }
    let lines = lines.into_iter().map(|(key, value)| format!("{key} = {value}\n"));
    std::iter::once(HEAD.to_owned()).chain(lines).collect()
}

#[cfg(test)]
mod tests;
