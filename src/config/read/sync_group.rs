//! `vrrp_sync_group NAME`.

use super::{notify, track};
use crate::config::model::{Notify, SyncGroup, Tracking};
use crate::config::problem::{Problem, Severity};
use crate::config::tree::Statement;

/// One group; that it has members at all is a matter of the checks.
pub fn read(statement: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<SyncGroup> {
    let name = statement.arg(0)?;
    let mut group = SyncGroup {
        name: name.text.to_owned(),
        at: name.at,
        members: vec![],
        members_at: vec![],
        tracking_weight: false,
        track: Tracking::default(),
        notify: Notify::default(),
    };
    for inner in statement.statements() {
        match inner.keyword.text {
            "group" if !group.members.is_empty() => problems.push(
                Problem::new("group-given-twice", Severity::Error, inner.keyword.at, "there is a `group` already")
                    .label("passed over")
                    .help("name all members in one block: group { NAME NAME }"),
            ),
            "group" => members(inner, &mut group, problems),
            "sync_group_tracking_weight" | "global_tracking" => group.tracking_weight = true,
            _ => {
                let _ =
                    track::read(inner, &mut group.track, problems) || notify::read(inner, &mut group.notify, problems);
            }
        }
    }
    Some(group)
}

/// `group { NAME... }`: one name or several on a line.
fn members(block: &Statement<'_>, group: &mut SyncGroup, problems: &mut Vec<Problem>) {
    for line in block.statements() {
        for word in std::iter::once(&line.keyword).chain(line.args.iter()) {
            group.members.push(word.text.to_owned());
            group.members_at.push(word.at);
        }
    }
    if block.block.is_some() && block.statements().is_empty() {
        let message = format!("the group block of vrrp_sync_group `{}` is empty", group.name);
        problems.push(Problem::new("empty-block", Severity::Error, block.keyword.at, message).label("no member in it"));
    }
}
