//! Virtual routers with a MAC address of their own: takeovers that change nothing for a client, and packets that are not
//! for the host (`no_accept`).

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use vipd::base::{Family, Priority};
use vipd::daemon::heartbeat::{Heartbeat, HeartbeatOptions};
use vipd::lab::{Namespace, until};
use vipd::vrrp::io::neighbour::Announcer;
use vipd::vrrp::{Device, Garp, Settings, Standing, Version, Vmac, ip};

use super::wire::{PATIENCE, ip as run, reconfigure, settings, standing, stop};

/// Two routers and a client on one switch.
struct Lan {
    /// a, b, client, switch.
    hosts: [Namespace; 4],
}

impl Lan {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let host = |role| Namespace::create(&format!("vipd-{}-{number}-vmac{role}", std::process::id()));
        let hosts =
            [host("a").expect("needs root and iproute2"), host("b").unwrap(), host("c").unwrap(), host("s").unwrap()];
        let switch = hosts[3].name();
        run(&format!("-n {switch} link add br0 type bridge"));
        run(&format!("-n {switch} link set br0 up"));
        for (at, host) in hosts.iter().take(3).enumerate() {
            let (name, at) = (host.name(), at + 1);
            run(&format!("-n {name} link add eth0 type veth peer name port{at} netns {switch}"));
            run(&format!("-n {switch} link set port{at} master br0 up"));
            run(&format!("-n {name} address add 192.0.2.{at}/24 dev eth0"));
            run(&format!("-n {name} address add 2001:db8::{at}/64 dev eth0 nodad"));
            run(&format!("-n {name} link set eth0 up"));
        }
        let lan = Self { hosts };
        until("duplicate address detection ends", PATIENCE, || {
            (0..3).all(|at| !lan.ip(at, "address").contains("tentative"))
        })
        .unwrap();
        lan
    }

    fn ip(&self, at: usize, line: &str) -> String {
        run(&format!("-n {} {line}", self.hosts[at].name()))
    }

    fn start(&self, at: usize, settings: Settings) -> Heartbeat {
        self.hosts[at].inside(|| Heartbeat::start(vec![settings], HeartbeatOptions::default())).unwrap().unwrap()
    }

    /// The client knocks where nobody listens: the host itself answers, or nobody does.
    fn answers(&self, vip: &str) -> bool {
        let at = SocketAddr::new(vip.parse().unwrap(), 9);
        let knock = || TcpStream::connect_timeout(&at, Duration::from_secs(1));
        self.hosts[2].inside(knock).unwrap().is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    }

    fn neighbour(&self, vip: &str) -> String {
        let line = self.ip(2, &format!("neighbour show {vip}"));
        let mut words = line.split_whitespace().skip_while(|word| *word != "lladdr").skip(1);
        words.next().unwrap_or_default().to_owned()
    }

    fn holds(&self, at: usize, device: &str, vip: &str) -> bool {
        self.ip(at, "-o address show").lines().any(|line| line.contains(&format!(" {device} ")) && line.contains(vip))
    }

    fn is_up(&self, at: usize, device: &str) -> bool {
        self.ip(at, "-o link show").lines().any(|line| line.contains(&format!(" {device}@")) && line.contains(",UP"))
    }

    fn sysctl(&self, at: usize, name: &str) -> String {
        let read = || std::fs::read_to_string(format!("/proc/sys/net/{name}")).unwrap();
        self.hosts[at].inside(read).unwrap().trim().to_owned()
    }
}

fn own_mac(family: Family, priority: u8, xmit_base: bool) -> Settings {
    let plain = settings(family, Version::V3, priority);
    let mac = ip::virtual_mac(family, plain.vrid);
    let vmac = Vmac { name: "vrrp.7".parse().unwrap(), mac, ipv6: family == Family::V6, xmit_base };
    Settings { vmac: Some(vmac), priority: Priority::new(priority).unwrap(), ..plain }
}

const ROWS: [(Family, &str, &str); 2] =
    [(Family::V4, "192.0.2.100", "00:00:5e:00:01:07"), (Family::V6, "2001:db8::100", "00:00:5e:00:02:07")];

