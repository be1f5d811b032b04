//! `vipd real-server setup`: looks at this host, and carries out what `lvs::real_server` says.
#![expect(
    clippy::disallowed_methods,
    reason = "sysctls are files, links are set by ip(8), and a command waits for another one"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};

use crate::daemon::pidfile::replace;
use crate::daemon::rundir::PAUSE;
use crate::lvs::datapath::DatapathError;
use crate::lvs::real_server::{Change, Device, Facts, Record, Setup, host, keys, label};

/// Where the eBPF program of a real server lives on without us.
const PINS: &str = "real-server";
/// What setup has changed, below the run directory: it goes with the changes when the host boots.
const RECORD: &str = "real-server.json";
/// Held while the record is read and written.
const LOCK: &str = "real-server.lock";

#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("listing the addresses: {0}")]
    Addresses(nix::Error),
    #[error("`{command}`: {said}")]
    Command { command: String, said: String },
    #[error("{}: {source}; remove it, and what setup changed stays as it is", path.display())]
    Record { path: PathBuf, source: serde_json::Error },
    #[error("another `vipd real-server setup` has held {} for {} s; try again when it has ended", path.display(), waited.as_secs())]
    Busy { path: PathBuf, waited: Duration },
    #[error("{failed}; and it stays in the list of changes: {forgetting}")]
    Remembered { failed: Box<SetupError>, forgetting: Box<SetupError> },
    #[error("the eBPF program: {0}")]
    Program(#[from] DatapathError),
}

fn file(path: &Path) -> impl FnOnce(io::Error) -> SetupError {
    move |source| SetupError::File { path: path.to_owned(), source }
}

/// How this host stands.
///
/// # Errors
/// [`SetupError`]: what cannot be read.
pub fn look(setup: &Setup, run_dir: &Path) -> Result<Facts, SetupError> {
    let (device, module) = setup.device();
    let (mut held_on, mut labelled_on) = (BTreeSet::new(), BTreeSet::new());
    let mut interfaces = BTreeSet::new();
    let (mut others, mut device_up) = (0, false);
    let record = recorded(run_dir)?;
    for found in getifaddrs().map_err(SetupError::Addresses)? {
        // A label stands in the place of the name.
        let name = found.interface_name.split(':').next().unwrap_or_default().to_owned();
        let quiet = found.flags.contains(InterfaceFlags::IFF_LOOPBACK) || ["tunl0", "ip6tnl0"].contains(&name.as_str());
        device_up |= name == device && found.flags.contains(InterfaceFlags::IFF_UP);
        if !quiet {
            interfaces.insert(name.clone());
        }
        let v4 = found.address.and_then(|address| address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip())));
        let v6 = found.address.and_then(|address| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())));
        match v4.or(v6) {
            Some(addr) if addr == setup.vip => {
                if label(addr, &name).is_some_and(|label| label == found.interface_name) {
                    labelled_on.insert(name.clone());
                }
                held_on.insert(name);
            }
            Some(addr) if !is_its_own(addr) && addr.is_ipv4() == setup.vip.is_ipv4() => {
                let ours = record.as_ref().is_some_and(|record| record.has_address(addr, &name));
                others += usize::from(ours || quiet || is_silent(found.flags));
            }
            Some(_) | None => {}
        }
    }
    let device_state = match (if_nametoindex(device).is_ok(), device_up) {
        (true, true) => Device::Up,
        (true, false) => Device::Down,
        (false, _) if loadable(module) => Device::Loadable,
        (false, _) => Device::Absent,
    };
    let program = program::look(&run_dir.join(PINS))?;
    Ok(Facts {
        held_on: held_on.into_iter().collect(),
        labelled_on: labelled_on.into_iter().collect(),
        others,
        record,
        device: device_state,
        decapsulated: program.0,
        program_on: program.1,
        sysctls: sysctls(interfaces.iter().map(String::as_str).chain([device]))?,
        interfaces: interfaces.into_iter().collect(),
        persisted: setup.persist.as_deref().map(read).transpose()?.flatten(),
    })
}

/// An interface that answers for no address, as dummy ones, where a VIP may be; a tunnel with two ends, as of wg(8), has
/// addresses of its own.
fn is_silent(flags: InterfaceFlags) -> bool {
    flags.contains(InterfaceFlags::IFF_NOARP) && !flags.contains(InterfaceFlags::IFF_POINTOPOINT)
}

