//! `GET /metrics`: over the control socket, and over TCP where `metrics_listen` says so.
#![expect(clippy::disallowed_methods, reason = "what listens is a task")]

use std::net::SocketAddr;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::control::io::server::{Answer, Asked, serve_tcp};
use crate::daemon::metrics;
use crate::daemon::supervisor::control::{Ask, ask, gone, refuse};

/// The TCP socket of `metrics_listen`.
#[derive(Debug)]
pub struct Metrics {
    asking: mpsc::Sender<Ask>,
    serving: Option<(SocketAddr, Ends)>,
}

impl Metrics {
    pub const fn new(asking: mpsc::Sender<Ask>) -> Self {
        Self { asking, serving: None }
    }

    /// Serve there, or nowhere. What is served there already goes on.
    pub fn follow(&mut self, at: Option<SocketAddr>) {
        if self.serving.as_ref().map(|(at, _)| *at) == at {
            return;
        }
        self.serving = None;
        self.serving = at.map(|at| {
            let asking = self.asking.clone();
            let serving = serve_tcp(at, move |asked| answer(asking.clone(), asked));
            (at, Ends(tokio::spawn(serving).abort_handle()))
        });
    }
}

/// A task that ends with its holder.
#[derive(Debug)]
struct Ends(AbortHandle);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What `metrics_listen` serves: to all who reach it, hence this one path alone.
async fn answer(asking: mpsc::Sender<Ask>, asked: Asked) -> Answer {
    match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "/metrics") => scrape(&asking, &asked.query).await,
        (_, "/metrics") => refuse(405, format!("{} is not for /metrics", asked.method)),
        (_, path) => refuse(404, format!("there is no {path}; there is GET /metrics")),
    }
}

pub async fn scrape(asking: &mpsc::Sender<Ask>, query: &str) -> Answer {
    let Some(detail) = metrics::Detail::asked(query) else {
        return refuse(400, format!("`{query}` is not known here; there are real_servers=1 and real_servers=0"));
    };
    let Some((status, counted)) = ask(asking, Ask::Metrics).await else { return gone() };
    match metrics::text(status, counted, detail) {
        Ok(body) => Answer { status: 200, media_type: metrics::CONTENT_TYPE, body },
        Err(error) => refuse(500, error.to_string()),
    }
}
