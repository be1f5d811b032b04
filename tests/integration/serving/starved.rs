//! A daemon without file descriptors: its checks are late and say so; adverts, forwarding and answers go on.

use std::fs;
use std::mem::MaybeUninit;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};
use vipd::lab::run;

use crate::lab::{Arms, Lab, VIP};
use crate::traffic::Load;

/// Servers that are not there: a check of one holds a descriptor for its `connect_timeout`.
const ABSENT: usize = 400;
/// File descriptors: some more than the daemon has open beside its checks.
const LIMIT: usize = 200;

/// The service, and one whose checks want hundreds of descriptors at once.
fn config() -> String {
    let real_server = |address: String, port: u16| {
        format!("    real_server {address} {port} {{\n TCP_CHECK {{\n connect_timeout 2\n retry 0\n }}\n }}\n")
    };
    let served: Vec<String> = (11..=12).map(|last| real_server(format!("192.0.2.{last}"), 80)).collect();
    let absent: Vec<String> =
        (0..ABSENT).map(|at| real_server(format!("10.9.{}.{}", at / 200, 1 + at % 200), 81)).collect();
    let (served, absent) = (served.concat(), absent.concat());
    format!(
        "vrrp_script alive {{
    script /bin/true
    interval 1
    fall 1
    rise 1
}}
vrrp_instance VI_1 {{
    interface eth0
    virtual_router_id 7
    version 3
    advert_int 1
    track_script {{
        alive
    }}
    virtual_ipaddress {{
        {VIP}/24
    }}
}}
virtual_server {VIP} 80 {{
    protocol TCP
    lb_algo rr
    lb_kind DR
    delay_loop 1
{served}}}
virtual_server {VIP} 81 {{
    protocol TCP
    lb_algo rr
    lb_kind DR
    delay_loop 2
    warmup 2
{absent}}}
"
    )
}

/// Hears adverts beside the director.
struct Ear {
    stop: Arc<AtomicBool>,
    longest: Arc<Mutex<Duration>>,
    thread: JoinHandle<()>,
}

impl Ear {
    fn start(lab: &Lab) -> Self {
        let socket = lab.client.inside(|| {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(112))).unwrap();
            socket.join_multicast_v4(&Ipv4Addr::new(224, 0, 0, 18), &Ipv4Addr::new(192, 0, 2, 50)).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            socket
        });
        let (stop, longest) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Duration::ZERO)));
        let (stopped, told) = (Arc::clone(&stop), Arc::clone(&longest));
        let thread = thread::spawn(move || {
            let mut heard = Instant::now();
            while !stopped.load(Ordering::SeqCst) {
                let mut room = [MaybeUninit::uninit(); 256];
                if socket.recv(&mut room).is_ok() {
                    heard = Instant::now();
                }
                let mut longest = told.lock().unwrap();
                *longest = (*longest).max(heard.elapsed());
            }
        });
        Self { stop, longest, thread }
    }

    /// The longest time without an advert.
    fn end(self) -> Duration {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
        *self.longest.lock().unwrap()
    }
}

/// The checks of a service, as `status --json` has them; none while it has no answer.
fn checks(lab: &Lab, service: usize) -> Vec<Value> {
    let status = lab.status().unwrap_or_default();
    let servers = status["virtual_servers"][service]["real_servers"].as_array().cloned().unwrap_or_default();
    servers.iter().filter_map(|server| server["checks"].as_array()).flatten().cloned().collect()
}

fn of_state(checks: &[Value], state: &str) -> usize {
    checks.iter().filter(|check| check["state"] == state).count()
}

fn limit(lab: &Lab, files: usize) {
    run("prlimit", &["--pid", &lab.process().to_string(), &format!("--nofile={files}:")]).unwrap();
}

#[test]
fn without_file_descriptors_checks_are_late_and_say_so_and_nothing_else_notices() {
    let mut lab = Lab::new(Arms::One, 2);
    for server in &lab.servers {
        server.sysctl("net/ipv4/conf/all/arp_ignore", "1");
        server.sysctl("net/ipv4/conf/all/arp_announce", "2");
        server.ip(&format!("address add {VIP}/32 dev lo"));
    }
    // What goes to the absent servers is lost without a word.
    lab.director.ip("route add 10.9.0.0/16 via 192.0.2.50");
    lab.client.sysctl("net/ipv4/ip_forward", "0");
    lab.serve(&[80], &[]);
    lab.start(&config());
    lab.until("the VIP is served", || lab.director.ip("-o address show").contains("192.0.2.100"));
    lab.until("every check has its result", || {
        of_state(&checks(&lab, 0), "up") == 2 && of_state(&checks(&lab, 1), "down") == ABSENT
    });
    let open = || fs::read_dir(format!("/proc/{}/fd", lab.process())).unwrap().count();
    lab.until("hundreds of checks run at once", || open() > LIMIT + 50);
    let (ear, load) = (Ear::start(&lab), Load::start(&lab.client, 80));

    limit(&lab, LIMIT);
    let mut seen = vec![];
    lab.until("checks are late", || {
        seen = checks(&lab, 1);
        of_state(&seen, "stale") > 100
    });
    let stale: Vec<&str> =
        seen.iter().filter(|check| check["state"] == "stale").filter_map(|c| c["last"].as_str()).collect();
    let says = |why: &&str| why.contains("Too many open files") || why.ends_with("it waits for its turn");
    assert!(stale.iter().all(says), "{stale:#?}");
    lab.until("the kernel's word is met, or checks wait for their turn", || {
        lab.log().contains("few file descriptors: more checks than this wait for their turn")
    });
    lab.until("the log tells of a check", || lab.log().contains("a check has no result any more"));
    assert!(open() < LIMIT, "descriptors are left for all else: {}", open());
    assert_eq!(of_state(&checks(&lab, 1), "up"), 0, "nobody moved who was not heard of");
    lab.told(&["metrics"]);

    limit(&lab, 4096);
    lab.until("every check is on time again", || {
        let seen = checks(&lab, 1);
        of_state(&seen, "down") == ABSENT
    });
    let longest = ear.end();
    assert!(longest < Duration::from_secs(3), "a backup would have taken over: {longest:?} without an advert");
    let tally = load.end();
    assert_eq!(tally.failed, Vec::<String>::new(), "{} requests were answered", tally.answered.values().sum::<u64>());
    let log = lab.log();
    let mut down = log.lines().filter(|line| line.contains("real server is down"));
    assert!(down.all(|line| line.contains("10.9.")), "{log}");
    assert!(!log.contains("good=false"), "the script was found good, or nothing was found: {log}");
    lab.stop();
}
