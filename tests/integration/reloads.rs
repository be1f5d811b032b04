//! Spoilt configurations offered as a reload: each is taken up whole, or not at all.
//!
//! One daemon runs through all of them. After each, the configuration that it says is in force is either what
//! `vipd config show` makes of the offered file, or what was in force before. At the end the first file is loaded again,
//! and the daemon is as one that only ever saw that file. Needs root: it makes a network namespace.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "helpers of tests fail as tests do"
)]

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use vipd::control::io::client::{CallError, call};
use vipd::lab::{Directory, Namespace, until};

const OFFERED: u32 = 500;
/// Far more than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// What runs first and last.
const FIRST: &str = "vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 7
    priority 100
    version 3
    advert_int 0.1
    virtual_ipaddress {
        192.0.2.100/24
        192.0.2.101/24 dev eth0
    }
}
virtual_server 192.0.2.100 80 {
    protocol TCP
    lb_algo wrr
    lb_kind NAT
    real_server 192.0.2.7 80 {
        weight 3
    }
    real_server 192.0.2.8 80 {
        weight 5
    }
}
";

/// One fault of a hand or a disk; places are taken modulo what there is.
#[derive(Clone, Debug)]
enum Fault {
    DropLine(usize),
    DoubleLine(usize),
    SwapLines(usize, usize),
    CutAfter(usize),
    Number(usize, u32),
    Byte(usize, u8),
    Word(usize, &'static str),
    /// A line of another file.
    Foreign(usize, usize, usize),
}

const WORDS: [&str; 12] = [
    "{",
    "}",
    "\"",
    "!",
    "virtual_ipaddress {",
    "vrrp_instance VI_1 {",
    "real_server 192.0.2.9 80 {",
    "interface eth0",
    "virtual_router_id 51",
    "nonsense 4",
    "~SEQ(N, 1, 3)",
    "priority 256",
];

fn fault() -> impl Strategy<Value = Fault> {
    let at = || any::<u16>().prop_map(usize::from);
    prop_oneof![
        3 => at().prop_map(Fault::DropLine),
        2 => at().prop_map(Fault::DoubleLine),
        1 => (at(), at()).prop_map(|(one, other)| Fault::SwapLines(one, other)),
        1 => at().prop_map(Fault::CutAfter),
        3 => (at(), prop_oneof![0..300_u32, any::<u32>()]).prop_map(|(place, number)| Fault::Number(place, number)),
        1 => (at(), any::<u8>()).prop_map(|(place, byte)| Fault::Byte(place, byte)),
        2 => (at(), proptest::sample::select(WORDS.to_vec())).prop_map(|(place, word)| Fault::Word(place, word)),
        2 => (at(), at(), at()).prop_map(|(place, file, line)| Fault::Foreign(place, file, line)),
    ]
}

/// The examples and the small corpus, on an interface that is here.
fn seeds() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<PathBuf> = ["conf", "tests/corpus"]
        .iter()
        .flat_map(|dir| fs::read_dir(root.join(dir)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
        .collect();
    paths.sort();
    let read = |path: &PathBuf| here(&String::from_utf8_lossy(&fs::read(path).unwrap()));
    std::iter::once(FIRST.to_owned()).chain(paths.iter().map(read)).collect()
}

/// Any interface becomes ours.
fn here(text: &str) -> String {
    let mut words = text.split_inclusive([' ', '\t', '\n']).peekable();
    let mut out = String::new();
    while let Some(word) = words.next() {
        out.push_str(word);
        if matches!(word.trim_end(), "interface" | "dev")
            && let Some(name) = words.next_if(|next| next.trim().chars().any(char::is_alphabetic))
        {
            out.push_str(&name.replace(name.trim_end(), "eth0"));
        }
    }
    out
}

fn spoil(seeds: &[String], file: usize, faults: &[Fault]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = seeds[file % seeds.len()].lines().map(|line| line.as_bytes().to_vec()).collect();
    for fault in faults {
        let count = lines.len().max(1);
        if lines.is_empty() {
            lines.push(vec![]);
        }
        match fault {
            Fault::DropLine(at) => drop(lines.remove(at % count)),
            Fault::DoubleLine(at) => lines.insert(at % count, lines[at % count].clone()),
            Fault::SwapLines(one, other) => lines.swap(one % count, other % count),
            Fault::CutAfter(at) => lines.truncate(at % count),
            Fault::Number(at, number) => renumber(&mut lines, *at, *number),
            Fault::Byte(at, byte) => {
                let line = &mut lines[at % count];
                let place = at % (line.len() + 1);
                line.insert(place, *byte);
            }
            Fault::Word(at, word) => lines.insert(at % count, word.as_bytes().to_vec()),
            Fault::Foreign(at, file, line) => {
                let other: Vec<&str> = seeds[file % seeds.len()].lines().collect();
                lines.insert(at % count, other[line % other.len()].as_bytes().to_vec());
            }
        }
    }
    lines.join(&b'\n')
}

/// Another number in the `at`th line that has one.
fn renumber(lines: &mut [Vec<u8>], at: usize, number: u32) {
    let mut numbered: Vec<&mut Vec<u8>> = lines.iter_mut().filter(|line| line.iter().any(u8::is_ascii_digit)).collect();
    let count = numbered.len();
    if let Some(line) = numbered.get_mut(at % count.max(1)) {
        let start = line.iter().position(u8::is_ascii_digit).unwrap();
        let end = line[start..].iter().position(|byte| !byte.is_ascii_digit()).map_or(line.len(), |len| start + len);
        line.splice(start..end, number.to_string().into_bytes());
    }
}

/// A daemon on a host of its own.
struct Host {
    namespace: Namespace,
    dir: Directory,
    daemon: Child,
    runtime: tokio::runtime::Runtime,
}

impl Host {
    fn start(tag: &str) -> Self {
        let namespace = Namespace::create(&format!("vipd-{}-{tag}", std::process::id())).unwrap();
        let dir = Directory::temporary().unwrap();
        for line in ["link add eth0 type veth peer name far0", "link set far0 up", "link set eth0 up"]
            .into_iter()
            .chain(["address add 192.0.2.2/24 dev eth0"])
        {
            let done = Command::new("ip").args(["-n", namespace.name()]).args(line.split(' ')).status().unwrap();
            assert!(done.success(), "ip {line}");
        }
        fs::write(dir.path().join("vipd.conf"), FIRST).unwrap();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let mut command = Self::command(&namespace);
        command.args(["run", "-f"]).arg(dir.path().join("vipd.conf")).arg("--run-dir").arg(dir.path().join("run"));
        let daemon = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut host = Self { namespace, dir, daemon, runtime };
        until("the daemon answers", PATIENCE, || host.ask("GET", "/status").is_ok()).unwrap();
        assert!(host.runs());
        host
    }

    fn command(namespace: &Namespace) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", namespace.name())).arg(env!("CARGO_BIN_EXE_vipd"));
        command
    }

    fn ask(&self, method: &str, target: &str) -> Result<String, CallError> {
        self.runtime.block_on(call(&self.dir.path().join("run/control.sock"), method, target, vec![]))
    }

    fn runs(&mut self) -> bool {
        self.daemon.try_wait().unwrap().is_none()
    }

    /// What the daemon says is in force.
    fn in_force(&self) -> String {
        self.ask("GET", "/config").unwrap()
    }

    /// Whether it was taken up.
    fn offer(&self, text: &[u8]) -> bool {
        fs::write(self.dir.path().join("vipd.conf"), text).unwrap();
        match self.ask("POST", "/reload") {
            Ok(_) => true,
            Err(CallError::Refused { .. }) => false,
            Err(error) => panic!("{error}\n{}", self.log()),
        }
    }

    /// The offered file as `vipd config show` understands it.
    fn understood(&self) -> String {
        let mut command = Self::command(&self.namespace);
        let output = command.args(["config", "show"]).arg(self.dir.path().join("vipd.conf")).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// The forwarding table, and the addresses that are ours.
    fn state(&self) -> (String, Vec<String>) {
        let mut command = Self::command(&self.namespace);
        let table =
            command.args(["ipvsadm", "--run-dir"]).arg(self.dir.path().join("run")).arg("-Sn").output().unwrap();
        assert!(table.status.success(), "{}", String::from_utf8_lossy(&table.stderr));
        let shown = Command::new("ip").args(["-n", self.namespace.name(), "-br", "address"]).output().unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        let mut addresses: Vec<String> =
            shown.split_whitespace().filter(|word| word.contains('.')).map(str::to_owned).collect();
        addresses.sort();
        (String::from_utf8(table.stdout).unwrap(), addresses)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // One that has ended is fine.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

#[test]
fn a_spoilt_file_is_taken_up_whole_or_not_at_all() {
    let seeds = seeds();
    let host = RefCell::new(Host::start("reloads"));
    let before = RefCell::new(host.borrow().in_force());
    let (taken, refused) = (Cell::new(0_u32), Cell::new(0_u32));
    let config = Config { cases: OFFERED, failure_persistence: None, max_shrink_iters: 64, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let cases = (any::<usize>(), proptest::collection::vec(fault(), 1..4));
    let judged = runner.run(&cases, |(file, faults)| {
        let mut host = host.borrow_mut();
        let is_taken = host.offer(&spoil(&seeds, file, &faults));
        prop_assert!(host.runs(), "the daemon ended:\n{}", host.log());
        let expected = if is_taken { host.understood() } else { before.borrow().clone() };
        let now = host.in_force();
        before.replace(now.clone());
        prop_assert_eq!(now, expected, "taken up: {}", is_taken);
        let counter = if is_taken { &taken } else { &refused };
        counter.set(counter.get() + 1);
        Ok(())
    });
    if let Err(TestError::Fail(why, (file, faults))) = &judged {
        let text = spoil(&seeds, *file, faults);
        panic!("{why}\n{faults:?}\n{}", String::from_utf8_lossy(&text));
    }
    judged.unwrap();
    // Both kinds were there, or nothing was shown.
    assert!(taken.get() > OFFERED / 10 && refused.get() > OFFERED / 10, "{taken:?} taken, {refused:?} refused");

    let host = host.into_inner();
    assert!(host.offer(FIRST.as_bytes()), "{}", host.log());
    let fresh = Host::start("fresh");
    let mut states = (host.state(), fresh.state());
    until("the daemon is as a fresh one, with both addresses", PATIENCE, || {
        states = (host.state(), fresh.state());
        // Its own, the loopback, and two VIPs.
        states.0 == states.1 && states.0.1.len() == 4
    })
    .unwrap_or_else(|error| panic!("{error}: {states:?}\n{}", host.log()));
    assert!(!host.log().contains("panicked"), "{}", host.log());
}
