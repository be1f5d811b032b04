//! Namespaces for one test: a client, a director, real servers on a switch.
//!
//! ```text
//! client 10.1.0.10 ---- 10.1.0.1 director 10.2.0.1 ---- switch ---- 10.2.0.11.. servers
//!        10.2.0.10 ---------------------------------------|
//! ```
//! IPv6 is the same with `fd01::` and `fd02::` (`fd01::10`, `fd02::11`).
//! Masq uses the first way to the director; Route the second, where answers go past it. All offloads are on.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use vipd::lab::Directory;
use vipd::lvs::io::ebpf::{Ebpf, EbpfOptions, LOCAL_PORTS, Reason};

/// The virtual address on the client's side (Masq) and on the servers' (Route).
pub const MASQ_VIP: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 50);
pub const ROUTE_VIP: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 50);
pub const MASQ_VIP6: Ipv6Addr = Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 0x50);
pub const ROUTE_VIP6: Ipv6Addr = Ipv6Addr::new(0xfd02, 0, 0, 0, 0, 0, 0, 0x50);
pub const DEADLINE: Duration = Duration::from_secs(20);

/// `ETHTOOL_STXCSUM` and `ETHTOOL_SGRO` (`linux/ethtool.h`).
pub const CHECKSUMS: u32 = 0x17;
const GRO: u32 = 0x2c;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A network namespace; removed when dropped.
#[derive(Debug)]
pub struct Host {
    pub name: String,
}

impl Host {
    fn new(role: &str, number: u32) -> Self {
        let name = format!("ebpf{}-{number}-{role}", std::process::id());
        ip(&format!("netns add {name}"));
        let host = Self { name };
        // An address counts at once: nobody else is here to have it.
        for all in ["all", "default"] {
            host.sysctl(&format!("net/ipv6/conf/{all}/accept_dad"), "0");
        }
        host.ip("link set lo up");
        host
    }

    /// `ip ARGS` in this namespace.
    pub fn ip(&self, args: &str) {
        ip(&format!("-n {} {args}", self.name));
    }

    /// What `ip ARGS` says in this namespace.
    pub fn show(&self, args: &str) -> String {
        ip(&format!("-n {} {args}", self.name))
    }

    /// Turn an offload of an interface on or off (`SIOCETHTOOL`, `linux/ethtool.h`).
    pub fn offload(&self, link: &str, which: u32, on: bool) {
        #[repr(C)]
        struct Request {
            name: [u8; 16],
            data: *mut [u32; 2],
            rest: [u8; 16],
        }
        let mut name = [0; 16];
        name[..link.len()].copy_from_slice(link.as_bytes());
        self.run(move || {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
            let mut value = [which, u32::from(on)];
            let mut request = Request { name, data: &raw mut value, rest: [0; 16] };
            #[expect(unsafe_code, reason = "there is no safe call for this")]
            // SAFETY: a `struct ifreq` whose data points to a `struct ethtool_value`; both live through the call.
            let done = unsafe { libc::ioctl(socket.as_raw_fd(), 0x8946, &raw mut request) };
            assert_eq!(done, 0, "offload {which:#x} of {link}: {}", std::io::Error::last_os_error());
        });
    }

    pub fn sysctl(&self, key: &str, value: &str) {
        let (path, value) = (format!("/proc/sys/{key}"), value.to_owned());
        self.run(move || std::fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}")));
    }

    /// Run something on a thread that is in this namespace. Sockets made there stay in it.
    pub fn run<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.name);
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let namespace = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
                setns(namespace, CloneFlags::CLONE_NEWNET).expect("entering a namespace needs root");
                what()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

