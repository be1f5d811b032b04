//! `global_defs`. It may stand several times; what comes later adds.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU8;
use std::time::Duration;

use super::value::{
    TIME_MAX, address, choice, error, flag, flag_or_on, interface, number, number_word, seconds, set, whole_seconds,
};
use super::{command, ipvs, notify};
use crate::config::expand::Strictness;
use crate::config::model::{
    EbpfMode, ExtraGarp, Garp, Global, Mail, NotifyFifo, Plane, Process, ScriptUser, SysctlMode, VrrpVersion,
};
use crate::config::problem::{Problem, Severity};
use crate::config::tree::{Statement, Word};

pub const VERSIONS: [(&str, VrrpVersion); 2] = [("2", VrrpVersion::V2), ("3", VrrpVersion::V3)];
const PLANES: [(&str, Plane); 2] = [("ebpf", Plane::Ebpf), ("ipvs", Plane::Ipvs)];
const EBPF_MODES: [(&str, EbpfMode); 3] = [("auto", EbpfMode::Auto), ("xdp", EbpfMode::Xdp), ("tc", EbpfMode::Tc)];
const SYSCTL_MODES: [(&str, SysctlMode); 2] = [("check", SysctlMode::Check), ("auto", SysctlMode::Auto)];
/// Where Prometheus's list of ports has an exporter for keepalived.
/// With their index and templates 8,388,608 connections take 3.4 GB.
const EBPF_CONNECTIONS: std::ops::RangeInclusive<i64> = 1_024..=8_388_608;
const METRICS_PORT: u16 = 9165;
/// The longest `garp_extra_if`: a day.
const EXTRA_MAX_S: i64 = 86_400;
/// The longest time before a second burst, in seconds: its microseconds fit 32 bits.
const DELAY_MAX_S: u32 = 4294;
const INT_MAX: i64 = 2_147_483_647;

pub fn read(block: &Statement<'_>, global: &mut Global, problems: &mut Vec<Problem>) {
    for inner in block.statements() {
        match inner.keyword.text {
            "router_id" => global.router_id = inner.arg(0).map(|word| word.text.to_owned()),
            "script_user" => global.script_user = command::user(inner),
            "enable_script_security" => global.script_security = true,
            "vrrp_version" => set(&mut global.vrrp_version, choice(problems, inner, 0, &VERSIONS).map(Some)),
            "vrrp_mcast_group4" => match multicast(problems, inner) {
                Some(IpAddr::V4(group)) => global.mcast_group4 = Some(group),
                Some(IpAddr::V6(_)) => wrong_family(problems, inner, "IPv4"),
                None => {}
            },
            "vrrp_mcast_group6" => match multicast(problems, inner) {
                Some(IpAddr::V6(group)) => {
                    if !is_link_local(group) {
                        let message =
                            format!("`vrrp_mcast_group6` is {group}, and adverts stay on their link (ff02::)");
                        let problem = Problem::new("not-link-local", Severity::Error, inner.at(), message);
                        problems.push(problem.label("used all the same").help("write a group of ff02::/16"));
                    }
                    global.mcast_group6 = Some(group);
                }
                Some(IpAddr::V4(_)) => wrong_family(problems, inner, "IPv6"),
                None => {}
            },
            "vrrp_skip_check_adv_addr" => global.skip_check_adv_addr = flag_or_on(problems, inner),
            "vrrp_check_unicast_src" => global.check_unicast_src = true,
            "vrrp_lower_prio_no_advert" => set(&mut global.lower_prio_no_advert, flag(problems, inner)),
            "vrrp_higher_prio_send_advert" => global.higher_prio_send_advert = flag(problems, inner),
            "vrrp_owner_ignore_adverts" => set(&mut global.owner_ignore_adverts, flag(problems, inner)),
            "v3_checksum_as_v2" => set(&mut global.checksum_as_v2, flag(problems, inner)),
            "vrrp_min_garp" if flag(problems, inner) == Some(true) => least_garp(&mut global.garp),
            "vrrp_strict" => global.strict = flag_or_on(problems, inner),
            "vrrp_down_timer_adverts" => {
                set(&mut global.down_timer_adverts, number(problems, inner, 0, 1..=100, "").map(Some));
            }
            "dynamic_interfaces" => {
                _ = choice(problems, inner, 0, &[("allow_if_changes", ())]);
                global.dynamic_interfaces = true;
            }
            "include_check" => include_check(inner, problems),
            "random_seed" => _ = number::<u32>(problems, inner, 0, 0..=4_294_967_295, ""),
            "default_interface" => set(&mut global.default_interface, interface(problems, inner, 0).map(Some)),
            "vmac_addr_prefix" => global.vmac_addr_prefix = inner.arg(0).map(|word| word.text.to_owned()),
            "vmac_prefix" => global.vmac_prefix = inner.arg(0).map(|word| word.text.to_owned()),
            "notify_fifo" => fifo(inner, &mut global.fifo),
            "vrrp_notify_fifo" => fifo(inner, &mut global.vrrp_fifo),
            "lvs_notify_fifo" => fifo(inner, &mut global.lvs_fifo),
            "notify_fifo_script" => notify::first_only(&mut global.fifo.script, inner, problems),
            "vrrp_notify_fifo_script" => notify::first_only(&mut global.vrrp_fifo.script, inner, problems),
            "lvs_notify_fifo_script" => notify::first_only(&mut global.lvs_fifo.script, inner, problems),
            "vrrp_notify_priority_changes" => set(&mut global.notify_priority_changes, flag(problems, inner)),
            "fifo_write_vrrp_states_on_reload" => global.states_on_reload = true,
            "checker_log_all_failures" => set(&mut global.checker_log_all_failures, flag(problems, inner)),
            "rs_init_notifies" => set(&mut global.rs_init_notifies, flag(problems, inner)),
            "metrics_listen" => set(&mut global.metrics, metrics(inner, problems).map(Some)),
            "lvs_sync_daemon" => set(&mut global.sync_daemon, ipvs::sync_daemon(inner, problems).map(Some)),
            keyword => {
                let garp = keyword.strip_prefix("vrrp_").unwrap_or("");
                _ = mail(inner, &mut global.mail, problems)
                    || host_script(inner, global, problems)
                    || process(inner, &mut global.process, problems)
                    || forwarding(inner, global, problems)
                    || read_garp(garp, inner, &mut global.garp, problems);
            }
        }
    }
}

