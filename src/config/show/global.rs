//! `global_defs`. What stands at its default is left out.

use std::num::NonZeroU8;
use std::time::Duration;

use super::node::{Node, Nodes, boolean, seconds, user, word};
use crate::base::IfName;
use crate::config::model::{
    EbpfMode, ExtraGarp, Garp, GarpGroup, Global, HostScript, LinkDelay, Mail, NotifyFifo, Plane, Process, SyncDaemon,
    SysctlMode, Timeouts, VrrpVersion,
};

pub(super) fn statements(global: &Global) -> Vec<Node> {
    let Global {
        router_id,
        script_user,
        script_security,
        vrrp_version,
        mcast_group4,
        mcast_group6,
        garp,
        skip_check_adv_addr: _, // These six are in `adverts`.
        check_unicast_src: _,
        lower_prio_no_advert: _,
        higher_prio_send_advert: _,
        owner_ignore_adverts: _,
        checksum_as_v2: _,
        strict: _,
        down_timer_adverts: _,
        vmac_prefix,
        vmac_addr_prefix,
        dynamic_interfaces,
        default_interface,
        process,
        startup,
        shutdown,
        mail,
        fifo,
        vrrp_fifo,
        lvs_fifo,
        notify_priority_changes,
        states_on_reload,
        plane: _, // These five are in `forwarding`.
        ebpf_mode: _,
        ebpf_connections: _,
        quiescent_keeps: _,
        sysctl: _,
        lvs_flush,
        rs_init_notifies,
        checker_log_all_failures,
        timeouts,
        sync_daemon,
        metrics,
    } = global;
    let mut nodes = Nodes::default();
    nodes.word("router_id", router_id.as_ref());
    nodes.flag("enable_script_security", *script_security);
    nodes.user("script_user", script_user.as_ref());
    nodes.plain("vrrp_version", vrrp_version.map(version));
    nodes.plain("vrrp_mcast_group4", *mcast_group4);
    nodes.plain("vrrp_mcast_group6", *mcast_group6);
    self::garp(&mut nodes, "vrrp_", garp);
    adverts(&mut nodes, global);
    self::prefixes(&mut nodes, vmac_prefix.as_ref(), vmac_addr_prefix.as_ref());
    self::interfaces(&mut nodes, *dynamic_interfaces, default_interface.as_ref());
    self::process(&mut nodes, process);
    host_scripts(&mut nodes, [("startup_script", startup), ("shutdown_script", shutdown)]);
    self::mail(&mut nodes, mail);
    for (keyword, one) in [("notify_fifo", fifo), ("vrrp_notify_fifo", vrrp_fifo), ("lvs_notify_fifo", lvs_fifo)] {
        self::fifo(&mut nodes, keyword, one);
    }
    nodes.flag("vrrp_notify_priority_changes", *notify_priority_changes);
    nodes.flag("fifo_write_vrrp_states_on_reload", *states_on_reload);
    forwarding(&mut nodes, global);
    nodes.flag("lvs_flush", *lvs_flush);
    nodes.flag("rs_init_notifies", *rs_init_notifies);
    nodes.flag("checker_log_all_failures", *checker_log_all_failures);
    self::timeouts(&mut nodes, timeouts.as_ref());
    self::sync_daemon(&mut nodes, sync_daemon.as_ref());
    nodes.plain("metrics_listen", metrics.map(|at| format!("{} {}", at.ip(), at.port())));
    nodes.0
}

/// What is sent, and what becomes of what is heard.
fn adverts(nodes: &mut Nodes, global: &Global) {
    nodes.flag("vrrp_skip_check_adv_addr", global.skip_check_adv_addr);
    nodes.flag("vrrp_check_unicast_src", global.check_unicast_src);
    nodes.flag("vrrp_lower_prio_no_advert", global.lower_prio_no_advert);
    nodes.plain("vrrp_higher_prio_send_advert", global.higher_prio_send_advert.map(boolean));
    nodes.flag("vrrp_owner_ignore_adverts", global.owner_ignore_adverts);
    nodes.flag("vrrp_strict", global.strict);
    nodes.flag("v3_checksum_as_v2", global.checksum_as_v2);
    nodes.plain("vrrp_down_timer_adverts", global.down_timer_adverts);
}

fn host_scripts(nodes: &mut Nodes, scripts: [(&str, &HostScript); 2]) {
    for (keyword, HostScript { command, timeout }) in scripts {
        nodes.command(keyword.to_owned(), command.as_deref());
        nodes.time(format!("{keyword}_timeout"), *timeout);
    }
}

fn prefixes(nodes: &mut Nodes, own: Option<&String>, of_addresses: Option<&String>) {
    nodes.word("vmac_prefix", own);
    nodes.word("vmac_addr_prefix", of_addresses);
}

