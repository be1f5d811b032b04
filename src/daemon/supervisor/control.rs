//! What the control socket answers: `GET /status`, `GET /config`, `GET /explain`, `GET /metrics`,
//! `POST /reload`, and for `vipd ipvsadm` `GET /plane`, `GET /table`, `POST /ipvsadm`. The verbs of operators are in `operator.rs`.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::config::io::packed::Packed;
use crate::control::api::{
    CheckStatus, ConfigStatus, DaemonCounters, Explanation, Refusal, Reloaded, Status, TrackerStatus,
};
use crate::control::io::server::{Answer, Asked, JSON, PLAIN};
use crate::daemon::dump::{self, AllStats};
use crate::daemon::explain::explain;
use crate::daemon::heartbeat::Command;
use crate::daemon::lvs::{LvsCommand, Seen};
use crate::daemon::manual::Question;
use crate::daemon::supervisor::operator::{self, HandedOver};
use crate::daemon::supervisor::running::Daemon;
use crate::daemon::supervisor::scrape::scrape;
use crate::daemon::{clock, status};
use crate::healthcheck::settings::CheckView;
use crate::vrrp::InstanceView;

const GET: [&str; 6] = ["/status", "/config", "/explain", "/metrics", "/plane", "/table"];
const POST: [&str; 5] = ["/reload", "/failover", "/maintenance", "/ipvsadm", "/real-server"];
/// The heartbeat answers within its next turn.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// A question for the supervisor.
#[derive(Debug)]
pub enum Ask {
    Status(oneshot::Sender<Status>),
    /// The same, and what keepalived would count.
    Metrics(oneshot::Sender<(Status, AllStats)>),
    /// The configuration in force.
    Config(oneshot::Sender<Packed>),
    Reload(oneshot::Sender<Result<Reloaded, String>>),
    /// Let others be MASTER of these; the answer comes when they are.
    HandOver {
        instances: Vec<String>,
        force: bool,
        reply: HandedOver,
    },
    /// The names of those that are MASTER: of one, or of all.
    Active(Option<String>, oneshot::Sender<Result<Vec<String>, String>>),
    /// Begin or end maintenance, of one or of all.
    Maintain {
        on: bool,
        instance: Option<String>,
        reply: oneshot::Sender<Result<String, String>>,
    },
    /// Of the instance with this name.
    Explain(String, oneshot::Sender<Result<Explanation, Refusal>>),
    /// The forwarding task and the name of its plane; `None` where nothing is forwarded.
    Forwarding(oneshot::Sender<Option<(String, mpsc::Sender<LvsCommand>)>>),
}

/// `GET /plane`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaneAnswer {
    /// `ipvs` or `ebpf`; `None` where nothing is forwarded.
    pub plane: Option<String>,
}

/// Answer one request.
pub async fn answer(asking: mpsc::Sender<Ask>, asked: Asked) -> Answer {
    match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "/status") => match ask(&asking, Ask::Status).await {
            Some(status) => json(200, &status),
            None => gone(),
        },
        ("GET", "/config") => match ask(&asking, Ask::Config).await {
            // Canonical text, with its passwords: the socket is for root.
            Some(config) => Answer { status: 200, media_type: PLAIN, body: config.text() },
            None => gone(),
        },
        ("GET", "/metrics") => scrape(&asking, &asked.query).await,
        ("GET", "/explain") => match ask(&asking, |reply| Ask::Explain(asked.query.clone(), reply)).await {
            Some(Ok(explanation)) => json(200, &explanation),
            Some(Err(refusal)) => json(404, &refusal),
            None => gone(),
        },
        ("POST", "/failover") => operator::failover(&asking, &asked.body).await,
        ("POST", "/maintenance") => operator::maintenance(&asking, &asked.body).await,
        ("POST", "/reload") => match ask(&asking, Ask::Reload).await {
            Some(Ok(reloaded)) => json(200, &reloaded),
            Some(Err(error)) => json(409, &Refusal { error }),
            None => gone(),
        },
        ("GET", "/plane") => match ask(&asking, Ask::Forwarding).await {
            Some(forwarding) => json(200, &PlaneAnswer { plane: forwarding.map(|(plane, _)| plane) }),
            None => gone(),
        },
        ("POST", "/real-server") => operator::real_server(&asking, &asked.body).await,
        ("GET", "/table") => by_hand(&asking, Question::Table).await,
        ("POST", "/ipvsadm") => match serde_json::from_slice(&asked.body) {
            Ok(question) => by_hand(&asking, question).await,
            Err(error) => refuse(400, format!("that is no question: {error}")),
        },
        (_, path) if GET.contains(&path) || POST.contains(&path) => {
            refuse(405, format!("{} is not for {path}", asked.method))
        }
        (_, path) => {
            let known = format!("GET {} and POST {}", GET.join(" "), POST.join(" "));
            refuse(404, format!("there is no {path}; there are {known}"))
        }
    }
}

