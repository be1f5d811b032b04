//! The lab itself: hosts that reach one another, daemons that are started and killed, nothing that stays behind.
//!
//! Needs root. The directors run Debian's keepalived, so that a fault of ours cannot hide a fault of the lab.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use vipd::lab::client::Target;
use vipd::lab::drill::{self, Plan, Scenario};
use vipd::lab::{Client, Daemon, Facts, Journal, Lab, LabError, Seat, Services, Setup, Stop, leftovers, until};

const CONFIG_A: &str = include_str!("../../conf/pair-master.conf");
const CONFIG_B: &str = include_str!("../../conf/pair-backup.conf");
/// Far more than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn keepalived_pair(services: Services) -> Lab {
    let setup = Setup {
        facts: Facts::scan(CONFIG_A).unwrap(),
        config_a: CONFIG_A.to_owned(),
        config_b: CONFIG_B.to_owned(),
        daemon_a: Daemon::Keepalived,
        daemon_b: Daemon::Keepalived,
        services,
    };
    Lab::pair(&setup).unwrap()
}

fn holds(lab: &Lab, seat: Seat) -> bool {
    lab.holds_vip(seat).unwrap()
}

/// What answers a GET on `to`; empty where nobody does.
fn get(lab: &Lab, to: SocketAddr) -> String {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&to, Duration::from_millis(500))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text.lines().last().unwrap_or_default().to_owned())
    };
    lab.client().inside(ask).unwrap().unwrap_or_default()
}

#[test]
fn the_vip_moves_with_every_fault() {
    let mut lab = keepalived_pair(Services::OnDirectors);
    let vip = SocketAddr::new(IpAddr::V4(lab.facts().vip), lab.facts().tcp.port);
    for seat in Seat::BOTH {
        lab.director_mut(seat).start().unwrap();
    }
    until("a is master", PATIENCE, || holds(&lab, Seat::A) && !holds(&lab, Seat::B)).unwrap();
    until("a answers", PATIENCE, || get(&lab, vip) == "a").unwrap();

    lab.director(Seat::A).terminate().unwrap();
    lab.director_mut(Seat::A).wait_for_end(PATIENCE).unwrap();
    until("b takes over from a stopped one", PATIENCE, || holds(&lab, Seat::B) && !holds(&lab, Seat::A)).unwrap();
    until("b answers", PATIENCE, || get(&lab, vip) == "b").unwrap();

    lab.director_mut(Seat::A).start().unwrap();
    until("a preempts", PATIENCE, || holds(&lab, Seat::A) && !holds(&lab, Seat::B)).unwrap();

    lab.cable(Seat::A, false).unwrap();
    until("b takes over from one without carrier", PATIENCE, || holds(&lab, Seat::B)).unwrap();
    lab.cable(Seat::A, true).unwrap();
    until("a is back", PATIENCE, || holds(&lab, Seat::A) && !holds(&lab, Seat::B)).unwrap();

    assert!(lab.director_mut(Seat::A).kill().unwrap() >= 2, "keepalived is a parent and a child");
    until("b takes over from a dead one", PATIENCE, || holds(&lab, Seat::B)).unwrap();
}

#[test]
fn a_real_server_answers_with_its_name_until_it_dies() {
    let mut lab = keepalived_pair(Services::Forwarded);
    let names: Vec<String> = lab.servers().iter().map(|server| server.name().to_owned()).collect();
    assert_eq!(names, ["s1", "s2", "s3"]);
    for (name, addr) in names.iter().zip(lab.facts().tcp.servers.clone()) {
        let web = SocketAddr::new(IpAddr::V4(addr), 80);
        assert_eq!(&get(&lab, web), name);
        let echo = move || -> std::io::Result<String> {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.connect((addr, 7))?;
            socket.send(b"probe")?;
            let mut answer = [0; 64];
            let length = socket.recv(&mut answer)?;
            Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
        };
        assert_eq!(lab.client().inside(echo).unwrap().unwrap(), format!("probe {name}"));
        lab.server_mut(name).unwrap().stop();
        assert_eq!(get(&lab, web), "", "{name} is stopped");
        lab.server_mut(name).unwrap().start().unwrap();
        assert_eq!(&get(&lab, web), name);
    }
}

#[test]
fn nothing_stays_behind() {
    let mut lab = keepalived_pair(Services::Forwarded);
    let names: Vec<String> =
        [lab.client(), lab.director(Seat::A).host()].iter().map(|host| host.namespace().to_owned()).collect();
    let directory = lab.director(Seat::A).run_dir();
    lab.director_mut(Seat::A).start().unwrap();
    until("keepalived runs", PATIENCE, || !lab.director(Seat::A).host().processes().is_empty()).unwrap();
    let pids = lab.director(Seat::A).host().processes();
    // A mount below the run directory, as pinned programs make it.
    vipd::lab::run("mount", &["-t", "tmpfs", "lab", directory.to_str().unwrap()]).unwrap();
    drop(lab);
    for name in names {
        assert!(!Path::new("/run/netns").join(&name).exists(), "{name}");
    }
    assert!(!directory.exists(), "{}", directory.display());
    until("the processes are gone", PATIENCE, || pids.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()))
        .unwrap();
}

#[test]
fn what_a_killed_lab_left_is_removed() {
    // No process has a number above PID_MAX_LIMIT (4194304).
    let name = format!("vipd-{}-0-leftover", 4_194_305 + u64::from(std::process::id()));
    vipd::lab::run("ip", &["netns", "add", &name]).unwrap();
    let lab = keepalived_pair(Services::OnDirectors);
    let (removed, failed) = leftovers::remove();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(removed.contains(&name), "{removed:?}");
    assert!(Path::new("/run/netns").join(lab.client().namespace()).exists(), "that of a living process stays");
}

