//! All virtual routers of one daemon: who gets which packet, deadline and result, and what comes of it.
//!
//! No socket, no clock, no task: every method takes the time and returns [`Output`]s, to be carried out in
//! order. `daemon/heartbeat.rs` is the shell, `tests/simulation/` another one.

mod announcing;
mod group;
mod hearing;
mod leaving;
mod linked;
mod operator;
mod reload;
mod sealed;
mod sending;
mod serving;
mod statics;

pub use hearing::Heard;
pub use leaving::LeftActive;
pub use operator::{HandOverError, Maintenance};

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::damping::Damping;
use super::happened::{ConflictPhase, Failure, Happened, Warning};
use super::instance::{Discards, Instance, extra};
use super::lease::Lease;
use super::links::Links;
use super::packet::{Advert, Envelope};
use super::reason::{Fault, Reason, Standing};
use super::receive::{Discard, check};
use super::router::{Action, Condition, Event};
use super::settings::{Holdings, Key, Outcome, Tracked, VirtualAddress};
use super::track::{self, Outcomes, judge};
use super::view::InstanceView;
use crate::base::{Family, IfName, MonoTime, Priority, Vrid};
use group::Left;
use sending::send;
use serving::serve;

/// One thing to carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    Send {
        key: Key,
        source: IpAddr,
        destination: IpAddr,
        bytes: Vec<u8>,
        /// TTL or hop limit.
        ttl: u8,
        /// It comes from this hardware address, and not from that of the interface.
        mac: Option<[u8; 6]>,
    },
    /// A whole IPv4 packet of protocol 51, with an Authentication Header.
    SendSealed {
        key: Key,
        destination: IpAddr,
        packet: Vec<u8>,
        mac: Option<[u8; 6]>,
    },
    /// The kernel should hold exactly these for this virtual router; then call [`Fleet::settled`].
    Hold {
        key: Key,
        holdings: Holdings,
        lease: Lease,
    },
    /// It serves until then, unless told again: by then another router may be Active. One that lets go in good order
    /// is not deaf at once, so that what was on its way arrives.
    Serve {
        key: Key,
        until: MonoTime,
    },
    /// Gratuitous ARP or unsolicited Neighbour Advertisement.
    Announce {
        key: Key,
        interface: IfName,
        address: IpAddr,
    },
    Happened(Happened),
}

#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// In the order of the configuration; those that retire come last.
    instances: Vec<Instance>,
    /// As they count; `damping` has what the kernel says.
    links: Links,
    damping: Damping,
    /// When the next announcement of a lane may go out.
    lanes: BTreeMap<announcing::Lane, MonoTime>,
    outcomes: Outcomes,
    /// Where there is no socket.
    deaf: BTreeSet<(IfName, Family)>,
    /// Packets for nobody, per interface.
    strangers: BTreeMap<IfName, Discards>,
    maintenance: Maintenance,
    /// By the process before, and not begun again yet.
    left: Vec<LeftActive>,
    /// No virtual router begins before.
    begins_at: Option<MonoTime>,
    stopping: bool,
}

impl Fleet {
    pub fn deadline(&self, now: MonoTime) -> Option<MonoTime> {
        self.instances
            .iter()
            .filter_map(|instance| instance.deadline(now))
            .chain(self.begins_at)
            .chain(self.damping.deadline())
            .chain(self.announces_at())
            .min()
    }

    /// No virtual router begins before this time (`vrrp_startup_delay`): what it hears until then moves nothing.
    pub const fn hold_off(&mut self, until: MonoTime) {
        self.begins_at = Some(until);
    }

    pub fn views(&self) -> Vec<InstanceView> {
        self.each_view().collect()
    }

    pub fn each_view(&self) -> impl Iterator<Item = InstanceView> {
        self.instances.iter().map(Instance::view)
    }

