//! `host[:port]` as ipvsadm takes it.

use std::net::{IpAddr, Ipv6Addr};

use super::number;
use crate::lvs::ipvsadm::name::{Names, aton};
use crate::lvs::table::Protocol;

/// The address, and the port where one is given.
///
/// Accepted: `addr`, `addr:port`, `[addr6]:port`, a bare IPv6 address; a name in place of an IPv4 address or a port.
/// Not accepted: digits alone, `[addr6]` without a port.
pub(super) fn parse(word: &str, protocol: Option<Protocol>, names: &mut dyn Names) -> Option<(IpAddr, Option<u16>)> {
    if word.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (host, mut port) = match word.strip_prefix('[') {
        Some(inside) => {
            let (host, after) = inside.split_once(']')?;
            (host, Some(after.strip_prefix(':')?))
        }
        None => (word, None),
    };
    let addr = if let Ok(addr) = host.parse::<Ipv6Addr>() {
        IpAddr::V6(addr)
    } else {
        let (host, after) = host.rsplit_once(':').map_or((host, None), |(host, after)| (host, Some(after)));
        port = after;
        IpAddr::V4(aton(host).or_else(|| names.host(host))?)
    };
    let port = match port {
        Some(word) => {
            Some(number::<u16>(word, 0, 65_535).or_else(|| protocol.and_then(|protocol| names.port(word, protocol)))?)
        }
        None => None,
    };
    Some((addr, port))
}
