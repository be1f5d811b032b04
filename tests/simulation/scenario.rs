//! What a seed makes: how many hosts, with which settings; and the mistakes that the simulator must find.

use std::time::Duration;

use vipd::base::{AdvertInterval, Family, Priority, Vrid};
use vipd::vrrp::settings::{Peer, Transport};
use vipd::vrrp::{Settings, SyncGroup, Track, Tracked, Version, VirtualAddress};

use super::node::Node;
use super::random::Random;

/// A mistake that an implementation may make, planted between the fleet and the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// Deadlines are served in whole centiseconds, as by a skew that is truncated.
    CoarseTimer,
    /// At equal priority nobody gives way.
    TieNeverLost,
    /// At equal priority one host takes the lower address for the better one.
    TieBrokenTheWrongWay,
    /// An advert with priority 0 is not seen.
    PriorityZeroMissed,
    /// Deadlines are served before the packets that waited are read.
    DecideBeforeDrain,
    /// Addresses are never removed.
    NothingLetGo,
    /// What a reload changes of the addresses that are held is not carried out.
    ReloadForgotten,
    /// Adverts carry the configured priority, whatever the trackers say.
    WeightNotTold,
    /// The advert of a router that is no peer is taken for that of one.
    StrangerHeard,
}

/// What a seed has besides; the seeds that once broke a promise have none of it, and keep their stories.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras {
    /// A script with a weight moves the priority of each host.
    pub weights: bool,
    /// All hosts are unicast peers, and one that is none sends to each of them too.
    pub unicast: bool,
    /// Reloads take a host's virtual routers out of their sync group, and put them back.
    pub regroups: bool,
}

impl Extras {
    pub fn of(seed: u64) -> Self {
        let eighth = seed % 8;
        Self {
            weights: [1, 3, 7].contains(&eighth),
            unicast: [2, 3].contains(&eighth),
            regroups: [0, 4, 7].contains(&eighth),
        }
    }
}

/// The interval, the hosts, and a line that describes them.
pub fn scenario(seed: u64, random: &mut Random) -> (AdvertInterval, Vec<Node>, String) {
    let centis = random.pick(&[1, 2, 10, 50, 100, 300]);
    let interval = AdvertInterval::from_centis(centis).unwrap();
    let family = random.pick(&[Family::V4, Family::V4, Family::V6]);
    let version = match family {
        Family::V4 if interval.fits_v2() && random.permille(500) => Version::V2,
        Family::V4 | Family::V6 => Version::V3,
    };
    let hosts = 2 + random.index(4);
    let priorities = priorities(random, hosts);
    let preempt = random.permille(750);
    let grouped = random.permille(250);
    let tracked = random.permille(250);
    let (down_timer_adverts, preempt_delay) = timers(seed, interval);
    let extras = Extras::of(seed);
    let mut weigher = Random::new(!seed.rotate_left(32));
    let nodes = priorities.iter().enumerate().map(|(at, priority)| {
        let weight = weigher.pick(&[-120, -60, -20, 10, 60, 120]);
        let start_as_active = random.permille(300);
        let interfaces: &[&str] = if grouped { &["eth0", "eth1"] } else { &["eth0"] };
        let one = |(number, interface): (usize, &&str)| {
            let vrid = Vrid::new(u8::try_from(number).unwrap() + 1).unwrap();
            let mut settings = Settings::new(&format!("VI_{vrid}"), interface.parse().unwrap(), vrid, family);
            settings.version = version;
            settings.interval = interval;
            settings.priority = Priority::new(*priority).unwrap();
            settings.preempt = preempt;
            settings.preempt_delay = preempt_delay;
            settings.down_timer_adverts = down_timer_adverts;
            settings.start_as_active = start_as_active;
            let vip = match family {
                Family::V4 => "10.0.0.100/24",
                Family::V6 => "2001:db8::100/64",
            };
            settings.addresses = vec![VirtualAddress::new(vip.parse().unwrap())];
            settings.sync_group = grouped.then(|| SyncGroup { name: "G".to_owned(), tracking_weight: true });
            if tracked {
                settings.track = vec![Track { what: Tracked::Script("chk".into()), weight: None, reverse: false }];
            }
            if extras.weights {
                let what = Tracked::Script("weight".into());
                settings.track.push(Track { what, weight: Some(weight), reverse: false });
            }
            if extras.unicast {
                let others = (0..hosts).filter(|other| *other != at);
                let peers = others.map(|other| Peer::new(Node::address(other, &settings.interface, family))).collect();
                settings.transport = Transport::Unicast { source: None, peers, ttl: 255, only_peers: true };
            }
            settings
        };
        let settings = interfaces.iter().enumerate().map(one).collect();
        Node::new(settings, random.between(Duration::ZERO, Duration::from_secs(1000)))
    });
    let nodes: Vec<Node> = nodes.collect();
    let text = format!(
        "{hosts} hosts, {version:?} over {family:?}, {interval} s, priorities {priorities:?}, preempt {preempt}, \
         grouped {grouped}, tracked {tracked}, {down_timer_adverts} intervals of silence, preempt_delay {preempt_delay:?}, \
         {extras:?}"
    );
    (interval, nodes, text)
}

/// `down_timer_adverts` and `preempt_delay`, other than by default for a seed of four: the seeds that once broke a promise
/// keep their stories.
fn timers(seed: u64, interval: AdvertInterval) -> (u8, Duration) {
    if seed % 4 != 3 {
        return (3, Duration::ZERO);
    }
    let mut random = Random::new(!seed);
    (random.pick(&[3, 4, 6]), interval.duration() * random.pick(&[0, 1, 4]) / 2)
}

fn priorities(random: &mut Random, hosts: usize) -> Vec<u8> {
    match random.below(4) {
        0 => vec![100; hosts],
        1 => (0..hosts).map(|_| u8::try_from(1 + random.below(254)).unwrap()).collect(),
        _ => {
            let mut apart = [if random.permille(250) { 255 } else { 200 }, 150, 100, 60, 30];
            let first = random.index(hosts);
            apart.swap(0, first);
            apart[..hosts].to_vec()
        }
    }
}