/// Everything of a drill but the forwarding plane, which keepalived has none of on a kernel without IPVS.
#[test]
fn a_drill_finds_what_keepalived_leaves_open() {
    let plan =
        Plan::new(&[], &Daemon::Keepalived, Services::OnDirectors, &[Scenario::Link, Scenario::Kill], false).unwrap();
    let mut told: Vec<u8> = vec![];
    let report = drill::run(&plan, &Stop::default(), &mut told).unwrap();
    let told = String::from_utf8(told).unwrap();
    println!("{told}\n{}", report.table());

    assert!(told.contains("has the VIP") && told.contains("sends to b"), "{told}");
    let killed = report.faults.iter().find(|fault| fault.fault.contains("kill -9")).unwrap();
    let lease = killed.verdicts.iter().find(|verdict| verdict.promise.contains("lease")).unwrap();
    assert_eq!((lease.kept, lease.measured), (false, None), "keepalived leaves the VIP on a killed host");
    assert!(!killed.kept && !report.kept);
    let down = report.faults.iter().find(|fault| fault.fault.contains("link down")).unwrap();
    assert!(down.probes_lost > 0 && down.outage.is_some(), "{down:?}");
}

/// The wire is cut and mended, an address is removed, another one comes by a reload: whatever the times are, the pair
/// comes to rest after each, and the records show why.
#[test]
fn a_pair_of_vipd_and_keepalived_is_drilled() {
    let daemon = Daemon::Vipd { binary: env!("CARGO_BIN_EXE_vipd").into() };
    let scenarios = [Scenario::Partition, Scenario::Delete, Scenario::Reload];
    let plan = Plan::new(&[], &daemon, Services::Forwarded, &scenarios, false).unwrap().with_keepalived_on(&[Seat::B]);
    let mut told: Vec<u8> = vec![];
    let report = drill::run(&plan, &Stop::default(), &mut told).unwrap();
    println!("{}\n{}", String::from_utf8(told).unwrap(), report.table());

    assert_eq!(report.faults.len(), 7);
    let unsettled: Vec<&str> =
        report.faults.iter().filter(|fault| fault.stuck.is_some()).map(|fault| fault.fault.as_str()).collect();
    assert_eq!(unsettled, Vec::<&str>::new());
    let picture =
        |name: &str| report.faults.iter().find(|fault| fault.fault.contains(name)).unwrap().picture.clone().unwrap();
    let cut = picture("partition: ");
    assert!(!cut.adverts_of_a.is_empty() && !cut.adverts_of_b.is_empty(), "both advertise: {cut:?}");
    assert!(!cut.held_by_b.is_empty() && !cut.held_by_a.is_empty(), "both have the VIP: {cut:?}");
    // Whether a announces again is chance: keepalived yields without a word, often before a has heard it.
    let heal = picture("heal");
    assert!(heal.held_by_b.iter().all(|span| span.end_us < heal.whole.end_us), "b yields: {heal:?}");
    assert!(drill::page(&report, None).contains("heal of the partition"));
}

#[test]
fn an_interrupted_drill_takes_its_lab_down() {
    let plan = Plan::new(&[], &Daemon::Keepalived, Services::OnDirectors, &[], true).unwrap();
    let stop = Stop::default();
    stop.set();
    let ended = drill::run(&plan, &stop, &mut std::io::sink());
    assert!(matches!(ended, Err(LabError::Interrupted)), "{ended:?}");
}

/// The real servers' side of DR, without a director: the client's packets for the VIP go straight to one of them.
#[test]
fn a_real_server_answers_for_the_vip_and_keeps_silent_about_it() {
    let lab = keepalived_pair(Services::Forwarded);
    let facts = lab.facts();
    let vip = SocketAddr::new(IpAddr::V4(facts.vip), facts.tcp.port);
    assert_eq!(get(&lab, vip), "", "nobody answers ARP for the VIP");

    let link = lab.servers()[1].host().run("ip", &["-o", "link", "show", "eth0"]).unwrap();
    let mac = link.split_whitespace().skip_while(|word| *word != "link/ether").nth(1).unwrap().to_owned();
    lab.client().ip(&format!("neigh replace {} lladdr {mac} dev eth0 nud permanent", facts.vip)).unwrap();
    let journal = Arc::new(Journal::default());
    let target = Target { vip: facts.vip, tcp_port: facts.tcp.port, udp_port: facts.udp.port, sources: lab.sources() };
    let client = Client::start(lab.client(), &target, &journal).unwrap();
    until("everything is asked and answered", PATIENCE, || {
        let pages = journal.pages();
        let answered = pages.probes.iter().filter(|probe| probe.answer.is_some()).count();
        let served = pages.requests.iter().filter(|request| request.result.is_ok()).count();
        answered > 100 && served > 100
    })
    .unwrap();
    drop(client);
    let pages = journal.pages();
    assert!(pages.requests.iter().all(|request| request.result.as_deref().is_ok_and(|name| name == "s2")));
    let answers: Vec<_> = pages.probes.iter().filter_map(|probe| probe.answer.as_ref()).collect();
    assert!(answers.iter().all(|answer| *answer.from == *"s2"));
    assert_eq!(pages.broken, [], "the long-lived connections live");
}
