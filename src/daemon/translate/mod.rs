//! From the configuration's words to those of the rooms that act. Pure.
//!
//! Every model struct is taken apart by name: a new field does not compile until somebody decides what it does.

mod bfd;
mod checks;
pub(super) mod lvs;
mod scripts;
mod vrrp;
mod watched;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::config::io::packed::Packed;
use crate::config::model::{Config, EbpfMode, Global, Plane, Process, SysctlMode};
use crate::config::problem::Flaws;
use crate::daemon::heartbeat::HeartbeatOptions;
use crate::daemon::heartbeat::processor::Scheduling;
use crate::daemon::trackers::TrackSettings;
use crate::daemon::watchers::WatchSettings;
use crate::healthcheck::settings::CheckSettings;
use crate::lvs::ipvsadm::Timeouts;
use crate::lvs::pool::{Adjustment, PoolSettings};
use crate::vrrp::{Holdings, Settings};
pub use checks::{Target, Targets, health};
pub use lvs::Sync;
pub use scripts::{Group, HostScript, Mails, PoolScripts, RealServerScripts, Scripts};

/// What the tasks are to do.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What all of it was made of.
    pub config: Packed,
    pub instances: Vec<Arc<Settings>>,
    pub statics: Holdings,
    pub trackers: Vec<TrackSettings>,
    pub watched: Vec<WatchSettings>,
    pub bfds: Vec<crate::bfd::Settings>,
    pub pools: Vec<PoolSettings>,
    /// What had to be corrected in the virtual servers.
    pub adjustments: Vec<Adjustment>,
    pub checks: Vec<CheckSettings>,
    /// The addresses without which the checks of a service rest (`ha_suspend`), by the service's label.
    pub suspended: BTreeMap<String, Vec<IpAddr>>,
    /// Whose checks these are.
    pub targets: Targets,
    pub scripts: Arc<Scripts>,
    /// `startup_script`.
    pub startup: Option<HostScript>,
    /// `shutdown_script`.
    pub shutdown: Option<HostScript>,
    pub plane: Plane,
    /// `lvs_flush`: delete what is in the plane at the start.
    pub flush_at_start: bool,
    /// `lvs_timeouts`.
    pub timeouts: Option<Timeouts>,
    /// `lvs_sync_daemon`.
    pub sync: Option<Sync>,
    pub heartbeat: HeartbeatOptions,
    pub process: Process,
    pub ebpf_mode: EbpfMode,
    pub ebpf_connections: Option<u32>,
    /// Persistent clients stay with a server of weight 0.
    pub quiescent_keeps: bool,
    /// What becomes of a kernel setting that forwarding needs otherwise.
    pub sysctl: SysctlMode,
    /// `metrics_listen`.
    pub metrics: Option<SocketAddr>,
    /// Of the file: a reload is more careful then.
    pub flaws: Flaws,
}

/// A configuration that the rooms cannot take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TranslateError {
    #[error(transparent)]
    Scheduler(#[from] crate::lvs::table::UnknownScheduler),
    #[error("virtual_server group {name}: there is no such virtual_server_group")]
    NoGroup { name: String },
    #[error("`{owner}`: {source}")]
    Command { owner: String, source: crate::notify::command::CommandError },
    #[error("{owner}: {source}")]
    Status { owner: String, source: crate::healthcheck::expect::StatusError },
}

