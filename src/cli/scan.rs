//! `vipd scan INTERFACE`: which VRIDs are in use on a network, who speaks, which are free.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::ask::ask;
use super::print::{table, tell};
use crate::base::{Family, IfName, Vrid};
use crate::control::api::{InstanceStatus, Status};
use crate::daemon::scan::{ScanError, listen};
use crate::vrrp::Discard;
use crate::vrrp::scan::{Scan, Speaker};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The network interface to listen on.
    interface: IfName,
    /// For how long, in seconds. A Backup says nothing, so a VRID is free only if no router has it configured either.
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// A group beside 224.0.0.18 and `ff02::12` (`vrrp_mcast_group4`, `vrrp_mcast_group6`); may be given again.
    #[arg(long = "group", value_name = "ADDRESS", value_parser = group)]
    groups: Vec<IpAddr>,
    #[arg(long)]
    json: bool,
    /// Where a daemon of this host may run, whose own virtual routers are counted too.
    #[command(flatten)]
    at: super::RunDirArg,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error("writing JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// What was found.
#[derive(Debug, Serialize)]
struct Found<'a> {
    speakers: Vec<&'a Speaker>,
    /// Virtual routers of the daemon on this host: name, family, VRID, state, priority.
    own: Vec<Own>,
    rejected: &'a BTreeMap<Discard, u64>,
    free_ipv4: Vec<RangeInclusive<u8>>,
    free_ipv6: Vec<RangeInclusive<u8>>,
}

#[derive(Debug, Serialize)]
struct Own {
    name: String,
    vrid: u8,
    family: String,
    state: String,
    priority: u8,
    addresses: Vec<String>,
}

fn group(text: &str) -> Result<IpAddr, String> {
    let group: IpAddr = text.parse().map_err(|_| "not an address".to_owned())?;
    if group.is_multicast() { Ok(group) } else { Err("no multicast address".to_owned()) }
}

pub fn run(args: &Args) -> ExitCode {
    tell(scan(args))
}

fn scan(args: &Args) -> Result<String, Error> {
    let scan = listen(&args.interface, &args.groups, Duration::from_secs(args.seconds))?;
    let found = found(&scan, own(args));
    if args.json {
        return Ok(serde_json::to_string_pretty(&found)? + "\n");
    }
    Ok(render(&found, args))
}

/// Of the daemon of this host, where one runs: its own adverts are not heard here.
fn own(args: &Args) -> Vec<Own> {
    let status = ask(&args.at.run_dir, "GET", "/status", vec![]);
    let status: Option<Status> = status.ok().and_then(|text| serde_json::from_str(&text).ok());
    let here = |one: &InstanceStatus| one.interface == args.interface.as_str();
    let own = |one: InstanceStatus| Own {
        name: one.name,
        vrid: one.vrid,
        family: one.family,
        state: one.state,
        priority: one.effective_priority,
        addresses: one.addresses,
    };
    status.map(|status| status.instances.into_iter().filter(here).map(own).collect()).unwrap_or_default()
}

fn found(scan: &Scan, own: Vec<Own>) -> Found<'_> {
    let taken = |family: &str| -> BTreeSet<Vrid> {
        own.iter().filter(|one| one.family == family).filter_map(|one| Vrid::new(one.vrid).ok()).collect()
    };
    Found {
        speakers: scan.speakers().collect(),
        rejected: scan.rejected(),
        free_ipv4: scan.free(Family::V4, &taken("IPv4")),
        free_ipv6: scan.free(Family::V6, &taken("IPv6")),
        own,
    }
}

fn render(found: &Found<'_>, args: &Args) -> String {
    let head = ["VRID", "FAMILY", "VERSION", "SPEAKER", "PRIORITY", "INTERVAL", "MEASURED", "ADVERTS", "ADDRESSES"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for one in &found.speakers {
        let seconds = |span: Duration| format!("{:.3} s", span.as_secs_f64());
        let to = if one.unicast { " (unicast)" } else { "" };
        rows.push(vec![
            one.vrid.to_string(),
            word(one.family).to_owned(),
            format!("v{}{}", one.version, if one.sealed { " AH" } else { "" }),
            format!("{}{to}", one.source),
            one.priority.to_string(),
            seconds(Duration::from_millis(u64::from(one.interval_centis) * 10)),
            one.measured.map_or_else(|| "-".to_owned(), seconds),
            one.adverts.to_string(),
            one.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        ]);
    }
    for one in &found.own {
        let speaker = format!("this host: {} ({})", one.name, one.state);
        let mut row = vec![one.vrid.to_string(), one.family.clone(), "-".to_owned(), speaker, one.priority.to_string()];
        row.extend(["-".to_owned(), "-".to_owned(), "-".to_owned(), one.addresses.join(" ")]);
        rows.push(row);
    }
    let mut text = format!("{}, listened for {} s\n", args.interface, args.seconds);
    if rows.len() == 1 {
        text.push_str("  nobody speaks VRRP here\n");
    } else {
        text.push_str(&table(&rows, 2));
    }
    for (family, free) in [("IPv4", &found.free_ipv4), ("IPv6", &found.free_ipv6)] {
        text.push_str(&format!("free {family} VRIDs: {}\n", ranges(free)));
    }
    if !found.rejected.is_empty() {
        let counted: Vec<String> = found.rejected.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        text.push_str(&format!("packets that no router would take: {}\n", counted.join(", ")));
    }
    text
}

const fn word(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

fn ranges(free: &[RangeInclusive<u8>]) -> String {
    let one = |range: &RangeInclusive<u8>| match (range.start(), range.end()) {
        (start, end) if start == end => start.to_string(),
        (start, end) => format!("{start}-{end}"),
    };
    if free.is_empty() { "none".to_owned() } else { free.iter().map(one).collect::<Vec<_>>().join(", ") }
}
