//! Which pages of the daemon stay in memory: those that it uses, or all (`vrrp_no_swap`).
//!
//! The start, each reload and each burst of moves need much heap and much of the program that nothing needs afterwards:
//! [`settle`] gives both back. What a beat and a takeover run stands side by side at the head of the program
//! (`build/beat.txt`) and is kept in memory as a whole: a takeover waits for no disk.
#![expect(clippy::disallowed_methods, reason = "what a process has in memory is a file")]

use std::ffi::c_void;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::ptr::NonNull;

use nix::sys::mman::{MlockAllFlags, MmapAdvise, madvise, mlock, mlockall, munlockall};

/// `MCL_ONFAULT` (mlockall(2)): what is used from now on stays.
const ON_FAULT: i32 = 4;
/// Of the program's code, from its first byte: of what `build/beat.txt` puts there, the beat and a takeover (0.9 MiB).
const BEAT_BYTES: usize = 1 << 20;
/// Of the stack, below the caller: what giving it back needs itself, many times over.
const STACK_KEPT: usize = 16 << 10;
const PAGE: usize = 4096;

/// Give back what is not in use, and keep in memory what is used from now on; with `all`, keep all.
///
/// # Errors
/// Where the system lets nothing be locked (`RLIMIT_MEMLOCK`). What could be given back is.
pub fn settle(all: bool) -> io::Result<()> {
    let now_and_later = MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE;
    if all {
        return Ok(mlockall(now_and_later)?);
    }
    // Without /proc the program's pages stay. The text needs heap itself, which goes with the rest.
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let (program, unused_stack) = (program(&smaps), unused_stack(&smaps));
    drop(smaps);
    // Pages that are locked cannot be given back.
    munlockall()?;
    trim_heap();
    for mapping in &program {
        give_back(&mapping.at);
    }
    unused_stack.as_ref().map(give_back);
    mlockall(now_and_later | MlockAllFlags::from_bits_retain(ON_FAULT))?;
    // What was kept the last time is a mapping of its own, the first.
    program.iter().find(|mapping| mapping.code).map_or(Ok(()), |mapping| keep(&mapping.at))
}

#[expect(unsafe_code, reason = "libc alone has malloc_trim")]
#[cfg(target_env = "gnu")]
fn trim_heap() {
    // SAFETY: it gives free memory of the allocator back to the kernel, and touches no other.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
const fn trim_heap() {}

/// Pages of the program as they are in its file: they are mapped anew where they are used.
#[derive(Debug, PartialEq, Eq)]
struct Mapping {
    at: Range<usize>,
    code: bool,
}

/// Mappings of the program (the first file of `/proc/PID/smaps`) that may not be written and hold nothing but the file:
/// no relocation, no breakpoint.
fn program(smaps: &str) -> Vec<Mapping> {
    let mut found: Vec<Mapping> = vec![];
    let mut file = None;
    let mut here = None;
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        let (Some(first), Some(second)) = (words.next(), words.next()) else { continue };
        if let Some((from, to)) = first.split_once('-') {
            let path = words.nth(3);
            let hex = |text| usize::from_str_radix(text, 16).ok();
            let ours = path.is_some() && *file.get_or_insert(path) == path && !second.contains('w');
            here = hex(from).zip(hex(to)).filter(|_| ours).map(|(from, to)| (from..to, second.contains('x')));
        } else if first == "Anonymous:"
            && second == "0"
            && let Some((at, code)) = here.take()
        {
            found.push(Mapping { at, code });
        }
    }
    found
}

/// What deeper calls of before left of the main thread's stack, where it is this thread that asks.
fn unused_stack(smaps: &str) -> Option<Range<usize>> {
    let line = smaps.lines().find(|line| line.ends_with("[stack]"))?;
    let (from, _) = line.split_once('-')?;
    let (_, to) = line.split_whitespace().next()?.split_once('-')?;
    let [from, to] = [from, to].map(|text| usize::from_str_radix(text, 16).ok());
    let (here, from) = (std::hint::black_box(&raw const line).addr(), from?);
    let end = here.checked_sub(STACK_KEPT)?.checked_next_multiple_of(PAGE)?;
    (here < to? && from < end).then_some(from..end)
}