/// What forwards, and how; false: the keyword is none of them.
fn forwarding(inner: &Statement<'_>, global: &mut Global, problems: &mut Vec<Problem>) -> bool {
    match inner.keyword.text {
        "lvs_datapath" => set(&mut global.plane, choice(problems, inner, 0, &PLANES)),
        "lvs_ebpf_mode" => set(&mut global.ebpf_mode, choice(problems, inner, 0, &EBPF_MODES)),
        "lvs_ebpf_connections" => {
            set(&mut global.ebpf_connections, number(problems, inner, 0, EBPF_CONNECTIONS, "").map(Some));
        }
        "lvs_expire_quiescent_template" => {
            set(&mut global.quiescent_keeps, flag(problems, inner).map(|expires| !expires));
        }
        "lvs_sysctl" => set(&mut global.sysctl, choice(problems, inner, 0, &SYSCTL_MODES)),
        "lvs_flush" => global.lvs_flush = true,
        "lvs_timeouts" => ipvs::timeouts(inner, &mut global.timeouts, problems),
        _ => return false,
    }
    true
}

/// How the heartbeat is run; false: the keyword is none of them.
fn process(inner: &Statement<'_>, process: &mut Process, problems: &mut Vec<Problem>) -> bool {
    match inner.keyword.text {
        "vrrp_rt_priority" => {
            let priority = number::<u8>(problems, inner, 0, 1..=99, "").and_then(NonZeroU8::new);
            set(&mut process.rt_priority, priority.map(Some));
        }
        "vrrp_priority" => set(&mut process.nice, number(problems, inner, 0, -20..=19, "").map(Some)),
        "vrrp_no_swap" => process.no_swap = true,
        "vip_fence" => set(&mut process.fence, flag(problems, inner).map(Some)),
        "vrrp_startup_delay" => set(&mut process.startup_delay, seconds(problems, inner, 0, 1000..=TIME_MAX)),
        "vrrp_delay_after_boot" => set(&mut process.uptime_min, seconds(problems, inner, 0, 1000..=TIME_MAX)),
        "vrrp_rlimit_rttime" | "vrrp_rlimit_rtime" => {
            // keepalived's least: the kernel takes 1 for no limit that can be met.
            let limit = number::<u64>(problems, inner, 0, 1..=INT_MAX, "us").map(|us| us.max(2));
            set(&mut process.rt_limit, limit.map(|us| Some(Duration::from_micros(us))));
        }
        _ => return false,
    }
    true
}