fn interfaces(nodes: &mut Nodes, dynamic: bool, default: Option<&IfName>) {
    nodes.flag("dynamic_interfaces", dynamic);
    nodes.plain("default_interface", default.map(|name| word(name.as_str())));
}

fn forwarding(nodes: &mut Nodes, global: &Global) {
    match global.plane {
        Plane::Ebpf => {}
        Plane::Ipvs => nodes.put(Node::plain("lvs_datapath", "ipvs")),
    }
    match global.ebpf_mode {
        EbpfMode::Auto => {}
        EbpfMode::Xdp => nodes.put(Node::plain("lvs_ebpf_mode", "xdp")),
        EbpfMode::Tc => nodes.put(Node::plain("lvs_ebpf_mode", "tc")),
    }
    nodes.plain("lvs_ebpf_connections", global.ebpf_connections);
    nodes.plain("lvs_expire_quiescent_template", global.quiescent_keeps.then_some("false"));
    match global.sysctl {
        SysctlMode::Check => {}
        SysctlMode::Auto => nodes.put(Node::plain("lvs_sysctl", "auto")),
    }
}

fn timeouts(nodes: &mut Nodes, timeouts: Option<&Timeouts>) {
    let Some(Timeouts { tcp_s, tcp_fin_s, udp_s }) = timeouts else { return };
    let named = [("tcp", tcp_s), ("tcpfin", tcp_fin_s), ("udp", udp_s)];
    let pairs: Vec<String> = named.iter().filter_map(|(name, s)| Some(format!("{name} {}", (**s)?))).collect();
    nodes.plain("lvs_timeouts", (!pairs.is_empty()).then(|| pairs.join(" ")));
}

fn sync_daemon(nodes: &mut Nodes, daemon: Option<&SyncDaemon>) {
    let Some(SyncDaemon { interface, at: _, instance, id, max_len, port, ttl, group }) = daemon else { return };
    let mut line = interface.to_string();
    let mut add = |name: &str, value: Option<String>| {
        line.extend(value.map(|value| format!(" {name} {value}")));
    };
    add("inst", instance.as_ref().map(|name| word(name)));
    add("id", id.map(|n| n.to_string()));
    add("maxlen", max_len.map(|n| n.to_string()));
    add("port", port.map(|n| n.to_string()));
    add("ttl", ttl.map(|n| n.to_string()));
    add("group", group.map(|addr| addr.to_string()));
    nodes.plain("lvs_sync_daemon", Some(line));
}

fn process(nodes: &mut Nodes, process: &Process) {
    let Process { rt_priority, nice, no_swap, rt_limit, startup_delay, uptime_min, fence } = process;
    nodes.plain("vrrp_rt_priority", rt_priority.map(NonZeroU8::get));
    nodes.plain("vrrp_priority", *nice);
    nodes.flag("vrrp_no_swap", *no_swap);
    nodes.plain("vrrp_rlimit_rttime", rt_limit.map(|limit| limit.as_micros()));
    let written = |delay: Duration| Some(delay).filter(|delay| !delay.is_zero());
    nodes.time("vrrp_startup_delay", written(*startup_delay));
    nodes.time("vrrp_delay_after_boot", written(*uptime_min));
    nodes.plain("vip_fence", *fence);
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

pub(super) fn garp_group(group: &GarpGroup) -> Node {
    let GarpGroup { interval, gna_interval, interfaces } = group;
    let mut nodes = Nodes::default();
    nodes.time("garp_interval", *interval);
    nodes.time("gna_interval", *gna_interval);
    nodes.list("interfaces", interfaces.iter().map(|name| Node::item(name.as_str())).collect());
    Node::block("garp_group", String::new(), nodes.0)
}

pub(super) fn link_delay(delay: &LinkDelay) -> Node {
    let LinkDelay { interface, at: _, down, up } = delay;
    let value = format!("{} {}", seconds(*down), seconds(*up));
    Node { value, ..Node::item(interface.as_str()) }
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
        gna_interval,
        extra,
    } = *garp;
    let name = |keyword: &str| format!("{prefix}{keyword}");
    nodes.time(name("garp_master_delay"), master_delay);
    nodes.plain(name("garp_master_repeat"), master_repeat);
    nodes.time(name("garp_master_refresh"), master_refresh);
    nodes.plain(name("garp_master_refresh_repeat"), master_refresh_repeat);
    nodes.time(name("garp_lower_prio_delay"), lower_prio_delay);
    nodes.plain(name("garp_lower_prio_repeat"), lower_prio_repeat);
    nodes.time(name("garp_interval"), interval);
    nodes.time(name("gna_interval"), gna_interval);
    if let Some(ExtraGarp { all, interval }) = extra {
        let all = if all { "all " } else { "" };
        nodes.put(Node::plain(name("garp_extra_if"), format!("{all}{}", seconds(interval))));
    }
}