#[test]
fn a_takeover_changes_nothing_for_a_client() {
    for ((family, vip, mac), xmit_base) in ROWS.iter().flat_map(|row| [(row, false), (row, true)]) {
        let what = format!("{vip} xmit_base {xmit_base}");
        let lan = Lan::new();
        let a = lan.start(0, own_mac(*family, 150, xmit_base));
        until(&format!("{what}: a holds it"), PATIENCE, || lan.holds(0, "vrrp.7", vip) && lan.is_up(0, "vrrp.7"))
            .unwrap();
        let b = lan.start(1, own_mac(*family, 100, xmit_base));
        until(&format!("{what}: b hears a"), PATIENCE, || b.snapshot.borrow()[0].counters.adverts_received > 2)
            .unwrap();
        until(&format!("{what}: b has it, down"), PATIENCE, || lan.ip(1, "-o link show").contains("vrrp.7@")).unwrap();
        assert!(!lan.is_up(1, "vrrp.7"), "{what}: a Backup is deaf to the virtual MAC");
        until(&format!("{what}: the client is answered"), PATIENCE, || lan.answers(vip)).unwrap();
        assert_eq!(lan.neighbour(vip), *mac, "{what}");
        assert_eq!(lan.sysctl(0, "ipv4/conf/eth0/arp_announce"), "2", "{what}");

        stop(&a);
        until(&format!("{what}: b holds it"), PATIENCE, || lan.holds(1, "vrrp.7", vip) && lan.is_up(1, "vrrp.7"))
            .unwrap();
        assert_eq!(lan.neighbour(vip), *mac, "{what}: the entry is as it was");
        until(&format!("{what}: the client is answered by b"), PATIENCE, || lan.answers(vip)).unwrap();
        assert_eq!(lan.neighbour(vip), *mac, "{what}: the entry is as it was");
        assert!(!lan.ip(0, "-o link show").contains("vrrp.7"), "{what}: nothing is left on a");
        assert_eq!(lan.sysctl(0, "ipv4/conf/eth0/arp_announce"), "0", "{what}");

        // A better one comes: only the interface with the virtual MAC hears it, since that is where it comes from.
        let a = lan.start(0, own_mac(*family, 150, xmit_base));
        until(&format!("{what}: b steps down"), PATIENCE, || {
            standing(&b) == Standing::Backup && !lan.is_up(1, "vrrp.7")
        })
        .unwrap_or_else(|error| panic!("{error}\n{:?}", b.snapshot.borrow()[0]));
        until(&format!("{what}: the client is answered by a"), PATIENCE, || lan.answers(vip)).unwrap();
        assert_eq!(lan.neighbour(vip), *mac, "{what}: the entry is as it was");
        for router in [a, b] {
            let view = router.snapshot.borrow()[0].clone();
            assert!(view.discards.is_empty(), "{what}: {view:?}");
            stop(&router);
        }
    }
}

#[test]
fn an_address_alone_has_the_virtual_mac_and_is_announced_again_and_again() {
    let lan = Lan::new();
    let (vip, mac) = ("192.0.2.100", "00:00:5e:00:01:07");
    let alone = |priority| {
        let Settings { vmac, mut addresses, garp, interface, .. } = own_mac(Family::V4, priority, true);
        let device = Device { base: interface, vmac: vmac.unwrap() };
        addresses[0].dev = Some(device.vmac.name.clone());
        let garp = Garp { extra: Duration::from_millis(20), ..garp };
        let plain = settings(Family::V4, Version::V3, priority);
        Settings { addresses, garp, address_devices: vec![device], ..plain }
    };
    let a = lan.start(0, alone(150));
    until("a holds it", PATIENCE, || lan.holds(0, "vrrp.7", vip) && lan.is_up(0, "vrrp.7")).unwrap();
    until("the client is answered", PATIENCE, || lan.answers(vip)).unwrap();
    assert_eq!(lan.neighbour(vip), mac);
    let announced = |router: &Heartbeat| router.snapshot.borrow()[0].counters.announcements_sent;
    until("it goes on announcing", PATIENCE, || announced(&a) > 50).unwrap();
    let b = lan.start(1, alone(100));
    until("b has the interface, down", PATIENCE, || lan.ip(1, "-o link show").contains("vrrp.7@")).unwrap();
    assert!(!lan.is_up(1, "vrrp.7"));
    assert_eq!(announced(&b), 0);
    stop(&a);
    until("b holds it", PATIENCE, || lan.holds(1, "vrrp.7", vip) && lan.is_up(1, "vrrp.7")).unwrap();
    until("the client is answered by b", PATIENCE, || lan.answers(vip)).unwrap();
    assert_eq!(lan.neighbour(vip), mac);
    assert!(!lan.ip(0, "-o link show").contains("vrrp.7"), "nothing is left on a");
    stop(&b);
}

