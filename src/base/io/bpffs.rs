//! A bpffs of our own: what is pinned in it lives on without us, and without the mount namespace that we run in.
#![expect(clippy::disallowed_methods, reason = "pins are files")]

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount as mount_at, umount2};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::outer::{self, Outer};

/// What the mount is called in /proc/self/mountinfo; tells ours from a bpffs that somebody gave us.
const SOURCE: &str = "vipd";

/// Make `dir` a bpffs, unless it is on one; here, and where this mount namespace was made from, for who comes next.
///
/// # Errors
/// Of the kernel; mounting needs `CAP_SYS_ADMIN`.
pub fn mount(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    if is_bpffs(dir)? {
        return Ok(());
    }
    let dir = fs::canonicalize(dir)?;
    match outer::bpffs(&dir, mount_here) {
        Outer::Nowhere => {}
        // The kernel may have shown it here, too.
        Outer::Tree(_) if is_bpffs(&dir)? => return Ok(()),
        Outer::Tree(tree) => return outer::attach(&tree, &dir),
        Outer::Closed => tracing::warn!(
            dir = %dir.display(),
            "what is pinned there ends with this mount namespace (`ip netns exec`, PrivateMounts): its connections, and the \
             fence; `mount -t bpf vipd` on that directory outside of it, before the start, keeps them"
        ),
    }
    mount_here(&dir)
}

fn is_bpffs(dir: &Path) -> io::Result<bool> {
    Ok(statfs(dir)?.filesystem_type() == BPF_FS_MAGIC)
}

fn mount_here(dir: &Path) -> io::Result<()> {
    if is_bpffs(dir)? {
        return Ok(());
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount_at(Some(SOURCE), dir, Some("bpf"), flags, Some("mode=0700")).map_err(io::Error::from)
}

/// Unmount and remove `dir` if it is a mount that [`mount`] made, and nobody has a directory in it.
///
/// # Errors
/// Of the kernel.
pub fn unmount(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        if entry?.file_type()?.is_dir() {
            return Ok(());
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let dir = fs::canonicalize(dir)?;
    if mounts.lines().any(|line| is_our_mount(line, &dir)) {
        umount2(&dir, MntFlags::MNT_DETACH)?;
        fs::remove_dir(&dir)?;
    }
    Ok(())
}

/// The same where nothing at all is in it, but for the iterators that the kernel puts there (`progs.debug`).
///
/// # Errors
/// Of the kernel.
pub fn unmount_empty(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        if !entry?.file_name().as_bytes().ends_with(b".debug") {
            return Ok(());
        }
    }
    unmount(dir)
}

/// Remove a pin; one that is gone is as wished.
///
/// # Errors
/// Of the kernel.
pub fn remove(pin: &Path) -> io::Result<()> {
    match fs::remove_file(pin) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// `36 35 98:0 /root /point options ... - type source ...` (`proc_pid_mountinfo(5)`); blanks are `\040`.
fn is_our_mount(line: &str, dir: &Path) -> bool {
    let Some((place, kind)) = line.split_once(" - ") else { return false };
    let point = place.split(' ').nth(4).unwrap_or_default();
    let escaped: Vec<u8> = dir.as_os_str().as_bytes().iter().flat_map(|byte| escape(*byte)).collect();
    point.as_bytes() == escaped && kind.starts_with(&format!("bpf {SOURCE} "))
}

fn escape(byte: u8) -> Vec<u8> {
    match byte {
        b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
        plain => vec![plain],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_mount_is_taken_for_ours() {
        let rows = [
            ("ours", r"1 2 0:30 / /run/vip\040d/bpf rw,nosuid shared:1 - bpf vipd rw,mode=700", true),
            ("another place", "1 2 0:30 / /run/bpf rw - bpf vipd rw", false),
            ("the system's", r"1 2 0:30 / /run/vip\040d/bpf rw - bpf bpf rw", false),
            ("no bpffs", r"1 2 0:30 / /run/vip\040d/bpf rw - tmpfs vipd rw", false),
        ];
        for (name, line, ours) in rows {
            assert_eq!(is_our_mount(line, Path::new("/run/vip d/bpf")), ours, "{name}");
        }
    }
}
