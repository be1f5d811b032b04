//! `vrrp_script`, `vrrp_sync_group`, and the blocks that instances and groups have in common.

use super::node::{Node, Nodes, seconds, word};
use crate::config::model::{Notify, SyncGroup, TrackInterface, TrackScript, VrrpScript};

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
    let SyncGroup { name, at: _, members, tracking_weight, track_interfaces, track_scripts, notify: scripts } = group;
    let mut nodes = Nodes::default();
    nodes.put(Node::block("group", String::new(), members.iter().map(|member| Node::item(member)).collect()));
    nodes.flag("sync_group_tracking_weight", *tracking_weight);
    tracked(&mut nodes, track_interfaces, track_scripts);
    notify(&mut nodes, scripts);
    Node::block("vrrp_sync_group", word(name), nodes.0)
}

/// `track_interface` and `track_script`.
pub(super) fn tracked(nodes: &mut Nodes, interfaces: &[TrackInterface], scripts: &[TrackScript]) {
    let interface = |entry: &TrackInterface| {
        let TrackInterface { interface, weight, reverse, at: _ } = entry;
        Node { value: tracking(*weight, *reverse), ..Node::item(interface.as_str()) }
    };
    let script = |entry: &TrackScript| {
        let TrackScript { script, weight, reverse, at: _ } = entry;
        Node { value: tracking(*weight, *reverse), ..Node::item(script) }
    };
    nodes.list("track_interface", interfaces.iter().map(interface).collect());
    nodes.list("track_script", scripts.iter().map(script).collect());
}

/// `reverse` cannot stand without a weight.
fn tracking(weight: Option<i16>, reverse: bool) -> String {
    weight.map_or_else(String::new, |weight| format!("weight {}", weighted(weight, reverse)))
}

fn weighted(weight: i16, reverse: bool) -> String {
    if reverse { format!("{weight} reverse") } else { weight.to_string() }
}

pub(super) fn notify(nodes: &mut Nodes, notify: &Notify) {
    let Notify { master, backup, fault, stop, any } = notify;
    nodes.command("notify_master", master.as_deref());
    nodes.command("notify_backup", backup.as_deref());
    nodes.command("notify_fault", fault.as_deref());
    nodes.command("notify_stop", stop.as_deref());
    nodes.command("notify", any.as_deref());
}
