//! Scripts that would run without protection.

use crate::config::collect::Problems;
use crate::config::model::{CheckerKind, Command, Config, Notify, OnDeletion};
use crate::config::problem::{Problem, Severity};

pub(super) fn check(config: &Config, problems: &mut Problems) {
    if config.global.script_security {
        return;
    }
    if let Some(first) = commands(config).into_iter().find(|command| executes(command)) {
        problems.push(
            Problem::new(
                "script-security",
                Severity::ScriptSecurity,
                first.at,
                "scripts are run, and `enable_script_security` is not set",
            )
            .label("run even if others than root could change it")
            .help("add to global_defs: enable_script_security, and script_user with an account that can do little"),
        );
    }
}

/// `</path` only tests that a file can be opened.
fn executes(command: &Command) -> bool {
    !command.argv.first().is_some_and(|program| program.starts_with('<'))
}

/// Every command of the configuration, in the order of blocks; those of VRRP count where there is an instance.
pub(super) fn commands(config: &Config) -> Vec<&Command> {
    let fifos = [&config.global.fifo, &config.global.vrrp_fifo, &config.global.lvs_fifo];
    let around = [&config.global.startup, &config.global.shutdown];
    let mut all: Vec<&Command> = around.into_iter().filter_map(|script| script.command.as_deref()).collect();
    all.extend(fifos.into_iter().filter_map(|fifo| fifo.script.as_deref()));
    if !config.instances.is_empty() {
        all.extend(config.scripts.iter().map(|script| &script.command));
        all.extend(config.instances.iter().flat_map(|instance| of_notify(&instance.notify)));
        all.extend(config.sync_groups.iter().flat_map(|group| of_notify(&group.notify)));
    }
    for server in &config.virtual_servers {
        all.extend([&server.quorum_up, &server.quorum_down].into_iter().filter_map(Option::as_deref));
        for real in &server.real_servers {
            all.extend([&real.notify_up, &real.notify_down].into_iter().filter_map(Option::as_deref));
            all.extend(real.checkers.iter().filter_map(|checker| match &checker.kind {
                CheckerKind::Misc(misc) => Some(&misc.command),
                CheckerKind::Tcp
                | CheckerKind::Http(_)
                | CheckerKind::Https(_)
                | CheckerKind::Smtp { .. }
                | CheckerKind::Dns(_)
                | CheckerKind::Udp(_)
                | CheckerKind::Ping
                | CheckerKind::Agent { .. }
                | CheckerKind::Grpc(_)
                | CheckerKind::File(_)
                | CheckerKind::Bfd { .. } => None,
            }));
        }
    }
    all
}

fn of_notify(notify: &Notify) -> impl Iterator<Item = &Command> {
    let Notify { master, backup, fault, stop, any, lower_prio, deleted, priority_changes: _, mail: _ } = notify;
    let deleted = match deleted {
        OnDeletion::Fault => None,
        OnDeletion::Deleted(command) => command.as_deref(),
    };
    [master, backup, fault, stop, any, lower_prio].into_iter().filter_map(Option::as_deref).chain(deleted)
}
