//! The checkers' task, end to end: what happens to a server is told, and no run is in another one's way.

use std::future::{Ready, pending};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::time::timeout;
use vipd::daemon::checkers::{Checkers, CheckersGone, Sessions};
use vipd::healthcheck::judge::OnLocalError;
use vipd::healthcheck::outcome::{LocalFault, Outcome};
use vipd::healthcheck::probe::{Endpoint, FileProbe, Probe, ScriptProbe};
use vipd::healthcheck::settings::{CheckEvent, CheckId, CheckSettings, CheckState, Reason, Standing, TargetId};

use super::{PATIENCE, next, until};

fn target(name: &str) -> TargetId {
    TargetId { service: "192.0.2.1 tcp 80".to_owned(), destination: name.to_owned() }
}

fn tcp(addr: SocketAddr) -> Probe {
    Probe::Tcp(Endpoint::new(addr, PATIENCE))
}

fn check(name: &str, probe: Probe) -> CheckSettings {
    CheckSettings {
        id: CheckId { target: target(name), index: 0 },
        probe,
        delay_loop: Duration::from_millis(20),
        retry: 2,
        delay_before_retry: Duration::from_millis(1),
        warmup: Duration::ZERO,
        alpha: false,
        on_local_error: OnLocalError::Keep,
        tell_first: false,
        log_all_failures: false,
    }
}

/// What an event says, in one word, and why.
fn told(event: CheckEvent) -> (&'static str, String) {
    match event {
        CheckEvent::Up { reason, .. } => ("up", reason.to_string()),
        CheckEvent::Down { reason, .. } => ("down", reason.to_string()),
        CheckEvent::Weight { wish, .. } => ("weight", wish.to_string()),
        CheckEvent::Silence { because, .. } => ("silence", because.map_or_else(String::new, |why| why.to_string())),
    }
}

fn script(line: &str, dynamic: bool) -> Probe {
    let argv = ["/bin/sh", "-c", line].map(str::to_owned).to_vec();
    Probe::Script(ScriptProbe { argv, user: None, group: None, timeout: PATIENCE, dynamic })
}

