//! Many addresses on one virtual router, and many virtual routers on one pair: in labs of their own.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::Plan;
use super::bounds::Numbers;
use super::judge::{Amount, Verdict, jitter};
use super::report::FaultReport;
use super::timeline::Timeline;
use crate::base::{AdvertInterval, MonoTime};
use crate::lab::director::Daemon;
use crate::lab::ear::Ear;
use crate::lab::error::LabError;
use crate::lab::facts::Facts;
use crate::lab::journal::Journal;
use crate::lab::pair::{Lab, Seat, Services, Setup};
use crate::lab::pinger::Pinger;
use crate::lab::usage::Usage;
use crate::lab::wait::{Clock, Stop, pause};

/// VIPs of one virtual router; more do not fit an advert of 1500 bytes twice over.
const ADDRESSES: u8 = 200;
const ROUTERS: u8 = 255;
/// How long the pair may take until it is at rest: 255 daemons' worth of addresses on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long it is measured what virtual routers cost.
const MEASURED: Duration = Duration::from_secs(10);
/// From the first advert of the new master until the last VIP answers.
const ANSWERED: Duration = Duration::from_millis(100);
/// From `Active_Down` until the first advert.
const FIRST_ADVERT: Duration = Duration::from_millis(10);
const PUNCTUAL: Duration = Duration::from_millis(20);

/// A pair without a client that keeps asking.
struct Pair {
    _ear: Ear,
    journal: Arc<Journal>,
    lab: Lab,
}

impl Pair {
    fn start(
        plan: &Plan,
        daemon: &Daemon,
        configs: [String; 2],
        stop: &Stop,
        held: &[Ipv4Addr],
    ) -> Result<Self, LabError> {
        let [config_a, config_b] = configs;
        let setup = Setup {
            facts: plan.setup.facts.clone(),
            config_a,
            config_b,
            daemon_a: daemon.clone(),
            daemon_b: daemon.clone(),
            services: Services::OnDirectors,
        };
        let lab = Lab::pair(&setup)?;
        // The VIPs are beside the network of the hosts.
        lab.client().ip(&format!("route add {}/24 dev {}", net(0), setup.facts.interface))?;
        let journal = Arc::new(Journal::default());
        let ear = Ear::start(&lab, &journal)?;
        let mut pair = Self { _ear: ear, journal, lab };
        for seat in Seat::BOTH {
            pair.lab.director_mut(seat).start()?;
        }
        let rest = |pair: &Self| pair.holds(Seat::A, held) && pair.holds_none(Seat::B, held);
        pair.wait("a has every VIP, b none", stop, |pair| Ok(rest(pair)))?;
        Ok(pair)
    }

    fn holds(&self, seat: Seat, addresses: &[Ipv4Addr]) -> bool {
        let host = self.lab.director(seat).host();
        host.addresses().is_ok_and(|has| addresses.iter().all(|addr| has.contains(&IpAddr::V4(*addr))))
    }

    fn holds_none(&self, seat: Seat, addresses: &[Ipv4Addr]) -> bool {
        let host = self.lab.director(seat).host();
        host.addresses().is_ok_and(|has| !addresses.iter().any(|addr| has.contains(&IpAddr::V4(*addr))))
    }

    fn wait(
        &mut self,
        what: &str,
        stop: &Stop,
        mut done: impl FnMut(&Self) -> Result<bool, LabError>,
    ) -> Result<(), LabError> {
        let clock = Clock::start();
        while !done(self)? {
            if stop.is_set() {
                return Err(LabError::Interrupted);
            }
            if clock.now().since_start() >= PATIENCE {
                return Err(LabError::TimedOut { what: what.to_owned(), after: PATIENCE });
            }
            pause();
        }
        Ok(())
    }

    fn first_advert(&self, seat: Seat, from: MonoTime) -> Option<MonoTime> {
        let pages = self.journal.pages();
        pages.adverts.iter().filter(|advert| advert.seat == seat && advert.at >= from).map(|advert| advert.at).min()
    }
}

