//! `global_defs`. What stands at its default is left out.

use std::num::NonZeroU8;

use super::node::{Node, Nodes, user, word};
use crate::config::model::{Garp, Global, Mail, NotifyFifo, Plane, SysctlMode, VrrpVersion};

pub(super) fn statements(global: &Global) -> Vec<Node> {
    let Global {
        router_id,
        script_user,
        script_security,
        vrrp_version,
        mcast_group4,
        mcast_group6,
        garp,
        skip_check_adv_addr,
        check_unicast_src,
        lower_prio_no_advert,
        strict,
        down_timer_adverts,
        rt_priority,
        mail,
        fifo,
        vrrp_fifo,
        lvs_fifo,
        notify_priority_changes,
        states_on_reload,
        fence,
        plane,
        sysctl,
        lvs_flush,
    } = global;
    let mut nodes = Nodes::default();
    nodes.word("router_id", router_id.as_ref());
    nodes.flag("enable_script_security", *script_security);
    nodes.user("script_user", script_user.as_ref());
    nodes.plain("vrrp_version", vrrp_version.map(version));
    nodes.plain("vrrp_mcast_group4", *mcast_group4);
    nodes.plain("vrrp_mcast_group6", *mcast_group6);
    self::garp(&mut nodes, "vrrp_", garp);
    nodes.flag("vrrp_skip_check_adv_addr", *skip_check_adv_addr);
    nodes.flag("vrrp_check_unicast_src", *check_unicast_src);
    nodes.flag("vrrp_lower_prio_no_advert", *lower_prio_no_advert);
    nodes.flag("vrrp_strict", *strict);
    nodes.plain("vrrp_down_timer_adverts", *down_timer_adverts);
    nodes.plain("vrrp_rt_priority", rt_priority.map(NonZeroU8::get));
    self::mail(&mut nodes, mail);
    self::fifo(&mut nodes, "notify_fifo", fifo);
    self::fifo(&mut nodes, "vrrp_notify_fifo", vrrp_fifo);
    self::fifo(&mut nodes, "lvs_notify_fifo", lvs_fifo);
    nodes.flag("vrrp_notify_priority_changes", *notify_priority_changes);
    nodes.flag("fifo_write_vrrp_states_on_reload", *states_on_reload);
    nodes.plain("vip_fence", *fence);
    match plane {
        Plane::Ebpf => {}
        Plane::Ipvs => nodes.put(Node::plain("lvs_datapath", "ipvs")),
    }
    match sysctl {
        SysctlMode::Check => {}
        SysctlMode::Auto => nodes.put(Node::plain("lvs_sysctl", "auto")),
    }
    nodes.flag("lvs_flush", *lvs_flush);
    nodes.0
}

fn mail(nodes: &mut Nodes, mail: &Mail) {
    let Mail { to, from, server, port, helo, timeout, alert, alert_vrrp, alert_checker, no_faults } = mail;
    nodes.list("notification_email", to.iter().map(|address| Node::item(address)).collect());
    nodes.word("notification_email_from", from.as_ref());
    if let Some(server) = server {
        let port = port.map_or_else(String::new, |port| format!(" {port}"));
        nodes.put(Node::plain("smtp_server", format!("{}{port}", word(server))));
    }
    nodes.word("smtp_helo_name", helo.as_ref());
    nodes.time("smtp_connect_timeout", *timeout);
    nodes.plain("smtp_alert", *alert);
    nodes.plain("smtp_alert_vrrp", *alert_vrrp);
    nodes.plain("smtp_alert_checker", *alert_checker);
    nodes.flag("no_email_faults", *no_faults);
}

fn fifo(nodes: &mut Nodes, keyword: &'static str, fifo: &NotifyFifo) {
    let NotifyFifo { path, owner, script } = fifo;
    if let Some(path) = path {
        let owner = owner.as_ref().map_or_else(String::new, |owner| format!(" {}", user(owner)));
        nodes.put(Node::plain(keyword, format!("{}{owner}", word(path))));
    }
    nodes.command(format!("{keyword}_script"), script.as_deref());
}

pub(super) const fn version(version: VrrpVersion) -> u8 {
    match version {
        VrrpVersion::V2 => 2,
        VrrpVersion::V3 => 3,
    }
}

/// `garp_*` after the prefix: `vrrp_` in `global_defs`, none in an instance.
pub(super) fn garp(nodes: &mut Nodes, prefix: &str, garp: &Garp) {
    let Garp {
        master_delay,
        master_repeat,
        master_refresh,
        master_refresh_repeat,
        lower_prio_delay,
        lower_prio_repeat,
        interval,
    } = *garp;
    let name = |keyword: &str| format!("{prefix}{keyword}");
    nodes.time(name("garp_master_delay"), master_delay);
    nodes.plain(name("garp_master_repeat"), master_repeat);
    nodes.time(name("garp_master_refresh"), master_refresh);
    nodes.plain(name("garp_master_refresh_repeat"), master_refresh_repeat);
    nodes.time(name("garp_lower_prio_delay"), lower_prio_delay);
    nodes.plain(name("garp_lower_prio_repeat"), lower_prio_repeat);
    nodes.time(name("garp_interval"), interval);
}
