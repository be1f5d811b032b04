//! Which pages of the daemon stay in memory: those that it has used, or all (`vrrp_no_swap`).
//!
//! The start and each reload need much heap that nothing needs afterwards: [`settle`] gives it back. The program itself
//! stays where it was used: a takeover waits for no disk.

use std::io;

use nix::sys::mman::{MlockAllFlags, mlockall, munlockall};

/// `MCL_ONFAULT` (mlockall(2)): what is used from now on stays.
const ON_FAULT: i32 = 4;

/// Give back heap that is free, and keep in memory what is used from now on; with `all`, keep all.
///
/// # Errors
/// Where the system lets nothing be locked (`RLIMIT_MEMLOCK`). What could be given back is.
pub fn settle(all: bool) -> io::Result<()> {
    let now_and_later = MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE;
    if all {
        return Ok(mlockall(now_and_later)?);
    }
    // Pages that are locked cannot be given back.
    munlockall()?;
    trim_heap();
    Ok(mlockall(now_and_later | MlockAllFlags::from_bits_retain(ON_FAULT))?)
}

#[expect(unsafe_code, reason = "libc alone has malloc_trim")]
#[cfg(target_env = "gnu")]
fn trim_heap() {
    // SAFETY: it gives free memory of the allocator back to the kernel, and touches no other.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
const fn trim_heap() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_goes_on_after_it_gave_its_memory_back() {
        let words: Vec<String> = (0..1000).map(|number| format!("word {number}")).collect();
        let sum = || words.iter().map(String::len).sum::<usize>();
        let before = sum();
        // A limit on locked memory is no matter here.
        let _ = settle(false);
        assert_eq!(sum(), before);
        munlockall().unwrap();
    }
}
