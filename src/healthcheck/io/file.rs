//! `FILE_CHECK`: the number in a file. A file that is not there counts as 0, as in keepalived.
//!
//! What the number means is in `file.rs` of the room.

use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use crate::healthcheck::file::{TEXT_MAX_BYTES, judge};
use crate::healthcheck::outcome::{Outcome, Stage};
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
        Ok(text) => judge(&text.unwrap_or_default(), probe.weight),
        Err(_) => Outcome::Timeout { waiting_for: Stage::Run, after: FileProbe::DEADLINE },
    }
}
