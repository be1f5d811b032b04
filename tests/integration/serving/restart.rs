//! A daemon that dies and comes back: the kernel goes on forwarding, and no request fails.

use crate::lab::{Arms, Lab, VIP};
use crate::traffic::Load;

/// Adverts are rare, so that no lease ends before a busy machine has started the daemon again.
fn config(mode: &str) -> String {
    format!(
        "global_defs {{
    lvs_ebpf_mode {mode}
}}
vrrp_instance VI_1 {{
    interface eth0
    virtual_router_id 7
    priority 255
    version 3
    advert_int 20
    virtual_ipaddress {{
        {VIP}/24
    }}
}}
virtual_server {VIP} 80 {{
    protocol TCP
    lb_algo rr
    lb_kind DR
    real_server 192.0.2.11 80 {{
    }}
    real_server 192.0.2.12 80 {{
    }}
}}
"
    )
}

fn is_killed_under_load(mode: &str) {
    let mut lab = Lab::new(Arms::One, 2);
    for server in &lab.servers {
        server.sysctl("net/ipv4/conf/all/arp_ignore", "1");
        server.sysctl("net/ipv4/conf/all/arp_announce", "2");
        server.ip(&format!("address add {VIP}/32 dev lo"));
    }
    lab.serve(&[80], &[]);
    lab.start(&config(mode));
    let serves = |lab: &Lab| {
        lab.until("the hook is in use and the VIP is served", || {
            let status = lab.status().expect("a daemon that answers");
            let held = lab.director.ip("-o address show dev eth0").contains("192.0.2.100");
            held && status["plane"]["hooks"]["eth0"] == mode && status["plane"]["refused"].is_null()
        });
    };
    serves(&lab);
    let load = Load::start(&lab.client, 80);
    for _ in 0..2 {
        lab.kill();
        lab.start(&config(mode));
        serves(&lab);
    }
    let tally = load.end();
    assert_eq!(tally.failed, Vec::<String>::new(), "{mode}: {:?}\n{}", tally.answered, lab.log());
    assert_eq!(tally.answered.len(), 2, "{mode}: {:?}", tally.answered);
    lab.stop();
}

#[test]
fn a_crash_and_a_start_fail_no_request_on_tc() {
    is_killed_under_load("tc");
}

#[test]
fn a_crash_and_a_start_fail_no_request_on_xdp() {
    is_killed_under_load("xdp");
}
