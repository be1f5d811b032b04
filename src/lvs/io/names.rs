//! Names of hosts and ports as the system knows them: `/etc/hosts` and DNS, `/etc/services`.
#![expect(clippy::disallowed_methods, reason = "names are in files")]
#![expect(unsafe_code, reason = "getnameinfo(3) has no safe door")]

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, ToSocketAddrs as _};

use nix::sys::socket::{SockaddrIn, SockaddrLike as _};

use crate::lvs::ipvsadm::Names;
use crate::lvs::table::Protocol;

const SERVICES: &str = "/etc/services";

/// The system's names. Each address is asked for once.
#[derive(Debug, Default)]
pub struct System {
    services: Option<Vec<Service>>,
    hosts: BTreeMap<Ipv4Addr, Option<String>>,
}

/// A line of `/etc/services`: the name proper, and other names for it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Service {
    name: String,
    port: u16,
    protocol: Protocol,
    aliases: Vec<String>,
}

impl System {
    fn services(&mut self) -> &[Service] {
        // Without the file there are no names.
        self.services.get_or_insert_with(|| read(&std::fs::read_to_string(SERVICES).unwrap_or_default()))
    }
}

impl Names for System {
    fn host(&mut self, name: &str) -> Option<Ipv4Addr> {
        (name, 0).to_socket_addrs().ok()?.find_map(|found| match found {
            SocketAddr::V4(found) => Some(*found.ip()),
            SocketAddr::V6(_) => None,
        })
    }

    fn port(&mut self, name: &str, protocol: Protocol) -> Option<u16> {
        let asked = |service: &&Service| {
            service.protocol == protocol && (service.name == name || service.aliases.iter().any(|alias| alias == name))
        };
        self.services().iter().find(asked).map(|service| service.port)
    }

    /// IPv4 alone: ipvsadm asks for IPv6 addresses as if they had four bytes, and gets no name.
    fn name_of_host(&mut self, addr: IpAddr) -> Option<String> {
        match addr {
            IpAddr::V4(addr) => self.hosts.entry(addr).or_insert_with(|| look_up(addr)).clone(),
            IpAddr::V6(_) => None,
        }
    }

    fn name_of_port(&mut self, port: u16, protocol: Protocol) -> Option<String> {
        let asked = |service: &&Service| service.protocol == protocol && service.port == port;
        self.services().iter().find(asked).map(|service| service.name.clone())
    }
}

/// `name port/protocol [alias...] [# comment]` (`services(5)`).
fn read(text: &str) -> Vec<Service> {
    let read_line = |line: &str| {
        let mut words = line.split('#').next()?.split_whitespace();
        let name = words.next()?.to_owned();
        let (port, protocol) = words.next()?.split_once('/')?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return None,
        };
        Some(Service { name, port: port.parse().ok()?, protocol, aliases: words.map(str::to_owned).collect() })
    };
    text.lines().filter_map(read_line).collect()
}

fn look_up(addr: Ipv4Addr) -> Option<String> {
    let address = SockaddrIn::from(SocketAddrV4::new(addr, 0));
    let mut host = [0_u8; 1025]; // NI_MAXHOST
    let size = libc::socklen_t::try_from(host.len()).ok()?;
    // SAFETY: the address and its length belong together, the buffer has `size` bytes, and no service is asked for.
    let failed = unsafe {
        libc::getnameinfo(
            address.as_ptr(),
            address.len(),
            host.as_mut_ptr().cast(),
            size,
            std::ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    };
    if failed != 0 {
        return None;
    }
    CStr::from_bytes_until_nul(&host).ok()?.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_known_by_name_alias_and_port() {
        let services = read("http\t80/tcp\twww # WorldWideWeb\n# no\ndomain 53/udp\nx 1/sctp\nbroken\n");
        let mut names = System { services: Some(services), hosts: BTreeMap::new() };
        assert_eq!(names.port("www", Protocol::Tcp), Some(80));
        assert_eq!(names.port("http", Protocol::Udp), None);
        assert_eq!(names.name_of_port(53, Protocol::Udp).as_deref(), Some("domain"));
        assert_eq!(names.name_of_port(80, Protocol::Sctp), None);
    }

    #[test]
    fn this_host_has_a_name() {
        let mut names = System::default();
        assert_eq!(names.host("localhost"), Some(Ipv4Addr::LOCALHOST));
        assert!(names.name_of_host(Ipv4Addr::LOCALHOST.into()).is_some());
    }
}
