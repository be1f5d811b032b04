//! keepalived's dump files, for programs that read them: `keepalived.stats`, `keepalived.json`, `keepalived.data`.
//!
//! Here are their texts alone; who writes them is `supervisor/dumps.rs`. Words and numbers are keepalived's.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::{AdvertInterval, MonoTime};
use crate::config::model::{Config, InitialState, VirtualAddress, VrrpInstance, VrrpVersion};
use crate::config::show::show;
use crate::vrrp::{Discard, InstanceView, Standing};

/// What keepalived counts of one instance, by its names in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    pub advert_rcvd: u64,
    pub advert_sent: u64,
    pub become_master: u64,
    pub release_master: u64,
    pub packet_len_err: u64,
    pub advert_interval_err: u64,
    pub ip_ttl_err: u64,
    pub invalid_type_rcvd: u64,
    pub addr_list_err: u64,
    pub invalid_authtype: u64,
    pub authtype_mismatch: u64,
    pub auth_failure: u64,
    pub pri_zero_rcvd: u64,
    pub pri_zero_sent: u64,
}

/// By name of the instance.
pub type AllStats = BTreeMap<String, Stats>;

pub fn stats(views: &[InstanceView]) -> AllStats {
    views.iter().map(|view| (view.name.clone(), of_one(view))).collect()
}

fn of_one(view: &InstanceView) -> Stats {
    let discarded = |reason: Discard| view.discards.get(&reason).copied().unwrap_or(0);
    Stats {
        advert_rcvd: view.counters.adverts_received,
        advert_sent: view.counters.adverts_sent,
        become_master: view.counters.became_active,
        release_master: view.counters.left_active,
        packet_len_err: discarded(Discard::Length),
        advert_interval_err: discarded(Discard::Interval),
        ip_ttl_err: discarded(Discard::Ttl),
        invalid_type_rcvd: discarded(Discard::Type),
        addr_list_err: discarded(Discard::AddressList).saturating_add(discarded(Discard::NoAddress)),
        // A type that nobody knows is a type that is not ours.
        invalid_authtype: 0,
        authtype_mismatch: discarded(Discard::AuthType),
        auth_failure: discarded(Discard::AuthData),
        pri_zero_rcvd: view.counters.priority_zero_received,
        pri_zero_sent: view.counters.priority_zero_sent,
    }
}

/// What was counted since `cleared`.
pub fn since(mut now: AllStats, cleared: &AllStats) -> AllStats {
    for (name, stats) in &mut now {
        if let Some(before) = cleared.get(name) {
            stats.subtract(before);
        }
    }
    now
}

impl Stats {
    fn subtract(&mut self, before: &Self) {
        let Self {
            advert_rcvd,
            advert_sent,
            become_master,
            release_master,
            packet_len_err,
            advert_interval_err,
            ip_ttl_err,
            invalid_type_rcvd,
            addr_list_err,
            invalid_authtype,
            authtype_mismatch,
            auth_failure,
            pri_zero_rcvd,
            pri_zero_sent,
        } = self;
        for (now, before) in [
            (advert_rcvd, before.advert_rcvd),
            (advert_sent, before.advert_sent),
            (become_master, before.become_master),
            (release_master, before.release_master),
            (packet_len_err, before.packet_len_err),
            (advert_interval_err, before.advert_interval_err),
            (ip_ttl_err, before.ip_ttl_err),
            (invalid_type_rcvd, before.invalid_type_rcvd),
            (addr_list_err, before.addr_list_err),
            (invalid_authtype, before.invalid_authtype),
            (authtype_mismatch, before.authtype_mismatch),
            (auth_failure, before.auth_failure),
            (pri_zero_rcvd, before.pri_zero_rcvd),
            (pri_zero_sent, before.pri_zero_sent),
        ] {
            *now = now.saturating_sub(before);
        }
    }
}

