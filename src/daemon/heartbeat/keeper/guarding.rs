//! The keeper's side of `bpf/fence.bpf.c`: which addresses it guards, and which it refuses.

use std::net::IpAddr;

use super::Order;
use crate::vrrp::Failure;
use crate::vrrp::io::fence::{self, Guard};
use crate::vrrp::links::Links;

/// The program, where it is loaded.
#[derive(Debug)]
pub struct Guarding {
    guard: Option<Guard>,
    /// Where it could not be attached at the last look.
    unattached: Option<String>,
}

impl Guarding {
    pub const fn new(guard: Option<Guard>) -> Self {
        Self { guard, unattached: None }
    }

    /// Why it does not stand before an interface.
    pub fn unattached(&self) -> Option<&str> {
        self.unattached.as_deref()
    }

    /// Stand before every interface.
    pub fn follow(&mut self, links: &Links) {
        let Some(guard) = &mut self.guard else { return };
        let refused = guard.follow(links).into_iter().next();
        self.unattached = refused.map(|(interface, error)| format!("{interface}: {error}"));
    }

    /// It knows the addresses of an order before the kernel has them. For `no_accept` it is loaded where nothing else
    /// needs it.
    pub fn hold(&mut self, links: &Links, order: &Order) -> Option<Failure> {
        let failed = |error: String| Some(Failure::NotRefused { error });
        let refuse = order.holdings.refuse;
        if refuse && self.guard.is_none() {
            match fence::load(None) {
                Ok(loaded) => self.guard = Some(loaded.guard),
                Err(error) => return failed(error.to_string()),
            }
            self.follow(links);
        }
        let guard = self.guard.as_mut()?;
        let mut failure = None;
        for address in &order.holdings.addresses {
            let address = address.cidr.addr();
            // Where the map is full, its lease alone ends it.
            let _ = order.slot.map(|slot| guard.put(address, slot, order.lease));
            if let Err(error) = guard.refuse(address, refuse) {
                failure = failed(error.to_string());
            }
        }
        let unattached = self.unattached.clone().filter(|_| refuse).and_then(failed);
        failure.or(unattached)
    }

    /// Nobody here serves it any more.
    pub fn remove(&mut self, address: IpAddr) {
        if let Some(guard) = &mut self.guard {
            guard.remove(address);
        }
    }
}
