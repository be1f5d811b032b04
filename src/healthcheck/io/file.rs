//! `FILE_CHECK`: the number in a file. A file that is not there counts as 0, as in keepalived.
//!
//! What the number means is in `file.rs` of the room.

use std::io;

use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use crate::healthcheck::file::{TEXT_MAX_BYTES, judge};
use crate::healthcheck::outcome::{LocalFault, Outcome, Stage};
use crate::healthcheck::probe::FileProbe;

/// One reading.
pub async fn check(probe: &FileProbe) -> Outcome {
    let read = async {
        let mut text = vec![];
        let limit = u64::try_from(TEXT_MAX_BYTES).unwrap_or(u64::MAX);
        File::open(&probe.path).await?.take(limit).read_to_end(&mut text).await?;
        Ok::<_, std::io::Error>(text)
    };
    match timeout(FileProbe::DEADLINE, read).await {
        Ok(Err(error)) if is_ours(&error) => {
            Outcome::Local(LocalFault::File { errno: error.raw_os_error().unwrap_or(0) })
        }
        Ok(text) => judge(&text.unwrap_or_default(), probe.weight),
        Err(_) => Outcome::Timeout { waiting_for: Stage::Run, after: FileProbe::DEADLINE },
    }
}

/// It tells of this host and not of the file, which keepalived takes for empty where it cannot be read.
fn is_ours(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM))
}
