//! Services that are more than one address and port: ranges of a `virtual_server_group`.

use std::collections::BTreeMap;

use crate::lab::{Arms, Lab, VIP};
use crate::traffic::shares;

/// A pair of addresses, outside and inside, and two servers by NAT behind the group `web`.
fn config(group: &str) -> String {
    format!(
        "vrrp_instance VI_1 {{
    interface eth0
    virtual_router_id 7
    version 3
    advert_int 0.1
    virtual_ipaddress {{
        {VIP}/24
        10.0.0.1/24 dev eth1
    }}
}}
{group}
virtual_server group web {{
    protocol TCP
    lb_algo rr
    lb_kind NAT
    real_server 10.0.0.11 0 {{
    }}
    real_server 10.0.0.12 0 {{
    }}
}}
"
    )
}

#[test]
fn a_range_of_ports_is_one_service_for_each() {
    let mut lab = Lab::new(Arms::Two, 2);
    lab.serve(&[8000, 8001, 8003], &[]);
    let group = |ports: &str| config(&format!("virtual_server_group web {{\n    {VIP} {ports}\n}}"));
    lab.start(&group("8000-8002"));
    lab.until("the VIP is served", || lab.director.ip("-o address show").contains("192.0.2.100"));
    for port in [8000, 8001] {
        assert_eq!(shares(&lab.client, port, 4), BTreeMap::from([(1, 2), (2, 2)]), "port {port} has a turn of its own");
    }
    let services = || -> Vec<String> {
        let listed = lab.ipvsadm("-L -n --stats");
        let words = |line: &str| line.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
        listed.lines().filter(|line| line.starts_with("TCP")).map(words).collect()
    };
    let expected = ["TCP 192.0.2.100:8000 4", "TCP 192.0.2.100:8001 4", "TCP 192.0.2.100:8002 0"];
    assert_eq!(services(), expected, "each has its counters");
    lab.reload(&group("8001-8003"));
    let expected = ["TCP 192.0.2.100:8001 4", "TCP 192.0.2.100:8002 0", "TCP 192.0.2.100:8003 0"];
    assert_eq!(services(), expected, "what stays goes on");
    assert_eq!(shares(&lab.client, 8003, 2).len(), 2);
    lab.stop();
}
