//! The checkers' task, end to end: what happens to a server is told, and no run is in another one's way.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use vipd::daemon::checkers::{Checkers, CheckersGone};
use vipd::healthcheck::judge::OnLocalError;
use vipd::healthcheck::outcome::{LocalFault, Outcome};
use vipd::healthcheck::probe::{Endpoint, Probe, ScriptProbe};
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
    }
}

/// What an event says, in one word, and why.
fn told(event: CheckEvent) -> (&'static str, String) {
    match event {
        CheckEvent::Up { reason, .. } => ("up", reason.to_string()),
        CheckEvent::Down { reason, .. } => ("down", reason.to_string()),
        CheckEvent::Weight { weight, .. } => ("weight", weight.to_string()),
    }
}

fn script(line: &str, dynamic: bool) -> Probe {
    let argv = ["/bin/sh", "-c", line].map(str::to_owned).to_vec();
    Probe::Script(ScriptProbe { argv, user: None, group: None, timeout: PATIENCE, dynamic })
}

#[tokio::test]
async fn a_server_that_dies_goes_down_and_one_that_returns_comes_up() {
    let (checkers, mut events, _) = Checkers::start();
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
    let (checkers, mut events, _) = Checkers::start_with(|check: Arc<CheckSettings>, _| async move {
        match check.id.target.destination.as_str() {
            "panics" => panic!("as the test wants it"),
            "hangs" => pending().await,
            _ => Outcome::Refused,
        }
    });
    let endpoint = Endpoint::new(([127, 0, 0, 1], 1).into(), Duration::from_millis(1));
    let checks = ["panics", "hangs", "fails"].map(|name| check(name, Probe::Tcp(endpoint.clone())));
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
    let (checkers, mut events, task) = Checkers::start();
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let checks = vec![check("kept", tcp(dead)), check("gone", tcp(dead))];
    checkers.configure(checks.clone()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(told(next(&mut events).await).0, "down");
    }
    checkers.configure(vec![CheckSettings { retry: 5, ..checks[0].clone() }]).await.unwrap();
    assert_eq!(checkers.standings().await.unwrap(), [(target("kept"), Standing::Down)].into());
    assert_eq!(told(next(&mut events).await), ("up", "the checkers were reconfigured".to_owned()));
    checkers.configure(vec![]).await.unwrap();
    assert_eq!(checkers.views().await, Ok(vec![]));

    task.abort();
    task.await.unwrap_err();
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
        let (checkers, mut events, _) = Checkers::start();
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
