//! One virtual router with everything that belongs to it: settings, state machine, announcements, counters.
//!
//! It says what its packets hold and what its status is; [`super::fleet`] moves it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::announce::Announcer;
use super::claim::Claims;
use super::happened::{Evidence, Happened, Warning};
use super::packet::{Advert, Auth, Body, ChecksumForm};
use super::reason::{Fault, Reason, Standing};
use super::receive::Discard;
use super::restore::Restorer;
use super::router::{Router, Rules};
use super::settings::{Authentication, Garp, OldUnicastChecksum, Password, Settings, Transport, Version};
use super::view::{Counters, InstanceView, PeerView, TrackView};
use crate::base::{MonoTime, Priority};

/// Between two events of the same discard: a flood of all kinds is a line or two a second.
const DISCARD_EVERY: Duration = Duration::from_secs(10);
/// Between two events of the same failure, conflict or peer.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// What a bridge or a switch sends back of an announcement is there within this time.
const ECHO: Duration = Duration::from_millis(20);
/// Between two events of the same kind of warning.
const WARN_EVERY: Duration = Duration::from_mins(1);

#[derive(Clone, Debug)]
pub(super) struct Instance {
    /// Shared with the configuration in force.
    pub settings: Arc<Settings>,
    pub router: Router,
    pub announcer: Announcer,
    /// Of the addresses in [`Settings::extra`].
    pub extra: Announcer,
    /// Announce as soon as the kernel holds the addresses, and not before this.
    pub announce_when_settled: Option<MonoTime>,
    pub claims: Claims,
    /// When it announced an address last, and how many announcements may come back.
    echoes: Option<(MonoTime, u32)>,
    pub restorer: Restorer,
    pub source: Option<IpAddr>,
    pub faults: Vec<Fault>,
    pub since: MonoTime,
    pub reason: Option<Reason>,
    pub last_heard: Option<MonoTime>,
    pub peer: Option<PeerView>,
    pub peer_since: Option<MonoTime>,
    peer_told: Option<(MonoTime, PeerView)>,
    /// Adverts heard and packets rejected up to the last move.
    at_move: (u64, u64),
    pub tracks: Vec<TrackView>,
    pub counters: Counters,
    pub discards: Discards,
    /// The last sequence number of an Authentication Header, heard or sent.
    pub sequence: u32,
    /// A peer has the checksums of an old keepalived.
    old_checksum_heard: bool,
    warned: [Option<MonoTime>; 4],
    failure_told: Option<MonoTime>,
    conflict_told: Option<MonoTime>,
    /// It left the configuration, and goes when it is stopped.
    pub retiring: bool,
}

impl Instance {
    pub fn new(now: MonoTime, settings: Arc<Settings>) -> Self {
        Self {
            router: Router::new(Rules::from(&*settings), settings.priority),
            announcer: Announcer::default(),
            extra: Announcer::default(),
            announce_when_settled: None,
            claims: Claims::default(),
            echoes: None,
            restorer: Restorer::default(),
            source: None,
            faults: vec![],
            since: now,
            reason: None,
            last_heard: None,
            peer: None,
            peer_since: None,
            peer_told: None,
            at_move: (0, 0),
            tracks: vec![],
            counters: Counters::default(),
            discards: Discards::default(),
            sequence: 0,
            old_checksum_heard: false,
            warned: [None; 4],
            failure_told: None,
            conflict_told: None,
            retiring: false,
            settings,
        }
    }

    /// What a change of state leaves in the counters.
    pub const fn note_move(&mut self, now: MonoTime, from: Standing, to: Standing) {
        self.since = now;
        self.counters.transitions += 1;
        if matches!(to, Standing::Active) {
            self.counters.became_active += 1;
        }
        if matches!(from, Standing::Active) {
            self.counters.left_active += 1;
        }
    }

    /// The key of the Authentication Header, where there is one.
    pub fn seal(&self) -> Option<Password> {
        match self.settings.auth {
            Some(Authentication::Header(key)) => Some(key),
            Some(Authentication::Password(_)) | None => None,
        }
    }

    pub fn group(&self) -> Option<&str> {
        self.settings.sync_group.as_ref().map(|group| group.name.as_str())
    }

    /// The longest that any peer waits for us.
    pub fn slowest_active_down(&self) -> Duration {
        self.router.rules().slowest_active_down()
    }

    /// Announcements aside.
    pub fn deadline(&self, now: MonoTime) -> Option<MonoTime> {
        [self.claims.deadline(), self.router.deadline(), self.restorer.deadline(now)].into_iter().flatten().min()
    }

    /// When something is to be announced by itself.
    pub fn announces_at(&self) -> Option<MonoTime> {
        [self.announcer.deadline(), self.extra.deadline()].into_iter().flatten().min()
    }