#[tokio::test]
async fn a_server_that_dies_goes_down_and_one_that_returns_comes_up() {
    let (checkers, mut events, _) = Checkers::start(Sessions::default()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    checkers.configure(vec![check("a", tcp(addr))]).await.unwrap();
    until("a first result", async || checkers.views().await.unwrap()[0].results > 0).await;
    assert_eq!(checkers.standings().await.unwrap(), [(target("a"), Standing::Up)].into());

    drop(listener);
    let event = next(&mut events).await;
    let CheckEvent::Down { target: down, reason: Reason::Checked { check, outcome, .. } } = event else {
        panic!("{event:?}")
    };
    assert_eq!((down, check.index, outcome), (target("a"), 0, Outcome::Refused));
    let views = checkers.views().await.unwrap();
    assert!(views[0].failures >= 3, "the first failure and two more, since retry is 2: {views:?}");
    assert_eq!(views[0].state, CheckState::Tried { standing: Standing::Down });
    assert_eq!(views[0].last.as_ref().unwrap().text, "connection refused");
    assert_eq!(checkers.standings().await.unwrap(), [(target("a"), Standing::Down)].into());

    let _returned = TcpListener::bind(addr).await.unwrap();
    assert_eq!(told(next(&mut events).await), ("up", "connected".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_panics_or_hangs_delays_no_other_and_decides_nothing() {
    let (checkers, mut events, _) =
        Checkers::start_with(Sessions::default(), |check: Arc<CheckSettings>, _| async move {
            match check.id.target.destination.as_str() {
                "panics" => panic!("as the test wants it"),
                "hangs" => pending().await,
                _ => Outcome::Refused,
            }
        })
        .unwrap();
    // Each asks another port: those that ask the same would share a run.
    let ping = |port| Probe::Ping(Endpoint::new(([127, 0, 0, 1], port).into(), Duration::from_millis(1)));
    let checks = [("panics", ping(1)), ("hangs", ping(2)), ("fails", ping(3))];
    let checks = checks.map(|(name, probe)| check(name, probe));
    checkers.configure(checks.to_vec()).await.unwrap();
    let event = next(&mut events).await;
    assert_eq!((event.target(), told(event.clone()).0), (&target("fails"), "down"));
    until("each kind of run ends again and again", async || {
        checkers.views().await.unwrap().iter().all(|view| view.results >= 2)
    })
    .await;
    let views = checkers.views().await.unwrap();
    let of = |name: &str| views.iter().find(|view| view.id.target == target(name)).unwrap();
    assert_eq!(of("panics").last.as_ref().unwrap().outcome, Outcome::Local(LocalFault::TaskEnded));
    assert_eq!(of("panics").state, CheckState::Untried { believed: Standing::Up });
    assert_eq!(of("hangs").last.as_ref().unwrap().text, "no end of the check within 1.001s");
    assert!(of("fails").results > 10 * of("hangs").results, "{views:?}");
}

#[tokio::test]
async fn a_reload_keeps_unchanged_checks_and_forgets_those_that_are_gone() {
    let (checkers, mut events, _) = Checkers::start(Sessions::default()).unwrap();
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let checks = vec![check("kept", tcp(dead)), check("gone", tcp(dead))];
    checkers.configure(checks.clone()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(told(next(&mut events).await).0, "down");
    }
    checkers.configure(vec![CheckSettings { retry: 5, ..checks[0].clone() }]).await.unwrap();
    assert_eq!(checkers.standings().await.unwrap(), [(target("kept"), Standing::Down)].into());
    assert_eq!(told(next(&mut events).await), ("up", "it is checked no more".to_owned()));
    checkers.configure(vec![]).await.unwrap();
    assert_eq!(checkers.views().await, Ok(vec![]));
}

#[tokio::test]
async fn the_end_of_the_thread_is_told_whatever_it_comes_from() {
    let (checkers, _, running) = Checkers::start(Sessions::default()).unwrap();
    drop(checkers);
    timeout(PATIENCE, running).await.expect("no handle is left").unwrap();

    let start_run = |_, _| -> Ready<Outcome> { panic!("as the test wants it: on the thread itself") };
    let (checkers, _, running) = Checkers::start_with(Sessions::default(), start_run).unwrap();
    checkers.configure(vec![check("a", script("exit 0", false))]).await.unwrap();
    timeout(PATIENCE, running).await.expect("it has panicked").unwrap();
    assert_eq!(checkers.views().await, Err(CheckersGone));
}

#[tokio::test]
async fn a_script_decides_by_its_exit_code() {
    let rows = [
        ("success", "exit 0", false, vec![], Some("script passed")),
        ("failure", "exit 1", false, vec![("down", "script ended with 1")], None),
        ("a high code without misc_dynamic", "exit 7", false, vec![("down", "script ended with 7")], None),
        ("failure with misc_dynamic", "exit 1", true, vec![("down", "script ended with 1")], None),
        ("a weight", "exit 7", true, vec![("weight", "5")], Some("script passed and asks for weight 5")),
        ("the least weight", "exit 2", true, vec![("weight", "0")], None),
        ("a signal", "kill -9 $$", false, vec![("down", "script ended by signal 9")], None),
    ];
    for (name, line, dynamic, wanted, last) in rows {
        let (checkers, mut events, _) = Checkers::start(Sessions::default()).unwrap();
        checkers.configure(vec![check("a", script(line, dynamic))]).await.unwrap();
        for (word, why) in wanted {
            assert_eq!(told(next(&mut events).await), (word, why.to_owned()), "{name}");
        }
        if let Some(last) = last {
            until(name, async || {
                checkers.views().await.unwrap()[0].last.as_ref().is_some_and(|result| result.text == last)
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_file_that_changes_is_read_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("share");
    std::fs::write(&path, "5\n").unwrap();
    let (checkers, mut events, _) = Checkers::start(Sessions::default()).unwrap();
    let probe = Probe::File(FileProbe { path: path.clone(), weight: 2 });
    let often = CheckSettings { delay_loop: Duration::from_hours(1), retry: 0, ..check("a", probe) };
    checkers.configure(vec![often]).await.unwrap();
    let wanted = [("5", "weight", "the configured one +10"), ("-200", "down", "the file says -200, which is down")];
    for (text, word, why) in wanted {
        std::fs::write(&path, text).unwrap();
        checkers.file_changed(path.clone()).await.unwrap();
        assert_eq!(told(next(&mut events).await), (word, why.to_owned()), "{text}");
    }
}

#[test]
fn without_descriptors_checks_say_so_and_decide_nothing() {
    const CHILD: &str = "VIPD_TEST_WITHOUT_DESCRIPTORS";
    if std::env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(without_descriptors());
    }
    // The limit is that of a process, which other tests may share.
    let name = "checkers::without_descriptors_checks_say_so_and_decide_nothing";
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let output = child.args([name, "--exact", "--nocapture"]).env(CHILD, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

async fn without_descriptors() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (checkers, _events, _) = Checkers::start(Sessions::default()).unwrap();
    checkers.configure(vec![check("a", tcp(listener.local_addr().unwrap()))]).await.unwrap();
    let last = async || checkers.views().await.unwrap()[0].last.as_ref().map(|last| last.text.clone());
    until("it passes", async || last().await.as_deref() == Some("connected")).await;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 3, hard).unwrap();
    let wanted = "cannot make a socket: Too many open files (os error 24)";
    until("it cannot be made", async || last().await.as_deref() == Some(wanted)).await;
    let view = checkers.views().await.unwrap().remove(0);
    assert_eq!((view.state, view.failures), (CheckState::Tried { standing: Standing::Up }, 0), "{view:?}");
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    until("it passes again", async || last().await.as_deref() == Some("connected")).await;
}
