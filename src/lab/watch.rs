//! Watching who owns the VIP: on the directors' interfaces, and in the client's neighbour table.
#![expect(clippy::disallowed_methods, reason = "the neighbour table is a file")]

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::thread::JoinHandle;

use super::error::LabError;
use super::host::has_address;
use super::journal::Journal;
use super::pair::{Lab, Seat};
use super::records::{Move, Turn};
use super::wait::{Stop, pause};

/// Looks each [`super::POLL`] until dropped.
#[derive(Debug)]
pub struct Watch {
    stop: Stop,
    threads: Vec<JoinHandle<Result<(), LabError>>>,
}

impl Watch {
    pub fn start(lab: &Lab, journal: &Arc<Journal>) -> Result<Self, LabError> {
        let vip = lab.facts().vip;
        let mut watch = Self { stop: Stop::default(), threads: vec![] };
        for seat in Seat::BOTH {
            let (stop, journal) = (watch.stop.clone(), Arc::clone(journal));
            let work = move || watch_address(vip, seat, &journal, &stop);
            watch.threads.push(lab.director(seat).host().thread("watch", work)?);
        }
        let mut macs = vec![];
        for seat in Seat::BOTH {
            macs.push((lab.mac(seat)?, seat));
        }
        let (stop, journal) = (watch.stop.clone(), Arc::clone(journal));
        watch.threads.push(lab.client().thread("watch", move || watch_neighbour(vip, &macs, &journal, &stop))?);
        Ok(watch)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.set();
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

fn watch_address(vip: Ipv4Addr, seat: Seat, journal: &Journal, stop: &Stop) {
    let mut held = false;
    while !stop.is_set() {
        let holds = has_address(IpAddr::V4(vip));
        if holds != held {
            held = holds;
            let at = journal.now();
            journal.pages().moves.push(Move { at, seat, holds });
        }
        pause();
    }
}

fn watch_neighbour(vip: Ipv4Addr, macs: &[(String, Seat)], journal: &Journal, stop: &Stop) {
    let mut last = None;
    while !stop.is_set() {
        // `/proc/net` would be that of the first thread of the process.
        let table = fs::read_to_string("/proc/thread-self/net/arp").unwrap_or_default();
        let towards = entry(&table, vip).and_then(|found| macs.iter().find(|(mac, _)| mac == found));
        let towards = towards.map(|&(_, seat)| seat);
        if towards != last {
            last = towards;
            let at = journal.now();
            journal.pages().turns.push(Turn { at, towards });
        }
        pause();
    }
}

/// The hardware address for `addr` in the text of `/proc/net/arp`: address, type, flags, hardware address, ...
fn entry(table: &str, addr: Ipv4Addr) -> Option<&str> {
    let mut rows = table.lines().skip(1).map(str::split_whitespace);
    rows.find_map(|mut row| (row.next()?.parse() == Ok(addr)).then(|| row.nth(2)).flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_neighbour_table_is_read() {
        let table = "IP address       HW type     Flags       HW address            Mask     Device\n\
                     10.77.0.2        0x1         0x2         aa:bb:cc:dd:ee:01     *        eth0\n\
                     10.77.0.100      0x1         0x2         aa:bb:cc:dd:ee:02     *        eth0\n";
        assert_eq!(entry(table, Ipv4Addr::new(10, 77, 0, 100)), Some("aa:bb:cc:dd:ee:02"));
        assert_eq!(entry(table, Ipv4Addr::new(10, 77, 0, 10)), None);
    }
}
