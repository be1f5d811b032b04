//! Servers that misbehave, each in one known way: what every kind of check is held against, and keepalived's too.
//!
//! A behaviour is data; nothing here knows what a check should make of it. Certificates come from the caller.

mod datagram;
mod http;
mod http2;
mod serve;
mod smtp;
mod tls;

use std::sync::Arc;

use tokio_rustls::rustls::ServerConfig;

pub use serve::Running;

/// One way to behave.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// What it does, in a few words; no two have the same.
    pub name: &'static str,
    pub serve: Serve,
}

/// How a port behaves.
#[derive(Clone, Debug)]
pub enum Serve {
    /// Each client is served these, one after the other, and then the connection is closed.
    Stream {
        tls: Option<Identity>,
        acts: Vec<Act>,
    },
    /// HTTP/2 and nothing else: within TLS by ALPN, without it at once.
    Http2 {
        tls: Option<Identity>,
        answer: Http2Answer,
    },
    Datagram(Reply),
    /// Nobody has the port open: TCP is refused, UDP is answered by ICMP.
    Closed,
    /// It listens and its queue is full: a client's SYN is dropped.
    HalfOpen,
}

/// One thing that a server does to a client.
#[derive(Clone, Debug)]
pub enum Act {
    /// Read up to an empty line; what does not begin like HTTP is taken for a whole request.
    Request,
    /// Read up to the end of a line.
    Line,
    /// Read once.
    Some,
    Say(Vec<u8>),
    /// The same in segments of one byte.
    Bytewise(Vec<u8>),
    /// A byte now and then, until the client goes.
    Drip,
    /// Say no more, and wait for the client to go.
    Hold,
    /// End by a reset.
    Reset,
    /// End without the close of TLS.
    Drop,
}

/// What a server of datagrams answers to one.
#[derive(Clone, Copy, Debug)]
pub enum Reply {
    /// These, from the port that was asked.
    With(fn(&[u8]) -> Vec<Vec<u8>>),
    /// The same bytes, from another port.
    FromElsewhere,
}

/// What an HTTP/2 server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http2Answer {
    /// This status, with `ok\n`.
    Status(u16),
    /// `grpc.health.v1.Health/Check` with this serving status.
    Health(u8),
    /// This `grpc-status`, without a message.
    Grpc(u8),
    /// The stream is reset after the header.
    Reset,
    /// Nothing.
    Silence,
}

/// How a server shows itself in TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// Signed by the CA of the caller.
    Signed,
    SelfSigned,
    Expired,
    NotYetValid,
    /// Signed by the CA, TLS 1.2 alone.
    Tls12,
    /// It knows `www.example.org` and nobody else.
    NeedsName,
    /// It wants a certificate of the client.
    WantsClient,
    /// ALPN `h2` alone.
    Http2Only,
}

impl Identity {
    pub const ALL: [Self; 8] = [
        Self::Signed,
        Self::SelfSigned,
        Self::Expired,
        Self::NotYetValid,
        Self::Tls12,
        Self::NeedsName,
        Self::WantsClient,
        Self::Http2Only,
    ];
}

/// The TLS of each identity.
pub type Identities = Arc<dyn Fn(Identity) -> Arc<ServerConfig> + Send + Sync>;

/// Every behaviour of streams.
pub fn streams() -> Vec<Behaviour> {
    let talking = [smtp::behaviours(), smtp::agents(), http2::behaviours()].concat();
    [closed(), http::answers(), http::faults(), tls::behaviours(), talking].concat()
}

/// Every behaviour of datagrams.
pub fn datagrams() -> Vec<Behaviour> {
    let closed = Behaviour { name: "closed UDP port (ICMP port unreachable)", serve: Serve::Closed };
    [vec![closed], datagram::behaviours()].concat()
}

fn closed() -> Vec<Behaviour> {
    vec![
        Behaviour { name: "closed port", serve: Serve::Closed },
        Behaviour { name: "half-open: SYN is dropped", serve: Serve::HalfOpen },
        stream("accepts and says nothing", vec![Act::Hold]),
        stream("closes at once", vec![]),
        stream("resets at once", vec![Act::Reset]),
        stream("closes after the request", vec![Act::Some]),
        stream("resets after the request", vec![Act::Some, Act::Reset]),
    ]
}

fn stream(name: &'static str, acts: Vec<Act>) -> Behaviour {
    Behaviour { name, serve: Serve::Stream { tls: None, acts } }
}

/// Read a request and say this.
fn answer(name: &'static str, text: &str, end: Option<Act>) -> Behaviour {
    let acts = [Act::Request, Act::Say(text.as_bytes().to_vec())].into_iter().chain(end).collect();
    stream(name, acts)
}
