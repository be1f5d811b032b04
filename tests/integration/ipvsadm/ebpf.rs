//! On the eBPF plane, in a namespace: without a daemon the program is ours, with one the daemon is asked.

use std::fs;
use std::io::Write as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use vipd::lab::{Directory, Namespace, until};

const PATIENCE: Duration = Duration::from_secs(40);

const CONFIG: &str = "virtual_server 192.0.2.100 80 {
    protocol TCP
    lb_algo rr
    lb_kind NAT
    real_server 127.0.0.1 81 {
    }
}
";

const SAVED: &str = "-A -t 192.0.2.10:80 -s wrr
-a -t 192.0.2.10:80 -r 10.0.0.1:8080 -m -w 3
-a -t 192.0.2.10:80 -r 10.0.0.2:8080 -m -w 0
-A -u 192.0.2.10:53 -s rr
-a -u 192.0.2.10:53 -r 10.0.0.1:53 -g -w 1
";

struct Host {
    namespace: Namespace,
    dir: Directory,
    /// Whether each command has a mount namespace of its own, which ends with it.
    netns_exec: bool,
}

impl Host {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("vipd-{}-{}-ipvsadm", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let namespace = Namespace::create(&name).expect("needs root and iproute2");
        let host = Self { namespace, dir: Directory::temporary().unwrap(), netns_exec: false };
        for line in ["link add eth0 type veth peer name far0", "link set far0 up", "link set eth0 up"] {
            let args = ["-n", host.namespace.name()].into_iter().chain(line.split(' '));
            assert!(Command::new("ip").args(args).status().unwrap().success(), "ip {line}");
        }
        host
    }

    fn run_dir(&self) -> std::path::PathBuf {
        self.dir.path().join("run")
    }

    fn vipd(&self, verb: &str) -> Command {
        let mut command = if self.netns_exec {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", self.namespace.name()]);
            command
        } else {
            let mut command = Command::new("nsenter");
            command.arg(format!("--net=/run/netns/{}", self.namespace.name()));
            command
        };
        command.arg(env!("CARGO_BIN_EXE_vipd")).arg(verb);
        command
    }

    fn say(&self, line: &str, stdin: impl AsRef<[u8]>) -> Output {
        let mut command = self.vipd("ipvsadm");
        command.arg("--run-dir").arg(self.run_dir()).args(line.split_whitespace());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // One that does not read has closed its end.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_ref());
        child.wait_with_output().unwrap()
    }

