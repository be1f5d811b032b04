//! What the directors say on the wire, as it comes into the switch: VRRP adverts, claims of addresses by ARP, and
//! answers to [`super::questions`].
//!
//! The times are the kernel's: a listener that the machine keeps waiting writes down the right moment all the same.
#![expect(clippy::disallowed_methods, reason = "the lab reads the clock")]

use std::collections::BTreeMap;
use std::io::{self, IoSliceMut};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::error::LabError;
use super::journal::{Journal, PROBES_MAX};
use super::pair::{Lab, Seat};
use super::questions::IDENTIFIER;
use super::records::{Advert, Claim, Reply};
use super::switch::port_name;
use super::wait::Stop;
use crate::base::MonoTime;

/// An Ethernet and an IP header with options, and the beginning of an advert; a whole ARP packet.
const FRAME_MAX: usize = 96;
/// Queued frames of a busy machine.
const RECEIVE_BUFFER: usize = 4 << 20;
/// How often the listener looks whether it is to end.
const WAIT: Duration = Duration::from_millis(50);

/// `ETH_P_ALL` (`linux/if_ether.h`), in the order of the wire.
const EVERY_PROTOCOL: i32 = 0x0300;
const ARP: u32 = 0x0806;
const IPV4: u32 = 0x0800;
const VRRP: u8 = 112;
const ICMP: u8 = 1;
const ECHO_REPLY: u8 = 0;

/// Listens until dropped.
#[derive(Debug)]
pub struct Ear {
    stop: Stop,
    thread: Option<JoinHandle<Result<(), LabError>>>,
}

impl Ear {
    pub fn start(lab: &Lab, journal: &Arc<Journal>) -> Result<Self, LabError> {
        let socket = lab.switch().namespace().inside(open)?;
        let socket = socket.map_err(|source| LabError::Socket {
            host: "switch".to_owned(),
            what: "packet socket".to_owned(),
            source,
        })?;
        let stop = Stop::default();
        let ports = Seat::BOTH.map(|seat| (port_name(seat.name()), seat));
        let (ending, book) = (stop.clone(), Arc::clone(journal));
        let thread = lab.switch().namespace().thread("ear", move || listen(&socket, &ports, &book, &ending))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.stop.set();
        self.thread.take().map(JoinHandle::join);
    }
}

/// A socket that takes ARP, and of IPv4 VRRP and ICMP with our identifier, as it comes in, on every port.
fn open() -> io::Result<Socket> {
    // What goes out of a port came in at another one.
    const OUTGOING: u32 = 4;
    // `SKF_AD_OFF + SKF_AD_PKTTYPE` (`linux/filter.h`).
    const PACKET_TYPE: u32 = 0xffff_f004;
    // Operations of the classic BPF machine (`linux/bpf_common.h`).
    let [load_32, load_16, load_8, if_equal, give]: [u16; 5] = [0x20, 0x28, 0x30, 0x15, 0x06];
    let filter = [
        SockFilter::new(load_32, 0, 0, PACKET_TYPE),
        SockFilter::new(if_equal, 9, 0, OUTGOING),
        SockFilter::new(load_16, 0, 0, 12),
        SockFilter::new(if_equal, 6, 0, ARP),
        SockFilter::new(if_equal, 0, 6, IPV4),
        SockFilter::new(load_8, 0, 0, 23),
        SockFilter::new(if_equal, 3, 0, u32::from(VRRP)),
        SockFilter::new(if_equal, 0, 3, u32::from(ICMP)),
        // Behind a header without options.
        SockFilter::new(load_16, 0, 0, 38),
        SockFilter::new(if_equal, 0, 1, u32::from(IDENTIFIER)),
        SockFilter::new(give, 0, 0, u32::MAX),
        SockFilter::new(give, 0, 0, 0),
    ];
    let socket = Socket::new(Domain::PACKET, Type::RAW.cloexec(), Some(Protocol::from(EVERY_PROTOCOL)))?;
    socket.attach_filter(&filter)?;
    setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER)?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    socket.set_read_timeout(Some(WAIT))?;
    Ok(socket)
}

