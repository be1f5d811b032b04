//! A generic netlink socket that speaks to one family: batches of requests, and dumps.
//!
//! The kernel carries out the requests of one `send` in order, so a batch costs one system call to send
//! and few to hear the results. Nothing is spawned. A call once begun is to be awaited to its end.

use std::fmt;
use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

use crate::lvs::io::attribute::{Reader, Writer};

/// The family that this speaks to.
const FAMILY: &str = "IPVS";
/// Its version (`IPVS_GENL_VERSION`).
const VERSION: u8 = 1;
/// `GENL_ID_CTRL`: the family that knows the others.
const CONTROL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
/// `struct nlmsghdr`.
const HEAD_LEN: usize = 16;
/// `struct genlmsghdr`: command, version, two bytes reserved.
const GENERIC_HEAD_LEN: usize = 4;
// Types of messages that are not a family's (`linux/netlink.h`).
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_MIN_TYPE: u16 = 16;
/// The kernel fills a datagram as far as there is room for it, and never further than this (`netlink_recvmsg`).
const DATAGRAM_MAX: usize = 32 * 1024;
/// Requests in one `send`: their acknowledgements (36 bytes and the kernel's overhead) fit any receive buffer.
pub(super) const BATCH_MAX: usize = 64;

/// A command and its attributes, as they stand in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) command: u8,
    pub(super) body: Vec<u8>,
}

/// What came back for one request: the error of the kernel, or the attributes of its replies.
pub(super) type Outcome = Result<Vec<Vec<u8>>, io::Error>;

pub(super) struct Socket {
    inner: TokioSocket,
    family: u16,
    sequence: u32,
    /// The datagram that was received last.
    datagram: Vec<u8>,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("family", &self.family).finish_non_exhaustive()
    }
}

impl Socket {
    /// A socket in the network namespace of the calling thread.
    ///
    /// # Errors
    /// `ENOENT` where the kernel does not know the family.
    pub(super) async fn open() -> io::Result<Self> {
        let mut inner = TokioSocket::new(NETLINK_GENERIC)?;
        inner.socket_mut().bind_auto()?;
        inner.socket_ref().connect(&SocketAddr::new(0, 0))?;
        // Acknowledgements without a copy of the request.
        inner.socket_ref().set_cap_ack(true)?;
        let mut socket = Self { inner, family: CONTROL, sequence: 0, datagram: Vec::with_capacity(DATAGRAM_MAX) };
        let mut name = Writer::default();
        name.name(CTRL_ATTR_FAMILY_NAME, FAMILY);
        let request = Packet { command: CTRL_CMD_GETFAMILY, body: name.finish() };
        let replies = socket.execute(std::slice::from_ref(&request)).await?.into_iter().next().unwrap_or(Ok(vec![]))?;
        let id = replies.first().and_then(|reply| {
            let attribute = Reader::new(reply).find(CTRL_ATTR_FAMILY_ID).ok().flatten()?;
            attribute.u16("family id").ok()
        });
        socket.family = id.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?;
        Ok(socket)
    }

    /// Send up to [`BATCH_MAX`] requests at once, and say what came of each, in the same order.
    ///
    /// # Errors
    /// The socket itself failed: what came of the requests is not known.
    pub(super) async fn execute(&mut self, requests: &[Packet]) -> io::Result<Vec<Outcome>> {
        debug_assert!(requests.len() <= BATCH_MAX, "{} requests in a batch", requests.len());
        let first = self.sequence.wrapping_add(1);
        let mut bytes = vec![];
        for request in requests {
            self.append(&mut bytes, request, NLM_F_REQUEST | NLM_F_ACK);
        }
        self.send(&bytes).await?;
        let mut outcomes: Vec<(bool, Outcome)> = requests.iter().map(|_| (false, Ok(vec![]))).collect();
        let mut open = outcomes.len();
        while open > 0 {
            for answer in split(self.receive().await?) {
                let (sequence, payload) = answer?;
                let place = usize::try_from(sequence.wrapping_sub(first)).unwrap_or(usize::MAX);
                let Some((closed, outcome)) = outcomes.get_mut(place) else { continue };
                match (payload, &mut *outcome) {
                    (Answer::Reply(body), Ok(replies)) => replies.push(body.to_vec()),
                    (Answer::Reply(_), Err(_)) => {}
                    (Answer::End(result), _) => {
                        if let Err(errno) = result {
                            *outcome = Err(io::Error::from_raw_os_error(errno));
                        }
                        if !std::mem::replace(closed, true) {
                            open = open.saturating_sub(1);
                        }
                    }
                }
            }
        }
        Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
    }

