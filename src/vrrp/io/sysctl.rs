//! Switches of the kernel's network, by interface.
#![expect(clippy::disallowed_methods, reason = "it writes /proc/sys")]

use std::io;

use crate::base::IfName;

/// Set `net.ipv4.conf.IF.NAME`. Interfaces may have a dot in their names, so it goes by path.
///
/// # Errors
/// Where the interface is not there, or `/proc/sys` cannot be written.
pub fn set_v4(interface: &IfName, name: &str, value: u8) -> io::Result<()> {
    std::fs::write(format!("/proc/sys/net/ipv4/conf/{interface}/{name}"), value.to_string())
}
