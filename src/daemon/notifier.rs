//! The notifier's task: it runs the scripts that [`Queue`] hands out, and logs how they ended.
//!
//! Who is told what is decided in `notify/`. VRRP and the checkers each have a notifier of their own, so that
//! slow scripts of real servers do not hold up those of a takeover.
#![expect(clippy::disallowed_methods, reason = "a task of the daemon waits")]

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::notify::io::script::{self, Leftover, Output, Run};
use crate::notify::queue::{Job, NotifyKey, Queue, Queued};
use crate::notify::words::Invocation;

/// Messages that wait for the task, which never waits for anything else.
const MESSAGES_MAX: usize = 1024;
/// Outputs of processes that scripts left behind, which are read and dropped. Past this they are closed.
const LEFTOVERS_MAX: usize = 128;

/// The notifier's task does not run any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the notifier's task has ended")]
pub struct NotifierGone;

/// A handle on the notifier's task. When the last one is dropped, the task ends with its last script.
#[derive(Clone, Debug)]
pub struct Notifier(mpsc::Sender<Message>);

#[derive(Debug)]
enum Message {
    Notify(NotifyKey, Vec<Invocation>),
    WhenIdle(oneshot::Sender<()>),
}

impl Notifier {
    /// Start the task on the present runtime.
    pub fn start() -> (Self, JoinHandle<()>) {
        let (handle, messages) = mpsc::channel(MESSAGES_MAX);
        (Self(handle), tokio::spawn(Task::default().serve(messages)))
    }

    /// Run these after what `key` has running. Of the jobs of one key that wait, the newest is run.
    ///
    /// # Errors
    /// [`NotifierGone`] where the task has ended.
    pub async fn notify(&self, key: NotifyKey, invocations: Vec<Invocation>) -> Result<(), NotifierGone> {
        if invocations.is_empty() {
            return Ok(());
        }
        self.0.send(Message::Notify(key, invocations)).await.map_err(|_| NotifierGone)
    }

    /// Wait until nothing runs and nothing waits, for `limit` at most; whether it came to that.
    pub async fn idle_within(&self, limit: Duration) -> bool {
        let (answer, answered) = oneshot::channel();
        let idle = async { self.0.send(Message::WhenIdle(answer)).await.is_ok() && answered.await.is_ok() };
        timeout(limit, idle).await.unwrap_or(false)
    }
}

#[derive(Default)]
struct Task {
    queue: Queue,
    jobs: JoinSet<Vec<Leftover>>,
    keys: HashMap<Id, NotifyKey>,
    leftovers: JoinSet<()>,
    idle: Vec<oneshot::Sender<()>>,
}

impl Task {
    async fn serve(mut self, mut messages: mpsc::Receiver<Message>) {
        let mut open = true;
        while open || !self.queue.is_idle() {
            tokio::select! {
                message = messages.recv(), if open => match message {
                    Some(message) => self.take(message),
                    None => open = false,
                },
                Some(ended) = self.jobs.join_next_with_id() => match ended {
                    Ok((task, leftovers)) => self.job_ended(task, leftovers),
                    Err(error) => {
                        tracing::error!(%error, "a notify job ended without a result");
                        self.job_ended(error.id(), vec![]);
                    }
                },
                Some(_) = self.leftovers.join_next() => {}
            }
            self.start_jobs();
            if self.queue.is_idle() {
                for answer in self.idle.drain(..) {
                    answer.send(()).ok(); // the asker may have given up
                }
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::WhenIdle(answer) => {
                self.idle.retain(|asker| !asker.is_closed());
                self.idle.push(answer);
            }
            Message::Notify(key, invocations) => {
                let subject = key.to_string();
                match self.queue.push(key, invocations) {
                    Queued::Waits => {}
                    Queued::Replaced => tracing::debug!(subject, "an older state gave way before its scripts began"),
                    Queued::Repeats => tracing::debug!(subject, "the scripts of this state run already"),
                    Queued::Refused => tracing::error!(subject, "too many subjects: not notified"),
                }
            }
        }
    }

    fn start_jobs(&mut self) {
        while let Some((key, job)) = self.queue.start() {
            let task = self.jobs.spawn(run(key.clone(), job));
            self.keys.insert(task.id(), key);
        }
    }

    fn job_ended(&mut self, task: Id, leftovers: Vec<Leftover>) {
        if let Some(key) = self.keys.remove(&task) {
            self.queue.finish(&key);
        }
        for leftover in leftovers {
            if self.leftovers.len() < LEFTOVERS_MAX {
                self.leftovers.spawn(leftover.drain());
            }
        }
    }
}

async fn run(key: NotifyKey, job: Job) -> Vec<Leftover> {
    let each = job.invocations.into_iter().map(|invocation| run_one(&key, job.sequence, invocation));
    join_all(each).await.into_iter().flatten().collect()
}

async fn run_one(key: &NotifyKey, sequence: u64, invocation: Invocation) -> Option<Leftover> {
    let Invocation { command, extra, limit } = invocation;
    let Run { end, output, leftover } = script::run(&command, &extra, limit, Output::Keep).await;
    let (subject, extra) = (key.to_string(), extra.join(" "));
    if end.is_success() {
        tracing::info!(subject, sequence, %command, extra, output, "notify script ended");
    } else {
        tracing::warn!(subject, sequence, %command, extra, output, %end, "notify script failed");
    }
    leftover
}
