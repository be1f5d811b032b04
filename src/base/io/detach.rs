//! Taking a program off its hook, at once.
//!
//! To remove the pin of a link detaches it some time later: the kernel frees the inode after a grace period of RCU and
//! puts the link from a work queue (`bpf_free_inode` in kernel/bpf/inode.c, `bpf_link_put` in kernel/bpf/syscall.c). On
//! a busy host that was long enough for the old program to serve the flows of the next one.

use std::ffi::CString;
use std::io;
use std::mem::size_of_val;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::bpffs;

/// `enum bpf_cmd` in linux/bpf.h.
const BPF_OBJ_GET: u32 = 7;
/// Since Linux 5.9.
const BPF_LINK_DETACH: u32 = 34;

/// Of `union bpf_attr`, what `BPF_OBJ_GET` reads.
#[repr(C)]
struct ObjectAt {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// Of `union bpf_attr`, what `BPF_LINK_DETACH` reads.
#[repr(C)]
struct LinkDetach {
    link_fd: RawFd,
}

/// When this returns, no packet comes to the program of this pinned link any more. A link that is gone is as wished.
///
/// # Errors
/// Of the kernel, for a pin that stays.
pub fn detach(pin: &Path) -> io::Result<()> {
    // Where it cannot be done now (no pin, or no link behind it), it is done when the pin goes.
    let _ = open(pin).and_then(|link| take_off(&link));
    bpffs::remove(pin)
}

#[expect(unsafe_code, reason = "aya has no such call")]
fn take_off(link: &OwnedFd) -> io::Result<()> {
    // SAFETY: the kernel reads the structure of this command, and no more.
    unsafe { bpf(BPF_LINK_DETACH, &LinkDetach { link_fd: link.as_raw_fd() }) }.map(drop)
}

#[expect(unsafe_code, reason = "aya has no such call; the descriptor is new, and nobody else has it")]
fn open(pin: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let pathname = u64::try_from(path.as_ptr().expose_provenance()).map_err(io::Error::other)?;
    // SAFETY: the kernel reads the structure of this command, and the path, which lives as long.
    let number = unsafe { bpf(BPF_OBJ_GET, &ObjectAt { pathname, bpf_fd: 0, file_flags: 0 }) }?;
    let number = RawFd::try_from(number).map_err(io::Error::other)?;
    // SAFETY: the kernel made it for this call.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// # Safety
/// `attributes` are those of the command, and what they point to is there.
#[expect(unsafe_code, reason = "a system call")]
unsafe fn bpf<T>(command: u32, attributes: &T) -> io::Result<libc::c_long> {
    // SAFETY: the kernel reads as many bytes as `attributes` has; the caller answers for the rest.
    let answer =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of_val(attributes)) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}
