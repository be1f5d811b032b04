//! The switch of a lab: a bridge in a namespace of its own, one port per host.

use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::command::{ip, run};
use super::error::LabError;
use super::host::Host;
use super::namespace::Namespace;

/// Numbers the labs of one process: its tests run side by side.
static LABS: AtomicUsize = AtomicUsize::new(0);

/// The table of what the wire is to do wrong.
const FAULTS: &str = "faults";

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

    pub const fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Let nothing pass from one host to another; the way back is a cut of its own.
    pub fn cut(&self, from: &Host, to: &Host) -> Result<(), LabError> {
        let (from, to) = (port_of(from), port_of(to));
        self.rule(&format!("iifname {from} oifname {to} drop"))
    }

    /// Lose this part of the adverts of a host, by chance.
    pub fn lose_adverts(&self, from: &Host, percent: u8) -> Result<(), LabError> {
        self.rule(&format!("iifname {} ip protocol vrrp numgen random mod 100 < {percent} drop", port_of(from)))
    }

    /// Let everything pass again.
    pub fn mend(&self) -> Result<(), LabError> {
        self.nft(&format!("table bridge {FAULTS}; delete table bridge {FAULTS}"))
    }

    fn rule(&self, rule: &str) -> Result<(), LabError> {
        let chain = "chain forward { type filter hook forward priority 0; policy accept; }";
        self.nft(&format!("table bridge {FAULTS} {{ {chain}; }}; add rule bridge {FAULTS} forward {rule}"))
    }

    fn nft(&self, text: &str) -> Result<(), LabError> {
        self.namespace.inside(|| run("nft", &[text]))?.map(drop)
    }

    /// Pull the cable of a host, or put it back: its interface loses carrier.
    pub fn port(&self, host: &Host, up: bool) -> Result<(), LabError> {
        self.ip(&format!("link set dev {} {}", port_of(host), if up { "up" } else { "down" })).map(drop)
    }

    pub(super) fn name_beside(&self, role: &str) -> String {
        format!("{}-{role}", self.prefix)
    }

    /// Take the interface of a host away, and the port with it; [`Switch::plug`] brings both back.
    pub fn unplug(&self, host: &Host) -> Result<(), LabError> {
        self.ip(&format!("link delete dev {}", port_of(host))).map(drop)
    }

    /// Give a host its interface, which is down.
    pub fn plug(&self, host: &Host) -> Result<(), LabError> {
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
    port_name(host.role())
}

pub(super) fn port_name(role: &str) -> String {
    format!("to-{role}")
}
