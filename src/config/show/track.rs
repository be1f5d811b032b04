//! `vrrp_script`, `track_file`, `vrrp_track_process`, `vrrp_sync_group`, and the blocks that instances and groups have in common.

use super::node::{Node, Nodes, millis, seconds, word};
use crate::config::model::{
    ArgumentsMatch, BfdInstance, MaxHops, Notify, OnDeletion, SyncGroup, TrackEntry, TrackFile, TrackGroup,
    TrackInterface, TrackProcess, Trackable, Tracking, VrrpScript,
};

pub(super) fn script(script: &VrrpScript) -> Node {
    let VrrpScript { name, at: _, command, interval, timeout, rise, fall, weight, reverse, init_fail } = script;
    let mut nodes = Nodes::default();
    let alone = crate::config::model::Command { user: None, ..command.clone() };
    nodes.command("script", Some(&alone));
    nodes.put(Node::plain("interval", seconds(*interval)));
    nodes.put(Node::plain("timeout", seconds(*timeout)));
    nodes.put(Node::plain("rise", rise));
    nodes.put(Node::plain("fall", fall));
    if *weight != 0 || *reverse {
        nodes.put(Node::plain("weight", weighted(*weight, *reverse)));
    }
    nodes.user("user", command.user.as_ref());
    nodes.flag("init_fail", *init_fail);
    Node::block("vrrp_script", word(name), nodes.0)
}

pub(super) fn group(group: &SyncGroup) -> Node {
    let SyncGroup { name, at: _, members, members_at: _, tracking_weight, track, notify: scripts } = group;
    let mut nodes = Nodes::default();
    nodes.put(Node::block("group", String::new(), members.iter().map(|member| Node::item(member)).collect()));
    nodes.flag("sync_group_tracking_weight", *tracking_weight);
    tracked(&mut nodes, track);
    notify(&mut nodes, scripts);
    Node::block("vrrp_sync_group", word(name), nodes.0)
}

pub(super) fn static_group(group: &TrackGroup) -> Node {
    let TrackGroup { name, at: _, members } = group;
    let members = members.iter().map(|member| Node::item(member)).collect();
    Node::block("track_group", word(name), vec![Node::block("group", String::new(), members)])
}

pub(super) fn file(file: &TrackFile) -> Node {
    let TrackFile { name, at: _, path, weight, reverse, init } = file;
    let mut nodes = Nodes::default();
    nodes.put(Node::word("file", path));
    nodes.put(Node::plain("weight", weighted(*weight, *reverse)));
    if let Some(init) = init {
        let overwrite = if init.overwrite { " overwrite" } else { "" };
        nodes.put(Node::plain("init_file", format!("{}{overwrite}", init.value)));
    }
    Node::block("track_file", word(name), nodes.0)
}

pub(super) fn process(process: &TrackProcess) -> Node {
    let TrackProcess {
        name,
        at: _,
        program,
        arguments,
        arguments_match,
        full_command,
        weight,
        reverse,
        quorum,
        quorum_max,
        terminate_delay,
        fork_delay,
    } = process;
    let mut nodes = Nodes::default();
    let words: Vec<String> = std::iter::once(program).chain(arguments).map(|text| word(text)).collect();
    nodes.put(Node::plain("process", words.join(" ")));
    match arguments_match {
        ArgumentsMatch::Any => {}
        ArgumentsMatch::Exact => nodes.put(Node::plain("param_match", "")),
        ArgumentsMatch::Initial => nodes.put(Node::plain("param_match", "initial")),
        ArgumentsMatch::Partial => nodes.put(Node::plain("param_match", "partial")),
    }
    nodes.flag("full_command", *full_command);
    nodes.put(Node::plain("weight", weighted(*weight, *reverse)));
    nodes.put(Node::plain("quorum", quorum));
    nodes.plain("quorum_max", *quorum_max);
    nodes.time("terminate_delay", Some(*terminate_delay).filter(|delay| !delay.is_zero()));
    nodes.time("fork_delay", Some(*fork_delay).filter(|delay| !delay.is_zero()));
    Node::block("vrrp_track_process", word(name), nodes.0)
}

pub(super) fn bfd(bfd: &BfdInstance) -> Node {
    let BfdInstance {
        name,
        at: _,
        neighbor,
        source,
        min_rx,
        min_tx,
        idle_tx,
        multiplier,
        passive,
        ttl,
        max_hops,
        multihop,
        weight,
        reverse,
        for_vrrp,
        for_checkers,
    } = bfd;
    let mut nodes = Nodes::default();
    nodes.put(Node::plain("neighbor_ip", neighbor));
    nodes.plain("source_ip", *source);
    nodes.put(Node::plain("min_rx", millis(*min_rx)));
    nodes.put(Node::plain("min_tx", millis(*min_tx)));
    nodes.put(Node::plain("idle_tx", millis(*idle_tx)));
    nodes.put(Node::plain("multiplier", multiplier));
    nodes.flag("passive", *passive);
    nodes.plain("ttl", *ttl);
    nodes.plain(
        "max_hops",
        max_hops.map(|hops| match hops {
            MaxHops::Any => -1,
            MaxHops::Most(most) => i16::from(most),
        }),
    );
    nodes.flag("multihop", *multihop);
    nodes.put(Node::plain("weight", weighted(*weight, *reverse)));
    nodes.flag("vrrp", *for_vrrp);
    nodes.flag("checker", *for_checkers);
    Node::block("bfd_instance", word(name), nodes.0)
}

/// The blocks of what is tracked.
pub(super) fn tracked(nodes: &mut Nodes, track: &Tracking) {
    let Tracking { interfaces, scripts, files, processes, bfds } = track;
    let interface = |entry: &TrackInterface| {
        let TrackInterface { interface, weight, reverse, at: _ } = entry;
        Node { value: tracking(*weight, *reverse), ..Node::item(interface.as_str()) }
    };
    let named = |entry: &TrackEntry| {
        let TrackEntry { name, weight, reverse, at: _ } = entry;
        Node { value: tracking(*weight, *reverse), ..Node::item(name) }
    };
    nodes.list("track_interface", interfaces.iter().map(interface).collect());
    for (kind, entries) in [
        (Trackable::Script, scripts),
        (Trackable::File, files),
        (Trackable::Process, processes),
        (Trackable::Bfd, bfds),
    ] {
        nodes.list(kind.list(), entries.iter().map(named).collect());
    }
}

/// `reverse` cannot stand without a weight.
fn tracking(weight: Option<i16>, reverse: bool) -> String {
    weight.map_or_else(String::new, |weight| format!("weight {}", weighted(weight, reverse)))
}

fn weighted(weight: i16, reverse: bool) -> String {
    if reverse { format!("{weight} reverse") } else { weight.to_string() }
}

pub(super) fn notify(nodes: &mut Nodes, notify: &Notify) {
    let Notify { master, backup, fault, stop, any, lower_prio, deleted, priority_changes, mail } = notify;
    nodes.command("notify_master", master.as_deref());
    nodes.command("notify_backup", backup.as_deref());
    nodes.command("notify_fault", fault.as_deref());
    nodes.command("notify_stop", stop.as_deref());
    nodes.command("notify", any.as_deref());
    nodes.command("notify_master_rx_lower_pri", lower_prio.as_deref());
    match deleted {
        OnDeletion::Fault => {}
        OnDeletion::Deleted(None) => nodes.flag("notify_deleted", true),
        OnDeletion::Deleted(command) => nodes.command("notify_deleted", command.as_deref()),
    }
    nodes.plain("notify_priority_changes", *priority_changes);
    nodes.plain("smtp_alert", *mail);
}