    /// Read the attributes of each reply to one dump request, in order. What cannot be read keeps the others from being
    /// read, and is the result.
    ///
    /// # Errors
    /// The kernel's, or the socket's.
    pub(super) async fn dump<T, E>(
        &mut self,
        request: &Packet,
        mut read: impl FnMut(&[u8]) -> Result<T, E>,
    ) -> io::Result<Result<Vec<T>, E>> {
        let mut bytes = vec![];
        let mine = self.append(&mut bytes, request, NLM_F_REQUEST | NLM_F_DUMP);
        self.send(&bytes).await?;
        let mut all = Ok(vec![]);
        loop {
            for answer in split(self.receive().await?) {
                let (sequence, answer) = answer?;
                match (answer, &mut all) {
                    (Answer::Reply(body), Ok(found)) if sequence == mine => match read(body) {
                        Ok(one) => found.push(one),
                        Err(error) => all = Err(error),
                    },
                    (Answer::End(Ok(())), _) if sequence == mine => return Ok(all),
                    (Answer::End(Err(errno)), _) if sequence == mine => {
                        return Err(io::Error::from_raw_os_error(errno));
                    }
                    (Answer::Reply(_) | Answer::End(_), _) => {}
                }
            }
        }
    }

    /// Put a message behind the others, and say its sequence number.
    fn append(&mut self, bytes: &mut Vec<u8>, packet: &Packet, flags: u16) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        let length = HEAD_LEN + GENERIC_HEAD_LEN + packet.body.len();
        // A request is shorter than a page.
        bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
        bytes.extend(self.family.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(self.sequence.to_ne_bytes());
        // From whom: the kernel knows.
        bytes.extend([0; 4]);
        bytes.extend([packet.command, VERSION, 0, 0]);
        bytes.extend(&packet.body);
        // Attributes are padded, so the next message stands where it should.
        debug_assert!(packet.body.len().is_multiple_of(4), "{} bytes of attributes", packet.body.len());
        self.sequence
    }

    async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.inner.send(bytes).await.map(|_| ())
    }

    /// The next datagram.
    async fn receive(&mut self) -> io::Result<&[u8]> {
        self.datagram.clear();
        self.inner.recv(&mut self.datagram).await?;
        if self.datagram.len() >= DATAGRAM_MAX {
            return Err(broken(format!("a netlink datagram of {DATAGRAM_MAX} bytes or more")));
        }
        Ok(&self.datagram)
    }
}

/// One message of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer<'a> {
    /// The attributes of a reply.
    Reply(&'a [u8]),
    /// The last one: an acknowledgement, an error, the end of a dump.
    End(Result<(), i32>),
}

fn broken(detail: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, detail)
}

/// The messages of a datagram with their sequence numbers; after one that is broken there is none.
fn split(mut datagram: &[u8]) -> impl Iterator<Item = io::Result<(u32, Answer<'_>)>> {
    std::iter::from_fn(move || {
        while !datagram.is_empty() {
            let Some((message, rest)) = first(datagram) else {
                let length = datagram.len();
                datagram = &[];
                return Some(Err(broken(format!("a netlink message that is cut or too short, in {length} bytes"))));
            };
            datagram = rest;
            if let Some(answer) = message {
                return Some(Ok(answer));
            }
        }
        None
    })
}

