//! `track_script` and `track_interface` blocks of instances and sync groups.

use super::value::parsed;
use super::vrrp_script::tracking;
use crate::config::model::{TrackInterface, TrackScript};
use crate::config::problem::Problem;
use crate::config::tree::Statement;

/// The lines of `track_script`: `NAME [weight N [reverse]]`.
pub fn scripts(block: &Statement<'_>, scripts: &mut Vec<TrackScript>, problems: &mut Vec<Problem>) {
    for line in block.statements() {
        let options = tracking(problems, line, "track_script");
        scripts.push(TrackScript {
            script: line.keyword.text.to_owned(),
            weight: options.weight,
            reverse: options.reverse,
            at: line.keyword.at,
        });
    }
}

/// The lines of `track_interface`: `IFNAME [weight N [reverse]]`.
pub fn interfaces(block: &Statement<'_>, interfaces: &mut Vec<TrackInterface>, problems: &mut Vec<Problem>) {
    for line in block.statements() {
        let options = tracking(problems, line, "track_interface");
        if let Some(interface) = parsed(problems, "bad-interface-name", line.keyword) {
            interfaces.push(TrackInterface {
                interface,
                weight: options.weight,
                reverse: options.reverse,
                at: line.keyword.at,
            });
        }
    }
}
