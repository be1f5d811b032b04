//! Bytes as the whole answer to an HTTP check, in HTTP/1 and HTTP/2: no panic, no hang, memory within the check's limits.
#![no_main]

use std::io::Cursor;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use vipd::base::{AnswerPattern, PatternOptions, PatternPlace};
use vipd::healthcheck::expect::Expect;
use vipd::healthcheck::io::http::check_over;
use vipd::healthcheck::probe::{Endpoint, HttpProbe, HttpVersion, Url};

fuzz_target!(|bytes: &[u8]| {
    let Some((first, answer)) = bytes.split_first() else { return };
    let limit = Duration::from_secs(1);
    let pattern = AnswerPattern::new("ok", PatternOptions::default(), PatternPlace::default()).ok();
    let expect = Expect { pattern, ..Expect::default() };
    let probe = HttpProbe {
        endpoint: Endpoint::new(([127, 0, 0, 1], 80).into(), limit),
        version: if first % 2 == 0 { HttpVersion::Http11 } else { HttpVersion::Http2 },
        first: Url { path: "/".to_owned(), host: None, expect, tls_compliant: false, headers: vec![] },
        more: vec![],
        fast_recovery: false,
        deadline: limit,
    };
    let stream = tokio::io::join(Cursor::new(answer.to_vec()), tokio::io::sink());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let outcome = runtime.block_on(check_over(stream, &probe));
    assert!(outcome.to_string().len() < 1000);
});
