//! The sorry server: it serves while nobody else does, and what becomes of its connections then is `sorry_server_inhibit`.

use std::fs;
use std::path::Path;

use crate::lab::{Arms, Lab, VIP};
use crate::traffic::{Connection, shares};

/// One server by NAT, up while there is this file, and the other one for when it is not.
fn config(inhibit: &str, file: &Path) -> String {
    format!(
        "global_defs {{
    script_user root
}}
vrrp_instance VI_1 {{
    interface eth0
    virtual_router_id 7
    version 3
    advert_int 0.1
    virtual_ipaddress {{
        {VIP}/24
        10.0.0.1/24 dev eth1
    }}
}}
virtual_server {VIP} 80 {{
    protocol TCP
    lb_algo rr
    lb_kind NAT
    delay_loop 0.2
    warmup 0
    retry 1
    delay_before_retry 0.1
    sorry_server 10.0.0.12 80
    {inhibit}
    real_server 10.0.0.11 80 {{
        MISC_CHECK {{
            misc_path \"/usr/bin/test -e {}\"
        }}
    }}
}}
",
        file.display()
    )
}

#[test]
fn the_sorry_server_serves_alone_and_keeps_its_connections_where_it_is_inhibited() {
    for (inhibit, kept) in [("sorry_server_inhibit", true), ("", false)] {
        let mut lab = Lab::new(Arms::Two, 2);
        lab.serve(&[80], &[]);
        let file = lab.path("up");
        fs::write(&file, "").unwrap();
        lab.start(&config(inhibit, &file));
        let served_by = |server| {
            let asked = || Connection::open(&lab.client, 80)?.who();
            lab.until(&format!("server {server} serves"), || asked().is_ok_and(|who| who == server));
            assert_eq!(shares(&lab.client, 80, 4).keys().collect::<Vec<_>>(), [&server], "and nobody else");
        };
        served_by(1);
        fs::remove_file(&file).unwrap();
        served_by(2);
        let mut connection = Connection::open(&lab.client, 80).unwrap();
        assert_eq!(connection.who().unwrap(), 2);
        fs::write(&file, "").unwrap();
        served_by(1);
        assert_eq!(connection.who().ok(), kept.then_some(2), "{inhibit:?}");
        lab.stop();
    }
}
