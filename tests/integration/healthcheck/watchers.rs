//! The watcher of files and processes: what changes is told soon, whichever way the kernel tells of it.

use std::fs;
use std::process::{Child, Command};
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use vipd::daemon::watchers::{WatchEvent, WatchSettings, Watchers};
use vipd::vrrp::track::process::{Comparison, Limits, Pattern};
use vipd::vrrp::{Outcome, Tracked};

use super::{alone, next, until};

async fn told(events: &mut Receiver<WatchEvent>) -> (String, Outcome) {
    let event = next(events).await;
    (event.what.to_string(), event.outcome)
}

#[tokio::test]
async fn a_file_is_followed_through_writes_renames_and_new_directories() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("later");
    let path = dir.join("f");
    let file = |init| WatchSettings::File { name: "f".into(), path: path.clone(), init };
    let (watchers, mut events, _) = Watchers::start().unwrap();
    watchers.configure(vec![file(None)]).await.unwrap();
    let name = "file f".to_owned();
    assert_eq!(told(&mut events).await, (name.clone(), Outcome::Number(0)), "what is not there counts as 0");

    fs::create_dir(&dir).unwrap();
    fs::write(&path, "-20\n").unwrap();
    assert_eq!(told(&mut events).await, (name.clone(), Outcome::Number(-20)));
    fs::write(dir.join("new"), "5").unwrap();
    fs::rename(dir.join("new"), &path).unwrap();
    assert_eq!(told(&mut events).await, (name.clone(), Outcome::Number(5)));
    fs::remove_file(&path).unwrap();
    assert_eq!(told(&mut events).await, (name.clone(), Outcome::Number(0)));

    watchers.configure(vec![file(Some((-254, false)))]).await.unwrap();
    assert_eq!(told(&mut events).await, (name, Outcome::Number(-254)));
    assert_eq!(fs::read_to_string(&path).unwrap(), "-254\n", "the file was made");
    watchers.configure(vec![]).await.unwrap();
    assert_eq!(watchers.views().await.unwrap(), []);
}

fn sleeper(marker: &str) -> Child {
    Command::new("sleep").args(["1000", marker]).spawn().unwrap()
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Two processes are wanted; the second comes, one goes.
async fn processes_are_followed(marker: &str) {
    let pattern = Pattern {
        program: "sleep".into(),
        arguments: vec!["1000".into(), marker.into()],
        comparison: Comparison::Exact,
        full_command: true,
    };
    let limits = Limits { least: 2, most: None, terminate_delay: Duration::ZERO, fork_delay: Duration::ZERO };
    let what = Tracked::Process("pair".into());
    let (watchers, mut events, _) = Watchers::start().unwrap();
    // GNU sleep takes several times and adds them up.
    let first = sleeper(marker);
    let settings = WatchSettings::Process { name: "pair".into(), pattern, limits };
    watchers.configure(vec![settings]).await.unwrap();
    assert_eq!(told(&mut events).await, (what.to_string(), Outcome::Good(false)));
    let second = sleeper(marker);
    assert_eq!(told(&mut events).await, (what.to_string(), Outcome::Good(true)));
    end(first);
    assert_eq!(told(&mut events).await, (what.to_string(), Outcome::Good(false)));
    until("one of them is left", async || {
        let view = watchers.views().await.unwrap().remove(0);
        view.reason.is_some_and(|reason| reason.to_string() == "1 process runs")
    })
    .await;
    end(second);
}

#[tokio::test]
async fn processes_are_followed_by_the_kernels_word() {
    processes_are_followed(&format!("0.{}1", std::process::id())).await;
}

#[test]
fn processes_are_followed_by_looking_where_the_kernel_is_silent() {
    // In a network namespace of its own the process connector has nobody at its other end.
    alone("looking", async || processes_are_followed(&format!("0.{}2", std::process::id())).await);
}
