//! What a configuration asks of the system it runs on: interfaces, scripts, accounts. It decides from facts that
//! somebody else gathered (`io/facts.rs`), so that a file can be checked for another machine too.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::scripts::commands;
use crate::base::IfName;
use crate::config::collect::Problems;
use crate::config::model::{Command, Config, ScriptUser};
use crate::config::problem::{Problem, Severity};
use crate::config::source::Span;

/// What is to be looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Programs as the file names them: a path, or a name for `PATH`.
    pub programs: BTreeSet<String>,
    pub users: BTreeSet<String>,
    pub groups: BTreeSet<String>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// All interfaces.
    pub interfaces: HashSet<String>,
    /// Of those wanted; a program that is not here was not found.
    pub programs: HashMap<String, Program>,
    /// Of those wanted.
    pub users: HashSet<String>,
    /// Of those wanted.
    pub groups: HashSet<String>,
}

/// A file that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    pub executable: bool,
    /// The first part of its path that others than root may change.
    pub changeable: Option<Changeable>,
}

/// A part of a path, and who may change it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changeable {
    pub part: String,
    /// By its name, or as a number where it has none.
    pub owner: String,
    /// Likewise.
    pub group: String,
    /// The permission bits.
    pub mode: u32,
}

/// The account that keepalived runs scripts as where none is named.
const DEFAULT_USER: &str = "keepalived_script";

/// What [`check`] needs to know.
pub fn wanted(config: &Config) -> Wanted {
    let mut wanted = Wanted::default();
    for command in commands(config) {
        wanted.programs.extend(program(command).map(str::to_owned));
        wanted.add_user(command.user.as_ref());
    }
    wanted.add_user(config.global.script_user.as_ref());
    if !wanted.programs.is_empty() {
        wanted.users.insert(DEFAULT_USER.to_owned());
    }
    wanted
}

impl Wanted {
    fn add_user(&mut self, user: Option<&ScriptUser>) {
        if let Some(ScriptUser { user, group }) = user {
            self.users.insert(user.clone());
            self.groups.extend(group.clone());
        }
    }
}

/// Hold the configuration against the system.
pub fn check(config: &Config, facts: &Facts, problems: &mut Problems) {
    interfaces(config, facts, problems);
    for command in commands(config) {
        script(config, command, facts, problems);
    }
}

/// The file that is executed; nothing for `</path`, which is opened only.
fn program(command: &Command) -> Option<&str> {
    command.argv.first().map(String::as_str).filter(|program| !program.starts_with('<'))
}

fn interfaces(config: &Config, facts: &Facts, problems: &mut Problems) {
    let mut told = HashSet::new();
    let mut look = |name: &IfName, severity: Severity, at: Span, as_what: &str| {
        if facts.interfaces.contains(name.as_str()) || !told.insert(name.clone()) {
            return;
        }
        let message = format!("there is no interface `{name}`, {as_what}");
        let problem = Problem::new("no-such-interface", severity, at, message).label("does not exist here");
        let mut known: Vec<&str> = facts.interfaces.iter().map(String::as_str).collect();
        known.sort_unstable();
        problems.push(match crate::config::near::nearest(name.as_str(), known) {
            Some(near) => problem.help(format!("did you mean `{near}`? `ip link` lists them all")),
            None => problem.help("`ip link` lists them all"),
        });
    };
    // The daemon needs the interface itself, unless it may wait for it; without the others it runs, with a fault.
    let needed = if config.global.dynamic_interfaces { Severity::Note } else { Severity::Fatal };
    for instance in &config.instances {
        let of = |what| format!("{what} of vrrp_instance `{}`", instance.name);
        look(&instance.interface, needed, instance.at.interface, &of("the interface"));
        for address in instance.addresses.iter().chain(&instance.excluded_addresses) {
            if let Some(dev) = &address.dev {
                look(dev, Severity::Error, address.dev_at, &of("the device of an address"));
            }
        }
        for tracked in &instance.track.interfaces {
            look(&tracked.interface, Severity::Error, tracked.at, &of("a tracked interface"));
        }
    }
    for delay in &config.link_delays {
        look(&delay.interface, Severity::Error, delay.at, "which interface_up_down_delays names");
    }
    for instance in &config.instances {
        for route in &instance.routes {
            for dev in route.route.devices() {
                let what = format!("the device of a route of vrrp_instance `{}`", instance.name);
                look(dev, Severity::Error, route.at, &what);
            }
        }
    }
    for address in &config.statics.addresses {
        if let Some(dev) = &address.dev {
            look(dev, Severity::Error, address.dev_at, "the device of a static address");
        }
    }
    for route in &config.statics.routes {
        for dev in route.route.devices() {
            look(dev, Severity::Error, route.at, "the device of a static route");
        }
    }
}

fn script(config: &Config, command: &Command, facts: &Facts, problems: &mut Problems) {
    let Some(name) = program(command) else { return };
    let mut tell = |severity, code, message: String, label: &str, help: &str| {
        problems.push(Problem::new(code, severity, command.at, message).label(label).help(help));
    };
    match facts.programs.get(name) {
        None => {
            let help = "write the path of a file that exists";
            tell(
                Severity::Error,
                "script-not-found",
                format!("the script `{name}` is not found"),
                "does not run",
                help,
            );
        }
        Some(Program { executable: false, .. }) => {
            let message = format!("the script `{name}` is not executable");
            tell(Severity::Error, "script-not-executable", message, "does not run", &format!("chmod +x {name}"));
        }
        Some(Program { executable: true, changeable: Some(Changeable { part, owner, group, mode }) })
            if config.global.script_security && runs_as_root(config, command, facts) =>
        {
            let message = format!(
                "the script `{name}` runs as root, and others than root may change `{part}` \
                 (owner {owner}, group {group}, mode {mode:04o})"
            );
            let help = format!("chown root:root {part}, and chmod go-w {part}");
            tell(Severity::Error, "script-insecure", message, "does not run", &help);
        }
        Some(Program { executable: true, .. }) => {}
    }
    if config.global.script_security
        && command.user.is_none()
        && config.global.script_user.is_none()
        && !facts.users.contains(DEFAULT_USER)
    {
        let message = format!("the script `{name}` has no user, and there is no account `{DEFAULT_USER}`");
        tell(Severity::Error, "no-default-user", message, "runs as root", "add to global_defs: script_user ACCOUNT");
    }
    if let Some(ScriptUser { user, group }) = command.user.as_ref().or(config.global.script_user.as_ref()) {
        if !facts.users.contains(user) {
            let message = format!("there is no account `{user}`");
            tell(
                Severity::Error,
                "no-such-user",
                message,
                "the script does not run",
                &format!("useradd --system {user}"),
            );
        }
        if let Some(group) = group.as_ref().filter(|group| !facts.groups.contains(*group)) {
            let message = format!("there is no group `{group}`");
            tell(
                Severity::Error,
                "no-such-group",
                message,
                "the script does not run",
                &format!("groupadd --system {group}"),
            );
        }
    }
}

fn runs_as_root(config: &Config, command: &Command, facts: &Facts) -> bool {
    match command.user.as_ref().or(config.global.script_user.as_ref()) {
        Some(user) => user.user == "root",
        None => !facts.users.contains(DEFAULT_USER),
    }
}
