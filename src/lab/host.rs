//! A throw-away host: a network namespace with one interface on the switch.
#![expect(clippy::disallowed_methods, reason = "the lab writes /proc/sys")]

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread::JoinHandle;

use nix::ifaddrs::getifaddrs;
use nix::unistd::Pid;

use super::command::{self, ip};
use super::error::LabError;
use super::namespace::Namespace;
use super::switch::Switch;
use crate::base::IfName;

#[derive(Debug)]
pub struct Host {
    namespace: Namespace,
    role: String,
    interface: IfName,
}

impl Host {
    /// A host that hangs on `switch` with `interface` up and no address; `role` names the port.
    pub fn on(switch: &Switch, role: &str, interface: &IfName) -> Result<Self, LabError> {
        let namespace = Namespace::create(&switch.name_beside(role))?;
        let host = Self { namespace, role: role.to_owned(), interface: interface.clone() };
        // Before the interface comes: no duplicate address detection, no redirects, no surprise by the distribution.
        for (key, value) in [
            ("net/ipv6/conf/all/accept_dad", "0"),
            ("net/ipv6/conf/default/accept_dad", "0"),
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/default/rp_filter", "0"),
            ("net/ipv4/conf/all/send_redirects", "0"),
            ("net/ipv4/conf/default/send_redirects", "0"),
        ] {
            host.sysctl(key, value)?;
        }
        switch.plug(&host)?;
        host.ip(&format!("link set dev {interface} up"))?;
        Ok(host)
    }

    /// The word that tells hosts of one lab apart; the name of its port on the switch too.
    pub fn role(&self) -> &str {
        &self.role
    }

    pub fn interface(&self) -> &IfName {
        &self.interface
    }

    /// The name under `/run/netns`.
    pub fn namespace(&self) -> &str {
        self.namespace.name()
    }

    /// `ip LINE` inside.
    pub fn ip(&self, line: &str) -> Result<String, LabError> {
        ip(&format!("-n {} {line}", self.namespace()))
    }

    pub fn add_address(&self, addr: impl Into<IpAddr>, prefix_len: u8, interface: &str) -> Result<(), LabError> {
        self.ip(&format!("address add {}/{prefix_len} dev {interface}", addr.into())).map(drop)
    }

    /// The state that the administrator of the host sets; [`Switch::port`] is the cable.
    pub fn set_link(&self, up: bool) -> Result<(), LabError> {
        self.ip(&format!("link set dev {} {}", self.interface, if up { "up" } else { "down" })).map(drop)
    }

    /// Write below `/proc/sys`; which namespace `net/` shows depends on the thread that looks.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<(), LabError> {
        let path = PathBuf::from("/proc/sys").join(key);
        let written = self.inside(|| fs::write(&path, value))?;
        written.map_err(|source| LabError::File { action: "write", path, source })
    }

    /// Whether an interface of the host has `addr`.
    pub fn has_address(&self, addr: IpAddr) -> Result<bool, LabError> {
        self.inside(|| has_address(addr))
    }

    /// The hardware address of its interface; `None` where that is gone.
    pub fn mac(&self) -> Result<Option<[u8; 6]>, LabError> {
        let interface = self.interface.as_str().to_owned();
        self.inside(move || {
            let mut all = getifaddrs().ok()?.filter(|found| found.interface_name == interface);
            all.find_map(|found| found.address?.as_link_addr()?.addr())
        })
    }

    /// Every address of every interface.
    pub fn addresses(&self) -> Result<BTreeSet<IpAddr>, LabError> {
        self.inside(|| {
            let all = getifaddrs().into_iter().flatten().filter_map(|found| found.address);
            all.filter_map(|found| match (found.as_sockaddr_in(), found.as_sockaddr_in6()) {
                (Some(v4), _) => Some(IpAddr::V4(v4.ip())),
                (None, v6) => v6.map(|v6| IpAddr::V6(v6.ip())),
            })
            .collect()
        })
    }

    /// See [`Namespace::inside`].
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        self.namespace.inside(work)
    }

    /// See [`Namespace::thread`].
    pub fn thread(
        &self,
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<JoinHandle<Result<(), LabError>>, LabError> {
        self.namespace.thread(name, work)
    }

    /// Run a program inside to its end; gives its standard output.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<String, LabError> {
        self.inside(|| command::run(program, args))?
    }

    /// Start a program inside and let it run; dropping the host kills it.
    pub fn spawn(&self, mut command: Command) -> Result<Child, LabError> {
        let program = command.get_program().to_string_lossy().into_owned();
        self.inside(move || command.spawn())?.map_err(|source| LabError::Start { program, source })
    }

    pub fn processes(&self) -> Vec<Pid> {
        self.namespace.processes()
    }

    pub fn kill_all(&self) -> usize {
        self.namespace.kill_all()
    }
}

/// Whether the namespace of the calling thread has `addr` on an interface.
pub(super) fn has_address(addr: IpAddr) -> bool {
    let Ok(addresses) = getifaddrs() else { return false };
    addresses.filter_map(|found| found.address).any(|found| match addr {
        IpAddr::V4(wanted) => found.as_sockaddr_in().is_some_and(|got| got.ip() == wanted),
        IpAddr::V6(wanted) => found.as_sockaddr_in6().is_some_and(|got| got.ip() == wanted),
    })
}
