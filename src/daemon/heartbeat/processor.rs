//! Pages that stay in memory, and real-time scheduling where asked for. Where the system forbids it, things go on
//! as for any other process.

use std::num::NonZeroU8;

use nix::sys::mman::{MlockAllFlags, mlockall};

use super::HeartbeatOptions;

/// `MCL_ONFAULT` (mlockall(2)): only what is used is locked.
const ON_FAULT: i32 = 4;

/// For the thread that sends adverts.
pub fn own(options: HeartbeatOptions) {
    // A limit on locked memory (RLIMIT_MEMLOCK) makes this fail whole: it locks nothing.
    let _ =
        mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | MlockAllFlags::from_bits_retain(ON_FAULT));
    if let Some(priority) = options.rt_priority {
        real_time(priority);
    }
}

/// For the thread that serves it: below it, so that it never takes its turn.
pub fn beside(options: HeartbeatOptions) {
    if let Some(below) = options.rt_priority.and_then(|priority| NonZeroU8::new(priority.get() - 1)) {
        real_time(below);
    }
}

/// `SCHED_RR` for the calling thread, and not for the processes and threads that it starts.
#[expect(unsafe_code, reason = "libc alone has sched_setscheduler")]
fn real_time(priority: NonZeroU8) {
    let parameters = libc::sched_param { sched_priority: priority.get().into() };
    // SAFETY: `parameters` lives through the call; 0 is the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &raw const parameters) };
}
