//! The flight recorder's file in the run directory: what a restarted daemon knows of its time before.
//!
//! It is gone after a reboot, as the run directory is.
#![expect(clippy::disallowed_methods, reason = "a small file of the daemon's own")]

use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Entry, History};
use crate::daemon::pidfile;

/// A file above this is not ours: [`super::TOTAL_MAX`] entries take a quarter of it.
const BYTES_MAX: u64 = 32 << 20;

/// Between two writes, so that a storm of events costs one write a second.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// A disk that takes longer does not hold up the stop.
const LAST_WRITE_MAX: Duration = Duration::from_secs(2);

fn path(run_dir: &Path) -> PathBuf {
    run_dir.join("history.json")
}

/// What an earlier run left; nothing where it cannot be read.
pub fn read(run_dir: &Path) -> History {
    let path = path(run_dir);
    let read = || -> std::io::Result<BTreeMap<String, VecDeque<Entry>>> {
        if std::fs::metadata(&path)?.len() > BYTES_MAX {
            return Err(ErrorKind::FileTooLarge.into());
        }
        Ok(serde_json::from_slice(&std::fs::read(&path)?)?)
    };
    match read() {
        Ok(entries) => History::of(entries),
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                tracing::warn!(path = %path.display(), %error, "the history of an earlier run cannot be read");
            }
            History::default()
        }
    }
}

/// Writes in the background, one at a time: a slow disk holds up nobody.
#[derive(Debug)]
pub struct Writer {
    run_dir: PathBuf,
    task: Option<JoinHandle<()>>,
    not_before: Instant,
}

impl Writer {
    pub fn new(run_dir: &Path) -> Self {
        Self { run_dir: run_dir.to_owned(), task: None, not_before: Instant::now() }
    }

    /// Wait until `history` should be written; for ever while it is. Dropping the future loses nothing.
    pub async fn due(&mut self, history: &History) {
        if !history.is_unwritten() {
            return std::future::pending().await;
        }
        if let Some(task) = &mut self.task {
            // A write that panicked is as good as one that failed.
            let _ = task.await;
            self.task = None;
        }
        sleep_until(self.not_before).await;
    }

    pub fn begin(&mut self, history: &mut History) {
        let (run_dir, entries) = (self.run_dir.clone(), history.to_write());
        self.task = Some(tokio::task::spawn_blocking(move || write(&run_dir, &entries)));
        self.not_before = Instant::now() + WRITE_EVERY;
    }

    /// The last one, waited for within a bound.
    pub async fn finish(&mut self, history: &mut History) {
        let last = async {
            if let Some(task) = self.task.take() {
                let _ = task.await;
            }
            self.begin(history);
            if let Some(task) = self.task.take() {
                let _ = task.await;
            }
        };
        if timeout(LAST_WRITE_MAX, last).await.is_err() {
            tracing::warn!("the history was not written whole; a restart would not know it");
        }
    }
}

/// Write all of it, to a temporary name, then renamed. It may wait for the disk.
fn write(run_dir: &Path, entries: &BTreeMap<String, VecDeque<Entry>>) {
    let path = path(run_dir);
    let written = pidfile::replace_by(&path, 0o600, |file| Ok(serde_json::to_writer(file, entries)?));
    if let Err(error) = written {
        tracing::warn!(path = %path.display(), %error, "the history was not written; a restart would not know it");
    }
}