    /// All that are driven, those that retire included.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.instances.iter().map(|instance| instance.settings.key())
    }

    /// Packets for no virtual router of ours, per interface.
    pub fn strangers(&self) -> BTreeMap<IfName, BTreeMap<Discard, u64>> {
        self.strangers.iter().map(|(interface, discards)| (interface.clone(), discards.totals())).collect()
    }

    pub fn view(&self, name: &str) -> Option<InstanceView> {
        self.instances.iter().find(|instance| instance.settings.name == name).map(Instance::view)
    }

    /// Told to stop, and nothing is held any more.
    pub fn is_stopped(&self) -> bool {
        self.stopping && self.instances.iter().all(|instance| instance.router.standing() == Standing::Stopped)
    }

    /// Serve every deadline that has passed: all adverts first, then announcements.
    ///
    /// Read all waiting packets before: a deadline that passed while we slept may be void.
    pub fn tick(&mut self, now: MonoTime) -> Vec<Output> {
        let mut out = vec![];
        if self.begins_at.take_if(|at| *at <= now).is_some() {
            self.refresh(now, &mut out);
        }
        out.extend(self.tell_flaps(now));
        if let Some(links) = self.damping.due(now, &self.links) {
            out.extend(self.believe(now, links, &BTreeSet::new()));
        }
        for at in 0..self.instances.len() {
            self.event(now, at, Event::DeadlineReached, &mut out);
        }
        self.settle_groups(now, &mut out);
        if self.instances.iter().any(|instance| instance.faults.iter().any(is_fight)) {
            self.refresh(now, &mut out);
        }
        self.announce(now, &mut out);
        self.forget_retired();
        out
    }

    /// A packet of protocol 112 came in on `interface`.
    pub fn packet(&mut self, now: MonoTime, interface: &IfName, envelope: &Envelope, bytes: &[u8]) -> Vec<Output> {
        let accept = |fleet: &mut Self, at: Option<usize>, out: &mut Vec<Output>| {
            if at.and_then(|at| fleet.instances.get(at)).is_some_and(|instance| instance.seal().is_some()) {
                return Err(Discard::AuthType);
            }
            fleet.accept(now, at, envelope, bytes, out)
        };
        self.heard(now, interface, envelope.source, bytes, accept)
    }

    /// Find whose it is, let it be accepted, and count what is not.
    fn heard(
        &mut self,
        now: MonoTime,
        interface: &IfName,
        from: IpAddr,
        bytes: &[u8],
        accept: impl FnOnce(&mut Self, Option<usize>, &mut Vec<Output>) -> Result<(), Discard>,
    ) -> Vec<Output> {
        let family = Family::of(from);
        let addressed = bytes.get(1).and_then(|vrid| Vrid::new(*vrid).ok()).and_then(|vrid| {
            self.instances.iter().position(|Instance { settings, .. }| {
                settings.vrid == vrid && settings.family == family && settings.interface == *interface
            })
        });
        let mut out = vec![];
        match accept(self, addressed, &mut out) {
            Ok(()) => (),
            Err(reason) => {
                let (instance, discards) = match addressed.and_then(|at| self.instances.get_mut(at)) {
                    Some(instance) => (Some(instance.settings.name.clone()), &mut instance.discards),
                    None => (None, self.strangers.entry(interface.clone()).or_default()),
                };
                if let Some(count) = discards.count(now, reason) {
                    let interface = interface.clone();
                    let dropped = Happened::Discarded { at: now, instance, interface, from, reason, count };
                    out.push(Output::Happened(dropped));
                }
            }
        }
        self.settle_groups(now, &mut out);
        self.forget_retired();
        out
    }

    fn accept(
        &mut self,
        now: MonoTime,
        addressed: Option<usize>,
        envelope: &Envelope,
        bytes: &[u8],
        out: &mut Vec<Output>,
    ) -> Result<(), Discard> {
        if envelope.destination.is_multicast() && envelope.ttl != Some(u8::MAX) {
            return Err(Discard::Ttl);
        }
        let advert = Advert::parse(bytes, envelope)?;
        let at = addressed.ok_or(Discard::Vrid)?;
        let instance = self.instances.get_mut(at).ok_or(Discard::Vrid)?;
        let own = instance.source.unwrap_or(envelope.destination);
        let (heard, mut warnings) = check(&advert, envelope, &instance.settings, own)?;
        out.extend(instance.note_heard(now, heard.from, heard.priority).map(Output::Happened));
        instance.note_checksum(advert.body);
        let active = instance.router.standing() == Standing::Active;
        if active && heard.interval != instance.settings.interval {
            let (theirs_centis, ours_centis) = (heard.interval.centis(), instance.settings.interval.centis());
            warnings.push(Warning::Interval { theirs_centis, ours_centis });
        }
        if instance.settings.priority.is_owner() && heard.priority.is_some_and(Priority::is_owner) {
            warnings.push(Warning::TwoOwners);
        }
        for warning in warnings {
            out.extend(instance.warn(now, heard.from, warning).map(Output::Happened));
        }
        if instance.settings.owner_ignores_adverts && instance.settings.priority.is_owner() {
            return Ok(());
        }
        self.event(now, at, Event::Heard(heard), out);
        self.group_follows(now, at, heard, out);
        Ok(())
    }

    /// Something tracked has its first result, or another one.
    pub fn tracked(&mut self, now: MonoTime, what: Tracked, outcome: Outcome) -> Vec<Output> {
        let mut out = vec![];
        self.outcomes.insert(what, outcome);
        self.refresh(now, &mut out);
        out
    }

    /// The kernel holds what the last [`Output::Hold`] of this virtual router asked for.
    pub fn settled(&mut self, now: MonoTime, key: &Key) {
        let found = self.instances.iter_mut().find(|instance| instance.settings.key() == *key);
        if let Some(instance) = found
            && instance.router.standing() == Standing::Active
            && let Some(first) = instance.announce_when_settled.take()
        {
            instance.announcer.taken(first.max(now), &instance.settings.garp);
            instance.extra.taken(first.max(now), &extra(&instance.settings));
        }
    }

    /// Somebody else removed a route or a rule, and the kernel has it again.
    pub fn restored(&mut self, now: MonoTime, key: &Key, what: String) -> Vec<Output> {
        let mut out = vec![];
        let found = self.instances.iter_mut().find(|instance| instance.settings.key() == *key);
        if let Some(instance) = found
            && instance.router.standing() == Standing::Active
        {
            instance.counters.routes_restored = instance.counters.routes_restored.saturating_add(1);
            if instance.restorer.route_removed(now) {
                let instance = instance.settings.name.clone();
                out.push(Output::Happened(Happened::RouteRestored { at: now, instance, what }));
                self.refresh(now, &mut out);
            }
        }
        out
    }

    /// The kernel took an address that it refused before.
    pub fn healed(&mut self, now: MonoTime, key: &Key) {
        let found = self.instances.iter_mut().find(|instance| instance.settings.key() == *key);
        if let Some(instance) = found
            && instance.router.standing() == Standing::Active
        {
            instance.announcer.taken(now, &instance.settings.garp);
        }
    }

    /// Something that an [`Output`] asked for failed.
    pub fn failed(&mut self, now: MonoTime, key: &Key, failure: Failure) -> Vec<Output> {
        let found = self.instances.iter_mut().find(|instance| instance.settings.key() == *key);
        let Some(instance) = found else { return vec![] };
        instance.counters.send_failures += 1;
        if !instance.may_tell_failure(now) {
            return vec![];
        }
        let instance = instance.settings.name.clone();
        vec![Output::Happened(Happened::Failed { at: now, instance, failure })]
    }

    /// Hand over everything.
    pub fn shutdown(&mut self, now: MonoTime) -> Vec<Output> {
        let mut out = vec![];
        self.stopping = true;
        for at in 0..self.instances.len() {
            self.event(now, at, Event::Shutdown, &mut out);
        }
        self.forget_retired();
        out
    }

    /// Judge all virtual routers again, after links, scripts or settings changed.
    fn refresh(&mut self, now: MonoTime, out: &mut Vec<Output>) {
        let verdicts: Vec<_> = self
            .instances
            .iter_mut()
            .map(|instance| {
                let fight = instance.restorer.fault(now);
                let mut verdict = judge(&instance.settings, &self.links, &self.outcomes, fight);
                let place = (instance.settings.interface.clone(), instance.settings.family);
                if self.deaf.contains(&place) {
                    verdict.faults.push(Fault::NoSocket { interface: place.0 });
                }
                if self.maintenance.holds(&instance.settings.name) {
                    verdict.faults.insert(0, Fault::Maintenance);
                }
                // Keep the last source: an interface that loses it still has to resign.
                instance.source = self.links.source(&instance.settings).or(instance.source);
                instance.tracks = track::views(&instance.settings, &self.links, &self.outcomes);
                (verdict.faults, verdict.unknown, verdict.priority)
            })
            .collect();
        let group_faults = self.group_faults(verdicts.iter().map(|(faults, _, _)| faults.as_slice()));
        // What broke by itself comes first, and those that it takes along after it.
        let mut verdicts: Vec<_> = verdicts.into_iter().zip(group_faults).enumerate().collect();
        verdicts.sort_by_key(|(_, ((faults, _, _), group_fault))| faults.is_empty() && group_fault.is_some());
        let mut left = vec![];
        for (at, ((mut faults, unknown, priority), group_fault)) in verdicts {
            faults.extend(group_fault);
            let condition = match faults.first() {
                Some(fault) => Condition::Broken(fault.clone()),
                None if unknown || self.begins_at.is_some() => Condition::Unknown,
                None => Condition::Fit,
            };
            let Some(instance) = self.instances.get_mut(at) else { continue };
            instance.faults = faults;
            let from = instance.router.priority();
            if from != priority {
                let instance = instance.settings.name.clone();
                out.push(Output::Happened(Happened::PriorityChanged { at: now, instance, from, to: priority }));
                self.event(now, at, Event::Priority(priority), out);
            }
            left.extend(self.step(now, at, Event::Condition(condition), out).map(|left| (at, left)));
        }
        // Not before each has its own condition: a member that fails with it is no Backup first.
        for (at, left) in left {
            self.group_left(now, at, &left, out);
        }
        self.settle_groups(now, out);
    }

    /// Let one state machine move, and the others of its group with it.
    fn event(&mut self, now: MonoTime, at: usize, event: Event, out: &mut Vec<Output>) {
        if let Some(left) = self.step(now, at, event, out) {
            self.group_left(now, at, &left, out);
        }
    }

    /// Let one state machine move, and translate what it asks for. `Some`: it left Active, and its group has to follow.
    fn step(&mut self, now: MonoTime, at: usize, event: Event, out: &mut Vec<Output>) -> Option<Left> {
        let instance = self.instances.get_mut(at)?;
        let actions = instance.router.handle(now, event);
        let mut reannounce = None;
        let mut left = None;
        for action in actions {
            match action {
                Action::Advert { priority } => {
                    send(instance, priority, out);
                    if instance.router.standing() == Standing::Active {
                        out.extend(serve(now, instance));
                    }
                }
                Action::Take { announce_at } => {
                    instance.announce_when_settled = Some(announce_at);
                    out.push(hold_all(instance));
                }
                Action::Drop => {
                    instance.quiet();
                    instance.announce_when_settled = None;
                    out.push(hold_nothing(instance, instance.settings.key()));
                }
                Action::Reannounce => reannounce = Some(instance.group().map(str::to_owned)),
                Action::Moved { from, to, reason, late } => {
                    instance.note_move(now, from, to);
                    if to == Standing::HandingOver {
                        instance.quiet();
                    }
                    if from.serves() && matches!(to, Standing::Backup | Standing::Fault) {
                        let member = instance.settings.name.clone();
                        let because = Box::new(reason.clone());
                        left = instance.group().map(|group| {
                            let group = group.to_owned();
                            Left { reason: Reason::GroupLeft { group: group.clone(), member, because }, group }
                        });
                    }
                    instance.reason = Some(reason.clone());
                    let (name, priority) = (instance.settings.name.clone(), instance.router.priority());
                    let evidence = instance.evidence(now);
                    let moved = Happened::Moved { at: now, instance: name, from, to, reason, priority, late, evidence };
                    out.push(Output::Happened(moved));
                }
                Action::Conflict { phase, rival, theirs } => {
                    instance.counters.conflicts += 1;
                    if phase == ConflictPhase::Began && !instance.may_tell_conflict(now) {
                        continue;
                    }
                    let instance = instance.settings.name.clone();
                    out.push(Output::Happened(Happened::Conflict { at: now, instance, phase, rival, theirs }));
                }
            }
        }
        if instance.router.standing() == Standing::HandingOver {
            out.extend(serve(now, instance));
        }
        if let Some(group) = reannounce {
            self.reannounce(now, at, group.as_deref());
        }
        left
    }
}

fn is_fight(fault: &Fault) -> bool {
    matches!(fault, Fault::AddressFight { .. })
}

fn lease(instance: &Instance) -> Lease {
    Lease::outliving(instance.slowest_active_down())
}

fn hold_all(instance: &Instance) -> Output {
    let settings = &instance.settings;
    let on_device =
        |address: &VirtualAddress| VirtualAddress { dev: Some(settings.device_of(address).clone()), ..address.clone() };
    let holdings = Holdings {
        addresses: settings.addresses.iter().map(on_device).collect(),
        devices: settings.own_devices().collect(),
        routes: settings.routes.clone(),
        rules: settings.rules.clone(),
        promote_secondaries: settings.promote_secondaries,
        refuse: !settings.accept,
    };
    Output::Hold { key: settings.key(), holdings, lease: lease(instance) }
}

fn hold_nothing(instance: &Instance, key: Key) -> Output {
    Output::Hold { key, holdings: Holdings::default(), lease: lease(instance) }
}