/// Ask the forwarding task itself: the supervisor does not wait for it.
async fn by_hand(asking: &mpsc::Sender<Ask>, question: Question) -> Answer {
    match ask(asking, Ask::Forwarding).await {
        Some(Some((_, commands))) => {
            let (reply, answer) = oneshot::channel();
            let sent = commands.send(LvsCommand::Manual { question, reply }).await;
            match (sent, answer.await) {
                (Ok(()), Ok(Ok(reply))) => json(200, &reply),
                (Ok(()), Ok(Err(refusal))) => json(409, &refusal),
                (Err(_), _) | (_, Err(_)) => gone(),
            }
        }
        Some(None) => refuse(409, "the daemon forwards nothing: its configuration has no virtual server".to_owned()),
        None => gone(),
    }
}

pub async fn ask<A>(asking: &mpsc::Sender<Ask>, question: impl FnOnce(oneshot::Sender<A>) -> Ask) -> Option<A> {
    let (reply, answer) = oneshot::channel();
    asking.send(question(reply)).await.ok()?;
    answer.await.ok()
}

pub fn gone() -> Answer {
    refuse(503, "the daemon is stopping".to_owned())
}

pub fn refuse(status: u16, error: String) -> Answer {
    json(status, &Refusal { error })
}

pub fn json(status: u16, body: &impl Serialize) -> Answer {
    match serde_json::to_string(body) {
        Ok(body) => Answer { status, media_type: JSON, body },
        Err(error) => Answer { status: 500, media_type: JSON, body: format!("{{\"error\":\"{error}\"}}") },
    }
}

impl Daemon {
    pub async fn asked(&mut self, ask: Ask) {
        // Nobody waits for an answer whose asker is gone.
        match ask {
            Ask::Status(reply) => drop(reply.send(self.status().await)),
            Ask::Metrics(reply) => {
                let views = Arc::clone(&self.heartbeat.snapshot.borrow());
                let stats = dump::stats(&views);
                drop(reply.send((self.status().await, stats)));
            }
            Ask::Config(reply) => drop(reply.send(self.wanted.config.clone())),
            Ask::Forwarding(reply) => {
                let forwarding = self.forwarding.as_ref();
                let known = forwarding.map(|held| (held.view.borrow().plane.clone(), held.commands.clone()));
                drop(reply.send(known));
            }
            Ask::Reload(reply) => self.begin_reload(Some(reply)),
            Ask::HandOver { instances, force, reply } => self.hand_over(instances, force, reply).await,
            Ask::Active(instance, reply) => drop(reply.send(self.active(instance.as_deref()))),
            Ask::Maintain { on, instance, reply } => drop(reply.send(self.maintain(on, instance).await)),
            Ask::Explain(name, reply) => drop(reply.send(self.explain(&name).await)),
        }
    }

    async fn explain(&self, name: &str) -> Result<Explanation, Refusal> {
        let all = self.look().await;
        let Some(view) = all.iter().find(|view| view.name == name) else {
            let known: Vec<&str> = all.iter().map(|view| view.name.as_str()).collect();
            let error = format!("there is no vrrp_instance `{name}`; there are: {}", known.join(" "));
            return Err(Refusal { error });
        };
        let (now, unix_s) = (clock::now(), clock::unix_seconds());
        Ok(explain(now, unix_s, view, &all, self.history.of_instance(name)))
    }

