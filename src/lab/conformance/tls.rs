//! How servers show themselves in TLS, and how they fail to.

use super::{Act, Behaviour, Identity, Serve, stream};

pub(super) fn behaviours() -> Vec<Behaviour> {
    let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
    let open = b"HTTP/1.0 200 OK\r\n\r\nok\n";
    let say = |text: &[u8]| Act::Say(text.to_vec());
    let within = |name, tls, acts| Behaviour { name, serve: Serve::Stream { tls: Some(tls), acts } };
    let good = || vec![Act::Request, say(ok)];
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\no";
    let alert = b"\x15\x03\x03\0\x02\x02\x28";
    vec![
        within("TLS, signed by the CA", Identity::Signed, good()),
        within("TLS, self-signed", Identity::SelfSigned, good()),
        within("TLS, expired", Identity::Expired, good()),
        within("TLS, not valid yet", Identity::NotYetValid, good()),
        within("TLS 1.2", Identity::Tls12, good()),
        within("TLS that needs a name", Identity::NeedsName, good()),
        within("TLS that wants our certificate", Identity::WantsClient, good()),
        within("TLS, no close_notify", Identity::Signed, vec![Act::Request, say(open), Act::Drop]),
        within("TLS, cut in the body", Identity::Signed, vec![Act::Request, say(cut), Act::Drop]),
        within("TLS, 503", Identity::Signed, vec![Act::Request, say(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")]),
        within("TLS, then silence", Identity::Signed, vec![Act::Hold]),
        within("TLS, then noise", Identity::Signed, vec![Act::Request, say(b"\0\xff\0\xff\r\n\r\n"), Act::Hold]),
        stream("TLS alert", vec![Act::Some, say(alert), Act::Hold]),
        stream("half a TLS record", vec![Act::Some, say(b"\x16\x03"), Act::Hold]),
        stream("closes in the TLS handshake", vec![Act::Some, say(b"\x16\x03\x03\0\x7a\x02")]),
        stream("resets in the TLS handshake", vec![Act::Some, say(b"\x16\x03\x03\0\x7a\x02"), Act::Reset]),
    ]
}