#[test]
fn an_interface_that_somebody_removes_comes_back() {
    let lan = Lan::new();
    let a = lan.start(0, own_mac(Family::V4, 150, false));
    let held = || lan.holds(0, "vrrp.7", "192.0.2.100") && lan.is_up(0, "vrrp.7");
    until("it is held", PATIENCE, held).unwrap();
    lan.ip(0, "link del vrrp.7");
    until("it is back", PATIENCE, held).unwrap_or_else(|error| panic!("{error}\n{:?}", a.snapshot.borrow()[0]));
    assert_eq!(standing(&a), Standing::Active);
    until("the client is answered", PATIENCE, || lan.answers("192.0.2.100")).unwrap();
    stop(&a);
}

#[test]
fn an_interface_that_keepalived_left_is_made_anew() {
    let lan = Lan::new();
    // As keepalived makes it, which leaves it up when it is killed.
    lan.ip(0, "link add vrrp.7 link eth0 address 00:00:5e:00:01:07 type macvlan mode private");
    lan.ip(0, "link set vrrp.7 up");
    lan.ip(0, "address add 192.0.2.100/24 dev vrrp.7");
    let b = lan.start(1, own_mac(Family::V4, 150, false));
    until("b is active", PATIENCE, || standing(&b) == Standing::Active).unwrap();
    let a = lan.start(0, own_mac(Family::V4, 100, false));
    until("a has it, down", PATIENCE, || {
        standing(&a) == Standing::Backup && lan.ip(0, "-o link show").contains("vrrp.7@") && !lan.is_up(0, "vrrp.7")
    })
    .unwrap();
    assert!(!lan.holds(0, "vrrp.7", "192.0.2.100"));
    stop(&b);
    until("a holds it", PATIENCE, || lan.holds(0, "vrrp.7", "192.0.2.100") && lan.is_up(0, "vrrp.7")).unwrap();
    stop(&a);
    assert!(!lan.ip(0, "-o link show").contains("vrrp.7"));
}

#[test]
fn a_rival_with_the_same_virtual_mac_is_answered() {
    for (family, vip, _) in ROWS {
        let lan = Lan::new();
        let mut only = own_mac(family, 150, false);
        only.garp = Garp { repeat: 1, delay: Duration::ZERO, ..only.garp };
        let mac = only.vmac.as_ref().unwrap().mac;
        let a = lan.start(0, only);
        let counters = || a.snapshot.borrow()[0].counters;
        // Once at once, and once when who handed over would be silent.
        until("it is held and announced", PATIENCE, || {
            lan.holds(0, "vrrp.7", vip) && counters().announcements_sent == 2
        })
        .unwrap();
        assert_eq!(counters().claims, 0, "{vip}: its own announcements are none");
        let index: u32 = lan.ip(1, "-o link show dev eth0").split(':').next().unwrap().parse().unwrap();
        let rival = lan.hosts[1].inside(Announcer::open).unwrap().unwrap();
        rival.announce(index, mac, vip.parse().unwrap(), false).unwrap();
        until(&format!("{vip} is announced again"), PATIENCE, || counters().announcements_sent == 3).unwrap();
        assert_eq!(counters().claims, 1, "{vip}");
        stop(&a);
    }
}

#[test]
fn packets_for_an_address_that_does_not_accept_them_are_dropped_and_neighbours_are_answered() {
    for (family, vip, mac) in ROWS {
        let lan = Lan::new();
        let refusing = Settings { accept: false, ..own_mac(family, 150, false) };
        let a = lan.start(0, refusing.clone());
        until("it is held", PATIENCE, || lan.holds(0, "vrrp.7", vip) && standing(&a) == Standing::Active).unwrap();
        until("the neighbour is known", PATIENCE, || !lan.answers(vip) && lan.neighbour(vip) == mac).unwrap();
        assert!(!lan.answers(vip), "{vip}");
        let own = if family == Family::V4 { "192.0.2.1" } else { "2001:db8::1" };
        assert!(lan.answers(own), "{own}");
        reconfigure(&a, vec![Settings { accept: true, ..refusing }]).unwrap();
        until("it accepts", PATIENCE, || lan.answers(vip)).unwrap();
        stop(&a);
    }
}
