//! How the threads that must be in time get the processor: by real-time scheduling.
//!
//! They run below every real-time thread of the kernel and above all that is ordinary. One that does not pause for
//! longer than a limit is taken for one that hangs: the kernel tells by SIGXCPU, and [`step_back`] makes all of them
//! ordinary, so that the machine is never theirs alone. Where the system refuses, it says so and goes on without.
#![expect(clippy::disallowed_methods, reason = "which threads there are is a directory")]

use std::fmt;
use std::io;
use std::num::NonZeroU8;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The nice value of those that would be real-time, and may not be.
const FIRST: i8 = -20;
/// Longest that a thread works without a pause. Large reloads take a tenth of it.
pub const TURN_MAX: Duration = Duration::from_millis(500);

/// What is asked of the system for the heartbeat's threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduling {
    /// `SCHED_RR` with this priority, 1..=99.
    RealTime(NonZeroU8),
    /// The ordinary scheduler with this nice value, -20..=19.
    Nice(i8),
}

impl Default for Scheduling {
    /// The lowest that leaves one below it for the threads that serve the heartbeat.
    fn default() -> Self {
        NonZeroU8::new(2).map_or(Self::Nice(FIRST), Self::RealTime)
    }
}

impl fmt::Display for Scheduling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RealTime(priority) => write!(f, "real-time, priority {priority}"),
            Self::Nice(nice) => write!(f, "ordinary, nice {nice}"),
        }
    }
}

/// How it is, after the system had its say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processor {
    pub scheduling: Scheduling,
    /// Why it is not what was wanted.
    pub refused: Option<String>,
}

impl Processor {
    /// What the system grants of `wanted`: that, or else the first place among the ordinary, or else what all have.
    /// Tried on a thread that ends at once.
    pub fn of(wanted: Scheduling) -> Self {
        let granted = |scheduling| {
            let tried = std::thread::spawn(move || schedule(0, scheduling)).join();
            tried.unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
        };
        let Err(error) = granted(wanted) else { return Self { scheduling: wanted, refused: None } };
        let or = match wanted {
            Scheduling::RealTime(_) if granted(Scheduling::Nice(FIRST)).is_ok() => Scheduling::Nice(FIRST),
            Scheduling::RealTime(_) | Scheduling::Nice(_) => Scheduling::Nice(0),
        };
        Self { scheduling: or, refused: Some(format!("{wanted} is refused ({error})")) }
    }

    /// After [`step_back`].
    pub fn stepped_back(&mut self) {
        self.refused = Some(format!("a thread with {} did not pause: it is taken for one that hangs", self.scheduling));
        self.scheduling = Scheduling::Nice(FIRST);
    }
}

/// For a thread that sends adverts: it comes first.
pub fn own(scheduling: Scheduling) {
    // What the system refuses was found out before: see `Processor::of`.
    let _ = schedule(0, scheduling);
}

/// For the thread that serves it: below it, so that it never takes its turn.
pub fn beside(scheduling: Scheduling) {
    let below = match scheduling {
        Scheduling::RealTime(priority) => NonZeroU8::new(priority.get() - 1).map(Scheduling::RealTime),
        Scheduling::Nice(_) => Some(scheduling),
    };
    let _ = below.map(|below| schedule(0, below));
}

/// From now on a real-time thread that does not pause for `turn` makes the kernel send SIGXCPU: whoever sets this
/// listens to it, since it ends a process that does not. The hard limit, which kills, stays where it is.
///
/// # Errors
/// Of setrlimit(2): a hard limit below it.
pub fn limit(turn: Duration) -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_RTTIME)?;
    let soft = u64::try_from(turn.as_micros()).unwrap_or(u64::MAX);
    Ok(setrlimit(Resource::RLIMIT_RTTIME, soft, hard)?)
}

/// Make every real-time thread of this process an ordinary one, at the first place among these where that is granted.
///
/// # Errors
/// Where the threads cannot be listed, or one stays as it is.
pub fn step_back() -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/task")? {
        let name = entry?.file_name();
        let Some(thread) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        if is_real_time(thread) {
            schedule(thread, Scheduling::Nice(0))?;
            // Nice values below zero need a capability, and this is only the second best.
            let _ = schedule(thread, Scheduling::Nice(FIRST));
        }
    }
    Ok(())
}

#[expect(unsafe_code, reason = "libc alone has sched_getscheduler")]
fn is_real_time(thread: libc::pid_t) -> bool {
    // SAFETY: a plain system call; a thread that has ended is an error, and no policy.
    let policy = unsafe { libc::sched_getscheduler(thread) };
    policy >= 0 && policy & !libc::SCHED_RESET_ON_FORK == libc::SCHED_RR
}

/// For this thread (0: the calling one), and not for the processes and threads that it starts.
#[expect(unsafe_code, reason = "libc alone has sched_setscheduler, and setpriority for a thread")]
fn schedule(thread: libc::pid_t, scheduling: Scheduling) -> io::Result<()> {
    let (policy, sched_priority, nice) = match scheduling {
        Scheduling::RealTime(priority) => (libc::SCHED_RR, priority.get().into(), None),
        Scheduling::Nice(nice) => (libc::SCHED_OTHER, 0, Some(nice)),
    };
    let parameters = libc::sched_param { sched_priority };
    // SAFETY: `parameters` lives through the call.
    if unsafe { libc::sched_setscheduler(thread, policy | libc::SCHED_RESET_ON_FORK, &raw const parameters) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let Some(nice) = nice else { return Ok(()) };
    // In Linux a nice value is a thread's (setpriority(2)).
    let thread = libc::id_t::try_from(thread).unwrap_or_default();
    // SAFETY: a plain system call.
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, thread, nice.into()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_steps_back_and_the_one_beside_is_below() {
        let of = |scheduling: Scheduling| std::thread::spawn(move || schedule(0, scheduling).map(|()| is_real_time(0)));
        assert!(of(Scheduling::default()).join().unwrap().unwrap(), "needs CAP_SYS_NICE");
        assert!(!of(Scheduling::Nice(FIRST)).join().unwrap().unwrap());
        std::thread::spawn(|| {
            beside(Scheduling::default());
            assert!(is_real_time(0));
            step_back().unwrap();
            assert!(!is_real_time(0));
        })
        .join()
        .unwrap();
    }
}
