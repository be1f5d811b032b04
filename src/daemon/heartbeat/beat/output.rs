//! What the virtual routers ask for, carried out: adverts, announcements and events at once, addresses by the keeper.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::IpAddr;

use super::Beat;
use crate::daemon::clock;
use crate::daemon::heartbeat::keeper::{Order, Owner};
use crate::vrrp::fleet::Output;
use crate::vrrp::io::socket::Socket;
use crate::vrrp::lease::Lease;
use crate::vrrp::settings::{Key, VirtualAddress};
use crate::vrrp::{Failure, Holdings, ip};

impl Beat {
    /// Adverts, announcements and events at once; addresses by the keeper.
    pub(super) fn carry_out(&mut self, outputs: Vec<Output>) {
        let mut waiting: VecDeque<Output> = outputs.into();
        while let Some(output) = waiting.pop_front() {
            let failed = match output {
                Output::Send { key, source, destination, bytes, ttl, mac } => {
                    let sent = match mac {
                        Some(mac) => self.send_frame(&key, ip::frame(mac, source, destination, &bytes)),
                        None => self.socket(&key).and_then(|socket| socket.send(source, destination, ttl, &bytes)),
                    };
                    sent.err().map(|error| (key, Failure::Advert { error: error.to_string() }))
                }
                Output::SendSealed { key, destination, packet, mac } => {
                    let sent = match mac {
                        Some(mac) => self.send_frame(&key, Some(ip::frame_of(mac, destination, packet))),
                        None => self.socket(&key).and_then(|socket| socket.send_sealed(destination, &packet)),
                    };
                    sent.err().map(|error| (key, Failure::Advert { error: error.to_string() }))
                }
                Output::Hold { key, holdings, lease } => {
                    self.watch(&key, &holdings.addresses);
                    self.hold(Owner::Router(key), holdings, lease);
                    None
                }
                Output::Serve { key, until } => {
                    self.fence.serve(&key, until);
                    None
                }
                Output::Announce { key, interface, address } => {
                    let seen = self.keeper.seen.borrow();
                    // A link without Ethernet addresses has no neighbours to tell.
                    let link = seen.links.get(&interface).and_then(|link| Some((link.index, link.mac?)));
                    let announced =
                        link.map_or(Ok(()), |(index, mac)| self.announcer.announce(index, mac, address, seen.router));
                    announced.err().map(|error| (key, Failure::Announce { address, error: error.to_string() }))
                }
                Output::Happened(happened) => {
                    self.tell(happened);
                    None
                }
            };
            if let Some((key, failure)) = failed {
                waiting.extend(self.fleet.failed(clock::now(), &key, failure));
            }
        }
    }

    fn socket(&self, key: &Key) -> io::Result<&Socket> {
        let socket = self.sockets.get_ref().get(&(key.interface.clone(), key.family));
        socket.ok_or_else(|| io::Error::other(format!("there is no socket on {}", key.interface)))
    }

    /// By the interface below, so that it needs nothing of the one above: that may be on its way up.
    fn send_frame(&self, key: &Key, frame: Option<Vec<u8>>) -> io::Result<()> {
        let index = self.keeper.seen.borrow().links.get(&key.interface).map(|link| link.index);
        let index = index.ok_or_else(|| io::Error::other(format!("there is no interface {}", key.interface)))?;
        let frame = frame.ok_or(io::ErrorKind::InvalidInput)?;
        self.announcer.send(index, &frame)
    }

    pub(super) fn hold(&mut self, owner: Owner, holdings: Holdings, lease: Lease) {
        if holdings.is_empty() {
            self.leases.remove(&owner);
        } else {
            self.leases.insert(owner.clone(), lease);
        }
        let slot = match &owner {
            Owner::Router(key) => self.fence.slot(key),
            Owner::Static => None,
        };
        self.orders.insert(owner.clone(), Order { owner, holdings, lease, slot });
    }

    /// Neighbours are heard on what is held.
    fn watch(&mut self, key: &Key, addresses: &[VirtualAddress]) {
        self.watched.insert(key.clone(), addresses.iter().map(|address| address.cidr.addr()).collect());
        self.watched.retain(|_, addresses| !addresses.is_empty());
        let all: BTreeSet<IpAddr> = self.watched.values().flatten().copied().collect();
        self.keeper.watched.send_if_modified(|watched| std::mem::replace(watched, all.clone()) != all);
    }
}
