//! What is asked of a plane by hand, and answered: by the daemon that owns the plane, or by whoever opened it.

use serde::{Deserialize, Serialize};

use crate::lvs::ipvsadm::connections::Connection;
use crate::lvs::ipvsadm::manual::{Manual, refused};
use crate::lvs::ipvsadm::{Change, Refusal, SyncDaemon, Timeouts};
use crate::lvs::view::{Header, Row};

/// `POST /ipvsadm`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    Table,
    Connections,
    Timeouts,
    Daemons,
    Change(Vec<Change>),
}

/// The answer; one result for each change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    Table { header: Header, rows: Vec<Row> },
    Connections(Vec<Connection>),
    Timeouts(Timeouts),
    Daemons(Vec<SyncDaemon>),
    Change(Vec<Result<(), Refusal>>),
}

/// Ask the plane.
///
/// # Errors
/// [`Refusal`] where it cannot be read; what became of changes is in the reply.
pub async fn ask<M: Manual>(plane: &mut M, question: Question) -> Result<Reply, Refusal> {
    let done = match question {
        Question::Table => plane.listing().await.map(|(header, rows)| Reply::Table { header, rows }),
        Question::Connections => plane.connections().await.map(Reply::Connections),
        Question::Timeouts => plane.timeouts().await.map(Reply::Timeouts),
        Question::Daemons => plane.sync_daemons().await.map(Reply::Daemons),
        Question::Change(changes) => return Ok(Reply::Change(plane.change(&changes).await)),
    };
    done.map_err(|error| refused(&error))
}
