//! Names of hosts and ports, both ways. Where they come from is `lvs/io/names.rs`.

use std::net::{IpAddr, Ipv4Addr};

use crate::lvs::table::Protocol;

/// What the system knows of names: `/etc/hosts`, DNS, `/etc/services`.
pub trait Names {
    /// The first IPv4 address of a host: ipvsadm resolves no other family.
    fn host(&mut self, name: &str) -> Option<Ipv4Addr>;
    /// The port of a service. SCTP has none: ipvsadm asks for TCP and UDP alone.
    fn port(&mut self, name: &str, protocol: Protocol) -> Option<u16>;
    /// The name of an address.
    fn name_of_host(&mut self, addr: IpAddr) -> Option<String>;
    /// The name of a port.
    fn name_of_port(&mut self, port: u16, protocol: Protocol) -> Option<String>;
}

impl<N: Names + ?Sized> Names for &mut N {
    fn host(&mut self, name: &str) -> Option<Ipv4Addr> {
        (**self).host(name)
    }

    fn port(&mut self, name: &str, protocol: Protocol) -> Option<u16> {
        (**self).port(name, protocol)
    }

    fn name_of_host(&mut self, addr: IpAddr) -> Option<String> {
        (**self).name_of_host(addr)
    }

    fn name_of_port(&mut self, port: u16, protocol: Protocol) -> Option<String> {
        (**self).name_of_port(port, protocol)
    }
}

/// No names: `-n`.
#[derive(Clone, Copy, Debug)]
pub struct Numeric;

impl Names for Numeric {
    fn host(&mut self, _: &str) -> Option<Ipv4Addr> {
        None
    }

    fn port(&mut self, _: &str, _: Protocol) -> Option<u16> {
        None
    }

    fn name_of_host(&mut self, _: IpAddr) -> Option<String> {
        None
    }

    fn name_of_port(&mut self, _: u16, _: Protocol) -> Option<String> {
        None
    }
}

/// `host:port` or `[host]:port`, by names where there are any.
pub fn place(names: &mut dyn Names, addr: IpAddr, port: u16, protocol: Option<Protocol>) -> String {
    let host = names.name_of_host(addr).unwrap_or_else(|| addr.to_string());
    let port = protocol.and_then(|protocol| names.name_of_port(port, protocol)).unwrap_or_else(|| port.to_string());
    match addr {
        IpAddr::V4(_) => format!("{host}:{port}"),
        IpAddr::V6(_) => format!("[{host}]:{port}"),
    }
}

/// An IPv4 address as `inet_aton(3)` reads it: one to four numbers, the last one fills the rest.
pub(super) fn aton(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u32> = text.split('.').map(number).collect::<Option<_>>()?;
    let (last, heads) = parts.split_last()?;
    if heads.len() > 3 || heads.iter().any(|part| *part > 255) {
        return None;
    }
    let bits = 32_u32.checked_sub(u32::try_from(heads.len()).ok()?.checked_mul(8)?)?;
    if bits < 32 && last.checked_shr(bits)? != 0 {
        return None;
    }
    let head = heads.iter().zip([24_u32, 16, 8]).fold(0_u32, |sum, (part, shift)| sum | (part << shift));
    Some(Ipv4Addr::from_bits(head | last))
}

fn number(text: &str) -> Option<u32> {
    if !text.bytes().next()?.is_ascii_digit() {
        return None;
    }
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None if text.len() > 1 && text.starts_with('0') => u32::from_str_radix(text, 8).ok(),
        None => text.parse().ok(),
    }
}
