//! One simulated host: a fleet, its clock, its sockets, and what its kernel holds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use vipd::base::Priority;
use vipd::base::{Cidr, Family, IfName, MonoTime};
use vipd::vrrp::fleet::{Fleet, Maintenance, Output};
use vipd::vrrp::lease::Lease;
use vipd::vrrp::links::{Held, Link, Links};
use vipd::vrrp::packet::Envelope;
use vipd::vrrp::{Holdings, Key, Outcome, Settings, Standing, SyncGroup, Tracked, VirtualAddress};

/// A packet in a socket.
#[derive(Clone, Debug)]
pub struct Packet {
    pub interface: IfName,
    pub envelope: Envelope,
    pub bytes: Vec<u8>,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fault of its own")]
pub struct Node {
    pub settings: Vec<Settings>,
    /// Of all its virtual routers, unless a reload took them out.
    group: Option<SyncGroup>,
    /// `None`: the daemon is not running.
    pub fleet: Option<Fleet>,
    /// Its clock is ahead of the world's by this.
    offset: Duration,
    pub stalled: bool,
    /// Told to stop, and not gone yet.
    pub stopping: bool,
    pub link_up: bool,
    pub script_good: bool,
    /// Of the script with a weight.
    pub weight_good: bool,
    /// The operator lets it hold nothing; a restart does not forget it.
    maintenance: bool,
    /// What came while it was stalled.
    pub queue: Vec<Packet>,
    /// What the daemon keeps renewing.
    renewed: BTreeMap<Key, (Lease, MonoTime)>,
    /// What the kernel holds, and until when (in the world's time).
    kernel: BTreeMap<Key, (MonoTime, BTreeSet<Cidr>)>,
    /// By the events that were told.
    pub standing: BTreeMap<Key, Standing>,
}

impl Node {
    pub fn new(settings: Vec<Settings>, offset: Duration) -> Self {
        Self {
            group: settings[0].sync_group.clone(),
            settings,
            fleet: None,
            offset,
            stalled: false,
            stopping: false,
            link_up: true,
            script_good: true,
            weight_good: true,
            maintenance: false,
            queue: vec![],
            renewed: BTreeMap::new(),
            kernel: BTreeMap::new(),
            standing: BTreeMap::new(),
        }
    }

    pub fn runs(&self) -> bool {
        self.fleet.is_some() && !self.stalled
    }

    /// It could be Active.
    pub fn is_fit(&self) -> bool {
        self.runs() && !self.stopping && self.link_up && self.script_good && !self.maintenance
    }

    pub fn local(&self, now: MonoTime) -> MonoTime {
        now + self.offset
    }

    pub fn address(at: usize, interface: &IfName, family: Family) -> IpAddr {
        let net = u8::from(interface.as_str() != "eth0");
        match family {
            Family::V4 => format!("10.0.{net}.{}", at + 1),
            Family::V6 => format!("fe80::{net}:{}", at + 1),
        }
        .parse()
        .unwrap()
    }

    fn links(&self, at: usize) -> Links {
        let link = |(number, one): (usize, &Settings)| {
            let cidr = Cidr::host(Self::address(at, &one.interface, one.family));
            let addresses = vec![Held { cidr, peer: None, ours: false, usable: true }];
            let index = u32::try_from(number).unwrap() + 2;
            (one.interface.clone(), Link { index, running: self.link_up, mac: None, downs: 0, addresses })
        };
        Links(self.settings.iter().enumerate().map(link).collect())
    }

    /// Start the daemon; it removes what an earlier run left.
    pub fn boot(&mut self, at: usize, now: MonoTime) -> Vec<Output> {
        let local = self.local(now);
        let mut fleet = Fleet::default();
        let mut out = fleet.links(local, self.links(at));
        out.extend(fleet.maintain(local, Maintenance { all: self.maintenance, ..Maintenance::default() }));
        out.extend(fleet.reconfigure(local, self.settings.clone()));
        self.fleet = Some(fleet);
        self.kernel.clear();
        out.extend(self.report(now));
        out
    }

    /// Kill -9: the kernel keeps what it holds for as long as the lease goes.
    pub fn die(&mut self) {
        self.fleet = None;
        self.stalled = false;
        self.stopping = false;
        self.queue.clear();
        self.renewed.clear();
        self.standing.clear();
    }

    pub fn look(&mut self, at: usize, now: MonoTime) -> Vec<Output> {
        let (local, links) = (self.local(now), self.links(at));
        self.fleet.as_mut().map_or(vec![], |fleet| fleet.links(local, links))
    }

    pub fn report(&mut self, now: MonoTime) -> Vec<Output> {
        let local = self.local(now);
        let Some(fleet) = &mut self.fleet else { return vec![] };
        let tracked: BTreeSet<Tracked> = self.settings[0].track.iter().map(|track| track.what.clone()).collect();
        let good = [("chk", self.script_good), ("weight", self.weight_good)];
        let results = good.map(|(name, good)| (Tracked::Script(name.to_owned()), Outcome::Good(good)));
        let tracked = results.into_iter().filter(|(what, _)| tracked.contains(what));
        tracked.flat_map(|(what, outcome)| fleet.tracked(local, what, outcome)).collect()
    }

