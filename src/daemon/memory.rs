//! Which pages of the daemon stay in memory: those that it works with, or all (`vrrp_no_swap`).
//!
//! The start and each reload need much that nothing needs afterwards: the program that reads configurations, and the
//! memory that they took. [`settle`] gives it back; what is used again comes back from the page cache, and stays.
#![expect(clippy::disallowed_methods, reason = "what is mapped where is a file")]

use std::ffi::c_void;
use std::io;
use std::ptr::NonNull;

use nix::sys::mman::{MlockAllFlags, MmapAdvise, madvise, mlockall, munlockall};

/// `MCL_ONFAULT` (mlockall(2)): what is used from now on stays.
const ON_FAULT: i32 = 4;

/// Keep in memory what is used from now on, and give back the rest; with `all`, keep all.
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
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let program = std::fs::read_link("/proc/self/exe").unwrap_or_default();
    for (from, to) in program.to_str().into_iter().flat_map(|program| unwritten(&maps, program)) {
        give_back(from, to);
    }
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

/// The kernel forgets these pages; whoever uses one gets it from the file again.
#[expect(unsafe_code, reason = "it is a promise about what is mapped there")]
fn give_back(from: usize, to: usize) {
    let Some(start) = NonNull::new(std::ptr::with_exposed_provenance_mut::<c_void>(from)) else { return };
    // SAFETY: nobody writes to pages of `unwritten`, so the file has what they have. Where the kernel does not do it
    // they stay, which is no harm.
    let _ = unsafe { madvise(start, to.saturating_sub(from), MmapAdvise::MADV_DONTNEED) };
}

/// Where pages of the program are mapped that are as in its file, by the text of `/proc/PID/maps`: instructions, and
/// its first part, which is constant. Further constants may be such that the dynamic linker has filled in.
fn unwritten<'a>(maps: &'a str, program: &'a str) -> impl Iterator<Item = (usize, usize)> + 'a {
    maps.lines().filter_map(move |line| {
        // `FROM-TO PERMISSIONS OFFSET DEVICE INODE    PATH`
        let mut words = line.splitn(6, ' ');
        let (range, permissions, offset) = (words.next()?, words.next()?, words.next()?);
        let path = words.nth(2)?.trim_start();
        let constant = permissions == "r--p" && offset.bytes().all(|digit| digit == b'0');
        let (from, to) = range.split_once('-')?;
        let hex = |text| usize::from_str_radix(text, 16).ok();
        (path == program && (constant || permissions == "r-xp")).then_some((hex(from)?, hex(to)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_and_the_first_constants_are_unwritten() {
        let maps = "\
            1000-3000 r--p 00000000 08:01 77                         /usr/sbin/vipd\n\
            3000-9000 r-xp 00002000 08:01 77                         /usr/sbin/vipd\n\
            9000-a000 r--p 00008000 08:01 77                         /usr/sbin/vipd\n\
            a000-b000 rw-p 00009000 08:01 77                         /usr/sbin/vipd\n\
            b000-c000 rw-p 00000000 00:00 0                          [heap]\n\
            d000-e000 r-xp 00000000 08:01 78                         /lib/libc.so.6\n\
            f000-f100 r-xp 00000000 00:00 0\n";
        let found: Vec<_> = unwritten(maps, "/usr/sbin/vipd").collect();
        assert_eq!(found, [(0x1000, 0x3000), (0x3000, 0x9000)]);
    }

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