/// The master of many VIPs loses its link: how soon each of them answers.
pub fn addresses(
    plan: &Plan,
    numbers: &Numbers,
    stop: &Stop,
    timeline: &mut Timeline<'_>,
) -> Result<FaultReport, LabError> {
    let name = format!("link down of the master of {ADDRESSES} VIPs");
    let vips: Vec<Ipv4Addr> = (1..=ADDRESSES).map(net).collect();
    let lines = vips.iter().map(|vip| format!("{vip}/32")).collect::<Vec<_>>().join("\n");
    let interval = numbers.advert_int;
    let config = |priority: u8| text(&plan.setup.facts, &[(77, priority, lines.clone())], interval);
    let daemon = &plan.setup.daemon_a;
    let configs = [config(plan.setup.facts.priority.get()), config(numbers.backup_priority.get())];
    timeline.tell(MonoTime::ZERO, "lab", &format!("building: a pair with {ADDRESSES} VIPs"));
    let mut pair = Pair::start(plan, daemon, configs, stop, &vips)?;
    let pinger = Pinger::start(pair.lab.client(), vips.clone(), pair.journal.clock())?;
    pair.wait("every VIP answers", stop, |_| Ok(pinger.answers().len() == vips.len()))?;

    let from = pair.journal.now();
    timeline.tell(from, "drill", &name);
    pair.lab.cable(Seat::A, false)?;
    pinger.forget();
    pair.wait("every VIP answers from b", stop, |_| Ok(pinger.answers().len() == vips.len()))?;
    // On a busy machine the ear may hear later than the client is answered.
    pair.wait("the first advert of b is heard", stop, |pair| Ok(pair.first_advert(Seat::B, from).is_some()))?;
    let (answers, first) = (pinger.answers(), pair.first_advert(Seat::B, from));
    let last_heard = {
        let pages = pair.journal.pages();
        pages.adverts.iter().filter(|advert| advert.seat == Seat::A).map(|advert| advert.at).max()
    };
    let late = first.zip(last_heard).map(|(first, heard)| first.since(heard).saturating_sub(numbers.active_down()));
    let slowest = first.zip(answers.values().max()).map(|(first, last)| last.since(first));
    let verdicts = vec![
        at_most("first advert of b after Active_Down", FIRST_ADVERT, late),
        at_most(&format!("all {ADDRESSES} VIPs answer after that advert"), ANSWERED, slowest),
    ];
    tell(timeline, pair.journal.now(), &verdicts);
    Ok(FaultReport::measured(name, from, verdicts))
}

/// What many virtual routers cost, ours beside keepalived's.
pub fn routers(
    plan: &Plan,
    numbers: &Numbers,
    stop: &Stop,
    timeline: &mut Timeline<'_>,
) -> Result<FaultReport, LabError> {
    let name = format!("{ROUTERS} virtual routers for {} s", MEASURED.as_secs());
    let keepalived = cost(plan, numbers, &Daemon::Keepalived, stop, timeline)?;
    let ours = cost(plan, numbers, &plan.setup.daemon_a, stop, timeline)?;
    let us = |cost: &Cost| Amount::from(cost.usage.cpu);
    let kib = |cost: &Cost| Amount::Kibibytes(cost.usage.memory_kib);
    let beside = |promise: &str, limit: Amount, measured: Amount| Verdict {
        promise: promise.to_owned(),
        formula: "keepalived's".to_owned(),
        limit,
        measured: Some(measured),
        kept: measured <= limit,
    };
    let verdicts = vec![
        beside("CPU time of both directors", us(&keepalived), us(&ours)),
        beside("memory of the master", kib(&keepalived), kib(&ours)),
        at_most("adverts of a early or late, p99.9", PUNCTUAL, ours.jitter),
        at_most_moves(ours.moves),
    ];
    tell(timeline, ours.at, &verdicts);
    let theirs = keepalived.jitter.map_or_else(|| "none".to_owned(), |jitter| Amount::from(jitter).text());
    let text =
        format!("keepalived beside it: p99.9 of its adverts {theirs}, {} adverts of its backup", keepalived.moves);
    timeline.tell(ours.at, "drill", &text);
    let text = format!("memory of the master: {}; keepalived: {}", parts(&ours.usage), parts(&keepalived.usage));
    timeline.tell(ours.at, "drill", &text);
    Ok(FaultReport::measured(name, ours.at, verdicts))
}