/// What runs before the daemon's work and after it; false: the keyword is none of them.
fn host_script(inner: &Statement<'_>, global: &mut Global, problems: &mut Vec<Problem>) -> bool {
    let keyword = inner.keyword.text;
    let script = match keyword {
        "startup_script" | "startup_script_timeout" => &mut global.startup,
        "shutdown_script" | "shutdown_script_timeout" => &mut global.shutdown,
        _ => return false,
    };
    if keyword.ends_with("_timeout") {
        let timeout = number(problems, inner, 0, 1..=1000, "s").map(Duration::from_secs);
        set(&mut script.timeout, timeout.map(Some));
    } else {
        notify::first_only(&mut script.command, inner, problems);
    }
    true
}

/// `ADDR [PORT]`.
fn metrics(inner: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<SocketAddr> {
    let at = address(problems, inner, 0)?;
    let port = if inner.arg(1).is_some() { number(problems, inner, 1, 1..=65_535, "")? } else { METRICS_PORT };
    Some(SocketAddr::new(at, port))
}

/// Of mails: to whom, by whom, when; false: the keyword is none of them.
fn mail(inner: &Statement<'_>, mail: &mut Mail, problems: &mut Vec<Problem>) -> bool {
    match inner.keyword.text {
        "notification_email" => {
            empty(inner, problems);
            for line in inner.statements() {
                let words = std::iter::once(&line.keyword).chain(line.args.iter());
                mail.to.extend(words.map(|word| word.text.to_owned()));
            }
        }
        "notification_email_from" => mail.from = inner.arg(0).map(|word| word.text.to_owned()),
        "smtp_server" => {
            mail.server = inner.arg(0).filter(|word| is_host(*word, problems)).map(|word| word.text.to_owned());
            mail.port = if inner.arg(1).is_some() { number(problems, inner, 1, 1..=65_535, "") } else { None };
        }
        "smtp_helo_name" => mail.helo = inner.arg(0).map(|word| word.text.to_owned()),
        "smtp_connect_timeout" => {
            let timeout = number::<u32>(problems, inner, 0, 1..=4294, "s");
            mail.timeout = timeout.map(|seconds| Duration::from_secs(seconds.into()));
        }
        "smtp_alert" => mail.alert = flag(problems, inner),
        "smtp_alert_vrrp" => mail.alert_vrrp = flag(problems, inner),
        "smtp_alert_checker" => mail.alert_checker = flag(problems, inner),
        "no_email_faults" => mail.no_faults = true,
        _ => return false,
    }
    true
}

/// The words of `include_check`, which were obeyed when the files were read.
fn include_check(inner: &Statement<'_>, problems: &mut Vec<Problem>) {
    for word in inner.args.iter().filter(|word| Strictness::of_word(word.text).is_none()) {
        let message = format!("`include_check` has no kind of check `{}`", word.text);
        let help = "the kinds are read, match, wildcard_match and brace_match; + adds one, - takes one away";
        problems.push(error("unknown-word", *word, message).label("passed over").help(help));
    }
}

/// An address, or a name as DNS has it (RFC 1123 section 2.1, and `_`).
fn is_host(word: Word<'_>, problems: &mut Vec<Problem>) -> bool {
    const LABEL_MAX: usize = 63;
    let is_label = |label: &str| {
        (1..=LABEL_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let text = word.text;
    if text.parse::<IpAddr>().is_ok() || text.strip_suffix('.').unwrap_or(text).split('.').all(is_label) {
        return true;
    }
    let message = format!("`smtp_server` is `{text}`, and it is an address or the name of a host");
    problems.push(error("not-a-host", word, message).label("passed over"));
    false
}

/// `PATH [USER [GROUP]]`; what comes later counts, as for the other values of the block.
fn fifo(inner: &Statement<'_>, fifo: &mut NotifyFifo) {
    fifo.path = inner.arg(0).map(|word| word.text.to_owned());
    let group = inner.arg(2).map(|word| word.text.to_owned());
    fifo.owner = inner.arg(1).map(|user| ScriptUser { user: user.text.to_owned(), group });
}

/// `vrrp_min_garp`: one announcement and no more, unless what stands before it says otherwise.
fn least_garp(garp: &mut Garp) {
    for delay in [&mut garp.master_delay, &mut garp.lower_prio_delay, &mut garp.master_refresh] {
        delay.get_or_insert(Duration::ZERO);
    }
    for repeat in [&mut garp.master_repeat, &mut garp.lower_prio_repeat] {
        repeat.get_or_insert(1);
    }
}

/// `garp_*` of an instance, or of `global_defs` after its `vrrp_`; false: the keyword is none of them.
pub fn read_garp(keyword: &str, inner: &Statement<'_>, garp: &mut Garp, problems: &mut Vec<Problem>) -> bool {
    match keyword {
        "garp_master_delay" => set(&mut garp.master_delay, whole_seconds(problems, inner, 0, DELAY_MAX_S).map(Some)),
        "garp_lower_prio_delay" => {
            set(&mut garp.lower_prio_delay, whole_seconds(problems, inner, 0, DELAY_MAX_S).map(Some));
        }
        "garp_master_refresh" => {
            set(&mut garp.master_refresh, whole_seconds(problems, inner, 0, u32::MAX).map(Some));
        }
        "garp_master_repeat" => set(&mut garp.master_repeat, number(problems, inner, 0, 1..=INT_MAX, "").map(Some)),
        "garp_master_refresh_repeat" => {
            set(&mut garp.master_refresh_repeat, number(problems, inner, 0, 1..=INT_MAX, "").map(Some));
        }
        "garp_lower_prio_repeat" => {
            set(&mut garp.lower_prio_repeat, number(problems, inner, 0, 0..=INT_MAX, "").map(Some));
        }
        "garp_interval" => set(&mut garp.interval, seconds(problems, inner, 0, 1..=TIME_MAX).map(Some)),
        "gna_interval" => set(&mut garp.gna_interval, seconds(problems, inner, 0, 1..=TIME_MAX).map(Some)),
        "garp_extra_if" | "vmac_garp_intvl" => set(&mut garp.extra, extra_garp(inner, problems).map(Some)),
        _ => return false,
    }
    true
}

/// `[all] SECONDS`, in any order; of several times the last one counts, and a bad one loses the line.
fn extra_garp(inner: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<ExtraGarp> {
    let keyword = inner.keyword.text;
    // In `global_defs` a 0 says nothing: it is what there is without the line.
    let least = i64::from(keyword.starts_with("vrrp_"));
    let (mut all, mut interval) = (false, None);
    for word in inner.args.iter() {
        if word.text == "all" {
            all = true;
        } else {
            let seconds: u32 = number_word(problems, keyword, *word, least..=EXTRA_MAX_S, "s")?;
            interval = Some(Duration::from_secs(seconds.into()));
        }
    }
    if interval.is_none() && all {
        let message = format!("`{keyword} all` lacks its seconds");
        let problem = Problem::new("missing-argument", Severity::Error, inner.at(), message);
        problems.push(problem.label("passed over").help(format!("the form is: {keyword} [all] SECONDS")));
    }
    interval.map(|interval| ExtraGarp { all, interval })
}

pub fn multicast(problems: &mut Vec<Problem>, inner: &Statement<'_>) -> Option<IpAddr> {
    let addr = address(problems, inner, 0)?;
    if addr.is_multicast() {
        return Some(addr);
    }
    let word = inner.arg(0)?;
    let message = format!("`{}` is `{addr}`, and it is a multicast address", inner.keyword.text);
    problems.push(error("not-multicast", word, message).label("not a multicast address"));
    None
}

/// Whether the scope of an IPv6 group is its link (RFC 4291 section 2.7).
pub fn is_link_local(group: Ipv6Addr) -> bool {
    group.segments().first().is_some_and(|first| first & 0xf == 2)
}

fn wrong_family(problems: &mut Vec<Problem>, inner: &Statement<'_>, family: &str) {
    if let Some(word) = inner.arg(0) {
        let message = format!("`{}` is `{}`, and it is an {family} address", inner.keyword.text, word.text);
        problems.push(error("wrong-family", word, message).label(format!("not {family}")));
    }
}

fn empty(block: &Statement<'_>, problems: &mut Vec<Problem>) {
    if block.block.is_some() && block.statements().is_empty() {
        let message = format!("the block of `{}` is empty", block.keyword.text);
        problems.push(
            Problem::new("empty-block", Severity::Error, block.keyword.at, message)
                .label("nothing in it")
                .help("remove the block, or name what it lists, one a line"),
        );
    }
}