    /// Which addresses of [`Settings::extra`] to announce now, by position.
    pub fn extra_due(&mut self, now: MonoTime) -> Vec<usize> {
        if self.extra.deadline().is_none_or(|at| now < at) {
            return vec![];
        }
        let positions = self.settings.extra();
        let due = self.extra.due(now, &extra(&self.settings), positions.len());
        positions.get(due).map(<[usize]>::to_vec).unwrap_or_default()
    }

    /// It announces one address.
    pub fn note_announced(&mut self, now: MonoTime) {
        self.counters.announcements_sent += 1;
        let left = self.echoes.filter(|(at, _)| now - *at < ECHO).map_or(0, |(_, left)| left);
        self.echoes = Some((now, left.saturating_add(1)));
    }

    /// Whether an announcement with its own hardware address may be one of ours that came back, and not that of a rival who
    /// has the same address: to answer those would go on for ever. Each comes back once.
    pub fn is_echo(&mut self, now: MonoTime) -> bool {
        let left = self.echoes.as_mut().filter(|(at, left)| now - *at < ECHO && *left > 0);
        left.map(|(_, left)| *left -= 1).is_some()
    }

    /// Announce nothing more: the addresses are not ours.
    pub fn quiet(&mut self) {
        self.announcer.stop();
        self.extra.stop();
        self.claims.stop();
    }

    /// The advert with this priority, once per destination.
    pub fn adverts(&self, priority: u8) -> Vec<(IpAddr, IpAddr, Vec<u8>)> {
        let Some(source) = self.source else { return vec![] };
        let advert = Advert {
            vrid: self.settings.vrid,
            priority,
            interval: self.settings.interval,
            addresses: self.settings.advertised().collect(),
            body: match self.settings.version {
                Version::V2 => Body::V2(match self.settings.auth {
                    None => Auth::None,
                    Some(Authentication::Password(password)) => Auth::Password(password),
                    Some(Authentication::Header(_)) => Auth::Header,
                }),
                Version::V3 => Body::V3 { checksum: self.checksum_form() },
            },
        };
        let to = |destination: IpAddr| (source, destination, advert.emit(source, destination));
        match &self.settings.transport {
            Transport::Multicast { group, .. } => vec![to(*group)],
            Transport::Unicast { peers, .. } => peers.iter().map(|peer| to(peer.addr)).collect(),
        }
    }

    fn checksum_form(&self) -> ChecksumForm {
        let unicast = matches!(self.settings.transport, Transport::Unicast { .. });
        let old = match self.settings.checksums.old_unicast {
            OldUnicastChecksum::Auto => self.old_checksum_heard,
            OldUnicastChecksum::Always => true,
            OldUnicastChecksum::Never => false,
        };
        match self.settings.checksums.bare {
            true => ChecksumForm::Bare,
            false if unicast && old => ChecksumForm::OldUnicast,
            false => ChecksumForm::PseudoHeader,
        }
    }

    /// What an accepted advert says about the checksums of its sender, who knows no other: ours go by it from now on.
    pub const fn note_checksum(&mut self, body: Body) {
        match body {
            Body::V3 { checksum: ChecksumForm::Bare } => self.counters.checksums_without_pseudo_header += 1,
            Body::V3 { checksum: ChecksumForm::OldUnicast } => self.old_checksum_heard = true,
            // A peer that was upgraded may take no other.
            Body::V3 { checksum: ChecksumForm::PseudoHeader } => self.old_checksum_heard = false,
            Body::V2(_) => (),
        }
    }

    /// The event of a warning, at most one per kind and minute.
    pub fn warn(&mut self, at: MonoTime, from: IpAddr, warning: Warning) -> Option<Happened> {
        let [list, interval, checksum, owners] = &mut self.warned;
        let told = match warning {
            Warning::AddressList { .. } => list,
            Warning::Interval { .. } => interval,
            Warning::ChecksumForm { .. } => checksum,
            Warning::TwoOwners => owners,
        };
        if told.is_some_and(|told| at - told < WARN_EVERY) {
            return None;
        }
        *told = Some(at);
        Some(Happened::Warned { at, instance: self.settings.name.clone(), from, warning })
    }

    /// Whether a failure may be told: at most one a second.
    pub fn may_tell_failure(&mut self, now: MonoTime) -> bool {
        may_tell(&mut self.failure_told, now)
    }

    /// Whether the beginning of a conflict may be told: at most one a second, whoever the rivals are.
    pub fn may_tell_conflict(&mut self, now: MonoTime) -> bool {
        may_tell(&mut self.conflict_told, now)
    }

