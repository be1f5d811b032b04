//! Scripts of the configuration: what tracks, and who is told of what.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::config::model;
use crate::daemon::trackers::TrackSettings;
use crate::lvs::pool::PoolId;
use crate::lvs::table::DestinationKey;
use crate::notify::command::{Account, ScriptCommand};
use crate::notify::fifo::{FifoSettings, Fifos};
use crate::notify::mail::MailSettings;
use crate::notify::words::{OnDeletion, StateScripts};

use super::TranslateError;
use super::lvs::{Pools, key};

/// `script_user`: who runs the scripts that name nobody.
pub type By<'a> = Option<&'a model::ScriptUser>;

/// Who is told of what.
#[derive(Clone, Debug, Default)]
pub struct Scripts {
    /// By name of the instance. Those whose scripts are the same share them.
    pub instances: BTreeMap<String, Arc<StateScripts>>,
    pub groups: Vec<Group>,
    pub real_servers: BTreeMap<(PoolId, DestinationKey), RealServerScripts>,
    pub pools: BTreeMap<PoolId, PoolScripts>,
    /// Instances that tell of changes of their priority.
    pub priority_changes: BTreeSet<String>,
    pub fifos: Fifos,
    /// Tell every state again at a reload.
    pub states_on_reload: bool,
    pub mail: Mails,
}

/// Whose changes are mailed, and where to; nothing without a server and a recipient.
#[derive(Clone, Debug, Default)]
pub struct Mails {
    pub settings: Option<MailSettings>,
    pub instances: BTreeSet<String>,
    pub groups: BTreeSet<String>,
    pub pools: BTreeSet<PoolId>,
    pub real_servers: BTreeSet<(PoolId, DestinationKey)>,
    /// FAULT is mailed too.
    pub faults: bool,
}

/// A sync group: its members by name, and its scripts.
#[derive(Clone, Debug)]
pub struct Group {
    pub name: String,
    pub members: Vec<String>,
    pub scripts: StateScripts,
}

#[derive(Clone, Debug, Default)]
pub struct RealServerScripts {
    pub up: Option<ScriptCommand>,
    pub down: Option<ScriptCommand>,
}

/// Run once, before anything is started or after all of it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostScript {
    pub command: ScriptCommand,
    pub limit: Duration,
}

#[derive(Clone, Debug, Default)]
pub struct PoolScripts {
    pub quorum_up: Option<ScriptCommand>,
    pub quorum_down: Option<ScriptCommand>,
}

/// How long a script of the start or the stop may run where nothing is said (keepalived.conf(5)).
const HOST_SCRIPT_LIMIT: Duration = Duration::from_secs(10);

pub fn of_host(keyword: &str, script: &model::HostScript, by: By<'_>) -> Result<Option<HostScript>, TranslateError> {
    let model::HostScript { command, timeout } = script;
    let limit = timeout.unwrap_or(HOST_SCRIPT_LIMIT);
    Ok(optional(by, keyword, command.as_deref())?.map(|command| HostScript { command, limit }))
}

/// The scripts that somebody tracks; the others are not run, as with keepalived.
pub fn trackers(
    scripts: &[model::VrrpScript],
    used: &BTreeSet<(model::Trackable, &str)>,
    by: By<'_>,
) -> Result<Vec<TrackSettings>, TranslateError> {
    let tracker = |script: &model::VrrpScript| {
        // `init_fail` has no effect in keepalived 2.2.7 either: the first result decides, whatever `rise` is.
        let model::VrrpScript {
            name,
            at: _,
            command: run,
            interval,
            timeout,
            rise,
            fall,
            weight: _,
            reverse: _,
            init_fail: _,
        } = script;
        let times = |times: u32| NonZeroU32::new(times).unwrap_or(NonZeroU32::MIN);
        Ok(TrackSettings {
            script: name.clone(),
            command: command(by, name, run)?,
            interval: *interval,
            timeout: *timeout,
            rise: times(*rise),
            fall: times(*fall),
        })
    };
    scripts
        .iter()
        .filter(|script| used.contains(&(model::Trackable::Script, script.name.as_str())))
        .map(tracker)
        .collect()
}

pub fn scripts(config: &model::Config, pools: &Pools<'_>) -> Result<Scripts, TranslateError> {
    let (instances, groups) = (&config.instances, &config.sync_groups);
    let by = config.global.script_user.as_ref();
    let mut all = Scripts {
        priority_changes: priority_changes(config),
        fifos: fifos(&config.global)?,
        states_on_reload: config.global.states_on_reload,
        mail: mails(config, pools),
        ..Scripts::default()
    };
    let mut last = Arc::<StateScripts>::default();
    for instance in instances {
        let own = states(by, &instance.name, &instance.notify)?;
        if own != *last {
            last = own.into();
        }
        all.instances.insert(instance.name.clone(), Arc::clone(&last));
    }
    for model::SyncGroup { name, at: _, members, members_at: _, tracking_weight: _, notify, track: _ } in groups {
        let scripts = states(by, name, notify)?;
        all.groups.push(Group { name: name.clone(), members: members.clone(), scripts });
    }
    for (server, pool) in pools {
        let owner = pool.id.to_string();
        let quorum_up = optional(by, &owner, server.quorum_up.as_deref())?;
        let quorum_down = optional(by, &owner, server.quorum_down.as_deref())?;
        all.pools.insert(pool.id.clone(), PoolScripts { quorum_up, quorum_down });
        for real in &server.real_servers {
            let up = optional(by, &owner, real.notify_up.as_deref())?;
            let down = optional(by, &owner, real.notify_down.as_deref())?;
            all.real_servers.insert((pool.id.clone(), key(real)), RealServerScripts { up, down });
        }
    }
    Ok(all)
}