    /// What it prints where it succeeds.
    fn good(&self, line: &str) -> String {
        let Output { status, stdout, stderr } = self.say(line, "");
        assert!(status.success(), "{line}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    /// It fails with this status and says so.
    fn bad(&self, line: &str, code: i32, said: &str) {
        let Output { status, stderr, .. } = self.say(line, "");
        let stderr = String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(code), "{line}: {stderr}");
        assert!(stderr.contains(said), "{line}: {stderr}");
    }

    fn start(&self) -> Running {
        self.configure(CONFIG);
        self.run()
    }

    fn configure(&self, text: &str) {
        fs::write(self.dir.path().join("vipd.conf"), text).unwrap();
    }

    fn run(&self) -> Running {
        let config = self.dir.path().join("vipd.conf");
        let log = fs::File::create(self.dir.path().join("log")).unwrap();
        let mut command = self.vipd("run");
        command.arg("-f").arg(config).arg("--run-dir").arg(self.run_dir());
        let running = Running(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        until("the daemon answers", PATIENCE, || self.control("status").success()).unwrap_or_else(|error| {
            panic!("{error}\n{}", fs::read_to_string(self.dir.path().join("log")).unwrap_or_default());
        });
        running
    }

    fn control(&self, verb: &str) -> std::process::ExitStatus {
        let mut command = self.vipd(verb);
        command.arg("--run-dir").arg(self.run_dir()).output().unwrap().status
    }
}

struct Running(Child);

impl Running {
    fn stop(mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        until("the daemon ends", PATIENCE, || self.0.try_wait().unwrap().is_some()).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn without_a_daemon_the_program_is_loaded_kept_and_taken_down() {
    let host = Host::new();
    assert_eq!(host.good("--plane ebpf -Ln").lines().count(), 3, "an empty table");
    assert!(!host.run_dir().join("bpf").exists(), "a look makes no plane");
    let restored = host.say("--plane ebpf -R", SAVED);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    assert_eq!(host.good("--plane ebpf -Sn"), SAVED);
    host.bad("--plane ebpf -A -t 192.0.2.10:80", 255, "Service already exists");
    host.bad("--plane ebpf -a -t 192.0.2.10:80 -r 10.0.0.1:8080 -m", 255, "Destination already exists");
    host.bad("--plane ebpf -D -t 192.0.2.11:80", 255, "No such service");
    for verb in ["-a -t 192.0.2.10:80 -r 10.0.0.3:8080", "-e -t 192.0.2.10:80 -r 10.0.0.1:8080"] {
        host.bad(
            &format!("--plane ebpf {verb} -b"),
            1,
            "has no local addresses that FullNat (-b) connections could begin at",
        );
    }
    host.bad("--plane ebpf -a -t 192.0.2.11:80 -r 10.0.0.3:8080 -b", 255, "Service not defined");
    for addr in ["224.0.0.5", "255.255.255.255", "0.0.0.0"] {
        host.bad(&format!("--plane ebpf -a -t 192.0.2.10:80 -r {addr}:80 -m"), 255, "address not unicast");
    }
    host.good("--plane ebpf -A -f 7 -s rr");
    host.bad("--plane ebpf -a -f 7 -r 10.0.0.3 -b", 1, "cannot forward by FullNat what a firewall mark names");
    host.good("--plane ebpf -D -f 7");
    assert_eq!(host.good("--plane ebpf -Sn"), SAVED, "what was refused left nothing");
    host.bad("--plane ebpf --start-daemon master", 1, "the ebpf plane cannot run sync daemons");
    host.good("--plane ebpf --set 100 0 50");
    assert_eq!(host.good("--plane ebpf -L --timeout"), "Timeout (tcp tcpfin udp): 100 120 50\n");
    host.good("--plane ebpf -Z");
    let connections = host.good("--plane ebpf -Lcn");
    assert_eq!(connections.lines().count(), 2, "{connections}");
    let json: serde_json::Value = serde_json::from_str(&host.good("--plane ebpf --json -Ln")).unwrap();
    assert_eq!(json["services"].as_array().unwrap().len(), 2);
    host.good("--plane ebpf -C");
    host.good("--plane ebpf -A -t 192.0.2.10:80");
    assert_eq!(
        host.good("--plane ebpf -L --timeout"),
        "Timeout (tcp tcpfin udp): 100 120 50\n",
        "they outlive the table"
    );
    host.good("--plane ebpf --set 900 120 300");
    host.good("--plane ebpf -C");
    assert!(!host.run_dir().join("bpf/settings").exists(), "the last service is gone, and so is the program");
}

#[test]
fn a_plane_that_nobody_has_begun_answers_as_an_empty_one() {
    let host = Host::new();
    assert_eq!(host.good("--plane ebpf -Lcn").lines().count(), 2);
    assert_eq!(host.good("--plane ebpf --json -Lcn"), "[]\n");
    assert_eq!(host.good("--plane ebpf -L --timeout"), "Timeout (tcp tcpfin udp): 900 120 300\n");
    assert_eq!(host.good("--plane ebpf -L --daemon"), "");
    host.good("--plane ebpf --set 100 50 40");
    host.good("--plane ebpf -A -t 192.0.2.10:80");
    assert_eq!(host.good("--plane ebpf -L --timeout"), "Timeout (tcp tcpfin udp): 100 50 40\n", "it was noted");
    host.good("--plane ebpf -C");
    assert_eq!(host.good("--plane ebpf -L --timeout"), "Timeout (tcp tcpfin udp): 100 50 40\n");
}

#[test]
fn where_a_plane_lives_or_the_kernel_has_no_ipvs_nobody_has_to_name_the_ebpf_one() {
    let host = Host::new();
    assert!(host.say("--plane ebpf -R", SAVED).status.success());
    assert_eq!(host.good("-Sn"), SAVED, "it lives, with IPVS or without");
    host.good("-C");
    if std::path::Path::new("/proc/net/ip_vs").exists() {
        return; // then IPVS is meant
    }
    assert_eq!(host.good("-Ln").lines().count(), 3, "an empty table");
    host.good("-A -t 192.0.2.10:80 -s rr");
    assert_eq!(host.good("-Sn"), "-A -t 192.0.2.10:80 -s rr\n");
    host.bad("--plane ipvs -Ln", 2, "Can't initialize ipvs");
}

#[test]
fn a_restore_takes_rules_as_others_write_them_and_tells_what_it_does_not_read() {
    let host = Host::new();
    let rules = b"# B\xfcro\nipvsadm -A -t 192.0.2.1:80 -s rr\n-A -t \xff:80 -s rr\n-A -t 192.0.2.2:80 -s rr\n";
    let refused = host.say("--plane ebpf -R", rules);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("illegal virtual server address[:port] specified"), "{said}");
    assert_eq!(host.good("--plane ebpf -Sn"), "-A -t 192.0.2.1:80 -s rr\n", "lines before it stay, as with ipvsadm");
    host.good("--plane ebpf -C");
    host.good("--plane ebpf -A -f 4294967295 -s rr");
    let saved = host.good("--plane ebpf -Sn");
    host.good("--plane ebpf -C");
    assert!(host.say("--plane ebpf -R", &saved).status.success(), "{saved}");
    assert_eq!(host.good("--plane ebpf -Sn"), saved);
}

#[test]
fn commands_at_once_wait_for_one_another() {
    changes_at_once(&Host::new());
}

#[test]
fn beside_a_daemon_without_a_plane_too_which_waits_for_them_in_its_turn() {
    let host = Host::new();
    host.configure(
        "vrrp_instance V {\n interface lo\n virtual_router_id 1\n virtual_ipaddress {\n 192.0.2.100/32\n }\n}\n",
    );
    let running = host.run();
    changes_at_once(&host);
    host.configure(CONFIG);
    std::thread::scope(|scope| {
        let command = scope.spawn(|| host.say("--plane ebpf -A -t 192.0.2.9:80 -s rr", ""));
        assert!(host.control("reload").success());
        assert!(command.join().unwrap().status.success());
    });
    let held = host.good("-Sn");
    assert!(held.contains("-A -t 192.0.2.100:80") && held.contains("-A -t 192.0.2.9:80"), "{held}");
    assert_eq!(held.matches("-A ").count(), 5, "nothing is lost: {held}");
    running.stop();
}

fn changes_at_once(host: &Host) {
    let at_once = |lines: &[String]| {
        std::thread::scope(|scope| {
            let running: Vec<_> = lines
                .iter()
                .map(|line| (line, scope.spawn(move || host.say(&format!("--plane ebpf {line}"), ""))))
                .collect();
            for (line, running) in running {
                let Output { status, stderr, .. } = running.join().unwrap();
                assert!(status.success(), "{line}: {}", String::from_utf8_lossy(&stderr));
            }
        });
    };
    let begin: Vec<String> = (1..4).map(|n| format!("-A -t 192.0.2.{n}:80 -s rr")).collect();
    at_once(&begin);
    assert_eq!(host.good("--plane ebpf -Sn").lines().count(), 3, "the plane was begun once");
    let mut lines: Vec<String> = (1..4).map(|n| format!("-a -t 192.0.2.{n}:80 -r 10.0.0.1:80 -m -w 1")).collect();
    lines.extend(["-Ln", "-Ln", "-Lcn", "-Lcn", "-L --timeout", "-Sn"].map(str::to_owned));
    at_once(&lines);
    assert_eq!(host.good("--plane ebpf -Sn").lines().count(), 6, "no change was lost");
}

#[test]
fn the_programs_are_loaded_once_for_a_build() {
    let host = Host::new();
    assert!(host.say("--plane ebpf -R", SAVED).status.success());
    // Its name has the number that the kernel gave to the program.
    let build = || -> Vec<String> {
        let names = fs::read_dir(host.run_dir().join("bpf")).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).filter(|name| name.starts_with("census_")).collect()
    };
    let first = build();
    assert_eq!(first.len(), 1, "{first:?}");
    for line in
        ["-Ln", "-Lcn", "-L --timeout", "-e -t 192.0.2.10:80 -r 10.0.0.1:8080 -m -w 9", "-A -f 7", "-D -f 7", "-Z"]
    {
        host.good(&format!("--plane ebpf {line}"));
        assert_eq!(build(), first, "{line}");
    }
    assert_eq!(host.good("--plane ebpf -Sn"), SAVED.replace("-m -w 3", "-m -w 9"));
    let bpf = host.run_dir().join("bpf");
    fs::rename(bpf.join(&first[0]), bpf.join("census_of_another_build")).unwrap();
    host.good("--plane ebpf -Ln");
    let second = build();
    assert!(second.len() == 1 && second != first, "those of another build are replaced: {second:?}");
    for line in ["link add eth1 type veth peer name far1", "link set eth1 up"] {
        let args = ["-n", host.namespace.name()].into_iter().chain(line.split(' '));
        assert!(Command::new("ip").args(args).status().unwrap().success(), "ip {line}");
    }
    host.good("--plane ebpf -e -t 192.0.2.10:80 -r 10.0.0.1:8080 -m -w 3");
    let links = fs::read_dir(&bpf).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(links.filter(|name| name.starts_with("link_")).count(), 4, "a new interface is served too");
    assert_eq!(host.good("--plane ebpf -Sn"), SAVED);
}

#[test]
fn a_daemons_table_is_changed_through_the_daemon_and_what_is_not_the_daemons_stays() {
    let host = Host::new();
    let running = host.start();
    assert!(host.good("-Ln").contains("TCP  192.0.2.100:80 rr\n  -> 127.0.0.1:81"), "{}", host.good("-Ln"));
    let restored = host.say("-R", SAVED);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    host.bad("-A -u 192.0.2.10:53", 255, "Service already exists");
    host.good("-D -t 192.0.2.100:80");
    assert!(!host.good("-Sn").contains("192.0.2.100"));
    until("the daemon repairs its own", PATIENCE, || host.good("-Sn").contains("-A -t 192.0.2.100:80")).unwrap();
    assert!(host.control("reload").success());
    assert!(host.good("-Sn").contains("-A -u 192.0.2.10:53 -s rr"), "a reload leaves it alone");
    running.stop();
    assert_eq!(host.good("--plane ebpf -Sn"), SAVED, "the daemon took its own with it, and nothing else");
    let running = host.start();
    let held = host.good("-Sn");
    assert!(held.contains("-A -t 192.0.2.100:80") && held.contains("-A -u 192.0.2.10:53"), "{held}");
    host.good("-D -t 192.0.2.10:80");
    host.good("-D -u 192.0.2.10:53");
    running.stop();
    assert!(!host.run_dir().join("bpf/settings").exists(), "nothing is left");
}

#[test]
fn what_runs_under_ip_netns_exec_leaves_its_plane_to_the_next_one() {
    let host = Host { netns_exec: true, ..Host::new() };
    assert!(host.say("--plane ebpf -R", SAVED).status.success());
    assert_eq!(host.good("--plane ebpf -Sn"), SAVED);
    host.good("--plane ebpf -A -t 192.0.2.11:80 -s rr");
    assert_eq!(host.good("--plane ebpf -Sn").lines().count(), SAVED.lines().count() + 1);
    drop(host.start()); // killed
    let log = host.dir.path().join("log");
    assert!(fs::read_to_string(&log).unwrap().contains("adopted=true services=3"), "of the commands");
    let second = host.start();
    assert!(fs::read_to_string(&log).unwrap().contains("adopted=true services=4"), "and of the first daemon");
    second.stop();
    host.good("--plane ebpf -C");
    assert!(!host.run_dir().join("bpf").exists(), "nothing stays mounted");
}
