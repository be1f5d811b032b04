//! What `GET /metrics` answers: the daemon's status as `OpenMetrics` text, for Prometheus and those that read its format.
//!
//! Virtual routers have the names, the labels and the values of the `keepalived_exporter` that is kept up
//! (github.com/mehdy/keepalived-exporter), so that dashboards go on; everything else begins with `vipd_`. Pure: a status
//! goes in, a text comes out.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::control::api::{CheckStatus, InstanceStatus, RealServerStatus, Status, VirtualServerStatus};
use crate::daemon::dump::{AllStats, Stats};

/// The media type of the text (`OpenMetrics` 1.0, section 5.3).
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    Whole,
    /// Without real servers and their checks: tens of thousands of them are more than a scrape should carry.
    Services,
}

impl Detail {
    /// The words after `?` of the target: none, or `real_servers=0`.
    pub fn asked(query: &str) -> Option<Self> {
        match query {
            "" | "real_servers=1" => Some(Self::Whole),
            "real_servers=0" => Some(Self::Services),
            _ => None,
        }
    }
}

/// The text. `counted` is what keepalived would count.
///
/// # Errors
/// Where the encoder refuses, which it has no reason to.
pub fn text(status: Status, counted: AllStats, detail: Detail) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot { status, counted, detail }));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Snapshot {
    status: Status,
    counted: AllStats,
    detail: Detail,
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.daemon(&mut page)?;
        self.as_keepalived(&mut page)?;
        self.virtual_routers(&mut page)?;
        self.virtual_servers(&mut page)?;
        match self.detail {
            Detail::Whole => {
                self.real_servers(&mut page)?;
                self.checks(&mut page)
            }
            Detail::Services => Ok(()),
        }
    }
}

type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    /// One family; the encoder adds `_total` to the name of a counter.
    fn family<'s>(&'s mut self, name: &'s str, help: &str, what: MetricType) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, what)
    }

    fn counters<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a, N>, u64)>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Counter)?;
        for (labels, value) in samples {
            let sample = |of: &mut MetricEncoder<'_>| of.encode_counter::<NoLabelSet, u64, u64>(&value, None);
            if N == 0 { sample(&mut family) } else { sample(&mut family.encode_family(&labels)?) }?;
        }
        Ok(())
    }

    fn gauges<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a, N>, f64)>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Gauge)?;
        for (labels, value) in samples {
            if N == 0 { family.encode_gauge(&value) } else { family.encode_family(&labels)?.encode_gauge(&value) }?;
        }
        Ok(())
    }
}

/// keepalived's number of a state.
fn state_number(state: &str) -> f64 {
    match state {
        "INIT" => 0.0,
        "BACKUP" => 1.0,
        "MASTER" => 2.0,
        "FAULT" => 3.0,
        _ => -1.0,
    }
}

