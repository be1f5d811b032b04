//! `vipd real-server setup`: real servers that nothing else prepared serve, keep ARP quiet, and can be taken back.

use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output};
use std::time::Duration;

use crate::lab::{Arms, Host, Lab, VIP};
use crate::traffic::{ask_udp, shares};

/// Longer than the kernel asks for a neighbour that does not answer: 3 s.
const NEIGHBOUR: Duration = Duration::from_secs(20);

fn config(kind: &str) -> String {
    let service = |port: u16, protocol: &str| {
        let server = |number: u8| format!("    real_server 192.0.2.{} {port} {{\n    }}\n", 10 + number);
        let servers = [server(1), server(2)].concat();
        format!(
            "virtual_server {VIP} {port} {{\n    protocol {protocol}\n    lb_algo rr\n    lb_kind {kind}\n{servers}}}\n"
        )
    };
    format!(
        "vrrp_instance VI_1 {{
    interface eth0
    virtual_router_id 7
    version 3
    advert_int 0.1
    virtual_ipaddress {{
        {VIP}/24
    }}
}}
{}{}",
        service(80, "TCP"),
        service(53, "UDP")
    )
}

/// `vipd real-server setup --vip VIP ARGS` on this host: exit status and what it says.
fn setup(lab: &Lab, host: &Host, vip: &str, args: &[&str]) -> (Option<i32>, String) {
    let pins = lab.path(host.namespace.name());
    let mut command = host.vipd(&["real-server", "setup", "--vip", vip]);
    let Output { status, stdout, stderr } = command.args(args).arg("--run-dir").arg(pins).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap())
}

/// Whether somebody on the client's network has the VIP: nobody does where the neighbour is not found.
fn somebody_answers_arp(client: &Host) -> bool {
    client.ip("neighbour flush dev eth0");
    let connected = client.inside(|| TcpStream::connect_timeout(&SocketAddr::new(VIP.into(), 80), NEIGHBOUR));
    match connected {
        Ok(_) => true,
        Err(error) if error.kind() == std::io::ErrorKind::HostUnreachable => false,
        Err(error) => panic!("connecting says {error}"),
    }
}

fn serves(lab: &Lab) {
    lab.until("the VIP is served", || lab.director.ip("-o address show").contains("192.0.2.100"));
    lab.client.ip("neighbour flush dev eth0");
    assert_eq!(shares(&lab.client, 80, 8).len(), 2, "both serve");
    let mut asked = [false; 2];
    lab.until("both answer datagrams", || {
        let server = ask_udp(&lab.client, 53, b"question").expect("an answer");
        asked[usize::from(server) - 1] = true;
        asked == [true; 2]
    });
}

#[test]
fn direct_routing_is_set_up_checked_persisted_and_taken_back() {
    let mut lab = Lab::new(Arms::One, 2);
    lab.serve(&[80], &[53]);
    let [one, two] = &lab.servers[..] else { panic!("two servers") };
    one.ip(&format!("address add {VIP}/32 dev lo"));
    assert!(somebody_answers_arp(&lab.client), "a real server that nobody prepared does answer");
    one.ip(&format!("address delete {VIP}/32 dev lo"));

    let file = lab.path("sysctl.conf");
    let persist = format!("--persist={}", file.display());
    let dr = |host, args: &[&str]| setup(&lab, host, "192.0.2.100", &[&["--method", "dr"], args].concat());
    let shown = "sysctl net.ipv4.conf.all.arp_announce = 2 (is 0)\nsysctl net.ipv4.conf.all.arp_ignore = 1 (is 0)\n\
                 ip address add 192.0.2.100/32 dev lo label lo:vipd\n";
    assert_eq!(dr(one, &["--check"]), (Some(1), shown.to_owned()));
    assert_eq!(dr(one, &["--dry-run"]), (Some(0), shown.to_owned()));
    assert_eq!(dr(one, &[&persist]), (Some(0), format!("{shown}write {}\n", file.display())));
    let nothing = (Some(0), "nothing to change\n".to_owned());
    assert_eq!(dr(one, &[&persist]), nothing);
    assert_eq!(dr(one, &["--check"]), nothing);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.ends_with("net.ipv4.conf.all.arp_announce = 2\nnet.ipv4.conf.all.arp_ignore = 1\n"), "{text}");
    assert_eq!(dr(two, &[]).0, Some(0));
    assert!(!somebody_answers_arp(&lab.client));

    let (status, said) = setup(&lab, &lab.client, "192.0.2.50", &["--method", "dr"]);
    assert!(status == Some(1) && said.contains("192.0.2.50 is on eth0"), "{said}");

    // What was there before stays.
    two.ip("address add 192.0.2.102/32 dev lo");
    let (status, said) = setup(&lab, two, "192.0.2.102", &["--method", "dr", "--undo"]);
    assert!(status == Some(0) && said.contains("192.0.2.102 stays on lo"), "{said}");
    assert!(two.ip("-o address show dev lo").contains("192.0.2.102"));
    two.ip("address delete 192.0.2.102/32 dev lo");
    let (status, said) = setup(&lab, two, "224.0.0.1", &["--method", "dr", "--dry-run"]);
    assert!(status == Some(1) && said.contains("no unicast address"), "{said}");

    // A second VIP keeps the first one's sysctls.
    assert_eq!(setup(&lab, one, "192.0.2.101", &["--method", "dr"]).0, Some(0));
    assert_eq!(setup(&lab, one, "192.0.2.101", &["--method", "dr", "--undo"]).0, Some(0));
    assert_eq!(dr(one, &["--check"]), nothing);

    lab.start(&config("DR"));
    serves(&lab);
    lab.stop();

    let [one, two] = &lab.servers[..] else { panic!("two servers") };
    for host in [one, two] {
        let (status, said) = setup(&lab, host, "192.0.2.100", &["--method", "dr", "--undo", &persist]);
        assert_eq!(status, Some(0), "{said}");
        assert_eq!(host.read_sysctl("net/ipv4/conf/all/arp_ignore"), "0");
        assert!(!host.ip("-o address show dev lo").contains("192.0.2.100"));
    }
    assert!(!file.exists());
}

