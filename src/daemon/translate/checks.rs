//! Checkers to the settings of the checkers' task, with every inherited value filled in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::Secret;
use crate::config::model::{self, CheckDefaults};
use crate::healthcheck::expect::{Digest, Expect, StatusRange, StatusRanges};
use crate::healthcheck::hex::ReplyExpect;
use crate::healthcheck::judge::OnLocalError;
use crate::healthcheck::probe::{
    AgentProbe, BfdProbe, DnsProbe, Endpoint, FileProbe, GrpcProbe, HttpProbe, HttpVersion, HttpsProbe, Probe,
    ScriptProbe, SmtpProbe, Sni, TlsClient, TlsFiles, UdpProbe, Url,
};
use crate::healthcheck::settings::{CheckEvent, CheckId, CheckSettings, TargetId};
use crate::lvs::pool::{Event, PoolId};
use crate::lvs::table::DestinationKey;

use super::TranslateError;
use super::lvs::{Pools, key};

/// A real server of a pool, in the words of the forwarding plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub pool: PoolId,
    pub real_server: DestinationKey,
}

/// Which real server a checker's label means.
pub type Targets = BTreeMap<TargetId, Target>;

/// What an event of the checkers tells a pool.
pub fn health(targets: &Targets, event: &CheckEvent) -> Option<(PoolId, Event)> {
    let &Target { ref pool, real_server } = targets.get(event.target())?;
    let event = match event {
        CheckEvent::Up { .. } => Event::Up { real_server },
        CheckEvent::Down { .. } => Event::Down { real_server },
        CheckEvent::Weight { wish, .. } => Event::Weight { real_server, weight: Some(*wish) },
        CheckEvent::Silence { .. } => return None,
    };
    Some((pool.clone(), event))
}

