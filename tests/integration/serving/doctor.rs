//! `vipd doctor` and `lvs_sysctl`: a director that cannot forward is told so, and made to where it may be.

use crate::lab::{Arms, Lab};

const SERVICE: &str = "virtual_server 192.0.2.100 80 {
    protocol TCP
    lb_kind DR
    real_server 192.0.2.11 80 {
    }
}
";

#[test]
fn a_setting_that_keeps_the_plane_from_forwarding_is_told_and_set_where_that_is_asked_for() {
    let mut lab = Lab::new(Arms::One, 0);
    lab.director.sysctl("net/ipv4/ip_forward", "0");
    lab.start(SERVICE);
    let told = lab.ask(&["doctor"]);
    let text = String::from_utf8(told.stdout).unwrap();
    assert_eq!(told.status.code(), Some(1), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("sysctl: net.ipv4.ip_forward is 0, and must be 1: "), "{text}");
    let json: serde_json::Value = serde_json::from_slice(&lab.ask(&["doctor", "--json"]).stdout).unwrap();
    assert_eq!(json[0]["about"], "sysctl", "{json}");
    assert!(json[0]["remedy"].as_str().unwrap().starts_with("sysctl -w net.ipv4.ip_forward=1"), "{json}");
    assert!(lab.log().contains("net.ipv4.ip_forward is 0"), "{}", lab.log());
    assert_eq!(lab.director.read_sysctl("net/ipv4/ip_forward"), "0", "it is only told");

    lab.reload(&format!("global_defs {{\n    lvs_sysctl auto\n}}\n{SERVICE}"));
    assert_eq!(lab.director.read_sysctl("net/ipv4/ip_forward"), "1");
    assert_eq!(lab.told(&["doctor"]), "nothing is wrong\n");
    let status = lab.told(&["status"]);
    assert!(status.contains("net.ipv4.ip_forward set from 0 to 1"), "{status}");

    lab.configure("virtual_server 192.0.2.100 80 {\n    protcol TCP\n}\n");
    let (file, wrong) = (lab.config(), lab.ask(&["doctor", lab.config().to_str().unwrap()]));
    let text = String::from_utf8(wrong.stdout).unwrap();
    assert!(wrong.status.code() == Some(1) && text.contains(&format!("vipd check {}", file.display())), "{text}");
    lab.stop();
}
