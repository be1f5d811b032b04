//! Switches of the kernel's network, by interface.
#![expect(clippy::disallowed_methods, reason = "it reads and writes /proc/sys")]

use std::io;

use crate::base::{Family, IfName};

/// Interfaces may have a dot in their names, so it goes by path.
fn path(family: Family, interface: &str, name: &str) -> String {
    let family = match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    format!("/proc/sys/net/{family}/conf/{interface}/{name}")
}

/// Set `net.ipv4.conf.IF.NAME`, or that of IPv6.
///
/// # Errors
/// Where the interface is not there, or `/proc/sys` cannot be written.
pub fn set(family: Family, interface: &IfName, name: &str, value: u8) -> io::Result<()> {
    std::fs::write(path(family, interface.as_str(), name), value.to_string())
}

/// Read it.
///
/// # Errors
/// Where the interface is not there, or it is no number.
pub fn get(family: Family, interface: &IfName, name: &str) -> io::Result<u8> {
    let text = std::fs::read_to_string(path(family, interface.as_str(), name))?;
    text.trim().parse().map_err(io::Error::other)
}

/// `rp_filter` of an interface counts no less than that of `all`: where that is set, every interface gets it as its own,
/// and `all` is cleared, so that one interface can be without.
///
/// # Errors
/// Where `/proc/sys` cannot be read or written.
pub fn own_rp_filter() -> io::Result<()> {
    let of = |interface: &str| path(Family::V4, interface, "rp_filter");
    let read = |path: &str| std::fs::read_to_string(path).map(|text| text.trim().parse::<u8>().unwrap_or(0));
    let all = read(&of("all"))?;
    if all == 0 {
        return Ok(());
    }
    for entry in std::fs::read_dir("/proc/sys/net/ipv4/conf")? {
        let name = entry?.file_name();
        let Some(name) = name.to_str().filter(|name| *name != "all") else { continue };
        // One that goes meanwhile needs none.
        if read(&of(name)).is_ok_and(|own| own < all) {
            let _ = std::fs::write(of(name), all.to_string());
        }
    }
    std::fs::write(of("all"), "0")
}
