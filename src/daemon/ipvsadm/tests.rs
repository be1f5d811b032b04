//! Replays what ipvsadm said (`tests/integration/ipvsadm/transcript.txt`) on a plane in memory, and restores what was saved.

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::lvs::io::memory::Memory;
use crate::lvs::io::plane::Plane;
use crate::lvs::table::Protocol;

const TRANSCRIPT: &str = include_str!("../../../tests/integration/ipvsadm/transcript.txt");

/// The names that the transcript's host knew.
struct Few;

const PORTS: [(&str, u16, Protocol); 4] = [
    ("http", 80, Protocol::Tcp),
    ("http-alt", 8080, Protocol::Tcp),
    ("domain", 53, Protocol::Udp),
    ("sip", 5060, Protocol::Udp),
];

impl Names for Few {
    fn host(&mut self, name: &str) -> Option<Ipv4Addr> {
        (name == "localhost").then_some(Ipv4Addr::LOCALHOST)
    }

    fn port(&mut self, name: &str, protocol: Protocol) -> Option<u16> {
        PORTS.iter().find(|known| (known.0, known.2) == (name, protocol)).map(|known| known.1)
    }

    fn name_of_host(&mut self, addr: IpAddr) -> Option<String> {
        (addr == Ipv4Addr::LOCALHOST).then(|| "localhost".to_owned())
    }

    fn name_of_port(&mut self, port: u16, protocol: Protocol) -> Option<String> {
        PORTS.iter().find(|known| (known.1, known.2) == (port, protocol)).map(|known| known.0.to_owned())
    }
}

/// Shell words, as far as the transcript has them.
fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(|word| if word == "\"\"" { String::new() } else { word.to_owned() }).collect()
}

fn memory() -> Hand {
    Hand::Shared(Box::new(Plane::Memory(Memory::new())))
}

async fn say(hand: &mut Hand, json: bool, line: &str, stdin: &str) -> Outcome {
    let mut run = Run::new(json, Box::new(Few));
    match parse(&words(line), &mut Few) {
        Ok(Command::Restore) => run.restore(hand, stdin).await,
        Ok(command) => run.command(hand, command).await,
        Err(refusal) => run.outcome.refuse(&refusal),
    }
    run.outcome
}

/// Only a kernel does these; the test in the VM has them.
fn needs_the_kernel(line: &str) -> bool {
    match parse(&words(line), &mut Few) {
        Ok(Command::Change(change)) => !matches!(change, Change::Step(_) | Change::Clear),
        Ok(Command::List { what, .. }) => !matches!(what, Listed::Services { .. }),
        Ok(Command::Save { .. } | Command::Restore | Command::Help | Command::Version) | Err(_) => false,
    }
}

#[tokio::test]
async fn every_line_of_the_transcript_is_answered_as_ipvsadm_answered_it() {
    let mut hand = memory();
    let (mut replayed, mut wrong) = (0, vec![]);
    for block in TRANSCRIPT.split("$ ipvsadm ").skip(1) {
        let (line, said) = block.split_once('\n').unwrap();
        if needs_the_kernel(line) {
            continue;
        }
        let part =
            |mark: &str| -> String { said.split_inclusive('\n').filter_map(|line| line.strip_prefix(mark)).collect() };
        let wanted = Outcome {
            stdout: part("1 "),
            stderr: part("2 "),
            status: said.lines().find_map(|line| line.strip_prefix("= ")).unwrap().parse().unwrap(),
        };
        let said = say(&mut hand, false, line, "").await;
        if said != wanted {
            wrong.push(format!("ipvsadm {line}\nwanted {wanted:#?}\nsaid {said:#?}"));
        }
        replayed += 1;
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(replayed > 200, "{replayed} lines were replayed");
}

const SAVED: &str = "-A -t 10.0.1.100:80 -s sh -b sh-fallback,sh-port
-a -t 10.0.1.100:80 -r 10.0.2.11:80 -m -w 0
-A -t 10.0.1.103:80 -s wrr -p 300 -M 255.255.255.0
-a -t 10.0.1.103:80 -r 10.0.2.11:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum
-A -u 10.0.1.104:5060 -s rr -p 60 --pe sip -o
-A -t [fd00:1::101]:80 -s rr -p 120 -M 64
-A -f 7 -s rr
-a -f 7 -r 10.0.2.12:0 -g -w 1
-A -f 8 -6 -s wlc -p 360
";

#[tokio::test]
async fn what_is_restored_is_saved_again_byte_for_byte() {
    let mut hand = memory();
    let restored = say(&mut hand, false, "-R", SAVED).await;
    assert_eq!(restored, Outcome::default());
    assert_eq!(say(&mut hand, false, "-Sn", "").await.stdout, SAVED);
    // FullNat is ours alone.
    let fullnat = "-a -t 10.0.1.100:80 -r 10.0.2.12:80 -b -w 5";
    assert_eq!(say(&mut hand, false, fullnat, "").await, Outcome::default());
    assert!(say(&mut hand, false, "-Sn", "").await.stdout.contains(fullnat));
}

#[tokio::test]
async fn a_restore_ends_at_a_wrong_line_and_goes_on_after_a_refusal() {
    let rows = [
        ("a refused line", "-D -t 10.0.0.9:80\n# a comment\n\n-A -t 10.0.0.1:80\n", 0, 1, "No such service\n"),
        ("the last one refused", "-A -t 10.0.0.1:80\n-A -t 10.0.0.1:80\n", 255, 1, "Service already exists\n"),
        ("a wrong line", "-A -t 10.0.0.1:80\n-A\n-A -t 10.0.0.2:80\n", 2, 1, "You need to supply the"),
        ("a restore within", "-R\n-A -t 10.0.0.2:80\n", 255, 0, "Try `ipvsadm -h'"),
    ];
    for (name, lines, status, services, said) in rows {
        let mut hand = memory();
        let outcome = say(&mut hand, false, "-R", lines).await;
        assert_eq!(outcome.status, status, "{name}: {}", outcome.stderr);
        assert!(outcome.stderr.starts_with(said), "{name}: {}", outcome.stderr);
        let held = say(&mut hand, false, "-Sn", "").await.stdout;
        assert_eq!(held.lines().count(), services, "{name}: {held}");
    }
}

#[tokio::test]
async fn a_listing_is_json_where_asked() {
    let mut hand = memory();
    say(&mut hand, false, "-R", SAVED).await;
    let text = say(&mut hand, true, "-Ln", "").await.stdout;
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["services"].as_array().unwrap().len(), 6);
    assert_eq!(json["services"][0]["service"]["scheduler"], "sh");
    assert_eq!(json["services"][0]["destinations"][0]["key"]["addr"], "10.0.2.11");
    assert_eq!(say(&mut hand, true, "-Sn", "").await.stdout, text, "saving is listing");
}

#[tokio::test]
async fn what_a_plane_cannot_do_is_said_with_status_1() {
    let mut hand = memory();
    for line in ["-Z", "--set 1 2 3", "--start-daemon master", "-L --timeout", "-Lc"] {
        let outcome = say(&mut hand, false, line, "").await;
        assert_eq!(outcome.status, 1, "{line}");
        assert!(outcome.stderr.starts_with("the memory plane cannot "), "{line}: {}", outcome.stderr);
    }
}