    pub fn view(&self) -> InstanceView {
        let settings = &self.settings;
        InstanceView {
            name: settings.name.clone(),
            vrid: settings.vrid,
            interface: settings.interface.clone(),
            family: settings.family,
            version: settings.version,
            state: self.router.standing(),
            priority: settings.priority,
            effective_priority: self.router.priority(),
            interval: settings.interval,
            preempt: settings.preempt,
            sync_group: self.group().map(str::to_owned),
            addresses: settings.addresses.iter().map(|address| address.cidr).collect(),
            since: self.since,
            reason: self.reason.clone(),
            faults: self.faults.clone(),
            skew: self.router.skew(),
            active_down: self.router.active_down(),
            learnt_interval: self.router.learnt_interval(),
            last_heard: self.last_heard,
            peer: self.peer,
            peer_since: self.peer_since,
            deadline: self.router.deadline(),
            preempt_at: self.router.preempt_at(),
            wants_active: self.router.wants_active(),
            yielded: self.router.has_yielded(),
            tracks: self.tracks.clone(),
            counters: self.counters,
            discards: self.discards.totals(),
        }
    }

    /// What was on the wire since the last call, which was at the move before.
    pub fn evidence(&mut self, now: MonoTime) -> Evidence {
        let total = (self.counters.adverts_received, self.discards.totals().values().sum());
        let before = std::mem::replace(&mut self.at_move, total);
        let last = self.peer.zip(self.last_heard).map(|(peer, heard)| (peer, now - heard));
        Evidence { heard: total.0.saturating_sub(before.0), rejected: total.1.saturating_sub(before.1), last }
    }

    /// What an accepted advert changes besides the state; the event of a peer that is not as it was told last.
    pub fn note_heard(&mut self, now: MonoTime, from: IpAddr, priority: Option<Priority>) -> Option<Happened> {
        self.counters.adverts_received += 1;
        if priority.is_none() {
            self.counters.priority_zero_received += 1;
        }
        self.last_heard = Some(now);
        let peer = PeerView { addr: from, priority: priority.map_or(0, Priority::get) };
        if self.peer.replace(peer) != Some(peer) {
            self.peer_since = Some(now);
        }
        let told = self.peer_told;
        if told.is_some_and(|(at, told)| told == peer || now - at < TELL_EVERY) {
            return None;
        }
        self.peer_told = Some((now, peer));
        let from = told.map(|(_, peer)| peer);
        Some(Happened::PeerChanged { at: now, instance: self.settings.name.clone(), from, to: peer })
    }
}

/// Announcements that are repeated, and begin with nothing.
pub(super) const fn extra(settings: &Settings) -> Garp {
    Garp {
        repeat: 0,
        delay: Duration::ZERO,
        refresh: settings.garp.extra,
        refresh_repeat: 1,
        lower_repeat: 0,
        ..settings.garp
    }
}

fn may_tell(told: &mut Option<MonoTime>, now: MonoTime) -> bool {
    let may = told.is_none_or(|told| now - told >= TELL_EVERY);
    if may {
        *told = Some(now);
    }
    may
}

/// Counters of dropped packets, and when the last event of each was told.
#[derive(Clone, Debug, Default)]
pub(super) struct Discards(BTreeMap<Discard, Counted>);

#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    total: u64,
    untold: u64,
    told_at: Option<MonoTime>,
}

impl Discards {
    /// Count one; `Some` with the number of those not told yet when it is time for an event.
    pub fn count(&mut self, now: MonoTime, reason: Discard) -> Option<u64> {
        let counted = self.0.entry(reason).or_default();
        counted.total += 1;
        counted.untold += 1;
        if counted.told_at.is_some_and(|told| now - told < DISCARD_EVERY) {
            return None;
        }
        counted.told_at = Some(now);
        Some(std::mem::take(&mut counted.untold))
    }

    pub fn totals(&self) -> BTreeMap<Discard, u64> {
        self.0.iter().map(|(reason, counted)| (*reason, counted.total)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Family, Vrid};

    #[test]
    fn checksums_go_by_the_last_advert_that_was_heard() {
        let mut settings = Settings::new("A", "eth0".parse().unwrap(), Vrid::new(1).unwrap(), Family::V4);
        settings.transport = Transport::Unicast { source: None, peers: vec![], ttl: 255, only_peers: false };
        let mut instance = Instance::new(MonoTime::ZERO, Arc::new(settings));
        let heard =
            [ChecksumForm::OldUnicast, ChecksumForm::Bare, ChecksumForm::PseudoHeader, ChecksumForm::OldUnicast];
        let ours = heard.map(|checksum| {
            instance.note_checksum(Body::V3 { checksum });
            instance.checksum_form()
        });
        let (old, new) = (ChecksumForm::OldUnicast, ChecksumForm::PseudoHeader);
        assert_eq!(ours, [old, old, new, old]);
        assert_eq!(instance.counters.checksums_without_pseudo_header, 1);
    }
}
