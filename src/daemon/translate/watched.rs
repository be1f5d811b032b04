//! Tracked files and processes to what is watched.

use std::collections::BTreeSet;

use crate::config::model;
use crate::daemon::watchers::WatchSettings;
use crate::vrrp::track::process::{Comparison, Limits, Pattern};

/// What somebody tracks, by kind and name. The rest is neither run nor watched, as with keepalived.
pub fn used(config: &model::Config) -> BTreeSet<(model::Trackable, &str)> {
    let by_instances = config.instances.iter().map(|instance| &instance.track);
    let by_groups = config.sync_groups.iter().map(|group| &group.track);
    let all = by_instances.chain(by_groups).flat_map(model::Tracking::all);
    let by_checks = config.file_checks().map(|entry| (model::Trackable::File, entry));
    all.chain(by_checks).map(|(kind, entry)| (kind, entry.name.as_str())).collect()
}

pub fn watched(
    files: &[model::TrackFile],
    processes: &[model::TrackProcess],
    used: &BTreeSet<(model::Trackable, &str)>,
) -> Vec<WatchSettings> {
    let files = files.iter().filter(|file| used.contains(&(model::Trackable::File, file.name.as_str())));
    let processes =
        processes.iter().filter(|process| used.contains(&(model::Trackable::Process, process.name.as_str())));
    files.map(file).chain(processes.map(process)).collect()
}

fn file(file: &model::TrackFile) -> WatchSettings {
    let model::TrackFile { name, at: _, path, weight: _, reverse: _, init } = file;
    let init = init.map(|model::InitFile { value, overwrite }| (value, overwrite));
    WatchSettings::File { name: name.clone(), path: path.into(), init }
}

fn process(process: &model::TrackProcess) -> WatchSettings {
    let model::TrackProcess {
        name,
        at: _,
        program,
        arguments,
        arguments_match,
        full_command,
        weight: _,
        reverse: _,
        quorum,
        quorum_max,
        terminate_delay,
        fork_delay,
    } = process;
    let comparison = match arguments_match {
        model::ArgumentsMatch::Any => Comparison::Any,
        model::ArgumentsMatch::Exact => Comparison::Exact,
        model::ArgumentsMatch::Initial => Comparison::Initial,
        model::ArgumentsMatch::Partial => Comparison::Partial,
    };
    WatchSettings::Process {
        name: name.clone(),
        pattern: Pattern {
            program: program.clone(),
            arguments: arguments.clone(),
            comparison,
            full_command: *full_command,
        },
        limits: Limits {
            least: *quorum,
            most: *quorum_max,
            terminate_delay: *terminate_delay,
            fork_delay: *fork_delay,
        },
    }
}