/// # Errors
/// The first [`TranslateError`].
pub fn translate(config: &Config) -> Result<Wanted, TranslateError> {
    let Config {
        global,
        tls,
        track_groups: _, // Read in `vrrp.rs`.
        statics,
        scripts,
        track_files,
        track_processes,
        bfds,
        garp_groups: _, // Read in `vrrp.rs`.
        link_delays: _, // Read in `vrrp.rs`.
        sync_groups: _,
        instances,
        virtual_server_groups,
        local_address_groups,
        virtual_servers,
    } = config;
    let Global {
        script_user,
        mcast_group4,
        mcast_group6,
        garp,
        process,
        startup,
        shutdown,
        plane,
        lvs_flush,
        rs_init_notifies,
        timeouts,
        sync_daemon,
        ebpf_mode,
        ebpf_connections,
        quiescent_keeps,
        sysctl,
        metrics,
        .. // `read_elsewhere` has the others.
    } = global;
    read_elsewhere(global);
    let above = vrrp::Above { group4: *mcast_group4, group6: *mcast_group6, garp, config };
    let pools = lvs::pools(virtual_servers, virtual_server_groups, local_address_groups, *rs_init_notifies)?;
    let (settings, adjustments): (Vec<_>, Vec<_>) = pools.iter().map(|(_, pool)| pool.clone().adjusted()).unzip();
    let (checks, targets) = checks::checks(&pools, tls, track_files, checks::Telling::of(global))?;
    Ok(Wanted {
        statics: vrrp::statics(statics, local_address_groups),
        instances: instances.iter().map(|instance| Arc::new(vrrp::instance(instance, &above))).collect(),
        trackers: scripts::trackers(scripts, &watched::used(config), script_user.as_ref())?,
        bfds: bfds.iter().map(bfd::session).collect(),
        watched: watched::watched(track_files, track_processes, &watched::used(config)),
        scripts: scripts::scripts(config, &pools)?.into(),
        startup: scripts::of_host("startup_script", startup, script_user.as_ref())?,
        shutdown: scripts::of_host("shutdown_script", shutdown, script_user.as_ref())?,
        pools: settings,
        adjustments: adjustments.into_iter().flatten().collect(),
        suspended: pools.iter().filter_map(|(server, pool)| lvs::suspended(server, pool)).collect(),
        checks: checks::run_by(script_user.as_ref(), checks),
        targets,
        plane: *plane,
        flush_at_start: *lvs_flush,
        timeouts: timeouts.map(lvs::timeouts),
        sync: sync_daemon.as_ref().filter(|_| *plane == Plane::Ipvs).map(|daemon| lvs::sync(daemon, instances)),
        heartbeat: heartbeat(process, *plane),
        process: *process,
        ebpf_mode: *ebpf_mode,
        ebpf_connections: *ebpf_connections,
        quiescent_keeps: *quiescent_keeps,
        sysctl: *sysctl,
        metrics: *metrics,
        flaws: Flaws::default(),
        config: Packed::of(config),
    })
}

fn heartbeat(process: &Process, plane: Plane) -> HeartbeatOptions {
    // The last two are the whole daemon's, see `daemon/supervisor`.
    let Process { rt_priority, nice, startup_delay, uptime_min, fence, no_swap: _, rt_limit: _ } = *process;
    let fence = fence.unwrap_or(plane == Plane::Ebpf);
    let scheduling = match (rt_priority, nice) {
        (Some(priority), _) => Scheduling::RealTime(priority),
        (None, Some(nice)) => Scheduling::Nice(nice),
        (None, None) => Scheduling::default(),
    };
    HeartbeatOptions { scheduling, fence, startup_delay, uptime_min }
}

/// The words of `global_defs` that others read where they carry them out. One that is added does not compile until it has
/// its place, here or in [`translate`].
const fn read_elsewhere(global: &Global) {
    let Global {
        // By the reader of the configuration, as are those to `vmac_prefix`
        router_id: _,
        script_security: _,
        vrrp_version: _,
        skip_check_adv_addr: _,
        check_unicast_src: _,
        lower_prio_no_advert: _,
        higher_prio_send_advert: _,
        strict: _,
        owner_ignore_adverts: _,
        checksum_as_v2: _,
        down_timer_adverts: _,
        vmac_prefix: _,
        vmac_addr_prefix: _,
        dynamic_interfaces: _,
        default_interface: _,
        // By `scripts.rs`, as are the six to `states_on_reload`
        mail: _,
        fifo: _,
        vrrp_fifo: _,
        lvs_fifo: _,
        notify_priority_changes: _,
        states_on_reload: _,
        // By `checks.rs`
        checker_log_all_failures: _,
        // By [`translate`], as are the rest
        sysctl: _,
        ebpf_mode: _,
        ebpf_connections: _,
        quiescent_keeps: _,
        metrics: _,
        script_user: _,
        mcast_group4: _,
        mcast_group6: _,
        garp: _,
        process: _,
        startup: _,
        shutdown: _,
        plane: _,
        lvs_flush: _,
        rs_init_notifies: _,
        timeouts: _,
        sync_daemon: _,
    } = global;
}

#[cfg(test)]
mod tests;
