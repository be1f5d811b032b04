//! The sync daemon of IPVS: an instance that is there, and a plane that has one.

use crate::config::collect::Problems;
use crate::config::model::{Config, Plane};
use crate::config::problem::{Problem, Severity};

pub fn check(config: &Config, problems: &mut Problems) {
    let Some(daemon) = &config.global.sync_daemon else { return };
    if let Some(name) = &daemon.instance
        && config.instances.iter().all(|instance| instance.name != *name)
    {
        let message = format!("the sync daemon follows the vrrp_instance `{name}`, and there is none");
        let problem =
            Problem::new("no-such-instance", Severity::Error, daemon.at, message).label("runs as a backup only");
        let names = config.instances.iter().map(|instance| instance.name.as_str());
        problems.push(match crate::config::near::nearest(name, names) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help("name a vrrp_instance of this file"),
        });
    }
    match config.global.plane {
        Plane::Ipvs => {}
        Plane::Ebpf if config.virtual_servers.is_empty() => {}
        Plane::Ebpf => {
            let message = "the eBPF plane has no sync daemon: `lvs_sync_daemon` has no effect";
            problems.push(
                Problem::new("sync-daemon-needs-ipvs", Severity::Warning, daemon.at, message)
                    .label("does not run")
                    .help("`lvs_datapath ipvs` has it; on the eBPF plane `lb_algo mh` needs none: both directors choose alike"),
            );
        }
    }
}