    /// What it tells the others.
    pub fn priority(&self) -> Option<Priority> {
        Some(self.fleet.as_ref()?.views().first()?.effective_priority)
    }

    /// A Backup that lets its successor be, whatever that one's priority.
    pub fn has_yielded(&self) -> bool {
        self.fleet.as_ref().is_some_and(|fleet| fleet.each_view().any(|view| view.yielded))
    }

    pub fn shutdown(&mut self, now: MonoTime) -> Vec<Output> {
        let local = self.local(now);
        self.fleet.as_mut().map_or(vec![], |fleet| fleet.shutdown(local))
    }

    /// What is Active hands over, this many at most.
    pub fn hand_over(&mut self, now: MonoTime, most: usize) -> Vec<Output> {
        let local = self.local(now);
        let active = self.settings.iter().filter(|one| self.standing.get(&one.key()) == Some(&Standing::Active));
        let names: Vec<String> = active.take(most).map(|one| one.name.clone()).collect();
        // Refused where it is stopping or a name is Active no more: nothing is done then.
        let asked = self.fleet.as_mut().and_then(|fleet| fleet.hand_over(local, &names, false).ok());
        asked.map_or(vec![], |(_, outputs)| outputs)
    }

    /// All its virtual routers have one more address, or have it no more.
    pub fn reload(&mut self, now: MonoTime) -> Vec<Output> {
        for one in &mut self.settings {
            let more = match one.family {
                Family::V4 => "10.0.0.101/24",
                Family::V6 => "2001:db8::101/64",
            };
            let more = VirtualAddress::new(more.parse().unwrap());
            let before = one.addresses.len();
            one.addresses.retain(|address| *address != more);
            if one.addresses.len() == before {
                one.addresses.push(more);
            }
        }
        self.reconfigure(now)
    }

    /// All its virtual routers are in their sync group, or each is by itself; one that stops takes no other settings.
    pub fn regroup(&mut self, now: MonoTime, together: bool) -> Vec<Output> {
        for one in &mut self.settings {
            one.sync_group = self.group.clone().filter(|_| together);
        }
        if self.stopping { vec![] } else { self.reconfigure(now) }
    }

    fn reconfigure(&mut self, now: MonoTime) -> Vec<Output> {
        let (local, settings) = (self.local(now), self.settings.clone());
        self.fleet.as_mut().map_or(vec![], |fleet| fleet.reconfigure(local, settings))
    }

    pub fn maintain(&mut self, now: MonoTime, on: bool) -> Vec<Output> {
        self.maintenance = on;
        let (local, wish) = (self.local(now), Maintenance { all: on, ..Maintenance::default() });
        self.fleet.as_mut().map_or(vec![], |fleet| fleet.maintain(local, wish))
    }

    /// The kernel does what the daemon says, at once.
    pub fn hold(&mut self, now: MonoTime, key: &Key, holdings: &Holdings, lease: Lease) {
        if holdings.is_empty() {
            self.kernel.remove(key);
            self.renewed.remove(key);
        } else {
            let until = now + Duration::from_secs(lease.valid_s.into());
            self.kernel.insert(key.clone(), (until, cidrs(&holdings.addresses)));
            self.renewed.insert(key.clone(), (lease, now + lease.refresh_every));
        }
        let local = self.local(now);
        if let Some(fleet) = &mut self.fleet {
            fleet.settled(local, key);
        }
    }

    /// Renew what is due; called after the fleet decided, as the heartbeat does.
    pub fn renew(&mut self, now: MonoTime) {
        for (key, (lease, at)) in &mut self.renewed {
            if *at <= now {
                *at = now + lease.refresh_every;
                if let Some((until, _)) = self.kernel.get_mut(key) {
                    *until = now + Duration::from_secs(lease.valid_s.into());
                }
            }
        }
    }

    /// When it has something to do, in the world's time.
    pub fn wakes_at(&self, now: MonoTime) -> Option<MonoTime> {
        let fleet = self.fleet.as_ref().filter(|_| !self.stalled)?;
        let deadline = fleet.deadline(self.local(now));
        let deadline = deadline.map(|at| MonoTime::from_start(at.since_start().saturating_sub(self.offset)));
        let renew = self.renewed.values().map(|(_, at)| *at).min();
        [deadline, renew].into_iter().flatten().min()
    }

    /// Whether its kernel answers for this virtual router.
    pub fn answers(&self, key: &Key, now: MonoTime) -> bool {
        self.kernel.get(key).is_some_and(|(until, _)| *until > now)
    }

    /// Its kernel has the addresses of its configuration, and no others.
    pub fn holds_as_configured(&self, key: &Key) -> bool {
        let wanted = self.settings.iter().find(|one| one.key() == *key).map(|one| cidrs(&one.addresses));
        self.kernel.get(key).map(|(_, held)| held) == wanted.as_ref()
    }

    pub fn is(&self, key: &Key, standing: Standing) -> bool {
        self.runs() && self.standing.get(key) == Some(&standing)
    }

    pub fn serves(&self, key: &Key) -> bool {
        self.runs() && self.standing.get(key).is_some_and(|standing| standing.serves())
    }
}

fn cidrs(addresses: &[VirtualAddress]) -> BTreeSet<Cidr> {
    addresses.iter().map(|address| address.cidr).collect()
}
