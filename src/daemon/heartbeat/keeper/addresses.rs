//! The keeper's addresses: added or renewed in one pipeline for all that hold some, removed where nobody does any more.

use std::collections::BTreeSet;
use std::net::IpAddr;

use futures_util::future::join_all;

use super::{Order, Owner, PIPELINE, Work, is_stale};
use crate::base::{AddressOptions, Cidr, Family, IfName, MonoTime};
use crate::vrrp::Failure;
use crate::vrrp::io::address;
use crate::vrrp::links::{Link, Links};
use crate::vrrp::settings::VirtualAddress;

impl Work {
    /// All addresses of all in one pipeline, first those that wait to be announced.
    pub(super) async fn hold_addresses(
        &mut self,
        at: MonoTime,
        ordered: &BTreeSet<Owner>,
        links: &Links,
    ) -> Vec<(Owner, Failure)> {
        let (new, old): (Vec<&Order>, Vec<_>) = self.held.values().partition(|order| ordered.contains(&order.owner));
        let all = new.into_iter().chain(old);
        let wanted: Vec<(&Order, &VirtualAddress)> =
            all.flat_map(|order| order.holdings.addresses.iter().map(move |address| (order, address))).collect();
        let mut failed = vec![];
        for batch in wanted.chunks(PIPELINE) {
            let fresh = batch.iter().filter(|(order, _)| !is_stale(order, at));
            let each = fresh.map(|(order, address)| async {
                let held = hold(&self.handle, links, &self.added, order, address).await;
                held.map_err(|failure| (order.owner.clone(), failure))
            });
            for held in join_all(each).await {
                match held {
                    Ok(held) => self.added.extend(held),
                    Err(refused) => failed.push(refused),
                }
            }
        }
        failed
    }

    /// Remove what stays and was held otherwise `before`, where the kernel takes that only of an address that is new.
    pub(super) async fn release_changed(&self, before: &[(Owner, VirtualAddress)]) -> Vec<(Owner, Failure)> {
        let links = self.publish.borrow().links.clone();
        let changed = before.iter().filter(|(owner, old)| {
            let now = self.held.get(owner).into_iter().flat_map(|order| &order.holdings.addresses);
            now.filter(|new| (new.cidr, &new.dev) == (old.cidr, &old.dev)).any(|new| needs_anew(old, new))
        });
        let each = changed.map(|(owner, old)| release(&self.handle, &links, &self.added, owner, old));
        join_all(each).await.into_iter().flatten().collect()
    }

    /// Remove what nobody holds any more.
    pub(super) async fn release(&mut self, gone: Vec<(Owner, VirtualAddress)>) -> Vec<(Owner, Failure)> {
        let links = self.publish.borrow().links.clone();
        let of = |order: &'_ Order| {
            let each = order.holdings.addresses.iter();
            each.filter_map(|address| Some((interface(&order.owner, address)?.clone(), address.cidr)))
                .collect::<Vec<_>>()
        };
        let still: BTreeSet<(IfName, Cidr)> = self.held.values().flat_map(of).collect();
        let is_gone = |owner: &Owner, address: &VirtualAddress| {
            interface(owner, address).is_some_and(|name| !still.contains(&(name.clone(), address.cidr)))
        };
        let gone: Vec<_> = gone.into_iter().filter(|(owner, address)| is_gone(owner, address)).collect();
        let served: BTreeSet<IpAddr> = still.iter().map(|(_, cidr)| cidr.addr()).collect();
        let mut failed = vec![];
        for batch in gone.chunks(PIPELINE) {
            let each = batch.iter().map(|(owner, address)| release(&self.handle, &links, &self.added, owner, address));
            failed.extend(join_all(each).await.into_iter().flatten());
        }
        let gone = gone.iter().map(|(_, address)| address.cidr.addr());
        gone.filter(|address| !served.contains(address)).for_each(|address| self.guarding.remove(address));
        failed
    }
}

/// Whether the change takes another address than the one that is there: the kernel replaces lifetimes and, of IPv6, most flags
/// (`inet_rtm_newaddr`, `inet6_addr_modify`).
fn needs_anew(old: &VirtualAddress, new: &VirtualAddress) -> bool {
    let flags = |address: &VirtualAddress| AddressOptions { preferred: None, ..address.options };
    match new.cidr.family() {
        Family::V4 => {
            (&old.label, old.broadcast, old.scope, flags(old)) != (&new.label, new.broadcast, new.scope, flags(new))
        }
        Family::V6 => (old.options.auto_join, old.options.peer) != (new.options.auto_join, new.options.peer),
    }
}

/// Add or renew one address; gives what is ours then. What the host has by itself is held already, and stays so.
async fn hold(
    handle: &rtnetlink::Handle,
    links: &Links,
    added: &BTreeSet<(u32, Cidr)>,
    order: &Order,
    address: &VirtualAddress,
) -> Result<Option<(u32, Cidr)>, Failure> {
    let failed = |error: String| Failure::AddressAdd { address: address.cidr, error };
    let interface = interface(&order.owner, address).ok_or_else(|| failed("it names no interface".to_owned()))?;
    let link = links.get(interface).ok_or_else(|| failed(format!("there is no interface {interface}")))?;
    if is_the_hosts(link, address.cidr, added) {
        return Ok(None);
    }
    match address::hold(handle, link.index, address, order.lease.valid_s).await {
        Ok(()) => Ok(Some((link.index, address.cidr))),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// Remove one address that is ours. With its link it is gone too.
async fn release(
    handle: &rtnetlink::Handle,
    links: &Links,
    added: &BTreeSet<(u32, Cidr)>,
    owner: &Owner,
    address: &VirtualAddress,
) -> Option<(Owner, Failure)> {
    let link = links.get(interface(owner, address)?)?;
    if is_the_hosts(link, address.cidr, added) {
        return None;
    }
    let error = address::release(handle, link.index, address.cidr, address.options.peer).await.err()?;
    Some((owner.clone(), Failure::AddressRemove { address: address.cidr, error: error.to_string() }))
}

/// Whether somebody else put this address there: the owner of the address (priority 255) has it in any case.
/// Of others, [`super::leftovers`] left those without which the host would have none.
fn is_the_hosts(link: &Link, cidr: Cidr, added: &BTreeSet<(u32, Cidr)>) -> bool {
    !added.contains(&(link.index, cidr)) && link.addresses.iter().any(|held| !held.ours && held.is_same_as(cidr))
}

/// `None`: a static address without one.
fn interface<'a>(owner: &'a Owner, address: &'a VirtualAddress) -> Option<&'a IfName> {
    let default = match owner {
        Owner::Router(key) => Some(&key.interface),
        Owner::Static => None,
    };
    address.dev.as_ref().or(default)
}