/// What memory consists of.
fn parts(usage: &Usage) -> String {
    let Usage { cpu: _, memory_kib, anonymous_kib } = *usage;
    let [own, program] = [anonymous_kib, memory_kib.saturating_sub(anonymous_kib)];
    format!("{own} KiB of heap and stacks, {program} KiB of program and libraries")
}

struct Cost {
    usage: Usage,
    jitter: Option<Duration>,
    /// Adverts of the backup.
    moves: usize,
    at: MonoTime,
}

fn cost(
    plan: &Plan,
    numbers: &Numbers,
    daemon: &Daemon,
    stop: &Stop,
    timeline: &mut Timeline<'_>,
) -> Result<Cost, LabError> {
    let who = match daemon {
        Daemon::Vipd { .. } => "vipd",
        Daemon::Keepalived => "keepalived",
    };
    timeline.tell(MonoTime::ZERO, "lab", &format!("building: {ROUTERS} virtual routers of {who}"));
    let vips: Vec<Ipv4Addr> = (1..=ROUTERS).map(net).collect();
    let config = |priority: u8| {
        let routers: Vec<_> = (1..=ROUTERS).map(|vrid| (vrid, priority, format!("{}/32", net(vrid)))).collect();
        text(&plan.setup.facts, &routers, numbers.advert_int)
    };
    let configs = [config(plan.setup.facts.priority.get()), config(numbers.backup_priority.get())];
    let mut pair = Pair::start(plan, daemon, configs, stop, &vips)?;
    let from = pair.journal.now();
    let before = pair.usage();
    pair.wait("it is measured", stop, |pair| Ok(pair.journal.now().since(from) >= MEASURED))?;
    let usage = pair.usage().since(&before);
    let window = pair.journal.window(from, pair.journal.now());
    let moves = window.adverts.iter().filter(|advert| advert.at >= from && advert.seat == Seat::B).count();
    Ok(Cost { usage, jitter: jitter(&window, Seat::A, numbers.advert_int.duration()), moves, at: pair.journal.now() })
}

impl Pair {
    /// CPU time of both, memory of the master.
    fn usage(&self) -> Usage {
        let [a, b] = Seat::BOTH.map(|seat| Usage::of(&self.lab.director(seat).host().processes()));
        Usage { cpu: a.cpu + b.cpu, ..a }
    }
}

fn tell(timeline: &mut Timeline<'_>, at: MonoTime, verdicts: &[Verdict]) {
    for verdict in verdicts {
        timeline.tell(at, "drill", &verdict.to_string());
    }
}

fn at_most(promise: &str, limit: Duration, measured: Option<Duration>) -> Verdict {
    Verdict {
        promise: promise.to_owned(),
        formula: "what vipd promises".to_owned(),
        limit: limit.into(),
        measured: measured.map(Amount::from),
        kept: measured.is_some_and(|measured| measured <= limit),
    }
}

fn at_most_moves(moves: usize) -> Verdict {
    Verdict {
        promise: "adverts of the backup".to_owned(),
        formula: String::new(),
        limit: Amount::Count(0),
        measured: Some(Amount::Count(moves)),
        kept: moves == 0,
    }
}

/// An address beside the network of the lab's hosts.
const fn net(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, 0, last)
}

/// A configuration: virtual router, priority, lines of addresses.
fn text(facts: &Facts, routers: &[(u8, u8, String)], interval: AdvertInterval) -> String {
    let mut text = String::from("global_defs {\n    vrrp_version 3\n}\n");
    for (vrid, priority, addresses) in routers {
        // Writing to a String cannot fail.
        write!(
            text,
            "vrrp_instance V{vrid} {{\n state BACKUP\n interface {}\n virtual_router_id {vrid}\n priority {priority}\n version 3\n \
             advert_int {}\n virtual_ipaddress {{\n{addresses}\n }}\n}}\n",
            facts.interface,
            interval.duration().as_secs_f64()
        )
        .ok();
    }
    text
}
