//! A generic netlink socket that speaks to one family: batches of requests, and dumps.
//!
//! The kernel carries out the requests of one `send` in order, so a batch costs one system call to send
//! and few to hear the results. Nothing is spawned. A call once begun is to be awaited to its end.

use std::fmt;
use std::io;

use netlink_packet_core::{
    DecodeError, Emitable, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    ParseableParametrized,
};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

use crate::lvs::io::attribute::{Reader, Writer};

/// `GENL_ID_CTRL`: the family that knows the others.
const CONTROL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
/// Requests in one `send`: their acknowledgements (36 bytes and the kernel's overhead) fit any receive buffer.
pub(super) const BATCH_MAX: usize = 64;

/// A command and its attributes, as they stand in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) command: u8,
    pub(super) body: Vec<u8>,
}

impl GenlFamily for Packet {
    fn family_name() -> &'static str {
        "IPVS"
    }

    fn command(&self) -> u8 {
        self.command
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for Packet {
    fn buffer_len(&self) -> usize {
        self.body.len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        for (to, from) in buffer.iter_mut().zip(&self.body) {
            *to = *from;
        }
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Packet {
    fn parse_with_param(buf: &[u8], header: GenlHeader) -> Result<Self, DecodeError> {
        Ok(Self { command: header.cmd, body: buf.to_vec() })
    }
}

/// What came back for one request: the error of the kernel, or its replies.
pub(super) type Outcome = Result<Vec<Packet>, io::Error>;

pub(super) struct Socket {
    inner: TokioSocket,
    family: u16,
    sequence: u32,
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
        let mut socket = Self { inner, family: CONTROL, sequence: 0 };
        let mut name = Writer::default();
        name.name(CTRL_ATTR_FAMILY_NAME, Packet::family_name());
        let request = Packet { command: CTRL_CMD_GETFAMILY, body: name.finish() };
        let replies = socket.execute(std::slice::from_ref(&request)).await?.into_iter().next().unwrap_or(Ok(vec![]))?;
        let id = replies.first().and_then(|reply| {
            let attribute = Reader::new(&reply.body).find(CTRL_ATTR_FAMILY_ID).ok().flatten()?;
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
            self.append(&mut bytes, request.clone(), NLM_F_REQUEST | NLM_F_ACK);
        }
        self.send(&bytes).await?;
        let mut outcomes: Vec<(bool, Outcome)> = requests.iter().map(|_| (false, Ok(vec![]))).collect();
        let mut open = outcomes.len();
        while open > 0 {
            for (sequence, payload) in self.receive().await? {
                let place = usize::try_from(sequence.wrapping_sub(first)).unwrap_or(usize::MAX);
                let Some((closed, outcome)) = outcomes.get_mut(place) else { continue };
                match (payload, &mut *outcome) {
                    (Answer::Packet(packet), Ok(replies)) => replies.push(packet),
                    (Answer::Packet(_), Err(_)) => {}
                    (Answer::End(result), _) => {
                        if let Err(error) = result {
                            *outcome = Err(error);
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

    /// All replies to one dump request.
    ///
    /// # Errors
    /// The kernel's, or the socket's.
    pub(super) async fn dump(&mut self, request: Packet) -> io::Result<Vec<Packet>> {
        let mut bytes = vec![];
        let mine = self.append(&mut bytes, request, NLM_F_REQUEST | NLM_F_DUMP);
        self.send(&bytes).await?;
        let mut replies = vec![];
        loop {
            for (sequence, answer) in self.receive().await? {
                match answer {
                    Answer::Packet(packet) if sequence == mine => replies.push(packet),
                    Answer::End(result) if sequence == mine => return result.map(|()| replies),
                    Answer::Packet(_) | Answer::End(_) => {}
                }
            }
        }
    }

    /// Put a message behind the others, and say its sequence number.
    fn append(&mut self, bytes: &mut Vec<u8>, packet: Packet, flags: u16) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        let mut payload = GenlMessage::from_payload(packet);
        payload.set_resolved_family_id(self.family);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(payload));
        message.finalize();
        let mut buffer = vec![0; message.buffer_len()];
        message.serialize(&mut buffer);
        bytes.append(&mut buffer);
        self.sequence
    }

    async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.inner.send(bytes).await.map(|_| ())
    }

    /// What one datagram carries.
    async fn receive(&self) -> io::Result<Vec<(u32, Answer)>> {
        let (datagram, _) = self.inner.recv_from_full().await?;
        split(&datagram)
    }
}

/// One message of the kernel.
#[derive(Debug)]
enum Answer {
    Packet(Packet),
    /// The last one: an acknowledgement, an error, the end of a dump.
    End(io::Result<()>),
}

/// The messages of a datagram with their sequence numbers.
fn split(mut datagram: &[u8]) -> io::Result<Vec<(u32, Answer)>> {
    let broken = |detail: String| io::Error::new(io::ErrorKind::InvalidData, detail);
    let mut answers = vec![];
    while let Some(head) = datagram.first_chunk::<4>() {
        let length = usize::try_from(u32::from_ne_bytes(*head)).unwrap_or(usize::MAX);
        let Some(bytes) = datagram.get(..length).filter(|bytes| bytes.len() >= NLMSG_HEAD_LEN) else {
            return Err(broken(format!("a netlink message of {length} bytes in {}", datagram.len())));
        };
        let message = NetlinkMessage::<GenlMessage<Packet>>::deserialize(bytes).map_err(|e| broken(e.to_string()))?;
        let sequence = message.header.sequence_number;
        match message.payload {
            NetlinkPayload::InnerMessage(inner) => answers.push((sequence, Answer::Packet(inner.into_parts().1))),
            NetlinkPayload::Error(error) => {
                let result = if error.code.is_none() { Ok(()) } else { Err(error.to_io()) };
                answers.push((sequence, Answer::End(result)));
            }
            NetlinkPayload::Done(done) => {
                let code = done.code.unsigned_abs();
                let code = i32::try_from(code).unwrap_or(i32::MAX);
                let result = if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) };
                answers.push((sequence, Answer::End(result)));
            }
            // And what later versions of the crate may know: no answer to a request.
            NetlinkPayload::Noop | NetlinkPayload::Overrun(_) | _ => {}
        }
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(answers)
}

/// `struct nlmsghdr`.
const NLMSG_HEAD_LEN: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn garbage_from_the_socket_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = split(&bytes);
        }

        #[test]
        fn a_well_formed_head_with_garbage_never_panics(
            kind in 0u16..40, body in prop::collection::vec(any::<u8>(), 0..64)
        ) {
            let length = u32::try_from(NLMSG_HEAD_LEN + body.len()).unwrap();
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.extend(kind.to_ne_bytes());
            bytes.extend([0; 10]);
            bytes.extend(body);
            if let Ok(answers) = split(&bytes) {
                prop_assert!(answers.len() <= 1);
            }
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
