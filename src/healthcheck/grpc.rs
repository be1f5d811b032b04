//! The messages of gRPC's health protocol (`grpc.health.v1`), as bytes. No socket: `io/grpc.rs` has it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::outcome::Outcome;

/// Bytes of an answer; one of the protocol has 7.
pub const ANSWER_MAX_BYTES: usize = 4096;
/// Bytes of a service's name: its length is one byte of the message.
pub const SERVICE_MAX_BYTES: usize = 127;

/// `HealthCheckResponse.ServingStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServingStatus(u64);

impl ServingStatus {
    const SERVING: Self = Self(1);
}

impl fmt::Display for ServingStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "UNKNOWN",
            1 => "SERVING",
            2 => "NOT_SERVING",
            3 => "SERVICE_UNKNOWN",
            other => return write!(f, "serving status {other}"),
        })
    }
}

/// `grpc-status`, 0..=16 by its definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GrpcStatus(pub u32);

impl fmt::Display for GrpcStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.0 {
            1 => "CANCELLED",
            2 => "UNKNOWN",
            4 => "DEADLINE_EXCEEDED",
            5 => "NOT_FOUND: it does not know the service",
            7 => "PERMISSION_DENIED",
            8 => "RESOURCE_EXHAUSTED",
            12 => "UNIMPLEMENTED: it has no health service",
            13 => "INTERNAL",
            14 => "UNAVAILABLE",
            16 => "UNAUTHENTICATED",
            other => return write!(f, "status {other}"),
        };
        f.write_str(word)
    }
}

/// The body of a request: one message, not compressed, that names the service; a longer name is cut.
pub fn request(service: &str) -> Vec<u8> {
    const FIELD_1_BYTES: u8 = 0x0a;
    let name = service.bytes().take(SERVICE_MAX_BYTES);
    let length = u8::try_from(service.len().min(SERVICE_MAX_BYTES)).unwrap_or(0);
    let mut message = vec![];
    if length > 0 {
        message.extend([FIELD_1_BYTES, length]);
        message.extend(name);
    }
    let bytes = u32::try_from(message.len()).unwrap_or(0);
    let mut body = vec![0];
    body.extend(bytes.to_be_bytes());
    body.extend(message);
    body
}

/// What a whole answer says; `status` is that of the trailers, or of the header where there is no body.
pub fn judge(status: Option<u32>, body: &[u8]) -> Outcome {
    match status {
        None => Outcome::NotGrpc,
        Some(0) => match serving(body) {
            Some(ServingStatus::SERVING) => Outcome::Serving,
            Some(status) => Outcome::NotServing { status },
            None => Outcome::NotGrpc,
        },
        Some(status) => Outcome::GrpcError { status: GrpcStatus(status) },
    }
}

/// Field 1 of the first message; a message without it says UNKNOWN.
fn serving(body: &[u8]) -> Option<ServingStatus> {
    let ([compressed, a, b, c, d], rest) = body.split_first_chunk::<5>()?;
    let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).ok()?;
    let mut message = rest.get(..length).filter(|_| *compressed == 0)?;
    let mut status = ServingStatus(0);
    while !message.is_empty() {
        let key = varint(&mut message)?;
        match (key >> 3, key & 7) {
            (1, 0) => status = ServingStatus(varint(&mut message)?),
            (_, 0) => {
                varint(&mut message)?;
            }
            (_, 1) => message = message.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            (_, 5) => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

/// Of at most 10 bytes.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_names_the_service() {
        assert_eq!(request(""), [0, 0, 0, 0, 0]);
        assert_eq!(request("a.B"), b"\0\0\0\0\x05\x0a\x03a.B");
        assert_eq!(request(&"x".repeat(1000)).len(), 5 + 2 + SERVICE_MAX_BYTES);
    }

    #[test]
    fn an_answer_says_whether_the_service_is_served() {
        let rows: [(&str, Option<u32>, &[u8], &str); 11] = [
            ("serving", Some(0), b"\0\0\0\0\x02\x08\x01", "serving"),
            ("not serving", Some(0), b"\0\0\0\0\x02\x08\x02", "the server answers NOT_SERVING"),
            ("an empty message", Some(0), b"\0\0\0\0\0", "the server answers UNKNOWN"),
            ("other fields", Some(0), b"\0\0\0\0\x08\x12\x02ab\x18\x80\x01\x08\x01", "the answer is not gRPC"),
            ("other fields, whole", Some(0), b"\0\0\0\0\x09\x12\x02ab\x18\x80\x01\x08\x01", "serving"),
            ("compressed", Some(0), b"\x01\0\0\0\x02\x08\x01", "the answer is not gRPC"),
            ("cut short", Some(0), b"\0\0\0\0\x09\x08", "the answer is not gRPC"),
            ("no body", Some(0), b"", "the answer is not gRPC"),
            ("no status", None, b"\0\0\0\0\x02\x08\x01", "the answer is not gRPC"),
            ("not found", Some(5), b"", "the gRPC server answers NOT_FOUND: it does not know the service"),
            ("another", Some(99), b"", "the gRPC server answers status 99"),
        ];
        for (name, status, body, wanted) in rows {
            assert_eq!(judge(status, body).to_string(), wanted, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_judged_without_a_panic(status: Option<u32>, body in vec(any::<u8>(), 0..64)) {
            judge(status, &body);
        }
    }
}
