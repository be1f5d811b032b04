//! `AGENT_CHECK`: one line from a program beside the server.
//!
//! What the line says is in `agent.rs` of the room. An agent that is not there says nothing of the server.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::base::WeightWish;
use crate::healthcheck::agent::{AgentLine, LINE_MAX_BYTES};
use crate::healthcheck::outcome::{Outcome, Stage};
use crate::healthcheck::probe::AgentProbe;

use super::{socket, tcp};

/// One run; to connect and the line may take `connect_timeout` each.
pub async fn check(probe: &AgentProbe) -> Outcome {
    match ask(probe).await {
        // Whether it is good news is decided with what it said before.
        Ok(Some(line)) => Outcome::Agent { line, usable: true, wish: WeightWish::Percent(100) },
        Ok(None) => Outcome::NotAgent,
        Err(because) => Outcome::NoAgent { because: Box::new(because) },
    }
}

async fn ask(probe: &AgentProbe) -> Result<Option<AgentLine>, Outcome> {
    let after = probe.endpoint.connect_timeout;
    let mut stream = tcp::connect(&probe.endpoint).await?;
    let line = timeout(after, line(&mut stream, &probe.send)).await;
    let line = line.map_err(|_| Outcome::Timeout { waiting_for: Stage::Reply, after })?;
    let line = line.map_err(|error| socket::stream_failure(&error))?;
    if line.is_empty() { Err(Outcome::ClosedEarly) } else { Ok(AgentLine::parse(&line)) }
}

/// Up to the end of the line, of the stream, or of what we read.
async fn line(stream: &mut TcpStream, send: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(send).await?;
    let mut read = vec![];
    let mut piece = [0; LINE_MAX_BYTES];
    while read.len() < LINE_MAX_BYTES && !read.contains(&b'\n') {
        let length = stream.read(&mut piece).await?;
        if length == 0 {
            break;
        }
        read.extend(piece.iter().take(length));
    }
    read.truncate(LINE_MAX_BYTES);
    Ok(read)
}
