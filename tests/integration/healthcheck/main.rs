//! The checkers, scripts and their tasks against real sockets and processes of this host.
//!
//! Nothing leaves loopback, every port is the kernel's choice, and what must happen is awaited with a deadline.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "a test may fail, its tables may be long, and it is the world that the checks touch"
)]

mod checkers;
mod datagram;
mod http;
mod notifier;
mod scripts;
mod server;
mod smtp;
mod tcp;
mod tls;
mod trackers;
mod watchers;

use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use tokio::sync::mpsc::Receiver;
use tokio::time::{sleep, timeout};

/// Far longer than anything takes that is to happen at all.
const PATIENCE: Duration = Duration::from_secs(30);
/// The time limit of checks that are to run into it.
const SHORT: Duration = Duration::from_millis(500);

/// The next event; one that does not come fails the test.
async fn next<E>(events: &mut Receiver<E>) -> E {
    timeout(PATIENCE, events.recv()).await.expect("an event comes").expect("the task runs")
}

/// Poll until `holds`; `what` is said where it never does.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let poll = async {
        while !holds().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, poll).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Run this in a network of its own, whose only interface is lo.
fn alone(name: &str, test: impl AsyncFnOnce() + Send + 'static) {
    let run = move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("this test runs as root");
        ip("link set lo up");
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
    };
    thread::Builder::new().name(name.to_owned()).spawn(run).unwrap().join().unwrap();
}

fn ip(words: &str) {
    assert!(Command::new("ip").args(words.split(' ')).status().unwrap().success(), "ip {words}");
}

/// A sysctl of the network that this thread is in.
fn set(sysctl: &str, value: &str) {
    std::fs::write(format!("/proc/sys/net/{sysctl}"), value).unwrap();
}
