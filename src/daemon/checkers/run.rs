//! One run of a check: by the sockets of `healthcheck/io/`, a script, or the state of a BFD session.

use std::collections::BTreeMap;
use std::convert::identity;
use std::future::pending;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::bfd::fleet::View;
use crate::bfd::{Diagnostic, State};
use crate::healthcheck::io::{agent, dns, file, grpc, http, ping, smtp, tcp, tls, udp};
use crate::healthcheck::outcome::{LocalFault, Outcome, Stage};
use crate::healthcheck::probe::{BfdProbe, Probe, ScriptProbe};
use crate::notify::command::{Account, ScriptCommand, ScriptEnd};
use crate::notify::io::script::{self, Output};

/// The BFD sessions, as their thread publishes them; by default there is none.
#[derive(Clone, Debug, Default)]
pub struct Sessions {
    views: Option<watch::Receiver<Arc<Vec<View>>>>,
    /// Which of them were up when [`Sessions::moved`] last looked.
    seen: BTreeMap<String, bool>,
}

impl Sessions {
    pub const fn new(views: watch::Receiver<Arc<Vec<View>>>) -> Self {
        Self { views: Some(views), seen: BTreeMap::new() }
    }

    /// Wait until some came up or went down since the last call, and name them. It can be dropped at any time.
    pub async fn moved(&mut self) -> Vec<String> {
        let Some(views) = &mut self.views else { return pending().await };
        if views.changed().await.is_err() {
            // Their thread has ended, which the supervisor notices.
            self.views = None;
            return vec![];
        }
        let now: BTreeMap<String, bool> =
            views.borrow_and_update().iter().map(|view| (view.name.clone(), view.state == State::Up)).collect();
        let moved = |(name, up): &(&String, &bool)| self.seen.get(*name).is_some_and(|before| before != *up);
        let names = now.iter().filter(moved).map(|(name, _)| name.clone()).collect();
        self.seen = now;
        names
    }

    /// The state of one; one that was never up gets time to come up.
    async fn check(mut self, probe: &BfdProbe) -> Outcome {
        match timeout(BfdProbe::FIRST_UP, self.settled(&probe.session)).await {
            Ok(outcome) => outcome,
            Err(_) => self.state(&probe.session),
        }
    }

    async fn settled(&mut self, name: &str) -> Outcome {
        loop {
            let outcome = self.state(name);
            // A reload tells the checkers first, and the sessions then.
            let awaited = matches!(outcome, Outcome::NoSession | Outcome::SessionDown { because: None, .. });
            let Some(views) = self.views.as_mut().filter(|_| awaited) else { return outcome };
            if views.changed().await.is_err() {
                return outcome;
            }
        }
    }

    fn state(&self, name: &str) -> Outcome {
        let views = self.views.as_ref().map(|views| Arc::clone(&views.borrow()));
        let Some(view) = views.iter().flat_map(|views| views.iter()).find(|view| view.name == name) else {
            return Outcome::NoSession;
        };
        if view.state == State::Up {
            return Outcome::SessionUp;
        }
        let because = (view.diagnostic != Diagnostic::None).then(|| view.diagnostic.to_string());
        Outcome::SessionDown { state: view.state.to_string(), because }
    }
}

/// Carry out one run for real; `url` counts from 0.
///
/// The daemon has no run of `TCP_CHECK` come here: its connector makes them.
///
/// Each kind is boxed: the task of a run is as large as the largest of what is not, and is copied more than once until it
/// runs.
pub async fn run(probe: &Probe, url: usize, sessions: &Sessions) -> Outcome {
    match probe {
        Probe::Tcp(endpoint) => Box::pin(tcp::connect(endpoint)).await.map_or_else(identity, |_| Outcome::Connected),
        Probe::Http(probe) => Box::pin(http::check(probe, url)).await,
        Probe::Https(probe) => Box::pin(tls::check(probe, url)).await,
        Probe::Script(probe) => Box::pin(run_script(probe)).await,
        Probe::Smtp(probe) => Box::pin(smtp::check(probe)).await,
        Probe::Dns(probe) => Box::pin(dns::check(probe)).await,
        Probe::Udp(probe) => Box::pin(udp::check(probe)).await,
        Probe::Ping(endpoint) => Box::pin(ping::check(endpoint)).await,
        Probe::Agent(probe) => Box::pin(agent::check(probe)).await,
        Probe::Grpc(probe) => Box::pin(grpc::check(probe)).await,
        Probe::File(probe) => Box::pin(file::check(probe)).await,
        Probe::Bfd(probe) => Box::pin(sessions.clone().check(probe)).await,
    }
}

