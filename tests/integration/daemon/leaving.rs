//! SIGQUIT and a start: the next daemon goes on where the one before left it, and a peer hears no difference.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use vipd::lab::until;

use super::{Host, INSTANCE, PATIENCE};

/// Adverts of a second, of which twenty may be missing: a busy machine starts a daemon in that time.
fn config(interface: &str, priority: u8, more: &str) -> String {
    let timers = format!("priority {priority}\n    down_timer_adverts 20\n    {more}");
    let text = INSTANCE.replace("eth0", interface).replace("priority 100", &timers);
    text.replace("advert_int 0.1", "advert_int 1")
}

fn state(host: &Host) -> String {
    let status = host.status().unwrap_or_default();
    status["instances"][0]["state"].as_str().unwrap_or_default().to_owned()
}

fn wait_for(host: &Host, wanted: &str) {
    until(&format!("it is {wanted}"), PATIENCE, || state(host) == wanted)
        .unwrap_or_else(|error| panic!("{error}\n{}", host.log()));
}

#[test]
fn a_restart_of_the_master_moves_nothing_at_its_peer_and_leaves_no_script_behind() {
    let (host, peer) = (Host::new(), Host::new());
    peer.ip("link del eth0");
    host.ip(&format!("link set far0 netns {} name wire0", peer.namespace.name()));
    peer.ip("address add 192.0.2.3/24 dev wire0");
    peer.ip("link set wire0 up");
    let (slow, pid) = (host.dir.path().join("slow"), host.dir.path().join("pid"));
    let script = host.dir.path().join("script");
    let text =
        format!("#!/bin/sh\n[ -e {} ] || exit 0\necho $$ > {}\nexec sleep 1000\n", slow.display(), pid.display());
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let tracked = format!(
        "vrrp_script s {{\nscript {}\ninterval 1\ntimeout 1000\nuser root\n}}\n{}",
        script.display(),
        config("eth0", 200, "state MASTER\n    track_script {\n        s\n    }")
    );
    let of_master = host.config(&tracked);
    let mut master = host.start(&of_master);
    wait_for(&host, "MASTER");
    let backup = peer.start(&peer.config(&config("wire0", 100, "")));
    wait_for(&peer, "BACKUP");
    let address = |host: &Host| host.ip("-o address show to 192.0.2.100");

    for _ in 0..2 {
        fs::write(&slow, "").unwrap();
        until("the script takes its time", PATIENCE, || {
            fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n'))
        })
        .unwrap_or_else(|error| panic!("{error}\n{}", host.log()));
        fs::remove_file(&slow).unwrap();
        master.signal(Signal::SIGQUIT);
        assert!(master.ended().success(), "{}", host.log());
        let process = Path::new("/proc").join(fs::read_to_string(&pid).unwrap().trim());
        until("its script is gone", PATIENCE, || !process.exists()).unwrap();
        fs::remove_file(&pid).unwrap();
        assert!(address(&host).contains("192.0.2.100"), "the address stays: {}", host.log());
        master = host.start(&of_master);
        wait_for(&host, "MASTER");
        assert!(host.log().contains("goes on where the daemon before left it (restart)"), "{}", host.log());
    }
    let status = peer.status().unwrap();
    assert_eq!(state(&peer), "BACKUP", "{}", peer.log());
    assert_eq!(status["instances"][0]["counters"]["priority_zero_received"], 0, "{status:#}");
    assert!(!peer.log().contains("to=active"), "{}", peer.log());
    drop(backup);
    master.signal(Signal::SIGTERM);
    assert!(master.ended().success(), "{}", host.log());
    assert!(!address(&host).contains("192.0.2.100"), "an order to stop is obeyed as ever");
}

#[test]
fn who_starts_while_the_daemon_before_leaves_waits_for_it() {
    let host = Host::new();
    // It is waited for, for 2 s.
    let config = host.config(&config("eth0", 200, "state MASTER\n    notify_master \"/bin/sleep 15\""));
    let mut first = host.start(&config);
    wait_for(&host, "MASTER");
    first.signal(Signal::SIGQUIT);
    until("it says that it ends", PATIENCE, || {
        fs::read_to_string(host.dir.path().join("run/lock")).is_ok_and(|text| text.ends_with("ending\n"))
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", host.log()));
    let second = host.start(&config);
    assert!(first.ended().success(), "{}", host.log());
    wait_for(&host, "MASTER");
    assert!(host.log().contains("goes on where the daemon before left it (restart)"), "{}", host.log());
    drop(second);
}

#[test]
fn without_a_successor_the_address_goes_with_its_lease() {
    let host = Host::new();
    let mut running = host.start(&host.config(INSTANCE));
    wait_for(&host, "MASTER");
    running.signal(Signal::SIGQUIT);
    assert!(running.ended().success(), "{}", host.log());
    until("its lease ends", PATIENCE, || !host.holds("192.0.2.100")).unwrap();
}
