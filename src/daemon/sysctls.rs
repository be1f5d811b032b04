//! The director's own kernel settings: what the configuration needs of them, and setting it where that is asked for.
#![expect(clippy::disallowed_methods, reason = "sysctls are files")]

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use crate::base::Cidr;
use crate::config::model::{Plane, SysctlMode};
use crate::daemon::translate::Wanted;
use crate::lvs::host::{Finding, HostFacts, Uses, Way, findings, interfaces, keys};

#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error("listing the addresses: {0}")]
    Addresses(nix::Error),
    #[error("{path}: {source}")]
    File { path: String, source: io::Error },
}

/// What is wrong on this host for this configuration.
///
/// # Errors
/// [`LookError`]: what cannot be read.
pub fn look(wanted: &Wanted) -> Result<Vec<Finding>, LookError> {
    let mut facts = HostFacts { networks: networks()?, default_way: default_way()?, ..HostFacts::default() };
    for key in keys(interfaces(&facts)) {
        let path = format!("/proc/sys/{key}");
        match fs::read_to_string(&path) {
            Ok(text) => drop(facts.sysctls.insert(key, text.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(LookError::File { path, source }),
        }
    }
    Ok(findings(&uses(wanted), &facts))
}

/// What a start or a reload does about it: warn, or set. The lines are for `status`.
pub fn follow(wanted: &Wanted) -> Vec<String> {
    let found = match look(wanted) {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%error, "the kernel settings were not checked");
            return vec![];
        }
    };
    let mut lines = vec![];
    for finding in found {
        match wanted.sysctl {
            SysctlMode::Check => {
                tracing::warn!(remedy = finding.remedy(), "{finding}");
                lines.push(finding.to_string());
            }
            SysctlMode::Auto => match fs::write(Path::new("/proc/sys").join(&finding.key), &finding.needed) {
                Ok(()) => {
                    tracing::info!(
                        because = finding.because,
                        "{} set from {} to {}",
                        finding.name(),
                        finding.is,
                        finding.needed
                    );
                    lines.push(format!("{} set from {} to {}", finding.name(), finding.is, finding.needed));
                }
                Err(error) => {
                    tracing::error!(%error, "{finding}, and cannot be set");
                    lines.push(format!("{finding}, and cannot be set: {error}"));
                }
            },
        }
    }
    lines
}

fn uses(wanted: &Wanted) -> Uses {
    let ways = wanted.pools.iter().flat_map(|pool| {
        let persistent = pool.service.persistence.is_some();
        let of = move |service: &_| {
            let service = *service;
            let way = move |to, forwarding| Way { service, to, forwarding, persistent };
            pool.real_servers.iter().map(move |(at, real)| way(at.addr, real.forwarding))
        };
        pool.services.iter().flat_map(of)
    });
    let vip_on = wanted.instances.iter().flat_map(|instance| {
        instance.addresses.iter().map(|held| (held.cidr.addr(), instance.below(held).to_string()))
    });
    Uses {
        ebpf: match wanted.plane {
            Plane::Ebpf => true,
            Plane::Ipvs => false,
        },
        ways: ways.collect(),
        quiescent_keeps: wanted.quiescent_keeps,
        vip_on: vip_on.collect(),
    }
}

/// The networks of all interfaces but the loopback ones.
fn networks() -> Result<Vec<(String, Cidr)>, LookError> {
    let mut found = vec![];
    for one in getifaddrs().map_err(LookError::Addresses)? {
        if one.flags.contains(InterfaceFlags::IFF_LOOPBACK) {
            continue;
        }
        let (Some(address), Some(mask)) = (one.address, one.netmask) else { continue };
        let v4 = address.as_sockaddr_in().zip(mask.as_sockaddr_in());
        let v6 = address.as_sockaddr_in6().zip(mask.as_sockaddr_in6());
        let network = match (v4, v6) {
            (Some((addr, mask)), _) => Some((IpAddr::V4(addr.ip()), u32::from(mask.ip()).count_ones())),
            (None, Some((addr, mask))) => Some((IpAddr::V6(addr.ip()), u128::from(mask.ip()).count_ones())),
            (None, None) => None,
        };
        let cidr = network.and_then(|(addr, length)| Cidr::new(addr, u8::try_from(length).ok()?).ok());
        // A label stands in the place of the name.
        let name = one.interface_name.split(':').next().unwrap_or_default().to_owned();
        found.extend(cidr.map(|cidr| (name, cidr)));
    }
    Ok(found)
}

/// The interface of the default route of the main table: `Iface Destination Gateway Flags RefCnt Use Metric Mask ...`.
fn default_way() -> Result<Option<String>, LookError> {
    const PATH: &str = "/proc/net/route";
    let text = fs::read_to_string(PATH).map_err(|source| LookError::File { path: PATH.to_owned(), source })?;
    let mut ways: Vec<(u32, &str)> = vec![];
    for line in text.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [interface, "00000000", _, _, _, _, metric, "00000000", ..] = words[..] {
            ways.push((metric.parse().unwrap_or(u32::MAX), interface));
        }
    }
    Ok(ways.into_iter().min().map(|(_, interface)| interface.to_owned()))
}
