//! The mailer's task: one alert after the other, and nobody waits for it. A mail that cannot be sent is logged.
#![expect(clippy::disallowed_methods, reason = "a task of the daemon waits")]

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::notify::io::mail::send;
use crate::notify::mail::{Mail, MailSettings};

/// Alerts that wait; beyond it they are lost, and that is logged.
const MAILS_MAX: usize = 256;
/// The last alerts may take so long at a stop.
const LAST_MAILS: Duration = Duration::from_secs(2);

/// The running task.
#[derive(Debug)]
pub struct Mailer {
    /// `None`: closed.
    queue: Option<mpsc::Sender<(MailSettings, Mail)>>,
    task: JoinHandle<()>,
}

impl Mailer {
    pub fn start() -> Self {
        let (queue, mut mails) = mpsc::channel::<(MailSettings, Mail)>(MAILS_MAX);
        let task = tokio::spawn(async move {
            while let Some((settings, mail)) = mails.recv().await {
                match send(&settings, &mail).await {
                    Ok(()) => tracing::debug!(subject = mail.subject, "alert sent"),
                    Err(error) => tracing::warn!(subject = mail.subject, %error, "alert not sent"),
                }
            }
        });
        Self { queue: Some(queue), task }
    }

    pub fn send(&self, settings: &MailSettings, mail: Mail) {
        if let Some(queue) = &self.queue
            && let Err(error) = queue.try_send((settings.clone(), mail))
        {
            tracing::warn!(%error, "alert lost: the mail server is slower than what happens");
        }
    }

    /// Send what waits, within a bound.
    pub async fn close(&mut self) {
        self.queue = None;
        if timeout(LAST_MAILS, &mut self.task).await.is_err() {
            self.task.abort();
            tracing::warn!("the last alerts were not sent in time");
        }
    }
}
