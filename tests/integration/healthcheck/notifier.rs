//! The notifier's task: one job at a time for each subject, and the newest state wins.

use std::fs;
use std::path::Path;

use vipd::daemon::notifier::Notifier;
use vipd::notify::queue::NotifyKey;
use vipd::notify::words::Invocation;

use super::scripts::shell;
use super::{PATIENCE, SHORT, until};

fn key(name: &str) -> NotifyKey {
    NotifyKey(name.to_owned())
}

fn job(line: &str) -> Vec<Invocation> {
    vec![Invocation::plain(shell(line))]
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[tokio::test]
async fn states_of_one_subject_run_one_after_the_other_and_the_newest_wins() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (log, gate) = (path("log"), path("gate"));
    let says = |word: &str| format!("echo {word} >> {}", log.display());
    let (notifier, task) = Notifier::start();
    let slow = format!("{}; until [ -e {} ]; do sleep 0.01; done; {}", says("begin"), gate.display(), says("end"));
    notifier.notify(key("VI_1"), job(&slow)).await.unwrap();
    until("the first script runs", async || read(&log) == "begin\n").await;
    for state in ["BACKUP", "FAULT", "MASTER"] {
        notifier.notify(key("VI_1"), job(&says(state))).await.unwrap();
    }
    notifier.notify(key("VI_2"), job(&says("other"))).await.unwrap();
    until("another subject does not wait", async || read(&log) == "begin\nother\n").await;
    assert!(!notifier.idle_within(SHORT).await);

    fs::write(&gate, "").unwrap();
    assert!(notifier.idle_within(PATIENCE).await);
    assert_eq!(read(&log), "begin\nother\nend\nMASTER\n");

    notifier.notify(key("VI_1"), job(&says("last"))).await.unwrap();
    drop(notifier);
    task.await.unwrap();
    assert_eq!(read(&log), "begin\nother\nend\nMASTER\nlast\n", "what was accepted is run");
}

#[tokio::test]
async fn scripts_that_fail_or_leave_processes_behind_stop_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let (notifier, _) = Notifier::start();
    for line in ["exit 1", "kill -9 $$", "(sleep 0.2; echo late) & exit 0", "yes | head -c 1000000"] {
        notifier.notify(key(line), job(line)).await.unwrap();
    }
    notifier.notify(key("none"), vec![]).await.unwrap();
    assert!(notifier.idle_within(PATIENCE).await);
    notifier.notify(key("exit 1"), job(&format!("echo ran > {}", log.display()))).await.unwrap();
    assert!(notifier.idle_within(PATIENCE).await);
    assert_eq!(read(&log), "ran\n");
}
