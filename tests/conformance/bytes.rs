//! Any bytes as the answer to an HTTP check: it ends, within its memory, and says why in few words.

use std::io::Cursor;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use vipd::healthcheck::expect::Expect;
use vipd::healthcheck::io::http::check_over;
use vipd::healthcheck::probe::HttpVersion;

use super::http;

/// A good answer, cut and with other bytes in it, or only bytes.
fn any_answer() -> impl Strategy<Value = Vec<u8>> {
    let good = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n3\r\nok\n\r\n0\r\n\r\n";
    let spoilt = (0..=good.len(), vec((0..good.len(), any::<u8>()), 0..4)).prop_map(|(length, changes)| {
        let mut answer = good.to_vec();
        for (at, byte) in changes {
            if let Some(place) = answer.get_mut(at) {
                *place = byte;
            }
        }
        answer.truncate(length);
        answer
    });
    prop_oneof![spoilt, vec(any::<u8>(), 0..200)]
}

proptest! {
    #[test]
    fn any_bytes_are_an_answer_or_a_reason(answer in any_answer(), two: bool) {
        let version = if two { HttpVersion::Http2 } else { HttpVersion::Http11 };
        let probe = http(([127, 0, 0, 1], 80).into(), Duration::from_secs(3), version, Expect::default());
        let stream = tokio::io::join(Cursor::new(answer), tokio::io::sink());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let checked = async { tokio::time::timeout(Duration::from_secs(30), check_over(stream, &probe)).await };
        let outcome = runtime.block_on(checked).expect("it ends");
        prop_assert!(outcome.to_string().len() < 200, "{outcome}");
    }
}
