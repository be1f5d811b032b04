//! The signals that the daemon takes; they are keepalived's.

pub const STOP: i32 = libc::SIGTERM;
pub const RELOAD: i32 = libc::SIGHUP;
pub const DATA: i32 = libc::SIGUSR1;
pub const STATS: i32 = libc::SIGUSR2;

/// Statistics, which begin anew.
pub fn stats_clear() -> i32 {
    libc::SIGRTMAX() - 1
}

pub fn json() -> i32 {
    libc::SIGRTMIN() + 2
}
