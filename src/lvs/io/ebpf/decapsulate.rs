//! The real server's end of a tunnel, where its kernel has no ipip device.
//!
//! It knows nothing of the plane: it runs on real servers.

use std::fmt;

use aya::EbpfLoader;
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType, tc};

use super::fault::{self, Fault};
use crate::lvs::datapath::DatapathError;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/decapsulate.bpf.o"));
const PROGRAM: &str = "vipd_decapsulate";

/// IPIP packets that arrive for this host lose their outer header, until this is dropped.
pub struct Decapsulator {
    _object: aya::Ebpf,
}

impl fmt::Debug for Decapsulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decapsulator").finish_non_exhaustive()
    }
}

impl Decapsulator {
    /// On this interface of the calling thread's network namespace. Needs TCX (Linux 6.6).
    ///
    /// # Errors
    /// [`DatapathError::Permission`], [`DatapathError::Load`], [`DatapathError::Kernel`].
    pub fn attach(interface: &str) -> Result<Self, DatapathError> {
        let mut object = EbpfLoader::new().btf(None).load(OBJECT).map_err(|error| fault::load(&error))?;
        let missing = || DatapathError::Load { detail: format!("the object has no program `{PROGRAM}`") };
        let program = object.program_mut(PROGRAM).ok_or_else(missing)?;
        let program: &mut SchedClassifier = program.try_into().map_err(|error| fault::load(&error))?;
        program.load().map_err(|error| fault::load(&error))?;
        let options = tc::TcAttachOptions::TcxOrder(LinkOrder::default());
        let attached = program.attach_with_options(interface, TcAttachType::Ingress, options);
        attached.map_err(|error| Fault::new(format!("attaching {PROGRAM} to {interface}"), &error))?;
        Ok(Self { _object: object })
    }
}