async fn run_script(probe: &ScriptProbe) -> Outcome {
    let account = probe.user.clone().map(|user| Account { user, group: probe.group.clone() });
    let Ok(command) = ScriptCommand::new(probe.argv.iter().cloned(), account) else {
        return Outcome::Local(LocalFault::Script { errno: libc::EINVAL });
    };
    match script::run(&command, &[], probe.timeout, Output::Discard).await.end {
        ScriptEnd::Exited { code: 0 } => Outcome::ScriptPassed { weight: None },
        ScriptEnd::Exited { code } => {
            let weight = u8::try_from(code).ok().and_then(|code| code.checked_sub(2));
            match weight.filter(|_| probe.dynamic) {
                Some(weight) => Outcome::ScriptPassed { weight: Some(weight) },
                None => Outcome::ScriptFailed { code },
            }
        }
        ScriptEnd::Signalled { signal } => Outcome::ScriptKilled { signal },
        ScriptEnd::TimedOut { after, .. } => Outcome::Timeout { waiting_for: Stage::Run, after },
        ScriptEnd::NotStarted { errno } | ScriptEnd::Lost { errno } => Outcome::Local(LocalFault::Script { errno }),
        ScriptEnd::UnknownAccount { .. } => Outcome::Local(LocalFault::Account),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::MonoTime;
    use crate::healthcheck::probe::Endpoint;

    fn views(state: State, diagnostic: Diagnostic) -> Arc<Vec<View>> {
        Arc::new(vec![View { name: "a".to_owned(), state, diagnostic, since: MonoTime::ZERO }])
    }

    #[tokio::test]
    async fn a_session_is_up_or_down_with_a_reason_and_one_that_begins_gets_time() {
        let (publish, seen) = watch::channel(Arc::default());
        let sessions = Sessions::new(seen);
        let probe = BfdProbe { session: "a".to_owned() };
        let ask = || sessions.clone().check(&probe);
        // It does not exist yet, it begins, it is up.
        let comes_up = async {
            publish.send_replace(views(State::Down, Diagnostic::None));
            tokio::task::yield_now().await;
            publish.send_replace(views(State::Up, Diagnostic::None));
        };
        assert_eq!(tokio::join!(ask(), comes_up).0.to_string(), "BFD session up");
        publish.send_replace(views(State::Down, Diagnostic::Expired));
        assert_eq!(ask().await.to_string(), "BFD session down: no packet within the detection time");
        drop(publish);
        assert_eq!(Sessions::default().check(&probe).await.to_string(), "no such BFD session is kept");
    }

    #[test]
    fn a_run_takes_little_memory_whatever_it_may_be_of() {
        let probe = Probe::Tcp(Endpoint::new(([127, 0, 0, 1], 80).into(), Duration::from_secs(1)));
        let size = size_of_val(&run(&probe, 0, &Sessions::default()));
        assert!(size <= 1024, "it is copied when its task begins: {size} bytes");
    }

    #[tokio::test]
    async fn sessions_that_come_up_or_go_down_are_named() {
        let (publish, seen) = watch::channel(Arc::default());
        let mut sessions = Sessions::new(seen);
        let rows = [
            ("it is new", State::Down, false),
            ("not up yet", State::Init, false),
            ("up", State::Up, true),
            ("down", State::Down, true),
        ];
        for (name, state, named) in rows {
            publish.send_replace(views(state, Diagnostic::None));
            assert_eq!(!sessions.moved().await.is_empty(), named, "{name}");
        }
        drop(publish);
        assert!(sessions.moved().await.is_empty(), "their thread has ended");
    }
}