#[expect(unsafe_code, reason = "madvise takes an address")]
fn give_back(pages: &Range<usize>) {
    let Some(from) = pointer(pages.start) else { return };
    // SAFETY: the pages are those of a file, unchanged, and read again from it where they are used; or of the stack, and
    // far below what is in use of it. The advice may be refused: then they stay.
    let _ = unsafe { madvise(from, pages.len(), MmapAdvise::MADV_DONTNEED) };
}

/// Bring the head of the code into memory, and let it stay.
#[expect(unsafe_code, reason = "mlock takes an address")]
fn keep(code: &Range<usize>) -> io::Result<()> {
    let Some(from) = pointer(code.start) else { return Ok(()) };
    // SAFETY: it changes nothing in the pages.
    Ok(unsafe { mlock(from, code.len().min(BEAT_BYTES)) }?)
}

fn pointer(address: usize) -> Option<NonNull<c_void>> {
    NonZeroUsize::new(address).map(NonNull::without_provenance)
}

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

    #[test]
    fn what_the_program_has_of_its_own_is_no_part_of_its_file() {
        let mapping = |head: &str, own: u32| format!("{head}\nSize: 4 kB\nAnonymous: {own} kB\nVmFlags: rd mr\n");
        let smaps = [
            mapping("1000-3000 r--p 00000000 fe:00 77     /usr/sbin/vi pd", 0),
            mapping("3000-9000 r-xp 00002000 fe:00 77     /usr/sbin/vi pd", 0),
            mapping("9000-a000 r-xp 00008000 fe:00 77     /usr/sbin/vi pd", 4),
            mapping("a000-b000 r--p 00009000 fe:00 77     /usr/sbin/vi pd", 8),
            mapping("b000-c000 rw-p 0000a000 fe:00 77     /usr/sbin/vi pd", 0),
            mapping("c000-d000 rw-p 00000000 00:00 0      [heap]", 0),
            mapping("d000-e000 r--p 00000000 00:00 0", 0),
            mapping("e000-f000 r-xp 00000000 fe:00 78     /usr/lib/libc.so.6", 0),
        ];
        let kept = [Mapping { at: 0x1000..0x3000, code: false }, Mapping { at: 0x3000..0x9000, code: true }];
        assert_eq!(program(&smaps.concat()), kept);
        assert_eq!(program(""), []);
    }

    #[test]
    fn this_program_has_code() {
        let program = program(&std::fs::read_to_string("/proc/self/smaps").unwrap());
        let here = a_process_goes_on_after_it_gave_its_memory_back as *const () as usize;
        assert!(program.iter().any(|mapping| mapping.code && mapping.at.contains(&here)), "{program:x?}");
    }

    #[test]
    fn only_what_is_deep_below_of_the_callers_own_stack_is_unused() {
        let local = 0_u8;
        let here = std::hint::black_box(&raw const local).addr() & !(PAGE - 1);
        let at = |from: usize, to: usize| {
            unused_stack(&format!("{from:x}-{to:x} rw-p 00000000 00:00 0 [stack]\nSize: 4 kB\n"))
        };
        let from = here - (1 << 20);
        let unused = at(from, here + (1 << 20)).unwrap();
        assert_eq!(unused.start, from);
        assert!(unused.end < here && unused.end > from, "{unused:x?}");
        assert_eq!(at(here + PAGE, here + (1 << 20)), None, "of another thread, above");
        assert_eq!(at(from, from + PAGE), None, "and below");
        assert_eq!(unused_stack("1000-2000 rw-p 00000000 00:00 0 [heap]\n"), None);
    }
}