fn recorded(run_dir: &Path) -> Result<Option<Record>, SetupError> {
    let path = run_dir.join(RECORD);
    let text = read(&path)?;
    text.map(|text| serde_json::from_str(&text)).transpose().map_err(|source| SetupError::Record { path, source })
}

/// Write down what has been changed, so that undo knows; `None` as before anything was.
///
/// # Errors
/// [`SetupError::File`]: the run directory cannot be made or written.
pub fn remember(record: Option<&Record>, run_dir: &Path) -> Result<(), SetupError> {
    let path = run_dir.join(RECORD);
    let Some(record) = record else { return fs::remove_file(&path).map_err(file(&path)) };
    let text = serde_json::to_vec(record).map_err(|source| SetupError::Record { path: path.clone(), source })?;
    fs::create_dir_all(run_dir).map_err(file(run_dir))?;
    replace(&path, &text, 0o644).map_err(file(&path))
}

/// Nobody else sets this host up, from the look at it to the last change; another who does is waited for, `patience` at
/// most, after `waiting`.
///
/// # Errors
/// [`SetupError::File`]: the run directory cannot be made, or the lock not be had; [`SetupError::Busy`].
pub fn hold(run_dir: &Path, patience: Duration, waiting: impl FnOnce(&Path)) -> Result<Flock<fs::File>, SetupError> {
    let path = run_dir.join(LOCK);
    fs::create_dir_all(run_dir).map_err(file(run_dir))?;
    let mut opened =
        fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(file(&path))?;
    let (mut spent, mut waiting) = (Duration::ZERO, Some(waiting));
    loop {
        match Flock::lock(opened, FlockArg::LockExclusiveNonblock) {
            Ok(held) => return Ok(held),
            Err((again, Errno::EWOULDBLOCK)) if spent < patience => opened = again,
            Err((_, Errno::EWOULDBLOCK)) => return Err(SetupError::Busy { path, waited: spent }),
            Err((_, errno)) => return Err(file(&path)(errno.into())),
        }
        if let Some(waiting) = waiting.take() {
            waiting(&path);
        }
        std::thread::sleep(PAUSE);
        spent += PAUSE;
    }
}

/// Of the loopback network, or link-local: the interface's own, no VIP.
fn is_its_own(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(addr) => addr.is_loopback(),
        IpAddr::V6(addr) => addr.is_loopback() || addr.is_unicast_link_local(),
    }
}

/// Whether the module is there, not loaded.
fn loadable(module: &str) -> bool {
    Command::new("modprobe").args(["--dry-run", "--quiet", module]).status().is_ok_and(|status| status.success())
}

/// Those that exist; a device that is to come has the values of `default`.
fn sysctls<'a>(interfaces: impl Iterator<Item = &'a str>) -> Result<BTreeMap<String, String>, SetupError> {
    let mut values = BTreeMap::new();
    for key in keys(interfaces) {
        let path = Path::new("/proc/sys").join(&key);
        let default = key.rsplit('/').next().map(|name| Path::new("/proc/sys/net/ipv4/conf/default").join(name));
        let text = match (read(&path)?, default) {
            (Some(text), _) => Some(text),
            (None, Some(default)) => read(&default)?,
            (None, None) => None,
        };
        values.extend(text.map(|text| (key, text.trim().to_owned())));
    }
    Ok(values)
}

/// `None`: there is no such file.
fn read(path: &Path) -> Result<Option<String>, SetupError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file(path)(error)),
    }
}