    /// All virtual routers as they are at this moment; of a heartbeat that hangs, as they were in its last snapshot.
    async fn look(&self) -> Arc<Vec<InstanceView>> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.heartbeat.commands.send(Command::Look { reply }).await.ok()?;
            answer.await.ok()
        };
        match timeout(LOOK_MAX, asked).await {
            Ok(Some(views)) => Arc::new(views),
            Ok(None) | Err(_) => Arc::clone(&self.heartbeat.snapshot.borrow()),
        }
    }

    async fn status(&self) -> Status {
        let instances = self.look().await;
        let now = clock::now();
        let checks = self.check_results().await;
        let (mut virtual_servers, mut plane) = (vec![], None);
        if let Some(forwarding) = &self.forwarding {
            let Seen { table: _, counters, reasons } = forwarding.seen().await;
            let view = forwarding.view.borrow();
            plane = Some(status::plane(&view, &counters, &reasons));
            for pool in &view.pools {
                virtual_servers.extend(status::virtual_servers(&view.plane, pool, &counters, &checks));
            }
        }
        let standing = &self.standing;
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            state: if standing.stopping { "STOPPING" } else { "RUNNING" }.to_owned(),
            uptime_s: now.since(standing.started).as_secs(),
            config: ConfigStatus {
                file: self.options.file.display().to_string(),
                loaded_s_ago: now.since(standing.loaded).as_secs(),
                reloads: standing.reloads,
                failed_reloads: standing.failed_reloads,
                last_failure: standing.last_failure.clone(),
            },
            scheduling: status::scheduling(&self.heartbeat.processor),
            instances: instances.iter().cloned().map(|view| status::instance(now, view)).collect(),
            trackers: self.tracker_results().await,
            virtual_servers,
            plane,
            strangers: status::strangers(&self.heartbeat.strangers.borrow()),
            bad_frames: status::bad_frames(&self.heartbeat.bad_frames),
            bfd_discards: self
                .bfd
                .discards
                .borrow()
                .iter()
                .map(|(why, count)| (why.word().to_owned(), *count))
                .collect(),
            events: self.recorder.list(now),
            counters: DaemonCounters {
                events_lost: self.events_lost(),
                log_lines_lost: u64::try_from(self.log_lost.dropped_lines()).unwrap_or(u64::MAX),
                plane_failures: standing.plane_failures,
            },
        }
    }

    /// Of the forwarding task and of the heartbeat.
    fn events_lost(&self) -> u64 {
        let forwarding = self.forwarding.as_ref().map_or(0, |forwarding| forwarding.view.borrow().events_lost);
        forwarding + self.heartbeat.events_lost.load(std::sync::atomic::Ordering::Relaxed)
    }

    async fn tracker_results(&self) -> Vec<TrackerStatus> {
        let scripts = self.trackers.views().await.unwrap_or_default();
        let watched = self.watchers.views().await.unwrap_or_default();
        let bfds = Arc::clone(&self.bfd.snapshot.borrow());
        let named = scripts.into_iter().map(status::script).chain(watched.into_iter().map(status::watched));
        named.chain(bfds.iter().map(status::bfd)).collect()
    }

    async fn check_results(&self) -> status::Checks {
        let mut checks = status::Checks::new();
        for view in self.checkers.views().await.unwrap_or_default() {
            let Some(target) = self.wanted.targets.get(&view.id.target) else { continue };
            let checked = checks.entry((target.pool.clone(), target.real_server)).or_default();
            checked.since_s = Some(view.standing_for.as_secs_f64());
            checked.checks.push(check(view));
        }
        checks
    }
}

fn check(view: CheckView) -> CheckStatus {
    let CheckView { id: _, kind, state, failures: _, last, results: _, stale, resting, standing_for: _, shared_by: _ } =
        view;
    CheckStatus {
        kind,
        state: match (resting, &stale) {
            (true, _) => "resting".to_owned(),
            (false, Some(_)) => "stale".to_owned(),
            (false, None) => state.standing().to_string(),
        },
        latency_ms: last.as_ref().filter(|_| stale.is_none()).map(|last| last.latency.as_secs_f64() * 1e3),
        last: stale.map(|because| because.to_string()).or_else(|| last.as_ref().map(|last| last.text.clone())),
        age_s: last.as_ref().map(|last| last.age.as_secs_f64()),
    }
}
