//! Who is told of what: scripts and FIFOs.

use std::fs;

use nix::sys::signal::Signal;
use vipd::lab::until;

use super::{Host, INSTANCE, PATIENCE, SERVER};

#[test]
fn scripts_are_told_of_every_state() {
    let host = Host::new();
    let told = host.dir.path().join("told");
    let script = host.dir.path().join("notify.sh");
    fs::write(&script, format!("#!/bin/sh\necho \"$@\" >> {}\n", told.display())).unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let text = INSTANCE.replace("    version 3", &format!("    version 3\n    notify {} root root", script.display()));
    let mut running = host.start(&host.config(&text));
    let lines = || fs::read_to_string(&told).unwrap_or_default();
    until("MASTER is told", PATIENCE, || lines().contains("INSTANCE VI_1 MASTER 100")).unwrap();
    running.signal(Signal::SIGTERM);
    assert_eq!(running.ended().code(), Some(0), "{}", host.log());
    assert!(lines().ends_with("INSTANCE VI_1 STOP 100\n"), "{}", lines());
}

#[test]
fn a_script_that_names_nobody_is_run_by_script_user() {
    let host = Host::new();
    // Where that user may go.
    let shared = tempfile::tempdir().unwrap();
    fs::set_permissions(shared.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let (told, script) = (shared.path().join("told"), shared.path().join("notify.sh"));
    fs::write(&script, format!("#!/bin/sh\nid -un >> {}\n", told.display())).unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let text = INSTANCE.replace("    version 3", &format!("    version 3\n    notify_master {}", script.display()));
    let _running = host.start(&host.config(&format!("global_defs {{\n    script_user nobody\n}}\n{text}")));
    let name = || fs::read_to_string(&told).unwrap_or_default();
    until("MASTER is told", PATIENCE, || name().ends_with('\n')).unwrap_or_else(|e| panic!("{e}\n{}", host.log()));
    assert_eq!(name(), "nobody\n");
}

#[test]
fn a_reader_of_the_fifo_gets_the_lines_of_keepalived() {
    let host = Host::new();
    let (told, fifo) = (host.dir.path().join("told"), host.dir.path().join("fifo"));
    let script = host.dir.path().join("read.sh");
    fs::write(&script, format!("#!/bin/sh\ncat \"$1\" > {}\n", told.display())).unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let global = format!(
        "global_defs {{\n    notify_fifo {}\n    notify_fifo_script {} root root\n    vrrp_notify_priority_changes\n}}\n",
        fifo.display(),
        script.display()
    );
    let tracked = "vrrp_track_file weight {\n    file \"FILE\"\n    weight 1\n    init_file 0\n}\n";
    let number = host.dir.path().join("number");
    fs::write(&number, "0").unwrap();
    let tracked = tracked.replace("    init_file 0\n", "").replace("FILE", number.to_str().unwrap());
    let instance = INSTANCE.replace("    version 3", "    version 3\n    track_file {\n        weight\n    }");
    let mut running = host.start(&host.config(&format!("{global}{tracked}{instance}{SERVER}")));
    let lines = || fs::read_to_string(&told).unwrap_or_default();
    until("MASTER is told", PATIENCE, || lines().contains("INSTANCE \"VI_1\" MASTER 100\n"))
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", lines(), host.log()));
    let dead = "RS [127.0.0.1]:tcp:80 [192.0.2.100]:tcp:80 DOWN\nVS [192.0.2.100]:tcp:80 DOWN\n";
    until("the dead server is told", PATIENCE, || lines().contains(dead))
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", lines(), host.log()));
    fs::write(&number, "20").unwrap();
    until("the priority is told", PATIENCE, || lines().contains("INSTANCE \"VI_1\" MASTER_PRIORITY 120\n"))
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", lines(), host.log()));
    running.signal(Signal::SIGTERM);
    assert_eq!(running.ended().code(), Some(0), "{}", host.log());
    let all = lines();
    assert!(all.contains("INSTANCE \"VI_1\" BACKUP 100\n"), "{all}");
    assert!(all.ends_with("INSTANCE \"VI_1\" STOP 120\n"), "{all}");
    assert!(!fifo.exists(), "we made it, and it goes with us");
}

#[test]
fn a_reload_that_changes_the_vrid_tells_no_end_of_what_goes_on() {
    let host = Host::new();
    let (told, script) = (host.dir.path().join("told"), host.dir.path().join("notify.sh"));
    fs::write(&script, format!("#!/bin/sh\necho \"$@\" >> {}\n", told.display())).unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let text = INSTANCE.replace("    version 3", &format!("    version 3\n    notify {} root root", script.display()));
    let mut running = host.start(&host.config(&text));
    let lines = || fs::read_to_string(&told).unwrap_or_default();
    let masters = || lines().matches("INSTANCE VI_1 MASTER 100").count();
    until("MASTER is told", PATIENCE, || masters() == 1).unwrap_or_else(|e| panic!("{e}\n{}", host.log()));
    assert!(text.contains("virtual_router_id 7\n"), "{text}");
    host.config(&text.replace("virtual_router_id 7\n", "virtual_router_id 8\n"));
    running.signal(Signal::SIGHUP);
    until("MASTER is told again", PATIENCE, || masters() == 2)
        .unwrap_or_else(|e| panic!("{e}: {}\n{}", lines(), host.log()));
    assert!(!lines().contains("STOP"), "{}", lines());
    running.signal(Signal::SIGTERM);
    assert_eq!(running.ended().code(), Some(0), "{}", host.log());
    assert!(lines().ends_with("INSTANCE VI_1 STOP 100\n"), "{}", lines());
}