fn listen(socket: &Socket, ports: &[(String, Seat)], journal: &Journal, stop: &Stop) {
    // Where the journal's clock began, on the clock of the timestamps.
    let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let epoch = epoch.saturating_sub(journal.now().since_start());
    let mut seats = BTreeMap::new();
    while !stop.is_set() {
        let Ok(Some((port, stamp, frame))) = receive(socket) else { continue };
        // A cable that was plugged again has another number.
        if !seats.contains_key(&port) {
            seats =
                ports.iter().filter_map(|(name, seat)| Some((if_nametoindex(name.as_str()).ok()?, *seat))).collect();
        }
        let (Some(seat), Some(said)) = (seats.get(&port).copied(), parse(&frame)) else { continue };
        let at = MonoTime::from_start(stamp.saturating_sub(epoch));
        let mut pages = journal.pages();
        match said {
            Said::Advert { vrid, priority } if pages.adverts.len() < PROBES_MAX => {
                pages.adverts.push(Advert { at, seat, vrid, priority });
            }
            Said::Claim { addr } if pages.claims.len() < PROBES_MAX => pages.claims.push(Claim { at, seat, addr }),
            Said::Reply if pages.replies.len() < PROBES_MAX => pages.replies.push(Reply { at, seat }),
            Said::Advert { .. } | Said::Claim { .. } | Said::Reply => {}
        }
    }
}

/// The index of the port, the time since 1970, the frame; `None` where nothing came.
fn receive(socket: &Socket) -> io::Result<Option<(u32, Duration, Vec<u8>)>> {
    let mut buffer = [0; FRAME_MAX];
    let mut room = [IoSliceMut::new(&mut buffer)];
    let mut control = nix::cmsg_space!(TimeSpec);
    let received = recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut room, Some(&mut control), MsgFlags::empty());
    let (port, stamp, length) = match received {
        Ok(received) => {
            let port = received.address.and_then(|from| u32::try_from(from.ifindex()).ok());
            let stamp = received.cmsgs()?.find_map(|message| {
                if let ControlMessageOwned::ScmTimestampns(stamp) = message {
                    Some(Duration::from(stamp))
                } else {
                    None
                }
            });
            (port, stamp, received.bytes.min(FRAME_MAX))
        }
        Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let frame = buffer.get(..length).unwrap_or_default().to_vec();
    Ok(port.zip(stamp).map(|(port, stamp)| (port, stamp, frame)))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Advert {
        vrid: u8,
        priority: u8,
    },
    Claim {
        addr: Ipv4Addr,
    },
    /// An answer to an ICMP echo.
    Reply,
}

/// An advert, or an ARP packet whose sender and target are the same address.
fn parse(frame: &[u8]) -> Option<Said> {
    let kind = u16::from_be_bytes(*frame.get(12..)?.first_chunk()?);
    if u32::from(kind) == ARP {
        let address = |at: usize| Some(Ipv4Addr::from(*frame.get(at..)?.first_chunk::<4>()?));
        let (sender, target) = (address(28)?, address(38)?);
        return (sender == target).then_some(Said::Claim { addr: sender });
    }
    let header = usize::from(frame.get(14)? & 0x0f) * 4;
    let message = frame.get(14 + header..)?;
    match *frame.get(23)? {
        _ if u32::from(kind) != IPV4 => None,
        VRRP => Some(Said::Advert { vrid: *message.get(1)?, priority: *message.get(2)? }),
        ICMP => (*message.first()? == ECHO_REPLY).then_some(Said::Reply),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adverts_and_claims_are_told_from_the_rest() {
        let mut advert = vec![0; 14];
        advert[12] = 8;
        advert.extend([0x45, 0, 0, 32, 0, 0, 0, 0, 255, 112, 0, 0, 10, 0, 0, 1, 224, 0, 0, 18]);
        advert.extend([0x31, 77, 150, 1, 0, 10, 0, 0, 10, 0, 0, 100]);
        let mut claim = vec![0; 42];
        claim[12..14].copy_from_slice(&[8, 6]);
        claim[28..32].copy_from_slice(&[10, 0, 0, 100]);
        claim[38..42].copy_from_slice(&[10, 0, 0, 100]);
        let mut question = claim.clone();
        question[41] = 1;
        let mut tcp = advert.clone();
        tcp[23] = 6;
        let mut reply = advert.clone();
        (reply[23], reply[34]) = (1, 0);
        let mut echo = reply.clone();
        echo[34] = 8;
        let rows = [
            ("a reply", reply, Some(Said::Reply)),
            ("an echo request", echo, None),
            ("an advert", advert.clone(), Some(Said::Advert { vrid: 77, priority: 150 })),
            ("a claim", claim, Some(Said::Claim { addr: Ipv4Addr::new(10, 0, 0, 100) })),
            ("a question", question, None),
            ("TCP", tcp, None),
            ("cut off", advert[..35].to_vec(), None),
            ("nothing", vec![], None),
        ];
        for (name, frame, said) in rows {
            assert_eq!(parse(&frame), said, "{name}");
        }
    }
}
