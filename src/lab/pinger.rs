//! Asks many addresses at once by ICMP echo, whose answers come from their owner's kernel, and notes who answered when.

use std::collections::BTreeMap;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBufForce;
use socket2::{Domain, Protocol, Socket, Type};

use super::error::LabError;
use super::host::Host;
use super::wait::{Clock, Stop};
use crate::base::MonoTime;

/// From the last question of a round until the first of the next one, at least.
const ROUND: Duration = Duration::from_millis(20);
/// For the answers that come while a round is asked; as an administrator, since the usual limit holds some 300.
const ANSWERS_BYTES: usize = 4 << 20;
/// An IP header with options and our echo.
const ANSWER_MAX: usize = 128;
const REQUEST: u8 = 8;
const REPLY: u8 = 0;

/// When each address answered a question that was asked after the last [`Pinger::forget`].
type Answers = Arc<Mutex<Noted>>;

#[derive(Debug, Default)]
struct Noted {
    /// Questions of earlier rounds do not count.
    since_round: u16,
    round: u16,
    first: BTreeMap<Ipv4Addr, MonoTime>,
}

/// Asks until dropped.
#[derive(Debug)]
pub struct Pinger {
    stop: Stop,
    answers: Answers,
    thread: Option<JoinHandle<Result<(), LabError>>>,
}

impl Pinger {
    pub fn start(host: &Host, addresses: Vec<Ipv4Addr>, clock: Clock) -> Result<Self, LabError> {
        let open = || -> io::Result<Socket> {
            let socket = Socket::new(Domain::IPV4, Type::RAW.cloexec(), Some(Protocol::ICMPV4))?;
            setsockopt(&socket, RcvBufForce, &ANSWERS_BYTES)?;
            socket.set_read_timeout(Some(Duration::from_millis(1)))?;
            Ok(socket)
        };
        let socket = host.inside(open)?.map_err(|source| LabError::Socket {
            host: host.role().to_owned(),
            what: "ICMP socket".to_owned(),
            source,
        })?;
        let (stop, answers) = (Stop::default(), Answers::default());
        let (ending, book) = (stop.clone(), Arc::clone(&answers));
        let thread = host.thread("pinger", move || ask(&socket, &addresses, &clock, &book, &ending))?;
        Ok(Self { stop, answers, thread: Some(thread) })
    }

    /// Answers to questions asked from now on count.
    pub fn forget(&self) {
        let mut noted = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        noted.since_round = noted.round.wrapping_add(1);
        noted.first.clear();
    }

    /// When each address answered first.
    pub fn answers(&self) -> BTreeMap<Ipv4Addr, MonoTime> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).first.clone()
    }
}

impl Drop for Pinger {
    fn drop(&mut self) {
        self.stop.set();
        self.thread.take().map(JoinHandle::join);
    }
}

fn ask(socket: &Socket, addresses: &[Ipv4Addr], clock: &Clock, answers: &Answers, stop: &Stop) {
    while !stop.is_set() {
        let round = {
            let mut noted = answers.lock().unwrap_or_else(PoisonError::into_inner);
            noted.round = noted.round.wrapping_add(1);
            noted.round
        };
        for addr in addresses {
            // An address that nobody has is what is looked for.
            socket.send_to(&echo(round), &SocketAddr::new(IpAddr::V4(*addr), 0).into()).ok();
        }
        // However long that took: what is not read fills the socket, and answers that came in time would be lost.
        let next = clock.now() + ROUND;
        while note_one(socket, clock, answers) || clock.now() < next {}
    }
}

/// Note the next answer; false: none came within the socket's timeout.
fn note_one(socket: &Socket, clock: &Clock, answers: &Answers) -> bool {
    let mut buffer = [MaybeUninit::uninit(); ANSWER_MAX];
    let Ok((length, from)) = socket.recv_from(&mut buffer) else { return false };
    let at = clock.now();
    let mut noted = answers.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(from) = from.as_socket_ipv4()
        && let Some(round) = reply(&received(&buffer, length))
        && round.wrapping_sub(noted.since_round) < u16::MAX / 2
    {
        noted.first.entry(*from.ip()).or_insert(at);
    }
    true
}

#[expect(unsafe_code, reason = "socket2 receives into memory that need not be initialised")]
fn received(buffer: &[MaybeUninit<u8>], length: usize) -> Vec<u8> {
    // SAFETY: the kernel wrote the first `length` bytes.
    buffer.iter().take(length).map(|byte| unsafe { byte.assume_init() }).collect()
}

/// An echo request (RFC 792) whose sequence number is the round.
fn echo(round: u16) -> [u8; 8] {
    let [high, low] = round.to_be_bytes();
    let sum = !(u16::from(REQUEST) << 8)
        .checked_add(round)
        .unwrap_or_else(|| (u16::from(REQUEST) << 8).wrapping_add(round).wrapping_add(1));
    let [sum_high, sum_low] = sum.to_be_bytes();
    [REQUEST, 0, sum_high, sum_low, 0, 0, high, low]
}

/// The round of an echo reply, behind its IP header.
fn reply(packet: &[u8]) -> Option<u16> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let message = packet.get(header..)?;
    (*message.first()? == REPLY).then_some(u16::from_be_bytes(*message.get(6..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_what_the_kernel_answers() {
        for round in [0, 1, 0xf7ff, 0xf800, 0xffff] {
            let bytes = echo(round);
            let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
            let sum: u32 = words.sum();
            assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "{round:#x}");
            let mut packet = vec![0x45; 20];
            packet.extend(bytes);
            assert_eq!(reply(&packet), None, "a request is no reply");
            packet[20] = REPLY;
            assert_eq!(reply(&packet), Some(round));
        }
        assert_eq!(reply(&[0x45]), None);
    }
}