/// A message, where it answers a request, with its sequence number; and what follows it.
type First<'a> = (Option<(u32, Answer<'a>)>, &'a [u8]);

/// `None` where it is broken.
fn first(datagram: &[u8]) -> Option<First<'_>> {
    let length = usize::try_from(u32::from_ne_bytes(*datagram.first_chunk()?)).ok()?;
    let (message, _) = datagram.split_at_checked(length)?;
    let (head, body) = message.split_first_chunk::<HEAD_LEN>()?;
    let [_, _, _, _, kind, kind_too, _, _, a, b, c, d, ..] = *head;
    let answer = match u16::from_ne_bytes([kind, kind_too]) {
        NLMSG_ERROR | NLMSG_DONE => {
            let code = i32::from_ne_bytes(*body.first_chunk()?);
            Some(Answer::End(if code == 0 { Ok(()) } else { Err(code.saturating_neg()) }))
        }
        ..NLMSG_MIN_TYPE => None,
        _ => Some(Answer::Reply(body.get(GENERIC_HEAD_LEN..)?)),
    };
    let rest = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((answer.map(|answer| (u32::from_ne_bytes([a, b, c, d]), answer)), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A message as the kernel writes it.
    fn message(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEAD_LEN + body.len()).unwrap();
        let (length, kind, sequence) = (length.to_ne_bytes(), kind.to_ne_bytes(), sequence.to_ne_bytes());
        let mut bytes = [&length[..], &kind, &[2, 0], &sequence, &[0; 4], body].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn the_messages_of_a_datagram_are_told_apart() {
        let refused = [(-libc::ENOENT).to_ne_bytes().as_slice(), &[0; 16]].concat();
        let rows = [
            ("a reply", message(33, 7, &[8, 1, 0, 0, 5, 0, 1, 0, 9]), Some((7, Answer::Reply(&[5, 0, 1, 0, 9][..])))),
            ("an acknowledgement", message(2, 8, &[0; 20]), Some((8, Answer::End(Ok(()))))),
            ("an error", message(2, 9, &refused), Some((9, Answer::End(Err(libc::ENOENT))))),
            ("the end of a dump", message(3, 10, &[0; 4]), Some((10, Answer::End(Ok(()))))),
            (
                "a dump that was refused",
                message(3, 11, &(-libc::EPERM).to_ne_bytes()),
                Some((11, Answer::End(Err(libc::EPERM)))),
            ),
            ("nothing", message(1, 12, &[]), None),
        ];
        let together: Vec<u8> = rows.iter().flat_map(|(_, bytes, _)| bytes.clone()).collect();
        let wanted: Vec<_> = rows.iter().filter_map(|(_, _, answer)| *answer).collect();
        for (name, bytes, answer) in &rows {
            assert_eq!(split(bytes).map(Result::unwrap).collect::<Vec<_>>(), Vec::from_iter(*answer), "{name}");
        }
        assert_eq!(split(&together).map(Result::unwrap).collect::<Vec<_>>(), wanted);
        let cut = together.get(..together.len() - 5).unwrap();
        assert!(split(cut).last().unwrap().is_err(), "a datagram that is cut");
    }

    proptest! {
        #[test]
        fn garbage_from_the_socket_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            split(&bytes).for_each(drop);
        }

        #[test]
        fn a_well_formed_head_with_garbage_never_panics(
            kind in 0u16..40, body in prop::collection::vec(any::<u8>(), 0..64)
        ) {
            prop_assert!(split(&message(kind, 1, &body)).count() <= 1);
        }
    }

    #[tokio::test]
    async fn the_control_family_answers_about_itself() {
        match Socket::open().await {
            Ok(socket) => assert!(socket.family > CONTROL),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{error}"),
        }
    }
}
