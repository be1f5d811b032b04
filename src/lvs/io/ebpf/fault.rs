//! What aya and the kernel refuse, as errors of the plane.

use std::error::Error;
use std::io;

use aya::maps::MapError;

use crate::lvs::datapath::DatapathError;

pub(super) const PLANE: &str = "ebpf";
const CAPABILITY: &str = "CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN (mounting bpffs)";

/// One refusal, kept as data because it may answer several steps.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    action: String,
    errno: Option<i32>,
    detail: String,
}

impl Fault {
    pub(super) fn new(action: impl Into<String>, error: &(dyn Error + 'static)) -> Self {
        Self { action: action.into(), errno: errno(error), detail: chain(error) }
    }

    pub(super) fn map(action: impl Into<String>) -> impl FnOnce(MapError) -> Self {
        move |error| Self::new(action, &error)
    }
}

impl From<Fault> for DatapathError {
    fn from(fault: Fault) -> Self {
        let Fault { action, errno, detail } = fault;
        match errno {
            Some(libc::EPERM | libc::EACCES) => Self::Permission { plane: PLANE, action, capability: CAPABILITY },
            Some(errno) => Self::Kernel { action, source: io::Error::from_raw_os_error(errno) },
            None => Self::Answer { action, detail },
        }
    }
}

/// The system's error number, however deep aya has wrapped it.
pub(super) fn errno(error: &(dyn Error + 'static)) -> Option<i32> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(errno) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(errno);
        }
        next = error.source();
    }
    None
}

/// An error with all its causes on one line.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// Loading failed: the verifier's words matter, unless it is a plain lack of permission.
pub(super) fn load(error: &(dyn Error + 'static)) -> DatapathError {
    match errno(error) {
        Some(libc::EPERM | libc::EACCES) if !chain(error).contains("processed") => {
            Fault::new("loading the eBPF program", error).into()
        }
        Some(_) | None => DatapathError::Load { detail: chain(error) },
    }
}
