//! A packet through the program without a wire: what would become of it (`BPF_PROG_TEST_RUN`).

use aya::programs::{ProgramError, ProgramFd};
use aya::{TestRun, TestRunOptions, TestRunResult};

use super::fault::Fault;
use super::plane::Ebpf;
use super::xdp::Front;
use crate::lvs::datapath::DatapathError;

/// What the program may make a packet longer by: an outer header of IPv6.
const ROOM: usize = 64;
/// Bytes of `struct __sk_buff` up to where it may be given (`linux/bpf.h`).
const CONTEXT: usize = 48;

/// What the program decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The stack goes on with it.
    Pass,
    Drop,
    /// Out of some interface, as it is now.
    Forward,
    /// None that the program should give.
    Other(u32),
}

/// Out of XDP's sight: it goes on to TC, or is gone.
fn of_xdp(action: u32) -> Verdict {
    // XDP_* (linux/bpf.h)
    match action {
        1 => Verdict::Drop,
        2 => Verdict::Pass,
        3 | 4 => Verdict::Forward,
        other => Verdict::Other(other),
    }
}

/// Run a program on a frame once: what it returns, and what it made of the frame.
fn try_out(
    run: impl FnOnce(TestRunOptions<'_>) -> Result<TestRunResult, ProgramError>,
    frame: &[u8],
    context: &[u8],
) -> Result<(u32, Vec<u8>), DatapathError> {
    let mut out = vec![0; frame.len().saturating_add(ROOM)];
    let options = TestRunOptions {
        data_in: Some(frame),
        data_out: Some(&mut out),
        ctx_in: Some(context),
        ..TestRunOptions::new()
    };
    let done = run(options).map_err(|error| Fault::new("trying a packet", &error))?;
    out.truncate(usize::try_from(done.data_size_out).unwrap_or(usize::MAX));
    Ok((done.return_value, out))
}

impl Ebpf {
    /// The same as [`Ebpf::trial`] of XDP alone, on an interface that has it by its driver.
    ///
    /// # Errors
    /// As there; and where the mode is without XDP.
    pub fn trial_xdp(&mut self, frame: &[u8], ifindex: u32) -> Result<(Verdict, Vec<u8>), DatapathError> {
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        let context = [0, length, 0, ifindex, 0, 0].map(u32::to_ne_bytes).concat();
        let program = self.front()?.program()?;
        let (action, out) = try_out(|options| program.test_run(options), frame, &context)?;
        Ok((of_xdp(action), out))
    }

    /// The program of XDP, for a bench that jumps to it.
    ///
    /// # Errors
    /// As [`Ebpf::trial_xdp`].
    pub fn xdp_program(&mut self) -> Result<ProgramFd, DatapathError> {
        let fault = |error: &(dyn std::error::Error + 'static)| Fault::new("finding the XDP program", error);
        let program = self.front()?.program()?;
        Ok(program.fd().and_then(|fd| Ok(fd.try_clone()?)).map_err(|error| fault(&error))?)
    }

    fn front(&mut self) -> Result<&mut Front, DatapathError> {
        let what = "try XDP: the mode is without it";
        self.front.as_mut().map_err(|_| DatapathError::Unsupported { plane: "ebpf", what: what.to_owned() })
    }

    /// Let an Ethernet frame come in at an interface of the calling thread's network namespace. The tables learn from it
    /// as from any other; nothing is sent.
    ///
    /// # Errors
    /// [`DatapathError::Kernel`]: frames shorter than an Ethernet header and longer than a page are refused.
    pub fn trial(&mut self, frame: &[u8], ifindex: u32) -> Result<(Verdict, Vec<u8>), DatapathError> {
        let program = &self.programs.ingress;
        let mut context = Vec::with_capacity(CONTEXT);
        context.resize(36, 0);
        // ingress_ifindex, ifindex
        context.extend_from_slice(&ifindex.to_ne_bytes());
        context.extend_from_slice(&ifindex.to_ne_bytes());
        context.resize(CONTEXT, 0);
        let (action, out) = try_out(|options| program.test_run(options), frame, &context)?;
        // TC_ACT_* (linux/pkt_cls.h)
        let verdict = match action {
            u32::MAX => Verdict::Pass,
            2 => Verdict::Drop,
            7 => Verdict::Forward,
            other => Verdict::Other(other),
        };
        Ok((verdict, out))
    }
}
