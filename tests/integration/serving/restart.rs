//! A daemon that dies, or leaves all to the next one, and comes back: the kernel goes on forwarding, no request fails, and a
//! connection lives on.

use crate::lab::{Arms, Lab, VIP};
use crate::traffic::{Connection, Load, serve};

/// How a daemon ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Crash,
    Restart,
}

/// Adverts are rare, so that no lease ends before a busy machine has started the daemon again.
fn config(mode: &str, end: End) -> String {
    let server = |number| format!("real_server 192.0.2.1{number} 80 {{\n    }}");
    with(mode, end, &format!("{}\n    {}", server(1), server(2)))
}

/// With these real servers.
fn with(mode: &str, end: End, servers: &str) -> String {
    let (priority, interval) = match end {
        // An owner is Active at once.
        End::Crash => (255, 20),
        // Whoever is none and starts anew waits, and nobody is served meanwhile.
        End::Restart => (150, 5),
    };
    format!(
        "global_defs {{
    lvs_ebpf_mode {mode}
}}
vrrp_instance VI_1 {{
    interface eth0
    virtual_router_id 7
    state MASTER
    priority {priority}
    version 3
    advert_int {interval}
    virtual_ipaddress {{
        {VIP}/24
    }}
}}
virtual_server {VIP} 80 {{
    protocol TCP
    lb_algo rr
    lb_kind DR
    {servers}
}}
"
    )
}

fn lab(servers: usize) -> Lab {
    let lab = Lab::new(Arms::One, servers);
    for server in &lab.servers {
        server.sysctl("net/ipv4/conf/all/arp_ignore", "1");
        server.sysctl("net/ipv4/conf/all/arp_announce", "2");
        server.ip(&format!("address add {VIP}/32 dev lo"));
    }
    lab
}

fn comes_back_under_load(mode: &str, end: End) {
    let mut lab = lab(2);
    lab.serve(&[80], &[]);
    lab.start(&config(mode, end));
    let serves = |lab: &Lab| {
        lab.until("the hook is in use and the VIP is served", || {
            let status = lab.status().expect("a daemon that answers");
            let held = lab.director.ip("-o address show dev eth0").contains("192.0.2.100");
            held && status["plane"]["hooks"]["eth0"] == mode && status["plane"]["refused"].is_null()
        });
    };
    serves(&lab);
    let mut held: Vec<Connection> = (0..20).map(|_| Connection::open(&lab.client, 80).expect("a connection")).collect();
    let mut ask = || held.iter_mut().map(|one| one.who().expect("the connection lives")).collect::<Vec<_>>();
    let first = ask();
    let load = Load::start(&lab.client, 80);
    for _ in 0..2 {
        match end {
            End::Crash => lab.kill(),
            End::Restart => lab.leave(),
        }
        lab.start(&config(mode, end));
        serves(&lab);
        assert_eq!(ask(), first, "{mode}, {end:?}");
    }
    let tally = load.end();
    assert_eq!(tally.failed, Vec::<String>::new(), "{mode}, {end:?}: {:?}\n{}", tally.answered, lab.log());
    assert_eq!(tally.answered.len(), 2, "{mode}, {end:?}: {:?}", tally.answered);
    if matches!(end, End::Restart) {
        let explained = lab.told(&["explain", "VI_1"]);
        assert!(explained.contains("goes on where the daemon before left it (restart)"), "{explained}");
    }
    lab.stop();
}

#[test]
fn a_crash_and_a_start_fail_no_request_on_tc() {
    comes_back_under_load("tc", End::Crash);
}

#[test]
fn a_crash_and_a_start_fail_no_request_on_xdp() {
    comes_back_under_load("xdp", End::Crash);
}

#[test]
fn a_restart_fails_no_request_on_tc() {
    comes_back_under_load("tc", End::Restart);
}

#[test]
fn a_restart_fails_no_request_on_xdp() {
    comes_back_under_load("xdp", End::Restart);
}

#[test]
fn a_restart_keeps_what_checks_have_found() {
    let mut lab = lab(3);
    // Nobody listens on the third.
    for number in [1, 2] {
        serve(&lab.servers[usize::from(number) - 1], number, lab.address(number), &[80], &[]);
    }
    let check = "delay_loop 1\n        warmup 0\n        retry 0\n        TCP_CHECK {\n        }";
    let server =
        |number, alpha| format!("real_server 192.0.2.1{number} 80 {{\n        {alpha}\n        {check}\n    }}");
    let servers = [server(1, "alpha"), server(2, "alpha"), server(3, "")];
    let config = with("tc", End::Restart, &servers.join("\n    "));
    lab.start(&config);
    let in_plane = |lab: &Lab| {
        let listed = lab.ipvsadm("-Ln");
        [1, 2, 3].map(|number| listed.contains(&format!("192.0.2.1{number}:80")))
    };
    let goes_on = |lab: &Lab| {
        lab.until("the VIP is served by those that are up", || {
            lab.director.ip("-o address show dev eth0").contains("192.0.2.100") && in_plane(lab) == [true, true, false]
        });
    };
    goes_on(&lab);
    let mut held: Vec<Connection> = (0..20).map(|_| Connection::open(&lab.client, 80).expect("a connection")).collect();
    let mut ask = || held.iter_mut().map(|one| one.who().expect("the connection lives")).collect::<Vec<_>>();
    let first = ask();
    let load = Load::start(&lab.client, 80);
    for _ in 0..2 {
        lab.leave();
        assert_eq!(in_plane(&lab), [true, true, false], "it is left as it was");
        lab.start(&config);
        goes_on(&lab);
        assert_eq!(ask(), first);
        assert!(lab.log().contains("as before the restart"), "{}", lab.log());
        assert!(!lab.log().contains("lost quorum"), "{}", lab.log());
    }
    let tally = load.end();
    assert_eq!(tally.failed, Vec::<String>::new(), "{:?}\n{}", tally.answered, lab.log());
    assert_eq!(tally.answered.into_keys().collect::<Vec<_>>(), [1, 2]);
    lab.stop();
}