fn truth(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

/// A count as a gauge. Beyond 2^53, what is lost is nothing that anybody sees.
#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "gauges are floating point")]
const fn gauge(count: u64) -> f64 {
    count as f64
}

/// A counter: its name, what it says, and where it stands.
type Counted<T> = (&'static str, &'static str, fn(&T) -> u64);

const AS_KEEPALIVED: [Counted<Stats>; 14] = [
    ("advertisements_received", "Adverts received", |stats| stats.advert_rcvd),
    ("advertisements_sent", "Adverts sent", |stats| stats.advert_sent),
    ("become_master", "Times it became MASTER", |stats| stats.become_master),
    ("release_master", "Times it left MASTER", |stats| stats.release_master),
    ("packet_length_errors", "Packets of a wrong length", |stats| stats.packet_len_err),
    ("advertisements_interval_errors", "Adverts with another interval", |stats| stats.advert_interval_err),
    ("ip_ttl_errors", "Packets with a TTL that is not 255", |stats| stats.ip_ttl_err),
    ("invalid_type_received", "Packets of another type than an advert", |stats| stats.invalid_type_rcvd),
    ("address_list_errors", "Adverts with other addresses", |stats| stats.addr_list_err),
    ("authentication_invalid", "Packets with an unknown authentication", |stats| stats.invalid_authtype),
    ("authentication_mismatch", "Packets with another authentication", |stats| stats.authtype_mismatch),
    ("authentication_failure", "Packets whose authentication failed", |stats| stats.auth_failure),
    ("priority_zero_received", "Adverts that said: I stop", |stats| stats.pri_zero_rcvd),
    ("priority_zero_sent", "Adverts in which this one said so", |stats| stats.pri_zero_sent),
];

const OF_INSTANCES: [Counted<InstanceStatus>; 7] = [
    ("vipd_vrrp_transitions", "Moves between states", |one| one.transitions),
    ("vipd_vrrp_conflicts", "Another one served at the same time", |one| one.counters.conflicts),
    ("vipd_vrrp_claims", "Neighbours claimed one of its addresses", |one| one.counters.claims),
    ("vipd_vrrp_addresses_restored", "Addresses put back after somebody removed them", |one| {
        one.counters.addresses_restored
    }),
    ("vipd_vrrp_routes_restored", "Routes and rules put back", |one| one.counters.routes_restored),
    ("vipd_vrrp_announcements_sent", "Gratuitous ARPs and Neighbour Advertisements sent", |one| {
        one.counters.announcements_sent
    }),
    ("vipd_vrrp_send_failures", "Adverts that could not be sent", |one| one.counters.send_failures),
];

const OF_SERVERS: [Counted<VirtualServerStatus>; 5] = [
    ("vipd_virtual_server_connections", "Connections scheduled", |one| one.connections),
    ("vipd_virtual_server_incoming_packets", "Packets from clients", |one| one.packets_in),
    ("vipd_virtual_server_incoming_bytes", "Bytes from clients", |one| one.bytes_in),
    ("vipd_virtual_server_outgoing_packets", "Packets to clients, where they pass here", |one| one.packets_out),
    ("vipd_virtual_server_outgoing_bytes", "Bytes to clients, where they pass here", |one| one.bytes_out),
];

impl Snapshot {
    fn daemon(&self, page: &mut Page<'_>) -> fmt::Result {
        let status = &self.status;
        page.gauges("vipd_build", "The version that runs", [([("version", status.version.as_str())], 1.0)])?;
        page.gauges("vipd_uptime_seconds", "Since the daemon started", [([], gauge(status.uptime_s))])?;
        let age = gauge(status.config.loaded_s_ago);
        page.gauges("vipd_config_age_seconds", "Since the configuration in force was loaded", [([], age)])?;
        let failing = truth(status.config.last_failure.is_some());
        page.gauges("vipd_config_reload_failing", "1: the last reload was refused", [([], failing)])?;
        page.counters("vipd_config_reloads", "Reloads taken up", [([], status.config.reloads)])?;
        page.counters("vipd_config_failed_reloads", "Reloads refused", [([], status.config.failed_reloads)])?;
        let lost = status.counters;
        page.counters("vipd_events_lost", "Events that found their queue full", [([], lost.events_lost)])?;
        page.counters("vipd_log_lines_lost", "Log lines that nobody took", [([], lost.log_lines_lost)])?;
        page.counters("vipd_plane_failures", "Changes that the forwarding plane refused", [([], lost.plane_failures)])?;
        let Some(plane) = &status.plane else { return Ok(()) };
        let of = ("plane", plane.name.as_str());
        let in_step = truth(plane.refused.is_none());
        page.gauges("vipd_plane_in_step", "1: the forwarding plane holds what it should", [([of], in_step)])?;
        page.gauges(
            "vipd_plane_connections",
            "Connections that the plane tracks",
            [([of], f64::from(plane.connections))],
        )?;
        let room = plane.connections_max.map(|most| ([of], f64::from(most)));
        page.gauges("vipd_plane_connections_max", "How many it has room for; none: memory is the limit", room)?;
        let reasons = plane.reasons.iter().map(|(reason, count)| ([of, ("reason", reason)], *count));
        page.counters("vipd_plane_packets", "Packets that were not forwarded as usual, by reason", reasons)
    }

    fn as_keepalived(&self, page: &mut Page<'_>) -> fmt::Result {
        let instances = &self.status.instances;
        let vrids: Vec<String> = instances.iter().map(|one| one.vrid.to_string()).collect();
        let named = || instances.iter().zip(&vrids).map(|(one, vrid)| (one, router(one, vrid)));
        page.gauges("keepalived_up", "1: the daemon answers", [([], 1.0)])?;
        let states = named().flat_map(|(one, [name, interface, vrid])| {
            let address = |address: &'_ _| [name, interface, vrid, ("ip_address", *address)];
            let addresses = if one.addresses.is_empty() { vec![""] } else { bare(&one.addresses) };
            let value = state_number(&one.state);
            addresses.iter().map(|at| (address(at), value)).collect::<Vec<_>>()
        });
        page.gauges("keepalived_vrrp_state", "0 INIT, 1 BACKUP, 2 MASTER, 3 FAULT", states)?;
        for (name, help, count) in AS_KEEPALIVED {
            let samples = named()
                .filter_map(|(one, labels)| Some((labels, count(self.counted.get(&one.name)?))))
                .collect::<Vec<_>>();
            page.counters(&format!("keepalived_{name}"), help, samples)?;
        }
        let trackers = self.status.trackers.iter().filter(|tracker| tracker.kind == "script");
        let scripts = trackers.map(|script| ([("name", script.name.as_str())], truth(script.state == "good")));
        page.gauges("keepalived_script_status", "1: the tracked script is content", scripts)
    }

    fn virtual_routers(&self, page: &mut Page<'_>) -> fmt::Result {
        let instances = &self.status.instances;
        let vrids: Vec<String> = instances.iter().map(|one| one.vrid.to_string()).collect();
        let named = || instances.iter().zip(&vrids).map(|(one, vrid)| (one, router(one, vrid)));
        let priorities = named().map(|(one, labels)| (labels, f64::from(one.effective_priority)));
        page.gauges("vipd_vrrp_effective_priority", "What it advertises", priorities)?;
        let since = named().map(|(one, labels)| (labels, one.since_s));
        page.gauges("vipd_vrrp_state_age_seconds", "Since it last moved", since)?;
        let peers = named().filter_map(|(one, labels)| Some((labels, one.peer.as_ref()?.heard_s_ago)));
        page.gauges("vipd_vrrp_peer_age_seconds", "Since a peer was last heard", peers)?;
        for (name, help, count) in OF_INSTANCES {
            page.counters(name, help, named().map(|(one, labels)| (labels, count(one))))?;
        }
        let discards = named().flat_map(|(one, [name, interface, vrid])| {
            one.discards.iter().map(move |(reason, count)| ([name, interface, vrid, ("reason", reason)], *count))
        });
        page.counters("vipd_vrrp_discards", "Packets dropped, by reason", discards)?;
        let strangers = self.status.strangers.iter().flat_map(|(interface, reasons)| {
            reasons.iter().map(move |(reason, count)| ([("intf", interface.as_str()), ("reason", reason)], *count))
        });
        page.counters("vipd_vrrp_strangers", "VRRP packets for none of the virtual routers, by reason", strangers)?;
        let frames = self.status.bad_frames.iter().map(|(kind, count)| ([("kind", kind.as_str())], *count));
        page.counters("vipd_bad_frames", "Frames that could not be read, or may not be believed", frames)?;
        let prompt = truth(self.status.scheduling.refused.is_none());
        page.gauges("vipd_heartbeat_prompt", "1: the heartbeat is scheduled as it wants to be", [([], prompt)])
    }

    fn virtual_servers(&self, page: &mut Page<'_>) -> fmt::Result {
        let servers = &self.status.virtual_servers;
        let up = servers.iter().map(|one| (service(one), truth(one.state == "up")));
        page.gauges("vipd_virtual_server_up", "1: it has its quorum", up)?;
        let weights = servers.iter().map(|one| (service(one), gauge(one.live_weight)));
        page.gauges("vipd_virtual_server_live_weight", "Sum of the weights that live", weights)?;
        let quorums = servers.iter().map(|one| (service(one), f64::from(one.quorum)));
        page.gauges("vipd_virtual_server_quorum", "The weight that it needs", quorums)?;
        for (name, help, count) in OF_SERVERS {
            page.counters(name, help, servers.iter().map(|one| (service(one), count(one))))?;
        }
        Ok(())
    }

    fn each_real_server(&self) -> impl Iterator<Item = (&RealServerStatus, Labels<'_, 2>)> {
        self.status.virtual_servers.iter().flat_map(|of| {
            let [service] = service(of);
            of.real_servers.iter().map(move |one| (one, [service, ("real_server", one.address.as_str())]))
        })
    }

    fn real_servers(&self, page: &mut Page<'_>) -> fmt::Result {
        let serves = |one: &RealServerStatus| one.state == "up" || one.state == "draining" || one.state == "disabled";
        let up = self.each_real_server().map(|(one, labels)| (labels, truth(serves(one))));
        page.gauges("vipd_real_server_up", "1: its checks are content", up)?;
        let weights = self.each_real_server().map(|(one, labels)| (labels, f64::from(one.weight)));
        page.gauges("vipd_real_server_weight", "Its weight now; 0 gets no new connection", weights)?;
        let active = self.each_real_server().map(|(one, labels)| (labels, f64::from(one.active)));
        page.gauges("vipd_real_server_connections_active", "Established connections", active)?;
        let inactive = self.each_real_server().map(|(one, labels)| (labels, f64::from(one.inactive)));
        page.gauges("vipd_real_server_connections_inactive", "Other connections that are known", inactive)?;
        let all = self.each_real_server().map(|(one, labels)| (labels, one.connections));
        page.counters("vipd_real_server_connections", "Connections scheduled", all)
    }

    /// A check whose age grows beyond its interval has stopped: that is a fault of its own.
    fn checks(&self, page: &mut Page<'_>) -> fmt::Result {
        let checks: Vec<_> = self
            .each_real_server()
            .flat_map(|(server, labels)| named_checks(server).map(move |(check, name)| (check, labels, name)))
            .collect();
        let each = |value: fn(&CheckStatus) -> Option<f64>| {
            checks.iter().filter_map(move |(check, [service, real_server], name)| {
                Some(([*service, *real_server, ("check", name.as_str())], value(check)?))
            })
        };
        let ages = each(|check| check.age_s);
        page.gauges("vipd_check_last_result_age_seconds", "Since the check last had a result", ages)?;
        let latencies = each(|check| check.latency_ms.map(|ms| ms / 1e3));
        page.gauges("vipd_check_latency_seconds", "How long the last run took", latencies)?;
        let stale = each(|check| Some(truth(check.state == "stale")));
        page.gauges("vipd_check_stale", "1: it should have had a result by now", stale)
    }
}

/// The checks of one real server by their kinds; a second one of a kind is `KIND 2`.
fn named_checks(server: &RealServerStatus) -> impl Iterator<Item = (&CheckStatus, String)> {
    server.checks.iter().enumerate().map(|(at, check)| {
        let before = server.checks.iter().take(at).filter(|other| other.kind == check.kind).count();
        let name = if before == 0 { check.kind.clone() } else { format!("{} {}", check.kind, before + 1) };
        (check, name)
    })
}

/// The labels of the exporter for keepalived.
fn router<'a>(one: &'a InstanceStatus, vrid: &'a str) -> Labels<'a, 3> {
    [("iname", &one.name), ("intf", &one.interface), ("vrid", vrid)]
}

fn service(one: &VirtualServerStatus) -> Labels<'_, 1> {
    [("service", &one.service)]
}

/// Addresses without their prefix lengths, as the exporter has them.
fn bare(addresses: &[String]) -> Vec<&str> {
    addresses.iter().map(|address| address.split_once('/').map_or(address.as_str(), |(bare, _)| bare)).collect()
}

#[cfg(test)]
mod tests;
