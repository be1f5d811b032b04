//! `vipd doctor`: what keeps a configuration from working on this host. It changes nothing.
#![expect(clippy::disallowed_methods, reason = "it looks at the kernel")]

use std::path::Path;
use std::process::Command;

use serde::Serialize;

use crate::config::io::loader::{LoadOptions, Loaded, load_text};
use crate::config::model::Plane;
use crate::config::problem::Severity;
use crate::control::api::{HookBecause, PlaneStatus, Status};
use crate::control::io::client::{CallError, call};
use crate::daemon::loading::load;
use crate::daemon::rundir::control_socket;
use crate::daemon::sysctls::{self, LookError};
use crate::daemon::translate::{TranslateError, Wanted, translate};

/// One thing that is wrong, and the way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// `configuration`, `daemon`, `scheduling`, `plane`, `sysctl`.
    pub about: &'static str,
    pub problem: String,
    pub remedy: String,
}

#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    #[error("{0}; or name a configuration: vipd doctor FILE")]
    Call(#[from] CallError),
    #[error("the daemon's answer makes no sense ({0}); is it of another version?")]
    Answer(#[from] serde_json::Error),
    #[error(transparent)]
    Translate(#[from] TranslateError),
    #[error(transparent)]
    Look(#[from] LookError),
}

/// What would keep this file from working.
///
/// # Errors
/// [`DoctorError`]: what cannot be looked at.
pub fn of_file(file: &Path, options: &LoadOptions) -> Result<Vec<Diagnosis>, DoctorError> {
    let loaded = load(file, options);
    let mut found = configuration(&loaded, &file.display().to_string());
    if !loaded.is_fatal() {
        found.extend(host(&translate(&loaded.config)?)?);
    }
    Ok(found)
}

/// What keeps the running daemon from working.
///
/// # Errors
/// [`DoctorError`]: no daemon, or what cannot be looked at.
pub async fn of_daemon(run_dir: &Path) -> Result<Vec<Diagnosis>, DoctorError> {
    let socket = control_socket(run_dir);
    let status: Status = serde_json::from_str(&call(&socket, "GET", "/status", vec![]).await?)?;
    let text = call(&socket, "GET", "/config", vec![]).await?;
    let mut found: Vec<Diagnosis> = status
        .config
        .last_failure
        .iter()
        .map(|failure| Diagnosis {
            about: "daemon",
            problem: format!("the last reload failed, the configuration of before runs on: {failure}"),
            remedy: format!("vipd check {}, then vipd reload", status.config.file),
        })
        .collect();
    found.extend(status.scheduling.refused.iter().map(|why| Diagnosis {
        about: "scheduling",
        problem: format!("adverts may be late on a busy machine: {why}"),
        remedy: "give the daemon CAP_SYS_NICE (docker: --cap-add SYS_NICE), or write `vrrp_priority 0`".to_owned(),
    }));
    found.extend(status.plane.iter().flat_map(hooks));
    let loaded = load_text("running", &text, &LoadOptions { system: false, ..LoadOptions::default() });
    found.extend(host(&translate(&loaded.config)?)?);
    Ok(found)
}

/// Interfaces that are served by another hook than the configuration asks for.
fn hooks(plane: &PlaneStatus) -> Vec<Diagnosis> {
    let refused = plane.hooks_because.iter().filter(|(_, because)| because.is_refusal);
    let diagnosis = |(interface, because): (&String, &HookBecause)| Diagnosis {
        about: "plane",
        problem: format!("{interface} is served by TC: {}", because.reason),
        remedy: format!("free it (ip link set {interface} xdp off), or write `lvs_ebpf_mode tc`"),
    };
    refused.map(diagnosis).collect()
}

fn configuration(loaded: &Loaded, file: &str) -> Vec<Diagnosis> {
    let count = |severity| loaded.problems.iter().filter(|problem| problem.severity == severity).count();
    let diagnosis = |problem| Diagnosis { about: "configuration", problem, remedy: format!("vipd check {file}") };
    match (count(Severity::Fatal), count(Severity::Error)) {
        (0, 0) => vec![],
        (0, errors) => vec![diagnosis(format!("{file} has {errors} errors, which leave parts of it out"))],
        (fatal, _) => vec![diagnosis(format!("{file} has {fatal} fatal problems, and would not run"))],
    }
}

fn host(wanted: &Wanted) -> Result<Vec<Diagnosis>, DoctorError> {
    if wanted.pools.is_empty() {
        return Ok(vec![]);
    }
    let settings = sysctls::look(wanted)?.into_iter();
    let settings =
        settings.map(|finding| Diagnosis { about: "sysctl", problem: finding.to_string(), remedy: finding.remedy() });
    Ok(plane(wanted.plane).into_iter().chain(settings).collect())
}

/// The kernel's half of the plane.
fn plane(plane: Plane) -> Option<Diagnosis> {
    match plane {
        Plane::Ipvs if !Path::new("/proc/net/ip_vs").exists() && !loadable("ip_vs") => Some(Diagnosis {
            about: "plane",
            problem: "this kernel has no IPVS, and no module `ip_vs`".to_owned(),
            remedy: "install the kernel's modules, or `lvs_datapath ebpf` in global_defs".to_owned(),
        }),
        Plane::Ebpf if !cfg!(feature = "ebpf") => Some(Diagnosis {
            about: "plane",
            problem: "this vipd was built without its eBPF program".to_owned(),
            remedy: "build it with the feature `ebpf`, or `lvs_datapath ipvs` in global_defs".to_owned(),
        }),
        Plane::Ipvs | Plane::Ebpf => None,
    }
}

fn loadable(module: &str) -> bool {
    Command::new("modprobe").args(["--dry-run", "--quiet", module]).status().is_ok_and(|status| status.success())
}