/// `keepalived.stats`.
pub fn stats_text(all: &AllStats) -> String {
    let mut text = String::new();
    for (name, stats) in all {
        text.push_str(&format!("VRRP Instance: {name}\n  Advertisements:\n"));
        text.push_str(&format!("    Received: {}\n    Sent: {}\n", stats.advert_rcvd, stats.advert_sent));
        text.push_str(&format!(
            "  Became master: {}\n  Released master: {}\n  Packet Errors:\n",
            stats.become_master, stats.release_master
        ));
        text.push_str(&format!("    Length: {}\n    TTL: {}\n", stats.packet_len_err, stats.ip_ttl_err));
        text.push_str(&format!("    Invalid Type: {}\n", stats.invalid_type_rcvd));
        text.push_str(&format!("    Advertisement Interval: {}\n", stats.advert_interval_err));
        text.push_str(&format!("    Address List: {}\n  Authentication Errors:\n", stats.addr_list_err));
        text.push_str(&format!("    Invalid Type: {}\n", stats.invalid_authtype));
        text.push_str(&format!("    Type Mismatch: {}\n", stats.authtype_mismatch));
        text.push_str(&format!("    Failure: {}\n  Priority Zero:\n", stats.auth_failure));
        text.push_str(&format!("    Received: {}\n    Sent: {}\n", stats.pri_zero_rcvd, stats.pri_zero_sent));
    }
    text
}

/// The state of the daemon at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    pub config: &'a Config,
    pub views: &'a [InstanceView],
    pub stats: &'a AllStats,
    pub now: MonoTime,
    /// The same moment in seconds since 1970.
    pub unix_s: f64,
}

impl Moment<'_> {
    /// The instances that the configuration has and the heartbeat drives.
    fn instances(&self) -> impl Iterator<Item = (&VrrpInstance, &InstanceView)> {
        let view = |name: &str| self.views.iter().find(move |view| view.name == name);
        self.config.instances.iter().filter_map(move |instance| Some((instance, view(&instance.name)?)))
    }

    /// Seconds since 1970; 0 before the first move.
    fn last_transition(&self, view: &InstanceView) -> f64 {
        if view.reason.is_none() { 0.0 } else { self.unix_s - self.now.since(view.since).as_secs_f64() }
    }

    /// `keepalived.json`, version 1: an array of instances with `data` and `stats`.
    pub fn json(&self) -> String {
        let one = |(instance, view): (&VrrpInstance, &InstanceView)| {
            let stats = self.stats.get(&instance.name).copied().unwrap_or_default();
            serde_json::json!({ "data": self.data(instance, view), "stats": stats })
        };
        format!("{}\n", self.instances().map(one).collect::<serde_json::Value>())
    }

    fn data(&self, instance: &VrrpInstance, view: &InstanceView) -> serde_json::Value {
        let (garp, above) = (&instance.garp, &self.config.global.garp);
        let seconds = |own: Option<std::time::Duration>, above: Option<std::time::Duration>, default: u64| {
            own.or(above).map_or(default, |time| time.as_secs())
        };
        let delay = seconds(garp.master_delay, above.master_delay, 5);
        let repeat = garp.master_repeat.or(above.master_repeat).unwrap_or(5);
        let held = is_master(view.state);
        serde_json::json!({
            "iname": instance.name,
            "dont_track_primary": u8::from(instance.dont_track_primary),
            "skip_check_adv_addr": u8::from(instance.skip_check_adv_addr),
            "strict_mode": u8::from(instance.strict),
            "vmac_ifname": vmac_name(instance),
            "ifp_ifname": instance.interface,
            "master_priority": view.peer.map_or(0, |peer| peer.priority),
            "last_transition": self.last_transition(view),
            "garp_delay": delay,
            "garp_refresh": seconds(garp.master_refresh, above.master_refresh, 0),
            "garp_rep": repeat,
            "garp_refresh_rep": garp.master_refresh_repeat.or(above.master_refresh_repeat).unwrap_or(1),
            "garp_lower_prio_delay": seconds(garp.lower_prio_delay, above.lower_prio_delay, delay),
            "garp_lower_prio_rep": garp.lower_prio_repeat.or(above.lower_prio_repeat).unwrap_or(repeat),
            "lower_prio_no_advert": u8::from(instance.lower_prio_no_advert),
            "higher_prio_send_advert": u8::from(instance.higher_prio_send_advert),
            "vrid": instance.vrid,
            "base_priority": instance.priority,
            "effective_priority": view.effective_priority,
            "vipset": held,
            "promote_secondaries": false,
            "adver_int": seconds_of(instance.interval),
            "master_adver_int": seconds_of(view.learnt_interval.unwrap_or(view.interval)),
            "accept": u8::from(instance.accept),
            "nopreempt": !instance.preempt,
            "preempt_delay": instance.preempt_delay.as_secs(),
            "state": number(view.state),
            "wantstate": if instance.state == InitialState::Master { 2 } else { 1 },
            "version": version(instance.version),
            "smtp_alert": false,
            "notify_deleted": false,
            "vips": instance.addresses.iter().map(|address| line(address, instance, held)).collect::<Vec<_>>(),
            "evips": instance.excluded_addresses.iter().map(|address| line(address, instance, held)).collect::<Vec<_>>(),
            "track_script": instance.track.scripts.iter().map(|entry| entry.name.clone()).collect::<Vec<_>>(),
            "auth_type": u8::from(instance.auth_pass.is_some()) + u8::from(instance.auth_header),
            "auth_data": instance.auth_pass.clone().unwrap_or_default(),
        })
    }

    /// `keepalived.data`: the topology as keepalived writes it, then the configuration in force.
    pub fn data_text(&self) -> String {
        let mut text = String::from("------< VRRP Topology >------\n");
        for (instance, view) in self.instances() {
            let held = is_master(view.state);
            let wanted = if instance.state == InitialState::Master { "MASTER" } else { "BACKUP" };
            let rows = [
                ("VRRP Version", version(instance.version).to_string()),
                ("State", word(view.state).to_owned()),
                ("Wantstate", wanted.to_owned()),
                ("Last transition", format!("{:.6}", self.last_transition(view))),
                ("Interface", instance.interface.to_string()),
                ("Virtual Router ID", instance.vrid.to_string()),
                ("Priority", instance.priority.to_string()),
                ("Effective priority", view.effective_priority.to_string()),
                ("Advert interval", format!("{} sec", instance.interval)),
                ("Preempt", if instance.preempt { "enabled" } else { "disabled" }.to_owned()),
            ];
            text.push_str(&format!(" VRRP Instance = {}\n", instance.name));
            for (what, value) in rows {
                text.push_str(&format!("   {what} = {value}\n"));
            }
            for (what, addresses) in
                [("Virtual IP", &instance.addresses), ("Virtual IP Excluded", &instance.excluded_addresses)]
            {
                if !addresses.is_empty() {
                    text.push_str(&format!("   {what} ({}):\n", addresses.len()));
                }
                for address in addresses {
                    text.push_str(&format!("     {}\n", line(address, instance, held)));
                }
            }
        }
        text + "------< Configuration >------\n" + &show(self.config)
    }
}