/// Carry one change out.
///
/// # Errors
/// [`SetupError`] with what the kernel, ip(8) or modprobe(8) said.
pub fn carry_out(change: &Change, run_dir: &Path) -> Result<(), SetupError> {
    let pins = run_dir.join(PINS);
    match change {
        Change::LoadModule { module } => command("modprobe", &[module]),
        Change::LinkUp { interface } => command("ip", &["link", "set", interface, "up"]),
        Change::LinkDown { interface } => command("ip", &["link", "set", interface, "down"]),
        Change::Sysctl { key, to, .. } => {
            let path = Path::new("/proc/sys").join(key);
            fs::write(&path, to).map_err(file(&path))
        }
        Change::Decapsulate { addr, interfaces } => Ok(program::add(&pins, *addr, interfaces)?),
        Change::StopDecapsulating { addr } => Ok(program::remove(&pins, *addr)?),
        Change::AddAddress { addr, interface } => {
            let (address, label) = (host(*addr), label(*addr, interface));
            let mut args = vec!["address", "add", &address, "dev", interface];
            args.extend(label.iter().flat_map(|label| ["label", label]));
            command("ip", &args)
        }
        Change::DeleteAddress { addr, interface } => {
            command("ip", &["address", "delete", &host(*addr), "dev", interface])
        }
        Change::WriteFile { path, text } => replace(path, text.as_bytes(), 0o644).map_err(file(path)),
        Change::RemoveFile { path } => fs::remove_file(path).map_err(file(path)),
    }
}

fn command(program: &str, args: &[&str]) -> Result<(), SetupError> {
    let failed = |said: String| SetupError::Command { command: format!("{program} {}", args.join(" ")), said };
    let output = Command::new(program).args(args).output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

#[cfg(feature = "ebpf")]
mod program {
    use super::{BTreeSet, DatapathError, IpAddr, Path};
    use crate::lvs::io::ebpf::Decapsulator;

    /// The addresses that it serves, and the interfaces that it is on.
    pub(super) fn look(pins: &Path) -> Result<(BTreeSet<IpAddr>, Vec<String>), DatapathError> {
        let program = Decapsulator::at(pins);
        Ok((program.addresses()?, program.interfaces()?))
    }

    pub(super) fn add(pins: &Path, addr: IpAddr, interfaces: &[String]) -> Result<(), DatapathError> {
        Decapsulator::at(pins).add(addr, interfaces)
    }

    pub(super) fn remove(pins: &Path, addr: IpAddr) -> Result<(), DatapathError> {
        Decapsulator::at(pins).remove(addr)
    }
}

#[cfg(not(feature = "ebpf"))]
mod program {
    use super::{BTreeSet, DatapathError, IpAddr, Path};

    #[expect(clippy::unnecessary_wraps, reason = "the other build may fail")]
    pub(super) const fn look(_: &Path) -> Result<(BTreeSet<IpAddr>, Vec<String>), DatapathError> {
        Ok((BTreeSet::new(), vec![]))
    }

    pub(super) fn add(_: &Path, addr: IpAddr, _: &[String]) -> Result<(), DatapathError> {
        let what = format!(
            "take {addr} out of its tunnel: this vipd was built without it, and the kernel has no tunnel device"
        );
        Err(DatapathError::Unsupported { plane: "ebpf", what })
    }

    #[expect(clippy::unnecessary_wraps, reason = "the other build may fail")]
    pub(super) const fn remove(_: &Path, _: IpAddr) -> Result<(), DatapathError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_sets_a_host_up() {
        let dir = tempfile::tempdir().unwrap();
        let mut held = Some(hold(dir.path(), Duration::ZERO, |_| panic!("nobody has it")).unwrap());
        let other = || Flock::lock(fs::File::open(dir.path().join(LOCK)).unwrap(), FlockArg::LockExclusiveNonblock);
        assert!(other().is_err(), "another one has it too");
        let refused = hold(dir.path(), Duration::ZERO, |_| panic!("nobody waits")).unwrap_err();
        assert!(matches!(refused, SetupError::Busy { .. }), "{refused}");
        // It is had as soon as the other has ended: here, when we are told that it is waited for.
        let mut said = None;
        let again = hold(dir.path(), Duration::from_mins(1), |path| {
            said = Some(path.to_owned());
            held = None;
        });
        assert!(again.is_ok() && held.is_none());
        assert_eq!(said, Some(dir.path().join(LOCK)));
    }

    #[test]
    fn an_ordinary_address_of_the_host_is_no_vip() {
        let up = InterfaceFlags::IFF_UP;
        let rows = [
            ("dummy", InterfaceFlags::IFF_NOARP, true),
            ("ethernet, of a cloud that gives a /32", InterfaceFlags::IFF_BROADCAST, false),
            ("WireGuard", InterfaceFlags::IFF_NOARP | InterfaceFlags::IFF_POINTOPOINT, false),
        ];
        for (name, flags, silent) in rows {
            assert_eq!(is_silent(up | flags), silent, "{name}");
        }
    }
}