#[test]
fn two_virtual_addresses_are_taken_back_in_either_order_and_a_step_that_failed_is_none() {
    let lab = Lab::new(Arms::One, 1);
    let [one] = &lab.servers[..] else { panic!("one server") };
    let stands = || {
        let sysctls = ["arp_announce", "arp_ignore"].map(|name| one.read_sysctl(&format!("net/ipv4/conf/all/{name}")));
        (sysctls, one.ip("-o address show"))
    };
    let dr = |vip, args: &[&str]| setup(&lab, one, vip, &[&["--method", "dr"], args].concat());
    let before = stands();
    let vips = ["192.0.2.101", "192.0.2.102"];
    for undone in [vips, [vips[1], vips[0]]] {
        for vip in vips {
            assert_eq!(dr(vip, &[]).0, Some(0));
        }
        for (vip, quiet) in undone.into_iter().zip(["1", "0"]) {
            assert_eq!(dr(vip, &["--undo"]).0, Some(0));
            assert_eq!(one.read_sysctl("net/ipv4/conf/all/arp_ignore"), quiet, "{vip} of {undone:?}");
        }
        assert_eq!(stands(), before, "{undone:?}");
    }

    // Without ip(8) the address cannot be added; then somebody adds it: it is not setup's.
    let failing = |run_dir: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vipd"));
        command.args(["real-server", "setup", "--vip", vips[0], "--method", "dr", "--run-dir"]);
        command.arg(lab.path(run_dir)).env("PATH", "/nowhere");
        let failed = one.inside(|| command.output()).unwrap();
        let said = String::from_utf8(failed.stderr).unwrap();
        assert!(failed.status.code() == Some(1) && said.contains("`ip address add 192.0.2.101/32"), "{said}");
    };
    failing(one.namespace.name());
    // It was the first step: nothing is written down.
    failing("fresh");
    assert!(!lab.path("fresh").join("real-server.json").exists());
    one.ip("address add 192.0.2.101/32 dev lo");
    let (status, said) = dr(vips[0], &["--undo"]);
    assert!(status == Some(0) && said.contains("192.0.2.101 stays on lo"), "{said}");
    assert!(one.ip("-o address show dev lo").contains("192.0.2.101/32"));
}

#[test]
fn a_tunnel_ends_in_the_program_where_the_kernel_has_no_device() {
    let mut lab = Lab::new(Arms::One, 2);
    lab.serve(&[80], &[53]);
    for host in &lab.servers {
        host.sysctl("net/ipv4/conf/all/rp_filter", "1");
        let (status, said) = setup(&lab, host, "192.0.2.100", &["--method", "tun", "--ebpf"]);
        assert!(status == Some(0) && said.contains("eBPF program on eth0"), "{said}");
        assert_eq!(setup(&lab, host, "192.0.2.100", &["--method", "tun", "--ebpf", "--check"]).0, Some(0));
    }
    assert!(!somebody_answers_arp(&lab.client));
    lab.start(&config("TUN"));
    serves(&lab);
    lab.stop();
    for host in &lab.servers {
        let (status, said) = setup(&lab, host, "192.0.2.100", &["--method", "tun", "--ebpf", "--undo"]);
        assert!(status == Some(0) && said.contains("takes no IPIP"), "{said}");
        let pins = lab.path(host.namespace.name()).join("real-server");
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        assert!(!mounts.contains(pins.to_str().unwrap()), "the mount of the pins stays");
        assert_eq!(setup(&lab, host, "192.0.2.100", &["--method", "tun", "--ebpf", "--check"]).0, Some(1));
    }
}
