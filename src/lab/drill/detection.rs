//! How soon each kind of check finds that its server is gone: every port is closed at one moment, and what the checkers tell
//! is held against the bound that follows from their settings.
//!
//! A refusal takes no time, so the bound is the period, and the pauses before the repetitions. `PING_CHECK` knows no port: its
//! host falls silent, and each run waits for as long as it may. An agent that cannot be asked says nothing of its server, so
//! one that is asked says `down`. The bound of `BFD_CHECK` is the session's detection time, after which it is told at once.
#![expect(clippy::disallowed_methods, reason = "the lab reads the clock, waits, and writes files")]

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::judge::{Amount, Verdict};
use super::neighbor::{self, Neighbor};
use crate::bfd::Settings;
use crate::healthcheck::expect::Expect;
use crate::healthcheck::hex::ReplyExpect;
use crate::healthcheck::judge::OnLocalError;
use crate::healthcheck::probe::{
    AgentProbe, BfdProbe, DnsProbe, Endpoint, FileProbe, GrpcProbe, HttpProbe, HttpVersion, HttpsProbe, Probe,
    ScriptProbe, SmtpProbe, TlsClient, UdpProbe, Url,
};
use crate::healthcheck::settings::{CheckEvent, CheckId, CheckSettings, TargetId};
use crate::lab::conformance::{self, Behaviour, Identities, Running};
use crate::lab::error::LabError;
use crate::lab::namespace::Namespace;

/// What the namespace is called, with the number of the process.
const HOST: &str = "vipd-detection";
/// The kind whose runs take as long as they may.
const PING: &str = "PING_CHECK";
/// The kind that is told of by the session, whenever its next run is.
const BFD: &str = "BFD_CHECK";
const PERIOD: Duration = Duration::from_secs(1);
/// Of `BFD_CHECK`: longer than all of this takes.
const BFD_PERIOD: Duration = Duration::from_hours(1);
const RETRY: u32 = 2;
const PAUSE: Duration = Duration::from_millis(300);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Of `PING_CHECK`, whose runs all wait so long.
const PING_TIMEOUT: Duration = Duration::from_millis(500);
/// For the runs themselves, and for a machine that has other things to do.
const SLACK: Duration = Duration::from_millis(200);
/// All servers are found up within this time, and down.
const PATIENCE: Duration = Duration::from_secs(30);

/// A certificate and its key, for a server that nobody needs to trust.
const IDENTITY: &[u8] = include_bytes!("identity.pem");

/// The longest time from the end of a server to the word that it is down, and how it comes about.
fn bound(kind: &str) -> (Duration, String) {
    let seconds = |span: Duration| span.as_secs_f64();
    if kind == BFD {
        let (intervals, interval) = (u32::from(neighbor::MULTIPLIER.get()), neighbor::INTERVAL);
        return (interval * intervals + SLACK, format!("{intervals} * {} + {} s", seconds(interval), seconds(SLACK)));
    }
    let (runs, waits) = match kind {
        PING => (RETRY.saturating_add(1), format!(" + {} * {}", RETRY.saturating_add(1), seconds(PING_TIMEOUT))),
        _ => (0, String::new()),
    };
    let limit = PERIOD + PAUSE * RETRY + PING_TIMEOUT * runs + SLACK;
    (limit, format!("{} + {RETRY} * {}{waits} + {} s", seconds(PERIOD), seconds(PAUSE), seconds(SLACK)))
}

/// Check a server by each kind of check, take all servers away, and wait for the news. `start` makes the checks, keeps the
/// BFD sessions, and gives what the checks tell, and what keeps them going. All of it is in network namespaces, which needs
/// root.
///
/// # Errors
/// [`LabError`] where the checks or a server cannot be started, or a server is not found up.
pub fn measure<H>(
    start: impl AsyncFnOnce(Vec<CheckSettings>, Vec<Settings>) -> io::Result<(mpsc::Receiver<CheckEvent>, H)> + Send,
) -> Result<Vec<Verdict>, LabError> {
    let namespace = Namespace::create(&format!("{HOST}-{}", std::process::id()))?;
    let neighbor = Neighbor::start(&namespace)?;
    let measured = namespace.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(fault("starting its runtime"))?.block_on(measure_here(&neighbor, start))
    });
    measured?
}