fn states(by: By<'_>, owner: &str, notify: &model::Notify) -> Result<StateScripts, TranslateError> {
    let model::Notify { master, backup, fault, stop, any, lower_prio, deleted, priority_changes: _, mail: _ } = notify;
    Ok(StateScripts {
        master: optional(by, owner, master.as_deref())?,
        backup: optional(by, owner, backup.as_deref())?,
        fault: optional(by, owner, fault.as_deref())?,
        stop: optional(by, owner, stop.as_deref())?,
        lower_prio: optional(by, owner, lower_prio.as_deref())?,
        deleted: match deleted {
            model::OnDeletion::Fault => OnDeletion::TellFault,
            model::OnDeletion::Deleted(run) => OnDeletion::TellDeleted(optional(by, owner, run.as_deref())?),
        },
        every: optional(by, owner, any.as_deref())?,
    })
}

/// The FIFOs, where they have a path.
fn fifos(global: &model::Global) -> Result<Fifos, TranslateError> {
    let by = global.script_user.as_ref();
    let fifo = |keyword: &str, fifo: &model::NotifyFifo| -> Result<Option<FifoSettings>, TranslateError> {
        let model::NotifyFifo { path, owner, script } = fifo;
        let Some(path) = path.clone() else { return Ok(None) };
        let script = optional(by, keyword, script.as_deref())?;
        Ok(Some(FifoSettings { path, account: owner.as_ref().map(account), script }))
    };
    Ok(Fifos {
        both: fifo("notify_fifo", &global.fifo)?,
        vrrp: fifo("vrrp_notify_fifo", &global.vrrp_fifo)?,
        lvs: fifo("lvs_notify_fifo", &global.lvs_fifo)?,
    })
}

fn mails(config: &model::Config, pools: &Pools<'_>) -> Mails {
    let model::Mail { to, from, server, port, helo, timeout, alert, alert_vrrp, alert_checker, no_faults } =
        &config.global.mail;
    let settings = server.as_ref().filter(|_| !to.is_empty()).map(|server| MailSettings {
        server: server.clone(),
        port: port.unwrap_or(25),
        to: to.clone(),
        from: from.clone(),
        helo: helo.clone(),
        timeout: timeout.unwrap_or(Duration::from_secs(30)),
        router_id: config.global.router_id.clone(),
    });
    // keepalived's defaults: real servers are told of, the rest is not.
    let vrrp = alert_vrrp.or(*alert).unwrap_or(false);
    let checker = alert_checker.or(*alert);
    let instances = config.instances.iter().filter(|one| one.notify.mail.unwrap_or(vrrp)).map(|one| one.name.clone());
    let groups = config.sync_groups.iter().filter(|one| one.notify.mail.unwrap_or(vrrp)).map(|one| one.name.clone());
    let served = pools.iter().filter(|(server, _)| server.mail.or(checker).unwrap_or(false));
    let real_servers = pools.iter().flat_map(|(server, pool)| {
        let told = server.real_servers.iter().filter(|real| real.mail.or(checker).unwrap_or(true));
        told.map(|real| (pool.id.clone(), key(real)))
    });
    Mails {
        settings,
        instances: instances.collect(),
        groups: groups.collect(),
        pools: served.map(|(_, pool)| pool.id.clone()).collect(),
        real_servers: real_servers.collect(),
        faults: !*no_faults,
    }
}

/// The instances that tell of changes of their priority.
fn priority_changes(config: &model::Config) -> BTreeSet<String> {
    let of_group = |name: &String| {
        let group = config.sync_groups.iter().find(|group| group.members.contains(name));
        group.and_then(|group| group.notify.priority_changes)
    };
    let tells = |one: &&model::VrrpInstance| {
        let own = one.notify.priority_changes.or_else(|| of_group(&one.name));
        own.unwrap_or(config.global.notify_priority_changes)
    };
    config.instances.iter().filter(tells).map(|one| one.name.clone()).collect()
}

fn account(user: &model::ScriptUser) -> Account {
    let model::ScriptUser { user, group } = user;
    Account { user: user.clone(), group: group.clone() }
}

fn optional(by: By<'_>, owner: &str, run: Option<&model::Command>) -> Result<Option<ScriptCommand>, TranslateError> {
    run.map(|run| command(by, owner, run)).transpose()
}

fn command(by: By<'_>, owner: &str, run: &model::Command) -> Result<ScriptCommand, TranslateError> {
    let model::Command { argv, user, at: _ } = run;
    ScriptCommand::new(argv.iter().cloned(), user.as_ref().or(by).map(account))
        .map_err(|source| TranslateError::Command { owner: owner.to_owned(), source })
}
