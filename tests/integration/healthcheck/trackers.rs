//! The runner of `vrrp_script`s: rise and fall are told once, and a script never runs beside itself.

use std::fs;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use vipd::daemon::trackers::{TrackReason, TrackSettings, Trackers};
use vipd::notify::command::{ScriptCommand, ScriptEnd};

use super::scripts::shell;
use super::{PATIENCE, SHORT, next, until};

fn settings(name: &str, command: ScriptCommand) -> TrackSettings {
    TrackSettings {
        script: name.to_owned(),
        command,
        interval: Duration::from_millis(20),
        timeout: PATIENCE,
        rise: NonZeroU32::new(2).unwrap(),
        fall: NonZeroU32::new(3).unwrap(),
    }
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).unwrap_or_default().lines().count()
}

#[tokio::test]
async fn a_script_turns_after_fall_failures_and_rise_successes() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (bad, failures, successes) = (path("bad"), path("failures"), path("successes"));
    let line = format!(
        "if [ -e {} ]; then echo >> {}; exit 9; else echo >> {}; fi",
        bad.display(),
        failures.display(),
        successes.display()
    );
    let (trackers, mut events, _) = Trackers::start();
    trackers.configure(vec![settings("chk", shell(&line))]).await.unwrap();
    let first = next(&mut events).await;
    assert_eq!((first.script.as_str(), first.good), ("chk", true), "the first result decides");

    fs::write(&bad, "").unwrap();
    let fell = next(&mut events).await;
    assert_eq!((fell.good, fell.reason), (false, TrackReason::Ended(ScriptEnd::Exited { code: 9 })));
    assert!(lines(&failures) >= 3);

    let before = lines(&successes);
    fs::remove_file(&bad).unwrap();
    assert!(next(&mut events).await.good);
    assert!(lines(&successes) >= before + 2);
    let view = trackers.views().await.unwrap().remove(0);
    assert_eq!((view.good, view.results >= 6), (Some(true), true));
}

#[tokio::test]
async fn a_script_that_hangs_fails_alone_and_never_runs_twice() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let hangs = TrackSettings { timeout: SHORT, ..settings("hangs", shell("sleep 1000")) };
    let counted = format!("mkdir {0}.lock || echo twice >> {0}; sleep 0.05; rmdir {0}.lock", log.display());
    let (trackers, mut events, _) = Trackers::start();
    trackers.configure(vec![hangs.clone(), settings("counted", shell(&counted))]).await.unwrap();
    let mut told = [next(&mut events).await, next(&mut events).await].map(|event| (event.script, event.good));
    told.sort();
    assert_eq!(told, [("counted".to_owned(), true), ("hangs".to_owned(), false)]);
    until("the other one goes on", async || trackers.views().await.unwrap()[0].results > 5).await;
    assert_eq!(lines(&log), 0, "it ran beside itself");
    let views = trackers.views().await.unwrap();
    let last = views[1].last.as_ref().unwrap().to_string();
    assert_eq!(last, "did not end within 500ms");

    trackers.configure(vec![hangs]).await.unwrap();
    let views = trackers.views().await.unwrap();
    assert_eq!(
        views.iter().map(|view| (view.script.as_str(), view.good)).collect::<Vec<_>>(),
        [("hangs", Some(false))]
    );
}