async fn measure_here<H>(
    neighbor: &Neighbor,
    start: impl AsyncFnOnce(Vec<CheckSettings>, Vec<Settings>) -> io::Result<(mpsc::Receiver<CheckEvent>, H)>,
) -> Result<Vec<Verdict>, LabError> {
    let dir = Scratch::new()?;
    let identities = identities().ok_or_else(|| fault("TLS")(io::ErrorKind::InvalidData.into()))?;
    let (mut servers, mut checks) = (vec![], vec![]);
    for (name, probe) in kinds() {
        let server = Running::start(&behaviour(name), &identities).await.map_err(fault("starting a server"))?;
        checks.push(settings(probe(Endpoint::new(server.addr, CONNECT_TIMEOUT))));
        servers.push(server);
    }
    checks.extend(dir.probes().map(settings));
    let agent = Agent::start().await.map_err(fault("starting an agent"))?;
    let endpoint = Endpoint::new(agent.at, CONNECT_TIMEOUT);
    checks.push(settings(Probe::Agent(AgentProbe { endpoint, send: vec![] })));
    checks.push(settings(Probe::Ping(Endpoint::new((Ipv4Addr::LOCALHOST, 0).into(), PING_TIMEOUT))));
    let by_session = settings(Probe::Bfd(BfdProbe { session: neighbor::SESSION.to_owned() }));
    checks.push(CheckSettings { delay_loop: BFD_PERIOD, retry: 0, ..by_session });
    let mut waited: Vec<String> = checks.iter().map(|check| check.id.target.destination.clone()).collect();
    let (mut events, _running) =
        start(checks, vec![neighbor::settings_with_it()]).await.map_err(fault("starting the checks"))?;
    let mut up = waited.clone();
    news(&mut events, &mut up, |event| matches!(event, CheckEvent::Up { .. }), |_| ()).await;
    if let Some(late) = up.first() {
        return Err(LabError::TimedOut { what: format!("{late} finds its server up"), after: PATIENCE });
    }
    drop(servers);
    neighbor.fall_silent();
    agent.is_sick.store(true, Ordering::SeqCst);
    dir.fail()?;
    let deaf = Path::new("/proc/sys/net/ipv4/icmp_echo_ignore_all");
    std::fs::write(deaf, "1").map_err(|source| LabError::File { action: "write", path: deaf.to_owned(), source })?;
    let gone = Instant::now();
    let kinds = waited.clone();
    let mut found = vec![];
    let is_down = |event: &CheckEvent| matches!(event, CheckEvent::Down { .. });
    news(&mut events, &mut waited, is_down, |kind| found.push((kind.to_owned(), gone.elapsed()))).await;
    Ok(kinds.into_iter().map(|kind| verdict(&kind, &found)).collect())
}

/// For people.
pub fn table(verdicts: &[Verdict]) -> String {
    let mut text = "\nA server that is gone, found by each kind of check\n".to_owned();
    for verdict in verdicts {
        // Writing to a String cannot fail.
        writeln!(text, "  {verdict}").ok();
    }
    text
}

fn verdict(kind: &str, found: &[(String, Duration)]) -> Verdict {
    let measured = found.iter().find(|(name, _)| name == kind).map(|(_, after)| *after);
    let (limit, formula) = bound(kind);
    Verdict {
        promise: kind.to_owned(),
        formula,
        limit: limit.into(),
        measured: measured.map(Amount::from),
        kept: measured.is_some_and(|after| after <= limit),
    }
}

fn fault(what: &'static str) -> impl Fn(io::Error) -> LabError {
    move |source| LabError::Socket { host: HOST.into(), what: what.into(), source }
}

/// Wait until such an event came for each of these, or [`PATIENCE`] is over.
async fn news(
    events: &mut mpsc::Receiver<CheckEvent>,
    waited: &mut Vec<String>,
    is_news: impl Fn(&CheckEvent) -> bool,
    mut seen: impl FnMut(&str),
) {
    let until = tokio::time::Instant::now() + PATIENCE;
    while !waited.is_empty() {
        let left = until.saturating_duration_since(tokio::time::Instant::now());
        let Ok(Some(event)) = timeout(left, events.recv()).await else { return };
        let kind = &event.target().destination;
        if is_news(&event) && waited.contains(kind) {
            seen(kind);
            waited.retain(|one| one != kind);
        }
    }
}

