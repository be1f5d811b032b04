//! The fence of a vipd that is built without eBPF: there is none, and it says so.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use crate::base::{IfName, MonoTime};
use crate::vrrp::lease::Lease;
use crate::vrrp::links::Links;

/// As in the other build.
pub const SLOTS_MAX: u32 = 4096;

/// It cannot be had.
#[derive(Debug)]
pub struct Guard(Infallible);

/// It cannot be had.
#[derive(Debug)]
pub struct Deadlines(Infallible);

/// It cannot be had.
#[derive(Debug)]
pub struct Fence {
    pub guard: Guard,
    pub deadlines: Deadlines,
    pub unpinned: Option<io::Error>,
}

/// # Errors
/// Always.
pub fn load(_: Option<&Path>) -> io::Result<Fence> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this vipd was built without eBPF"))
}

/// There is nothing.
pub const fn clear(_: &Path) {}

impl Guard {
    pub fn follow(&mut self, _: &Links) -> Vec<(IfName, io::Error)> {
        match self.0 {}
    }

    /// # Errors
    /// Never: there is none.
    pub fn put(&mut self, _: IpAddr, _: u32, _: Lease) -> io::Result<()> {
        match self.0 {}
    }

    /// # Errors
    /// Never: there is none.
    pub fn refuse(&mut self, _: IpAddr, _: bool) -> io::Result<()> {
        match self.0 {}
    }

    pub fn remove(&mut self, _: IpAddr) {
        match self.0 {}
    }
}

impl Deadlines {
    pub const fn id(&self) -> u32 {
        match self.0 {}
    }

    /// # Errors
    /// Never: there is none.
    pub fn set(&mut self, _: u32, _: Option<MonoTime>) -> io::Result<()> {
        match self.0 {}
    }
}
