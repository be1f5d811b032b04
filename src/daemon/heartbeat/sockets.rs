//! The heartbeat's sockets and its timer behind one descriptor, so that one wait covers them all.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::base::{Family, IfName, MonoTime};
use crate::vrrp::fleet::Heard;
use crate::vrrp::io::socket::Socket;
use crate::vrrp::io::tap::Tap;
use crate::vrrp::links::Links;

/// Interface and family.
pub type Place = (IfName, Family);
/// What the virtual routers need to hear at each place.
pub type Needed = BTreeMap<Place, Heard>;

/// The timer's token; sockets count from 1.
const TIMER: u64 = 0;
/// Sockets that are served in one round.
const READY_MAX: usize = 64;

/// All sockets and the timer, by one pollable descriptor.
#[derive(Debug)]
pub struct Sockets {
    poll: Epoll,
    timer: TimerFd,
    open: BTreeMap<Place, (u64, Socket)>,
    taps: BTreeMap<IfName, Tapped>,
    ears: BTreeMap<u64, Ear>,
    next: u64,
}

impl AsRawFd for Sockets {
    fn as_raw_fd(&self) -> RawFd {
        self.poll.0.as_raw_fd()
    }
}

/// What can have packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ear {
    Socket(Place),
    /// The interface of a virtual router.
    Tap(IfName),
}

#[derive(Debug)]
struct Tapped {
    token: u64,
    tap: Tap,
    /// Whose packets these are.
    place: Place,
}

/// A socket that could not be had.
#[derive(Debug)]
pub struct Refused {
    pub place: Place,
    pub error: io::Error,
}

impl Sockets {
    /// # Errors
    /// Where the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        let poll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        poll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        Ok(Self { poll, timer, open: BTreeMap::new(), taps: BTreeMap::new(), ears: BTreeMap::new(), next: TIMER + 1 })
    }

    /// Open what is needed and missing, also where an interface of that name is another one now.
    pub fn open(&mut self, needed: &Needed, links: &Links) -> Vec<Refused> {
        let mut refused = vec![];
        for (place, Heard { groups, sealed, devices }) in needed {
            let Some(link) = links.get(&place.0) else { continue };
            let done = match self.open.get_mut(place) {
                Some((_, socket)) if socket.index() == link.index => socket.join(groups),
                Some(_) => self.close(place).and_then(|()| self.open_one(place, link.index, groups)),
                None => self.open_one(place, link.index, groups),
            };
            let done = done.and_then(|()| if *sealed { self.open_sealed(place) } else { Ok(()) });
            let done = done.and_then(|()| self.open_taps(place, devices, links));
            refused.extend(done.err().map(|error| Refused { place: place.clone(), error }));
        }
        refused
    }

    fn open_one(&mut self, place: &Place, index: u32, groups: &BTreeSet<IpAddr>) -> io::Result<()> {
        let socket = Socket::open(&place.0, index, place.1, groups)?;
        self.poll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, self.next))?;
        self.ears.insert(self.next, Ear::Socket(place.clone()));
        self.open.insert(place.clone(), (self.next, socket));
        self.next += 1;
        Ok(())
    }

    /// It wakes by the token of its place.
    fn open_sealed(&mut self, place: &Place) -> io::Result<()> {
        let Some((token, socket)) = self.open.get_mut(place) else { return Ok(()) };
        if let Some(sealed) = socket.open_sealed(&place.0)? {
            self.poll.add(sealed, EpollEvent::new(EpollFlags::EPOLLIN, *token))?;
        }
        Ok(())
    }

    fn close(&mut self, place: &Place) -> io::Result<()> {
        if let Some((token, socket)) = self.open.remove(place) {
            self.ears.remove(&token);
            self.poll.delete(&socket)?;
        }
        Ok(())
    }

    /// On the interfaces that are there; the others follow as soon as they are.
    fn open_taps(&mut self, place: &Place, devices: &BTreeMap<IfName, [u8; 6]>, links: &Links) -> io::Result<()> {
        for (name, mac) in devices {
            let Some(link) = links.get(name) else { continue };
            if self.taps.get(name).is_some_and(|known| known.tap.index() == link.index) {
                continue;
            }
            self.close_tap(name)?;
            let (token, tap) = (self.next, Tap::open(link.index, place.1, *mac)?);
            self.poll.add(&tap, EpollEvent::new(EpollFlags::EPOLLIN, token))?;
            self.ears.insert(token, Ear::Tap(name.clone()));
            self.taps.insert(name.clone(), Tapped { token, tap, place: place.clone() });
            self.next += 1;
        }
        Ok(())
    }

    fn close_tap(&mut self, name: &IfName) -> io::Result<()> {
        if let Some(Tapped { token, tap, place: _ }) = self.taps.remove(name) {
            self.ears.remove(&token);
            self.poll.delete(&tap)?;
        }
        Ok(())
    }

    /// Close what is not needed any more, or whose interface is gone.
    pub fn prune(&mut self, needed: &Needed, links: &Links) {
        let stays = |place: &Place| needed.contains_key(place) && links.get(&place.0).is_some();
        let gone: Vec<Place> = self.open.keys().filter(|place| !stays(place)).cloned().collect();
        for place in gone {
            // Closing the descriptor takes it out of the poll in any case (epoll(7)).
            let _ = self.close(&place);
        }
        let stays = |name: &IfName, tapped: &Tapped| {
            needed.get(&tapped.place).is_some_and(|heard| heard.devices.contains_key(name)) && links.get(name).is_some()
        };
        let gone: Vec<IfName> =
            self.taps.iter().filter(|(name, tapped)| !stays(name, tapped)).map(|(name, _)| name.clone()).collect();
        for name in gone {
            let _ = self.close_tap(&name);
        }
    }

    pub fn get(&self, place: &Place) -> Option<&Socket> {
        self.open.get(place).map(|(_, socket)| socket)
    }

    /// The tap on this interface, and whose packets it hears.
    pub fn tap(&self, name: &IfName) -> Option<(&Tap, &Place)> {
        self.taps.get(name).map(|tapped| (&tapped.tap, &tapped.place))
    }

    /// Wake at this time; `None`: never.
    pub fn wake_at(&self, at: Option<MonoTime>) {
        let armed = match at {
            // Zero would disarm the timer.
            Some(at) => {
                let at = TimeSpec::from(at.since_start().max(std::time::Duration::from_nanos(1)));
                self.timer.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)
            }
            None => self.timer.unset(),
        };
        debug_assert!(armed.is_ok(), "a valid time on our own timer: {armed:?}");
    }

    /// The sockets that have packets now; none: all is read, and the timer has been heard.
    pub fn ready(&self) -> Vec<Ear> {
        let mut events = [EpollEvent::empty(); READY_MAX];
        // An error (EINTR) is as good as nothing: the next round asks again.
        let count = self.poll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        let tokens = events.iter().take(count).map(EpollEvent::data);
        let mut ears = vec![];
        for token in tokens {
            if token == TIMER {
                // A timer set anew in the meantime has not expired (EAGAIN), which is fine.
                let _ = self.timer.wait();
            }
            ears.extend(self.ears.get(&token).cloned());
        }
        ears
    }
}