/// keepalived's `delay_loop` and `connect_timeout`.
const DELAY_LOOP: Duration = Duration::from_mins(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What `global_defs` says of all checks.
#[derive(Clone, Copy, Debug)]
pub struct Telling {
    /// `rs_init_notifies`.
    pub first: bool,
    /// `checker_log_all_failures`.
    pub failures: bool,
}

impl Telling {
    pub const fn of(global: &model::Global) -> Self {
        Self { first: global.rs_init_notifies, failures: global.checker_log_all_failures }
    }
}

pub fn checks(
    pools: &Pools<'_>,
    tls: &model::TlsFiles,
    track_files: &[model::TrackFile],
    telling: Telling,
) -> Result<(Vec<CheckSettings>, Targets), TranslateError> {
    let files = files(tls);
    let mut checks = vec![];
    let mut targets = Targets::new();
    for (server, pool) in pools {
        for real in &server.real_servers {
            let real_server = key(real);
            let id = TargetId { service: pool.id.to_string(), destination: real_server.to_string() };
            for (index, checker) in (0_u32..).zip(&real.checkers) {
                let id = CheckId { target: id.clone(), index };
                let made = check(id, server, real, checker, &files, track_files)?;
                let log_all_failures = checker.log_all_failures.unwrap_or(telling.failures);
                checks.extend(made.map(|check| CheckSettings { tell_first: telling.first, log_all_failures, ..check }));
            }
            if !real.checkers.is_empty() {
                targets.insert(id, Target { pool: pool.id.clone(), real_server });
            }
        }
    }
    Ok((checks, targets))
}

/// `None`: it reads a file that the configuration does not define, which the file's problems tell.
fn check(
    id: CheckId,
    server: &model::VirtualServer,
    real: &model::RealServer,
    checker: &model::Checker,
    files: &TlsFiles,
    track_files: &[model::TrackFile],
) -> Result<Option<CheckSettings>, TranslateError> {
    let model::Checker {
        at: _,
        kind,
        check,
        connect_ip,
        connect_port,
        bind_ip,
        bind_port,
        bind_if,
        fwmark,
        alpha,
        log_all_failures: _, // It is put in by the caller, with what is above it.
    } = checker;
    let given = Given([check, &real.check, &server.check]);
    let endpoint = Endpoint {
        addr: SocketAddr::new(connect_ip.unwrap_or(real.addr), connect_port.unwrap_or(real.port)),
        connect_timeout: given.or(|check| check.connect_timeout, CONNECT_TIMEOUT),
        bind_addr: *bind_ip,
        bind_port: *bind_port,
        bind_interface: bind_if.clone(),
        mark: fwmark.map(NonZeroU32::get),
    };
    let delay_loop = given.or(|check| check.delay_loop, DELAY_LOOP);
    // A file is there to be read at once, and so is the state of a session.
    let local = matches!(kind, model::CheckerKind::File(_) | model::CheckerKind::Bfd { .. });
    let warmup = if local { Duration::ZERO } else { delay_loop };
    let second = Duration::from_secs(1);
    let urls = Urls { id: &id, server, real, files };
    let (retry, pause, probe) = match kind {
        model::CheckerKind::Tcp => (1, second, Probe::Tcp(endpoint)),
        model::CheckerKind::Http(check) => (1, second * 3, Probe::Http(urls.http(check, false, endpoint)?)),
        model::CheckerKind::Https(check) => (1, second * 3, urls.https(check, endpoint)?),
        model::CheckerKind::Misc(check) => (0, second, misc(check, delay_loop)),
        model::CheckerKind::Smtp { helo } => (1, second, Probe::Smtp(SmtpProbe { endpoint, helo: helo.clone() })),
        model::CheckerKind::Dns(model::DnsCheck { name, record }) => {
            (3, delay_loop, Probe::Dns(DnsProbe { endpoint, name: name.clone(), record: *record }))
        }
        model::CheckerKind::Udp(check) => (1, second, udp(check, endpoint)),
        model::CheckerKind::Ping => (1, second, Probe::Ping(endpoint)),
        model::CheckerKind::Agent { send } => (1, second, Probe::Agent(agent(send.as_deref(), endpoint))),
        model::CheckerKind::Grpc(check) => (1, second, Probe::Grpc(urls.grpc(check, endpoint))),
        model::CheckerKind::File(entry) => match file(entry, track_files) {
            Some(probe) => (0, second, Probe::File(probe)),
            None => return Ok(None),
        },
        // The session has counted its losses already.
        model::CheckerKind::Bfd { session, at: _ } => (0, second, Probe::Bfd(BfdProbe { session: session.clone() })),
    };
    Ok(Some(CheckSettings {
        id,
        probe,
        delay_loop,
        retry: given.or(|check| check.retry, retry),
        delay_before_retry: given.or(|check| check.delay_before_retry, pause),
        warmup: given.or(|check| check.warmup, warmup),
        alpha: alpha.or(real.alpha).unwrap_or(server.alpha),
        on_local_error: OnLocalError::Keep,
        tell_first: false,
        log_all_failures: false,
    }))
}

/// The weight of the check, or else of the file; `reverse` turns its sign.
fn file(entry: &model::TrackEntry, track_files: &[model::TrackFile]) -> Option<FileProbe> {
    let model::TrackEntry { name, weight, reverse, at: _ } = entry;
    let file = track_files.iter().find(|file| file.name == *name)?;
    let (weight, reverse) = weight.map_or((file.weight, file.reverse), |weight| (weight, *reverse));
    Some(FileProbe { path: file.path.clone().into(), weight: if reverse { -weight } else { weight } })
}

fn files(tls: &model::TlsFiles) -> TlsFiles {
    let model::TlsFiles { ca, certificate, key, password } = tls;
    let path = |path: &Option<String>| path.as_ref().map(PathBuf::from);
    let password = password.clone().map(Secret::new);
    TlsFiles { ca: path(ca), certificate: path(certificate), key: path(key), password }
}

/// The blocks that may give a value, the nearest first.
struct Given<'a>([&'a CheckDefaults; 3]);

impl Given<'_> {
    fn or<T>(&self, value: impl Fn(&CheckDefaults) -> Option<T>, built_in: T) -> T {
        self.0.iter().find_map(|check| value(check)).unwrap_or(built_in)
    }
}

/// Where the urls of a check find what they do not say themselves.
struct Urls<'a> {
    id: &'a CheckId,
    server: &'a model::VirtualServer,
    real: &'a model::RealServer,
    files: &'a TlsFiles,
}

