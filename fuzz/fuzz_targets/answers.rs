//! Bytes as what DNS, SMTP, gRPC and UDP servers, agents and files say: no panic, and a short reason.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vipd::base::HeloName;
use vipd::healthcheck::agent::AgentLine;
use vipd::healthcheck::outcome::Outcome;
use vipd::healthcheck::smtp::{Dialogue, Progress};
use vipd::healthcheck::{dns, file, grpc};

fn short(outcome: &Outcome) {
    assert!(outcome.to_string().len() < 1000);
}

fuzz_target!(|bytes: &[u8]| {
    let [kind, rest @ ..] = bytes else { return };
    match kind % 5 {
        0 => {
            let [high, low, ..] = rest else { return };
            if let Some(outcome) = dns::judge(u16::from_be_bytes([*high, *low]), rest) {
                short(&outcome);
            }
        }
        1 => {
            // The first byte of each piece says how long it is.
            let mut dialogue = Dialogue::new(HeloName::default());
            let mut rest = rest;
            while let [length, after @ ..] = rest {
                let (piece, after) = after.split_at(usize::from(*length).min(after.len()));
                if let Progress::End(outcome) = dialogue.receive(piece) {
                    short(&outcome);
                    return;
                }
                rest = after;
            }
        }
        2 => {
            if let Some(line) = AgentLine::parse(rest) {
                assert!(line.to_string().chars().count() < 200);
            }
        }
        3 => short(&grpc::judge(rest.first().map(|status| u32::from(*status) % 20), rest)),
        _ => short(&file::judge(rest, 3)),
    }
});
