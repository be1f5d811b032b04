//! The bounds of the recorder, what it counts together, and its file.

use std::time::Duration;

use super::file;
use super::*;
use crate::vrrp::{Discard, Reason, Standing};

fn at(s: u64) -> MonoTime {
    MonoTime::from_start(Duration::from_secs(s))
}

fn rejected(s: u64, reason: Discard) -> Happened {
    let (interface, from) = ("eth0".parse().unwrap(), "192.0.2.66".parse().unwrap());
    Happened::Discarded { at: at(s), instance: Some("VI_1".to_owned()), interface, from, reason, count: 10 }
}

fn moved(s: u64) -> Happened {
    Happened::Moved {
        at: at(s),
        instance: "VI_1".to_owned(),
        from: Standing::Backup,
        to: Standing::Active,
        reason: Reason::ActiveSilent { silent_for: Some(Duration::from_secs(4)), waited: Duration::from_millis(3609) },
        priority: crate::base::Priority::DEFAULT,
        late: Duration::from_millis(20),
        evidence: crate::vrrp::Evidence { heard: 7, rejected: 20, last: None },
    }
}

fn lines(history: &History) -> Vec<String> {
    history.of_instance("VI_1").map(|entry| words::line(&entry.what)).collect()
}

#[test]
fn a_flood_is_one_entry_per_kind_and_begins_anew_after_a_move() {
    let mut history = History::default();
    let mut tell = |s, happened: &Happened| history.happened(at(s), 1000.0, happened, ["VI_1"].into_iter());
    for s in 0..500 {
        tell(s, &rejected(s, Discard::Checksum));
        tell(s, &rejected(s, Discard::Ttl));
    }
    tell(500, &moved(500));
    tell(501, &rejected(501, Discard::Ttl));
    tell(502, &Happened::Stalled { at: at(502), late: Duration::from_millis(250) });
    assert_eq!(
        lines(&history),
        [
            "rejected 5000 packets on eth0, the last from 192.0.2.66: checksum",
            "rejected 5000 packets on eth0, the last from 192.0.2.66: ttl",
            "BACKUP -> MASTER: no acceptable advert for 4.000 s (Active_Down 3.609 s) [priority 100, our timer was \
             0.020 s late; since the move before 7 adverts heard, 20 rejected]",
            "rejected 10 packets on eth0, the last from 192.0.2.66: ttl",
            "our own thread was not run for 0.250 s",
        ]
    );
}

#[test]
fn flaps_of_one_interface_are_one_entry_with_the_longest() {
    let flap = |s, interface: &str, lasted_ms| Happened::LinkFlapped {
        at: at(s),
        instance: "VI_1".to_owned(),
        interface: interface.parse().unwrap(),
        state: crate::vrrp::LinkState::Down,
        lasted: Duration::from_millis(lasted_ms),
        count: 1,
    };
    let mut history = History::default();
    for told in [flap(1, "eth0", 400), flap(2, "eth1", 20), flap(3, "eth0", 90), flap(4, "eth0", 900)] {
        history.happened(at(4), 1000.0, &told, ["VI_1"].into_iter());
    }
    assert_eq!(
        lines(&history),
        [
            "interface eth0 was down 3 times, for 0.900 s at most: too short to count",
            "interface eth1 was down once, for 0.020 s: too short to count",
        ]
    );
}

#[test]
fn the_oldest_goes_first_and_the_sum_is_bounded() {
    let mut history = History::default();
    for number in 0..ENTRIES_MAX + 3 {
        history.keep("VI_1", 0.0, What::Daemon { text: number.to_string() });
    }
    assert_eq!((lines(&history).len(), lines(&history)[0].as_str()), (ENTRIES_MAX, "3"));
    for number in 0..TOTAL_MAX {
        history.keep(&format!("VI_{}", number % 200), 0.0, What::Daemon { text: String::new() });
    }
    assert_eq!(history.total, TOTAL_MAX);
    assert_eq!(history.entries.values().map(VecDeque::len).sum::<usize>(), TOTAL_MAX);
}

#[tokio::test]
async fn what_is_written_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = file::read(dir.path());
    assert_eq!(lines(&history), Vec::<String>::new());
    history.happened(at(9), 1000.0, &moved(5), std::iter::empty());
    let mut writer = file::Writer::new(dir.path());
    writer.finish(&mut history).await;
    assert!(!history.is_unwritten());
    let read = file::read(dir.path());
    assert_eq!(read.of_instance("VI_1").collect::<Vec<_>>(), history.of_instance("VI_1").collect::<Vec<_>>());
    assert_eq!(read.of_instance("VI_1").next().map(|entry| entry.unix_s), Some(996.0), "when it happened");
}