/// A way to behave, and the check of a server that behaves so.
type Kind = (&'static str, fn(Endpoint) -> Probe);

fn kinds() -> [Kind; 7] {
    [
        ("200 with its length", Probe::Tcp),
        ("200 with its length", |endpoint| Probe::Http(http(endpoint))),
        ("TLS, self-signed", |endpoint| Probe::Https(HttpsProbe { http: http(endpoint), tls: TlsClient::default() })),
        ("SMTP", |endpoint| Probe::Smtp(SmtpProbe { endpoint, helo: crate::base::HeloName::default() })),
        ("gRPC, serving", |endpoint| {
            Probe::Grpc(GrpcProbe { endpoint, service: String::new(), host: None, tls: None })
        }),
        ("DNS without an error", |endpoint| {
            let (name, record) = <(crate::base::DnsName, crate::base::RecordType)>::default();
            Probe::Dns(DnsProbe { endpoint, name, record })
        }),
        ("UDP echo", |endpoint| {
            let payload = UdpProbe::DEFAULT_PAYLOAD.to_vec();
            Probe::Udp(UdpProbe { endpoint, payload, reply: Some(ReplyExpect::any()) })
        }),
    ]
}

fn http(endpoint: Endpoint) -> HttpProbe {
    let expect = Expect::default();
    HttpProbe {
        deadline: HttpProbe::default_deadline(endpoint.connect_timeout),
        endpoint,
        version: HttpVersion::Http11,
        first: Url { path: "/".to_owned(), host: None, expect, tls_compliant: false, headers: vec![] },
        more: vec![],
        fast_recovery: false,
    }
}

fn settings(probe: Probe) -> CheckSettings {
    let target = TargetId { service: "detection".to_owned(), destination: probe.keyword().to_owned() };
    CheckSettings {
        id: CheckId { target, index: 0 },
        probe,
        delay_loop: PERIOD,
        retry: RETRY,
        delay_before_retry: PAUSE,
        warmup: PERIOD,
        alpha: true,
        on_local_error: OnLocalError::Keep,
        tell_first: false,
        log_all_failures: false,
    }
}

fn behaviour(name: &str) -> Behaviour {
    let all = [conformance::streams(), conformance::datagrams()].concat();
    let closed = Behaviour { name: "closed", serve: conformance::Serve::Closed };
    all.into_iter().find(|one| one.name == name).unwrap_or(closed)
}

fn identities() -> Option<Identities> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().ok()?.with_no_client_auth();
    let (own, key) = (CertificateDer::from_pem_slice(IDENTITY).ok()?, PrivateKeyDer::from_pem_slice(IDENTITY).ok()?);
    let config = Arc::new(builder.with_single_cert(vec![own], key).ok()?);
    Some(Arc::new(move |_| Arc::clone(&config)))
}

/// An agent beside a server, that says what it is told to say.
struct Agent {
    at: SocketAddr,
    is_sick: Arc<AtomicBool>,
    _task: JoinSet<()>,
}

impl Agent {
    async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (at, is_sick) = (listener.local_addr()?, Arc::new(AtomicBool::new(false)));
        let (mut task, sick) = (JoinSet::new(), Arc::clone(&is_sick));
        task.spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let line: &[u8] = if sick.load(Ordering::SeqCst) { b"down\n" } else { b"up\n" };
                // A client that went away is the next one's affair.
                client.write_all(line).await.ok();
            }
        });
        Ok(Self { at, is_sick, _task: task })
    }
}

/// A directory with the files that `MISC_CHECK` and `FILE_CHECK` look at.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, LabError> {
        let dir = Self(std::env::temp_dir().join(format!("vipd-detection-{}", std::process::id())));
        std::fs::create_dir_all(&dir.0).map_err(|source| dir.fault("make", source))?;
        dir.write("number", "0")?;
        Ok(dir)
    }

    fn probes(&self) -> impl Iterator<Item = Probe> {
        let script = format!("test ! -e '{}'", self.path("gone").display());
        let argv = ["/bin/sh", "-c", &script].map(str::to_owned).to_vec();
        let script = ScriptProbe { argv, user: None, group: None, timeout: CONNECT_TIMEOUT, dynamic: false };
        [Probe::Script(script), Probe::File(FileProbe { path: self.path("number"), weight: 0 })].into_iter()
    }

    /// What they look at says that all is lost.
    fn fail(&self) -> Result<(), LabError> {
        self.write("gone", "")?;
        self.write("number", "1")
    }

    fn write(&self, name: &str, text: &str) -> Result<(), LabError> {
        std::fs::write(self.path(name), text).map_err(|source| self.fault("write in", source))
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(&self.0).join(name)
    }

    fn fault(&self, action: &'static str, source: io::Error) -> LabError {
        LabError::File { action, path: self.0.clone(), source }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}