impl Urls<'_> {
    fn http(&self, check: &model::HttpCheck, compliant: bool, endpoint: Endpoint) -> Result<HttpProbe, TranslateError> {
        let model::HttpCheck { version, virtualhost, urls, fast_recovery, headers } = check;
        let host = self.host(virtualhost.as_ref());
        let url = |wanted: &model::Url| -> Result<Url, TranslateError> {
            let model::Url { path, digest, status, virtualhost, pattern, compliant: own, headers: more } = wanted;
            Ok(Url {
                path: path.clone(),
                host: virtualhost.as_ref().or(host).cloned(),
                expect: Expect {
                    status: statuses(self.id, status)?,
                    digest: digest.map(Digest::from_bytes),
                    pattern: pattern.clone(),
                },
                tls_compliant: own.unwrap_or(compliant),
                headers: headers.iter().chain(more).map(field).collect(),
            })
        };
        let all: Vec<Url> = urls.iter().map(url).collect::<Result<_, _>>()?;
        let mut all = all.into_iter();
        let root = || Url {
            path: "/".to_owned(),
            host: host.cloned(),
            expect: Expect::default(),
            tls_compliant: compliant,
            headers: headers.iter().map(field).collect(),
        };
        Ok(HttpProbe {
            deadline: HttpProbe::default_deadline(endpoint.connect_timeout),
            endpoint,
            version: match version {
                model::HttpVersion::V1_0 => HttpVersion::Http10,
                model::HttpVersion::V1_0WithHost => HttpVersion::Http10Close,
                model::HttpVersion::V1_1 => HttpVersion::Http11,
                model::HttpVersion::V2 => HttpVersion::Http2,
            },
            first: all.next().unwrap_or_else(root),
            more: all.collect(),
            fast_recovery: *fast_recovery,
        })
    }

    fn https(&self, check: &model::HttpsCheck, endpoint: Endpoint) -> Result<Probe, TranslateError> {
        let model::HttpsCheck { http, sni, compliant, reuse } = check;
        Ok(Probe::Https(HttpsProbe { http: self.http(http, *compliant, endpoint)?, tls: self.tls(sni, *reuse) }))
    }

    fn grpc(&self, check: &model::GrpcCheck, endpoint: Endpoint) -> GrpcProbe {
        let model::GrpcCheck { service, virtualhost, tls } = check;
        GrpcProbe {
            endpoint,
            service: service.clone(),
            host: self.host(virtualhost.as_ref()).cloned(),
            tls: tls.as_ref().map(|model::GrpcTls { sni, reuse }| self.tls(sni, *reuse)),
        }
    }

    fn host<'a>(&'a self, own: Option<&'a String>) -> Option<&'a String> {
        own.or(self.real.virtualhost.as_ref()).or(self.server.virtualhost.as_ref())
    }

    fn tls(&self, sni: &model::Sni, reuse: bool) -> TlsClient {
        let sni = match sni {
            model::Sni::Off => Sni::Off,
            model::Sni::Virtualhost => Sni::Host,
            model::Sni::Name(name) => Sni::Name(name.clone()),
        };
        TlsClient { sni, files: self.files.clone(), reuse }
    }
}

fn field(header: &model::Header) -> (String, String) {
    let model::Header { name, value } = header;
    (name.clone(), value.clone())
}

fn agent(send: Option<&str>, endpoint: Endpoint) -> AgentProbe {
    AgentProbe { endpoint, send: send.map(|text| format!("{text}\n").into_bytes()).unwrap_or_default() }
}

/// Lengths count where the file says one or has a pattern; a bare `require_reply` takes any reply.
fn udp(check: &model::UdpCheck, endpoint: Endpoint) -> Probe {
    let model::UdpCheck { payload, reply_required, reply, reply_min_bytes, reply_max_bytes } = check;
    let max = if reply.is_some() { model::UdpCheck::REPLY_MAX_BYTES } else { u16::MAX };
    let expect = ReplyExpect {
        min_bytes: reply_min_bytes.unwrap_or(0),
        max_bytes: reply_max_bytes.unwrap_or(max),
        pattern: reply.clone(),
    };
    Probe::Udp(UdpProbe {
        endpoint,
        payload: payload.clone().unwrap_or_else(|| UdpProbe::DEFAULT_PAYLOAD.to_vec()),
        reply: reply_required.then_some(expect),
    })
}

/// `script_user` runs the scripts that name nobody.
pub fn run_by(by: Option<&model::ScriptUser>, mut checks: Vec<CheckSettings>) -> Vec<CheckSettings> {
    for check in &mut checks {
        if let (Probe::Script(probe @ ScriptProbe { user: None, .. }), Some(by)) = (&mut check.probe, by) {
            probe.user = Some(by.user.clone());
            probe.group.clone_from(&by.group);
        }
    }
    checks
}

fn misc(check: &model::MiscCheck, delay_loop: Duration) -> Probe {
    let model::MiscCheck { command: model::Command { argv, user, at: _ }, timeout, dynamic } = check;
    Probe::Script(ScriptProbe {
        argv: argv.clone(),
        user: user.as_ref().map(|account| account.user.clone()),
        group: user.as_ref().and_then(|account| account.group.clone()),
        timeout: timeout.unwrap_or(delay_loop),
        dynamic: *dynamic,
    })
}

/// No range: 200-299.
fn statuses(id: &CheckId, given: &[(u16, u16)]) -> Result<StatusRanges, TranslateError> {
    if given.is_empty() {
        return Ok(StatusRanges::default());
    }
    let wrong = |source| TranslateError::Status { owner: id.to_string(), source };
    let ranges: Result<Vec<_>, _> = given.iter().map(|(low, high)| StatusRange::new(*low, *high)).collect();
    StatusRanges::new(ranges.map_err(wrong)?).map_err(wrong)
}