fn vmac_name(instance: &VrrpInstance) -> &str {
    instance.vmac.as_ref().and_then(|vmac| vmac.name.as_ref()).map_or("", |name| name.as_str())
}

/// Whole seconds are an integer, as programs that read it expect.
fn seconds_of(interval: AdvertInterval) -> serde_json::Value {
    match (interval.centis() / 100, interval.centis() % 100) {
        (whole, 0) => whole.into(),
        _ => interval.duration().as_secs_f64().into(),
    }
}

const fn version(version: VrrpVersion) -> u8 {
    match version {
        VrrpVersion::V2 => 2,
        VrrpVersion::V3 => 3,
    }
}

const fn is_master(state: Standing) -> bool {
    matches!(state, Standing::Active | Standing::HandingOver)
}

/// keepalived's numbers of states.
const fn number(state: Standing) -> u8 {
    match state {
        Standing::Initialize => 0,
        Standing::Backup => 1,
        Standing::Active | Standing::HandingOver => 2,
        Standing::Fault => 3,
        Standing::Stopped => 98,
    }
}

const fn word(state: Standing) -> &'static str {
    match state {
        Standing::Initialize => "INIT",
        Standing::Backup => "BACKUP",
        Standing::Active | Standing::HandingOver => "MASTER",
        Standing::Fault => "FAULT",
        Standing::Stopped => "STOP",
    }
}

/// `192.0.2.1/24 dev eth0 scope global set`.
fn line(address: &VirtualAddress, instance: &VrrpInstance, held: bool) -> String {
    let cidr = address.cidr;
    let alone = cidr.prefix_len() == cidr.family().bits();
    let addr = if alone { cidr.addr().to_string() } else { cidr.to_string() };
    let scope = match address.scope {
        0 => "global".to_owned(),
        200 => "site".to_owned(),
        253 => "link".to_owned(),
        254 => "host".to_owned(),
        255 => "nowhere".to_owned(),
        other => other.to_string(),
    };
    let label = address.label.as_ref().map_or_else(String::new, |label| format!(" label {label}"));
    let dev = address.dev.as_ref().unwrap_or(&instance.interface);
    format!("{addr} dev {dev} scope {scope}{label}{}", if held { " set" } else { "" })
}

#[cfg(test)]
mod tests;
