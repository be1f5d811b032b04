//! The packets that wait, each to whom it concerns.

use std::sync::atomic::Ordering;

use super::Beat;
use crate::base::IfName;
use crate::daemon::clock;
use crate::daemon::heartbeat::sockets::{Ear, Place};
use crate::vrrp::io::socket::PACKET_MAX;
use crate::vrrp::{ah, ip, packet};

impl Beat {
    /// Read what waits in the sockets, up to a bound: a flood may not keep deadlines waiting.
    pub(super) fn drain(&mut self, mut left: usize) {
        loop {
            let ears = self.sockets.get_ref().ready();
            self.unread = !ears.is_empty() && left == 0;
            if ears.is_empty() || left == 0 {
                return;
            }
            for ear in &ears {
                left = match ear {
                    Ear::Socket(place) => self.drain_one(place, left),
                    Ear::Tap(name) => self.drain_tap(name, left),
                };
            }
        }
    }

    fn drain_one(&mut self, place: &Place, mut left: usize) -> usize {
        let mut buffer = [0; PACKET_MAX];
        while left > 0 {
            left -= 1;
            let Some(socket) = self.sockets.get_ref().get(place) else { return left };
            match socket.receive(&mut buffer) {
                Ok(Some((envelope, bytes))) => {
                    let outputs = self.fleet.packet(clock::now(), &place.0, &envelope, bytes);
                    self.carry_out(outputs);
                }
                // An error is told once by the kernel (ENETDOWN), and the link's state says the same.
                Ok(None) | Err(_) => break,
            }
        }
        self.drain_sealed(place, &mut buffer, left)
    }

    fn drain_sealed(&mut self, place: &Place, buffer: &mut [u8], mut left: usize) -> usize {
        while left > 0 {
            let Some(socket) = self.sockets.get_ref().get(place) else { return left };
            let Ok(Some(packet)) = socket.receive_sealed(buffer) else { return left };
            left -= 1;
            let outputs = self.fleet.sealed_packet(clock::now(), &place.0, packet);
            self.carry_out(outputs);
        }
        left
    }

    fn drain_tap(&mut self, name: &IfName, mut left: usize) -> usize {
        let mut buffer = [0; PACKET_MAX];
        while left > 0 {
            let Some((tap, place)) = self.sockets.get_ref().tap(name) else { return left };
            let Ok(Some(bytes)) = tap.receive(&mut buffer) else { return left };
            left -= 1;
            let (now, interface) = (clock::now(), &place.0);
            let outputs = match ip::read(bytes) {
                Some(read) if read.protocol == packet::PROTOCOL => {
                    self.fleet.packet(now, interface, &read.envelope, read.payload)
                }
                Some(read) if read.protocol == ah::PROTOCOL => self.fleet.sealed_packet(now, interface, read.whole),
                Some(_) | None => {
                    self.bad_frames.virtual_mac.fetch_add(1, Ordering::Relaxed);
                    vec![]
                }
            };
            self.carry_out(outputs);
        }
        left
    }
}
