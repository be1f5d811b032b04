//! File descriptors: how many the daemon may have, and how many of them checks may take.
//!
//! Checks are what can want thousands at once. What they may not take is left to adverts, the plane, scripts and the
//! control socket, so that a host with a low limit has late checks and nothing else.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::healthcheck::board::RUNS_MAX;

/// Left free beside what is open: a reload, scripts, and connections to the control socket want some for a moment.
const SPARE: usize = 64;
/// What the daemon asks for where the hard limit allows: every place of the checks, and some 700 sockets and maps.
const WANTED: u64 = 5120;
const _: () = assert!(WANTED > 4096 + 512 && RUNS_MAX == 4096);

/// Raise the soft limit to what all checks at once would want; the hard limit stays. Scripts inherit it.
///
/// # Errors
/// Of getrlimit(2) and setrlimit(2).
pub fn raise() -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = WANTED.min(hard);
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?;
    }
    Ok(())
}

/// How many runs of checks there are descriptors for, where `running` of those that are open now are theirs.
pub fn free_besides(running: usize) -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    // Where /proc is not there, half is a guess.
    let open = std::fs::read_dir("/proc/self/fd").map_or(limit / 2, Iterator::count);
    places(limit, open, running)
}

fn places(limit: usize, open: usize, running: usize) -> usize {
    let others = open.saturating_sub(running);
    limit.saturating_sub(others).saturating_sub(SPARE.min(limit / 4)).clamp(1, RUNS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_get_what_the_others_and_the_spare_ones_leave() {
        let rows = [
            ("a common limit", 5120, 100, 0, RUNS_MAX),
            ("of systemd, unraised", 1024, 100, 0, 860),
            ("runs that are under way count as theirs", 1024, 500, 400, 860),
            ("a low one", 96, 50, 0, 22),
            ("lower than what is open", 40, 50, 0, 1),
            ("none at all", usize::MAX, 50, 0, RUNS_MAX),
        ];
        for (name, limit, open, running, wanted) in rows {
            assert_eq!(places(limit, open, running), wanted, "{name}");
        }
    }
}
