//! `AGENT_CHECK` and `GRPC_CHECK`, keywords of vipd alone, and `FILE_CHECK`.

use super::{empty, incomplete, shared};
use crate::config::model::{Checker, CheckerKind, GrpcCheck, GrpcTls, Sni, TrackEntry};
use crate::config::problem::Problem;
use crate::config::read::track::{WIDE_WEIGHTS, weight};
use crate::config::read::value::{error, flag, set};
use crate::config::tree::Statement;

/// What one byte of length can tell.
const SERVICE_MAX_BYTES: usize = 127;

pub fn read(block: &Statement<'_>, problems: &mut Vec<Problem>) -> Checker {
    let mut checker = empty(block, CheckerKind::Tcp);
    let mut send = None;
    for inner in block.statements() {
        if inner.keyword.text == "agent_send" {
            send = inner.arg(0).map(|word| word.text.to_owned());
        } else {
            shared(inner, &mut checker, problems);
        }
    }
    Checker { kind: CheckerKind::Agent { send }, ..checker }
}

pub fn grpc(block: &Statement<'_>, problems: &mut Vec<Problem>) -> Checker {
    let mut checker = empty(block, CheckerKind::Tcp);
    let mut grpc = GrpcCheck::default();
    let (mut tls, mut reuse, mut sni) = (false, false, Sni::Off);
    for inner in block.statements() {
        match (inner.keyword.text, inner.arg(0)) {
            ("service", Some(name)) if name.text.len() > SERVICE_MAX_BYTES => {
                let message =
                    format!("the service's name has {} bytes, and {SERVICE_MAX_BYTES} are sent", name.text.len());
                problems.push(error("value-too-long", name, message).label("left out"));
            }
            ("service", Some(name)) => name.text.clone_into(&mut grpc.service),
            ("virtualhost", Some(host)) => grpc.virtualhost = Some(host.text.to_owned()),
            ("tls", _) => set(&mut tls, flag(problems, inner)),
            ("tls_session_reuse", _) => set(&mut reuse, flag(problems, inner)),
            ("enable_sni", _) => {
                if flag(problems, inner) == Some(true) && sni == Sni::Off {
                    sni = Sni::Virtualhost;
                }
            }
            ("sni_name", Some(name)) => sni = Sni::Name(name.text.to_owned()),
            _ => {
                shared(inner, &mut checker, problems);
            }
        }
    }
    grpc.tls = tls.then_some(GrpcTls { sni, reuse });
    Checker { kind: CheckerKind::Grpc(Box::new(grpc)), ..checker }
}

/// `FILE_CHECK`; `None` where no file is named.
pub fn file(block: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<Checker> {
    let mut checker = empty(block, CheckerKind::Tcp);
    let (mut name, mut own, mut reverse) = (None, None, false);
    for inner in block.statements() {
        match inner.keyword.text {
            "track_file" => name = inner.arg(0),
            "weight" => (own, reverse) = weight(problems, inner, WIDE_WEIGHTS),
            _ => {
                shared(inner, &mut checker, problems);
            }
        }
    }
    let Some(name) = name else {
        problems.push(incomplete(block, "track_file"));
        return None;
    };
    let entry = TrackEntry { name: name.text.to_owned(), weight: own, reverse, at: name.at };
    Some(Checker { kind: CheckerKind::File(entry), ..checker })
}

/// `BFD_CHECK`; `None` where no session is named.
pub fn bfd(block: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<Checker> {
    let mut checker = empty(block, CheckerKind::Tcp);
    let mut name = None;
    for inner in block.statements() {
        if inner.keyword.text == "name" {
            name = inner.arg(0);
        } else {
            shared(inner, &mut checker, problems);
        }
    }
    let Some(name) = name else {
        problems.push(incomplete(block, "name"));
        return None;
    };
    Some(Checker { kind: CheckerKind::Bfd { session: name.text.to_owned(), at: name.at }, ..checker })
}
