//! `SMTP_CHECK`: carries the bytes of one dialogue over a fresh connection.
//!
//! What is said and what it means is in `smtp.rs` of the room.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::healthcheck::outcome::{Outcome, Stage};
use crate::healthcheck::probe::SmtpProbe;
use crate::healthcheck::smtp::{Dialogue, Progress};

use super::{socket, tcp};

/// One run; to connect and each answer may take `connect_timeout`.
pub async fn check(probe: &SmtpProbe) -> Outcome {
    let after = probe.endpoint.connect_timeout;
    let mut stream = match tcp::connect(&probe.endpoint).await {
        Ok(stream) => stream,
        Err(failure) => return failure,
    };
    let mut dialogue = Dialogue::new(probe.helo.clone());
    loop {
        let words = match timeout(after, reply(&mut stream, &mut dialogue)).await {
            Ok(Ok(Ok(words))) => words,
            Ok(Ok(Err(outcome))) => return outcome,
            Ok(Err(error)) => return socket::stream_failure(&error),
            Err(_) => return Outcome::Timeout { waiting_for: Stage::Reply, after },
        };
        // The words are fewer than any socket's buffer holds.
        if let Err(error) = stream.write_all(words.as_bytes()).await {
            return socket::stream_failure(&error);
        }
    }
}

/// Read one reply: what is to be sent next, or the end of the dialogue.
async fn reply(stream: &mut TcpStream, dialogue: &mut Dialogue) -> io::Result<Result<String, Outcome>> {
    let mut piece = [0; 512];
    loop {
        let length = stream.read(&mut piece).await?;
        if length == 0 {
            return Ok(Err(Outcome::ClosedEarly));
        }
        match dialogue.receive(piece.get(..length).unwrap_or_default()) {
            Progress::More => {}
            Progress::Send(words) => return Ok(Ok(words)),
            Progress::End(outcome) => return Ok(Err(outcome)),
        }
    }
}
