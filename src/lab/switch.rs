//! The switch of a lab: a bridge in a namespace of its own, one port per host.

use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::command::ip;
use super::error::LabError;
use super::host::Host;
use super::namespace::Namespace;

/// Numbers the labs of one process: its tests run side by side.
static LABS: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug)]
pub struct Switch {
    namespace: Namespace,
    /// `vipd-PID-N`, what all names of this lab begin with.
    prefix: String,
}

impl Switch {
    pub fn new() -> Result<Self, LabError> {
        if !nix::unistd::geteuid().is_root() {
            return Err(LabError::NotRoot);
        }
        let prefix = format!("vipd-{}-{}", process::id(), LABS.fetch_add(1, Ordering::Relaxed));
        let namespace = Namespace::create(&format!("{prefix}-switch"))?;
        let switch = Self { namespace, prefix };
        // A port forwards at once, and multicast goes everywhere: with no querier, snooping would lose adverts.
        switch.ip("link add name br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0")?;
        switch.ip("link set dev br0 up")?;
        Ok(switch)
    }

    /// What all names of this lab begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Pull the cable of a host, or put it back: its interface loses carrier.
    pub fn port(&self, host: &Host, up: bool) -> Result<(), LabError> {
        self.ip(&format!("link set dev {} {}", port_of(host), if up { "up" } else { "down" })).map(drop)
    }

    pub(super) fn name_beside(&self, role: &str) -> String {
        format!("{}-{role}", self.prefix)
    }

    pub(super) fn plug(&self, host: &Host) -> Result<(), LabError> {
        let port = port_of(host);
        self.ip(&format!("link add name {port} type veth peer name {} netns {}", host.interface(), host.namespace()))?;
        self.ip(&format!("link set dev {port} master br0 up")).map(drop)
    }

    fn ip(&self, line: &str) -> Result<String, LabError> {
        ip(&format!("-n {} {line}", self.namespace.name()))
    }
}

/// Not the bare role: `ip` takes `a` for a keyword.
fn port_of(host: &Host) -> String {
    format!("to-{}", host.role())
}