fn ip(args: &str) -> String {
    let output = Command::new("ip").args(args.split_whitespace()).output().expect("iproute2 is installed");
    assert!(output.status.success(), "ip {args}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Everything a test needs. The order of the fields is the order of their end.
#[derive(Debug)]
pub struct Lab {
    pins: Directory,
    pub client: Host,
    pub director: Host,
    pub servers: Vec<Host>,
    number: u32,
    pub switch: Host,
}

impl Lab {
    pub fn new(servers: u8) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let switch = Host::new("sw", number);
        switch.ip("link add br0 type bridge");
        switch.ip("link set br0 up");
        let client = Host::new("c", number);
        let director = Host::new("d", number);
        ip(&format!("link add wan netns {} type veth peer name wan netns {}", client.name, director.name));
        for (host, addr, addr6) in [(&client, "10.1.0.10/24", "fd01::10/64"), (&director, "10.1.0.1/24", "fd01::1/64")]
        {
            host.ip(&format!("address add {addr} dev wan"));
            host.ip(&format!("address add {addr6} dev wan nodad"));
            host.ip("link set wan up");
        }
        plug(&switch, &client, "p-client", "10.2.0.10/24", "fd02::10/64");
        plug(&switch, &director, "p-director", "10.2.0.1/24", "fd02::1/64");
        director.sysctl("net/ipv4/ip_forward", "1");
        director.sysctl("net/ipv6/conf/all/forwarding", "1");
        director.ip(&format!("address add {MASQ_VIP}/32 dev wan"));
        director.ip(&format!("address add {ROUTE_VIP}/32 dev lan"));
        director.ip(&format!("address add {MASQ_VIP6}/128 dev wan nodad"));
        director.ip(&format!("address add {ROUTE_VIP6}/128 dev lan nodad"));
        let servers = (1..=servers)
            .map(|number_here| {
                let server = Host::new(&format!("r{number_here}"), number);
                let (addr, addr6) = (address(number_here), address6(number_here));
                plug(&switch, &server, &format!("p-r{number_here}"), &format!("{addr}/24"), &format!("{addr6}/64"));
                server.ip("route add default via 10.2.0.1");
                server.ip("route add default via fd02::1");
                server.sysctl("net/ipv4/conf/all/arp_ignore", "1");
                server.sysctl("net/ipv4/conf/all/arp_announce", "2");
                server.ip(&format!("address add {ROUTE_VIP}/32 dev lo"));
                server.ip(&format!("address add {ROUTE_VIP6}/128 dev lo nodad"));
                server
            })
            .collect();
        let pins = Directory::temporary().expect("a directory in /run");
        Self { pins, client, director, servers, number, switch }
    }

    /// Links that take frames of native XDP, and give whole ones: a veth does where its other end has GRO, and where it
    /// leaves no checksum to anybody.
    pub fn make_whole(&self) {
        for host in self.servers.iter().chain([&self.client]) {
            host.offload("lan", GRO, true);
            host.offload("lan", CHECKSUMS, false);
        }
        self.client.offload("wan", GRO, true);
        self.client.offload("wan", CHECKSUMS, false);
        self.switch.offload("p-director", GRO, true);
    }

    /// The director's interfaces become bridges, whose driver knows nothing of XDP.
    pub fn put_bridges(&self) {
        for (link, addresses) in [
            (
                "wan",
                [
                    "10.1.0.1/24".to_owned(),
                    format!("{MASQ_VIP}/32"),
                    "fd01::1/64".to_owned(),
                    format!("{MASQ_VIP6}/128"),
                ],
            ),
            (
                "lan",
                [
                    "10.2.0.1/24".to_owned(),
                    format!("{ROUTE_VIP}/32"),
                    "fd02::1/64".to_owned(),
                    format!("{ROUTE_VIP6}/128"),
                ],
            ),
        ] {
            self.director.ip(&format!("link set {link} down"));
            self.director.ip(&format!("address flush dev {link}"));
            self.director.ip(&format!("link set {link} name {link}0"));
            self.director.ip(&format!("link add {link} type bridge"));
            self.director.ip(&format!("link set {link}0 master {link} up"));
            self.director.ip(&format!("link set {link} up"));
            for address in addresses {
                let nodad = if address.contains(':') { "nodad" } else { "" };
                self.director.ip(&format!("address add {address} dev {link} {nodad}"));
            }
        }
    }

    /// One more host, without a link.
    pub fn host(&self, role: &str) -> Host {
        Host::new(role, self.number)
    }

    pub fn options(&self) -> EbpfOptions {
        EbpfOptions {
            pin_dir: self.pin_dir(),
            interfaces: vec!["wan".to_owned(), "lan".to_owned()],
            connections_max: 16_384,
            services_max: 64,
            destinations_max: 256,
            local_ports: LOCAL_PORTS,
        }
    }

    pub fn pin_dir(&self) -> PathBuf {
        self.dir().join("bpf")
    }

    /// A directory that goes with the lab.
    pub fn dir(&self) -> &Path {
        self.pins.path()
    }

    /// A daemon starts on the director.
    pub fn open(&self) -> Ebpf {
        self.director.run(|| wait(Ebpf::open(&self.options())).unwrap_or_else(|error| panic!("{error}")))
    }

    pub fn close(&self, plane: Ebpf) {
        self.director.run(|| wait(plane.close(false)).unwrap_or_else(|error| panic!("{error}")));
    }
}

fn plug(switch: &Host, host: &Host, port: &str, addr: &str, addr6: &str) {
    ip(&format!("link add {port} netns {} type veth peer name lan netns {}", switch.name, host.name));
    switch.ip(&format!("link set {port} master br0 up"));
    host.ip(&format!("address add {addr} dev lan"));
    host.ip(&format!("address add {addr6} dev lan nodad"));
    host.ip("link set lan up");
}

/// Address of the real server with this number, from 1.
pub fn address(number: u8) -> IpAddr {
    Ipv4Addr::new(10, 2, 0, 10 + number).into()
}

/// The same over IPv6.
pub fn address6(number: u8) -> IpAddr {
    Ipv6Addr::new(0xfd02, 0, 0, 0, 0, 0, 0, u16::from(number) + 0x10).into()
}

pub fn wait<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(what)
}

/// Ask until the answer is yes, or fail with `what`.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn reason(plane: &Ebpf, wanted: Reason) -> u64 {
    plane.reasons().into_iter().find(|(reason, _)| *reason == wanted).map_or(0, |(_, count)| count)
}
