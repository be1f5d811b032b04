//! `vipd real-server setup`: looks at this host, and carries out what `lvs::real_server` says.
#![expect(clippy::disallowed_methods, reason = "sysctls are files, and links are set by ip(8)")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::ifaddrs::getifaddrs;

use crate::lvs::real_server::{Change, Facts, Setup, host};

#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("{}: {source}", path.display())]
    Sysctl { path: PathBuf, source: io::Error },
    #[error("listing the addresses: {0}")]
    Addresses(nix::Error),
    #[error("there is no {interface}: `modprobe {module}` makes it")]
    NoLink { interface: &'static str, module: &'static str },
    #[error("`{command}`: {said}")]
    Ip { command: String, said: String },
}

/// How this host stands, and whether the VIP's interface has no other host address of its own.
///
/// # Errors
/// [`SetupError`]: what cannot be read, or the tunnel device that is missing.
pub fn look(setup: &Setup) -> Result<(Facts, bool), SetupError> {
    let interface = setup.interface();
    if !Path::new("/sys/class/net").join(interface).exists() {
        // Whatever it says: whether the device is there now is what counts.
        let module = if setup.vip.is_ipv6() { "ip6_tunnel" } else { "ipip" };
        let _ = Command::new("/sbin/modprobe").args(["-q", module]).status();
        if nix::net::if_::if_nametoindex(interface).is_err() {
            return Err(SetupError::NoLink { interface, module });
        }
    }
    let (mut has_address, mut link_up, mut others) = (false, false, 0);
    for found in getifaddrs().map_err(SetupError::Addresses)?.filter(|found| found.interface_name == interface) {
        link_up |= found.flags.contains(nix::net::if_::InterfaceFlags::IFF_UP);
        let v4 = found.address.and_then(|address| address.as_sockaddr_in().map(|v4| std::net::IpAddr::V4(v4.ip())));
        let v6 = found.address.and_then(|address| address.as_sockaddr_in6().map(|v6| std::net::IpAddr::V6(v6.ip())));
        match v4.or(v6) {
            Some(addr) if addr == setup.vip => has_address = true,
            Some(addr) if !addr.is_loopback() && addr.is_ipv4() == setup.vip.is_ipv4() => others += 1,
            Some(_) | None => {}
        }
    }
    let values = setup.sysctls().into_iter().map(|(key, _, _)| {
        let path = Path::new("/proc/sys").join(key);
        let text = fs::read_to_string(&path).map_err(|source| SetupError::Sysctl { path, source })?;
        Ok(text.trim().to_owned())
    });
    Ok((Facts { has_address, link_up, sysctls: values.collect::<Result<_, _>>()? }, others == 0))
}

/// Carry one change out.
///
/// # Errors
/// [`SetupError`] with what the kernel or ip(8) said.
pub fn carry_out(change: &Change) -> Result<(), SetupError> {
    match change {
        Change::Sysctl { key, to, .. } => {
            let path = Path::new("/proc/sys").join(key);
            fs::write(&path, to).map_err(|source| SetupError::Sysctl { path, source })
        }
        Change::LinkUp { interface } => ip(&["link", "set", interface, "up"]),
        Change::AddAddress { addr, interface } => ip(&["address", "add", &host(*addr), "dev", interface]),
        Change::DeleteAddress { addr, interface } => ip(&["address", "delete", &host(*addr), "dev", interface]),
    }
}

fn ip(args: &[&str]) -> Result<(), SetupError> {
    let failed = |said: String| SetupError::Ip { command: format!("ip {}", args.join(" ")), said };
    let output = Command::new("ip").args(args).output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
