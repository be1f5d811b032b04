//! Random models that a file without an error could become. Names and keys are few, so that two of them meet.
//!
//! A model is built from a list of choices: a shorter list of smaller numbers is a smaller model, so proptest shrinks it.

mod route;
mod service;
mod telling;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::base::{AddressOptions, AdvertInterval, Cidr, Family, IfName, Priority, Vrid};
use crate::config::model::{OldUnicastChecksum as Old, *};
use crate::config::source::Span;
use route::{route, rule};

/// Any model.
pub fn any_config() -> impl Strategy<Value = Config> {
    vec(any::<u16>(), 0..1000).prop_map(|choices| config(&choices))
}

/// The model that these choices make; choices that are not there count as 0.
pub fn config(choices: &[u16]) -> Config {
    let mut choose = Choices(choices.iter());
    let global = global(&mut choose);
    let mut config = Config { global, ..Config::default() };
    config.track_groups = (0..choose.below(2)).map(|_| track_group(&mut choose)).collect();
    config.statics = statics(&mut choose, &config.track_groups);
    config.scripts = (0..choose.below(4)).map(|at| script(&mut choose, at)).collect();
    config.track_files = (0..choose.below(3)).map(|at| track_file(&mut choose, at)).collect();
    config.track_processes = (0..choose.below(3)).map(|at| track_process(&mut choose, at)).collect();
    config.bfds = (0..choose.below(3)).map(|at| bfd(&mut choose, at)).collect();
    config.garp_groups = (0..choose.below(2)).map(|_| garp_group(&mut choose)).collect();
    config.link_delays = link_delays(&mut choose);
    config.instances = instances(&mut choose, &config);
    config.sync_groups = groups(&mut choose, &mut config);
    config.tls.ca = choose.maybe(Choices::text);
    config.tls.password = choose.maybe(Choices::text);
    service::services(&mut choose, &mut config);
    config
}

pub(super) struct Choices<'a>(std::slice::Iter<'a, u16>);

impl Choices<'_> {
    pub(super) fn below(&mut self, bound: u16) -> u16 {
        self.0.next().copied().unwrap_or(0) % bound
    }

    pub(super) fn yes(&mut self) -> bool {
        self.below(2) == 1
    }

    pub(super) fn seldom(&mut self) -> bool {
        self.below(6) == 5
    }

    pub(super) fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[usize::from(self.below(all.len().try_into().unwrap()))].clone()
    }

    pub(super) fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.seldom().then(|| make(self))
    }

    pub(super) fn time(&mut self) -> Duration {
        Duration::from_micros(self.of(&[1_000_000, 1000, 250_000, 1_500_000, 3_000_001, 60_000_000, 4_294_000_000]))
    }

    fn seconds(&mut self) -> Duration {
        Duration::from_secs(self.of(&[1, 0, 60, 4294]))
    }

    /// A word as a file may hold it.
    pub(super) fn text(&mut self) -> String {
        let all = ["web", "a b", "x#y", "q!z", "{b}", "$FOO", "@lb1", "~SEQ(N, 2) x", "include x", "é", r"b\s", "it's"];
        self.of(&all).to_owned()
    }

    pub(super) fn command(&mut self, account: bool) -> Command {
        let all = [
            "-v",
            "exit 1",
            "it's",
            "say \"x\"",
            r"a\b",
            "$HOME",
            "${X} y",
            "",
            "tab\there",
            "line\nfeed",
            "é ü",
            "#h !",
            "{x}",
            "\u{1}7",
            r"\041",
            "@a",
            "~LST",
            "\u{7f}",
            "$",
            "a$",
        ];
        let mut argv = vec![self.of(&["/bin/true", "/opt/a b", "</etc/hosts", "check"]).to_owned()];
        argv.extend((0..self.below(5)).map(|_| self.of(&all).to_owned()));
        Command { argv, user: if account { self.maybe(Self::user) } else { None }, at: Span::default() }
    }

    pub(super) fn user(&mut self) -> ScriptUser {
        ScriptUser { user: self.of(&["nobody", "www-data"]).to_owned(), group: self.maybe(|_| "nogroup".to_owned()) }
    }

    fn garp(&mut self) -> Garp {
        let times = |choose: &mut Self| choose.of(&[1, 5, 2_000_000_000]);
        Garp {
            master_delay: self.maybe(Self::seconds),
            master_repeat: self.maybe(times),
            master_refresh: self.maybe(|choose| choose.of(&[Duration::ZERO, Duration::from_mins(1)])),
            master_refresh_repeat: self.maybe(times),
            lower_prio_delay: self.maybe(Self::seconds),
            lower_prio_repeat: self.maybe(|choose| choose.of(&[0, 7])),
            interval: self.maybe(Self::time),
            gna_interval: self.maybe(Self::time),
            extra: self.maybe(Self::extra_garp),
        }
    }
}

fn global(choose: &mut Choices<'_>) -> Global {
    Global {
        router_id: choose.maybe(|choose| choose.of(&["lb1", "", "a b"]).to_owned()),
        script_user: choose.maybe(Choices::user),
        script_security: choose.yes(),
        vrrp_version: choose.maybe(|choose| choose.of(&[VrrpVersion::V2, VrrpVersion::V3])),
        mcast_group4: choose.maybe(|_| "224.0.0.19".parse().unwrap()),
        mcast_group6: choose.maybe(|_| "ff02::13".parse().unwrap()),
        garp: choose.garp(),
        skip_check_adv_addr: choose.seldom(),
        check_unicast_src: choose.seldom(),
        lower_prio_no_advert: choose.seldom(),
        higher_prio_send_advert: choose.maybe(Choices::yes),
        owner_ignore_adverts: choose.seldom(),
        checksum_as_v2: choose.seldom(),
        strict: choose.seldom(),
        down_timer_adverts: choose.maybe(|choose| choose.of(&[1, 3, 100])),
        vmac_prefix: choose.maybe(|choose| choose.of(&["vrrp", "v-"]).to_owned()),
        vmac_addr_prefix: choose.maybe(|choose| choose.of(&["vrrp", "v-"]).to_owned()),
        dynamic_interfaces: choose.seldom(),
        default_interface: choose.maybe(interface),
        process: process(choose),
        startup: choose.host_script(),
        shutdown: choose.host_script(),
        mail: choose.mail(),
        fifo: choose.fifo(),
        vrrp_fifo: choose.fifo(),
        lvs_fifo: choose.fifo(),
        notify_priority_changes: choose.seldom(),
        states_on_reload: choose.seldom(),
        plane: choose.of(&[Plane::Ebpf, Plane::Ipvs]),
        ebpf_mode: choose.of(&[EbpfMode::Auto, EbpfMode::Xdp, EbpfMode::Tc]),
        ebpf_connections: choose.maybe(|choose| choose.of(&[1_024, 300_000, 8_388_608])),
        quiescent_keeps: choose.seldom(),
        sysctl: choose.of(&[SysctlMode::Check, SysctlMode::Auto]),
        lvs_flush: choose.seldom(),
        rs_init_notifies: choose.seldom(),
        checker_log_all_failures: choose.seldom(),
        // With the services, which they are about.
        timeouts: None,
        sync_daemon: None,
        metrics: choose.maybe(|choose| choose.of(&["192.0.2.1:9165", "[fe80::1]:1"]).parse().unwrap()),
    }
}

fn process(choose: &mut Choices<'_>) -> Process {
    Process {
        rt_priority: choose.maybe(|choose| choose.of(&[1, 99]).try_into().unwrap()),
        nice: choose.maybe(|choose| choose.of(&[-20, 19])),
        no_swap: choose.seldom(),
        rt_limit: choose.maybe(|_| std::time::Duration::from_millis(10)),
        startup_delay: choose.maybe(Choices::time).unwrap_or_default(),
        uptime_min: choose.maybe(Choices::time).unwrap_or_default(),
        fence: choose.maybe(Choices::yes),
    }
}

fn garp_group(choose: &mut Choices<'_>) -> GarpGroup {
    let interfaces = (0..choose.below(3)).map(|_| interface(choose)).collect();
    GarpGroup { interval: Some(choose.time()), gna_interval: choose.maybe(Choices::time), interfaces }
}

fn link_delays(choose: &mut Choices<'_>) -> Vec<LinkDelay> {
    let mut delay = |interface: &str| {
        let [down, up] = [(); 2].map(|()| Duration::from_millis(choose.below(3000).into()));
        LinkDelay { interface: interface.parse().unwrap(), at: Span::default(), down, up }
    };
    let (one, two) = (delay("eth0"), delay("lan"));
    [one, two].into_iter().filter(|_| choose.seldom()).collect()
}

fn statics(choose: &mut Choices<'_>, groups: &[TrackGroup]) -> Statics {
    let addresses = (0..choose.below(2)).map(|at| {
        let family = choose.of(&[Family::V4, Family::V6]);
        VirtualAddress { dev: Some(interface(choose)), use_vmac: false, ..address(choose, family, 24 + at) }
    });
    let mut statics = Statics {
        addresses: addresses.collect(),
        routes: (0..choose.below(2)).map(|at| route(choose, at)).collect(),
        rules: (0..choose.below(2)).map(|at| rule(choose, at)).collect(),
    };
    let mut group = || groups.first().map(|group| group.name.clone()).filter(|_| choose.yes());
    statics.addresses.iter_mut().for_each(|item| item.track_group = group());
    let routes = statics.routes.iter_mut().filter(|item| item.route.hop.dev.is_some());
    routes.for_each(|item| item.track_group = group());
    statics.rules.iter_mut().filter(|item| item.rule.iif.is_some()).for_each(|item| item.track_group = group());
    statics
}

fn track_group(choose: &mut Choices<'_>) -> TrackGroup {
    TrackGroup {
        name: choose.of(&["G", "a_group"]).to_owned(),
        at: Span::default(),
        members: (0..=choose.below(2)).map(|_| choose.of(&["VI_1", "VI_2"]).to_owned()).collect(),
    }
}

fn script(choose: &mut Choices<'_>, at: u16) -> VrrpScript {
    let user = choose.maybe(Choices::user);
    VrrpScript {
        name: ["chk", "chk a", "@chk", "{chk}"][usize::from(at)].to_owned(),
        at: Span::default(),
        command: Command { user, ..choose.command(false) },
        interval: choose.time(),
        timeout: choose.time(),
        rise: choose.of(&[1, 2, 2_147_483_647]),
        fall: choose.of(&[1, 3]),
        weight: choose.of(&[0, 0, 5, -20, 253]),
        reverse: choose.seldom(),
        init_fail: choose.seldom(),
    }
}

fn track_file(choose: &mut Choices<'_>, at: u16) -> TrackFile {
    TrackFile {
        name: ["load", "a file"][usize::from(at)].to_owned(),
        at: Span::default(),
        path: choose.of(&["/run/load", "/tmp/a b"]).to_owned(),
        weight: choose.of(&[1, 0, -254, 254]),
        reverse: choose.seldom(),
        init: choose.maybe(|choose| InitFile { value: choose.of(&[0, -7, 254, -254]), overwrite: choose.yes() }),
    }
}

fn track_process(choose: &mut Choices<'_>, at: u16) -> TrackProcess {
    let arguments: Vec<String> = (0..choose.below(3)).map(|_| choose.of(&["-f", "a b", "x"]).to_owned()).collect();
    let any = if arguments.is_empty() { ArgumentsMatch::Any } else { ArgumentsMatch::Exact };
    let arguments_match =
        choose.of(&[any, any, ArgumentsMatch::Exact, ArgumentsMatch::Initial, ArgumentsMatch::Partial]);
    let delay = |choose: &mut Choices<'_>| choose.of(&[Duration::ZERO, Duration::from_millis(250)]);
    TrackProcess {
        name: ["web", "a process"][usize::from(at)].to_owned(),
        at: Span::default(),
        program: choose.of(&["haproxy", "/usr/sbin/a b"]).to_owned(),
        arguments,
        arguments_match,
        full_command: choose.yes() || arguments_match != ArgumentsMatch::Any,
        weight: choose.of(&[0, 20, -254]),
        reverse: choose.seldom(),
        quorum: choose.of(&[1, 2]),
        quorum_max: choose.maybe(|choose| choose.of(&[0, 2, 65_535])),
        terminate_delay: delay(choose),
        fork_delay: delay(choose),
    }
}

fn bfd(choose: &mut Choices<'_>, at: u16) -> BfdInstance {
    let time = |choose: &mut Choices<'_>| Duration::from_micros(choose.of(&[10_000, 1000, 2500, 9_999_001]));
    let ttl = choose.maybe(|choose| choose.of(&[1, 255]));
    BfdInstance {
        name: ["gw", "a session"][usize::from(at)].to_owned(),
        at: Span::default(),
        neighbor: format!("192.0.2.{}", 1 + at).parse().unwrap(),
        source: choose.maybe(|_| "192.0.2.200".parse().unwrap()),
        min_rx: time(choose),
        min_tx: time(choose),
        idle_tx: Duration::from_millis(choose.of(&[1000, 3000])),
        multiplier: choose.of(&[5, 1, 255]).try_into().unwrap(),
        passive: choose.seldom(),
        ttl,
        max_hops: choose
            .maybe(|choose| choose.of(&[MaxHops::Most(0), MaxHops::Most(255), MaxHops::Any]))
            .filter(|most| ttl != Some(1) || *most == MaxHops::Most(0)),
        multihop: choose.seldom(),
        weight: choose.of(&[0, -20, 253]),
        reverse: choose.seldom(),
        for_vrrp: choose.seldom(),
        for_checkers: choose.seldom(),
    }
}

const INTERFACES: [&str; 3] = ["eth0", "lan.10", "br@x"];

fn interface(choose: &mut Choices<'_>) -> IfName {
    choose.of(&INTERFACES).parse().unwrap()
}

fn instances(choose: &mut Choices<'_>, config: &Config) -> Vec<VrrpInstance> {
    let mut keys = BTreeSet::new();
    let mut all = vec![];
    for name in ["VI_1", "VI 2", "include", "VI_4"].into_iter().take(choose.below(5).into()) {
        let instance = instance(choose, name, config);
        if keys.insert((instance.interface.clone(), instance.vrid, instance.family)) {
            all.push(instance);
        }
    }
    all
}

fn address(choose: &mut Choices<'_>, family: Family, at: u16) -> VirtualAddress {
    let prefix = choose.of(&["24", "32", "0", "25"]);
    let cidr: Cidr = match family {
        Family::V4 => format!("192.0.2.{}/{prefix}", 10 * at + choose.below(10)).parse().unwrap(),
        Family::V6 => format!("2001:db8::{at}:{:x}/{prefix}", choose.below(99)).parse().unwrap(),
    };
    let peer: IpAddr = if family == Family::V4 { "198.51.100.1" } else { "2001:db8:1::1" }.parse().unwrap();
    let broadcasts = [Broadcast::Ones, Broadcast::Zeros, Broadcast::Address("192.0.2.255".parse().unwrap())];
    let v4 = family == Family::V4;
    VirtualAddress {
        dev_at: Span::default(),
        cidr,
        dev: choose.maybe(interface),
        label: choose.maybe(|choose| choose.of(&["eth0:1", "a b", "x#1"]).to_owned()),
        broadcast: choose.maybe(|choose| choose.of(&broadcasts)).filter(|_| v4),
        scope: if v4 { choose.of(&[0, 0, 200, 253, 254, 255, 7]) } else { 0 },
        options: AddressOptions {
            preferred: choose.maybe(Choices::yes),
            home: choose.seldom(),
            manage_temporary: choose.seldom(),
            no_prefix_route: choose.seldom(),
            auto_join: choose.seldom(),
            peer: choose.maybe(|_| peer).filter(|_| cidr == Cidr::host(cidr.addr())),
        },
        track_group: None,
        use_vmac: choose.seldom(),
        at: Span::default(),
    }
}

fn instance(choose: &mut Choices<'_>, name: &str, config: &Config) -> VrrpInstance {
    let family = choose.of(&[Family::V4, Family::V4, Family::V6]);
    let version = if family == Family::V6 || choose.yes() { VrrpVersion::V3 } else { VrrpVersion::V2 };
    let v2 = version == VrrpVersion::V2;
    let interface = interface(choose);
    let track_interfaces = INTERFACES.iter().filter(|name| **name != interface.as_str() && choose.seldom());
    let track_interfaces: Vec<TrackInterface> = track_interfaces
        .map(|name| name.parse().unwrap())
        .collect::<Vec<IfName>>()
        .into_iter()
        .map(|name| track_interface(choose, name))
        .collect();
    let track = Tracking { interfaces: track_interfaces, ..track_named(choose, config) };
    let weighted = track.interfaces.iter().any(|entry| entry.weight.is_some_and(|weight| weight != 0))
        || track.all().any(|(kind, entry)| entry.weight.unwrap_or(config.weight_of(kind, &entry.name).unwrap().0) != 0);
    let most = if weighted { 254 } else { 255 };
    let priority = Priority::new(choose.of(&[100, 150, 1, most])).unwrap();
    let state = choose.of(&[InitialState::Backup, InitialState::Master]);
    let free = state == InitialState::Backup && !priority.is_owner();
    let preempt = !free || !choose.seldom();
    let host = |at: u16| match family {
        Family::V4 => format!("198.51.100.{at}").parse().unwrap(),
        Family::V6 => format!("fe80::{at}").parse().unwrap(),
    };
    let peers = if choose.seldom() { 1 + choose.below(2) } else { 0 };
    let strict =
        family == Family::V4 && (state == InitialState::Master) == priority.is_owner() && peers == 0 && choose.yes();
    let mut garp = Garp { interval: None, gna_interval: None, ..choose.garp() };
    if strict {
        (garp.lower_prio_repeat, garp.lower_prio_delay) = (Some(0), Some(Duration::ZERO));
    }
    let excluded = (0..choose.below(2)).map(|at| {
        let family = choose.of(&[Family::V4, Family::V6]);
        address(choose, family, 20 + at)
    });
    let excluded_addresses = excluded.collect();
    VrrpInstance {
        name: name.to_owned(),
        at: InstanceAt::default(),
        state,
        interface,
        vmac: choose.maybe(vmac).map(|vmac| Vmac { xmit_base: vmac.xmit_base || peers > 0, ..vmac }),
        vmac_addresses: choose.seldom(),
        accept: choose.yes() || priority.is_owner(),
        vrid: Vrid::new(choose.of(&[1, 2, 3])).unwrap(),
        priority,
        interval: AdvertInterval::from_centis(if v2 {
            choose.of(&[100, 25_500])
        } else {
            choose.of(&[100, 1, 4095, 25])
        })
        .unwrap(),
        version,
        family,
        strict,
        preempt,
        preempt_delay: if free && preempt && !strict && choose.seldom() {
            Duration::from_micros(1_000_001)
        } else {
            Duration::ZERO
        },
        auth_pass: choose
            .maybe(|choose| choose.of(&["secret", "a#b c", "}", "12345678"]).to_owned())
            .filter(|_| v2 && !strict),
        auth_header: false,
        source: choose.maybe(|_| host(1)),
        unicast_peers: (0..peers)
            .map(|at| UnicastPeer {
                addr: host(2 + at),
                ttl_min: at.try_into().unwrap(),
                ttl_max: [255, 64][usize::from(at)],
            })
            .collect(),
        unicast_fault_no_peer: choose.seldom(),
        unicast_ttl: choose.maybe(|choose| choose.of(&[0, 64, 255])).filter(|_| peers > 0),
        mcast_group: choose.maybe(|_| if family == Family::V4 { "224.0.0.20" } else { "ff02::14" }.parse().unwrap()),
        checksum_as_v2: choose.seldom(),
        old_unicast_checksum: choose.of(&[Old::Auto, Old::Always, Old::Never][..if peers > 0 { 3 } else { 1 }]),
        track_source: choose.seldom(),
        check_unicast_src: (peers > 0 && choose.seldom()) || config.global.check_unicast_src,
        skip_check_adv_addr: choose.seldom() || config.global.skip_check_adv_addr,
        lower_prio_no_advert: strict || choose.yes(),
        higher_prio_send_advert: !strict && choose.yes(),
        owner_ignore_adverts: choose.seldom(),
        down_timer_adverts: choose.of(&[3, 1, 100]),
        garp,
        dont_track_primary: choose.seldom(),
        track,
        addresses: (0..=choose.below(3)).map(|at| address(choose, family, at)).collect(),
        excluded_addresses,
        routes: (0..choose.below(3)).map(|at| route(choose, at)).collect(),
        rules: (0..choose.below(3)).map(|at| rule(choose, at)).collect(),
        promote_secondaries: choose.seldom(),
        notify: choose.notify(),
    }
}

fn vmac(choose: &mut Choices<'_>) -> Vmac {
    Vmac {
        name: choose.maybe(|choose| choose.of(&["vrrp.51", "vip0"]).parse().unwrap()),
        mac: choose.maybe(|_| [2, 0, 0, 0, 0xab, 9]),
        xmit_base: choose.yes(),
    }
}

fn track_interface(choose: &mut Choices<'_>, interface: IfName) -> TrackInterface {
    let weight = choose.maybe(|choose| choose.of(&[0, 10, -253]));
    TrackInterface { interface, weight, reverse: weight.is_some() && choose.yes(), at: Span::default() }
}

fn track_named(choose: &mut Choices<'_>, config: &Config) -> Tracking {
    let scripts = config.scripts.iter().map(|script| (Trackable::Script, &script.name));
    let files = config.track_files.iter().map(|file| (Trackable::File, &file.name));
    let processes = config.track_processes.iter().map(|process| (Trackable::Process, &process.name));
    let mut track = Tracking::default();
    let bfds = config.bfds.iter().filter(|bfd| bfd.for_vrrp || !bfd.for_checkers);
    let bfds = bfds.map(|bfd| (Trackable::Bfd, &bfd.name));
    for (kind, name) in scripts.chain(files).chain(processes).chain(bfds) {
        if choose.yes() {
            let weight = choose.maybe(|choose| choose.of(&[0, 10, -253]));
            let reverse = weight.is_some() && choose.yes();
            let entry = TrackEntry { name: name.clone(), weight, reverse, at: Span::default() };
            track.entries_mut(kind).push(entry);
        }
    }
    track
}

/// One group of all instances, where there are two at least.
fn groups(choose: &mut Choices<'_>, config: &mut Config) -> Vec<SyncGroup> {
    if config.instances.len() < 2 || choose.yes() {
        return vec![];
    }
    let own =
        config.instances.iter().flat_map(|instance| &instance.track.interfaces).any(|entry| entry.weight.is_some());
    let named = config.instances.iter().any(|instance| instance.track.all().next().is_some());
    vec![SyncGroup {
        name: choose.of(&["G", "G 2", "include"]).to_owned(),
        at: Span::default(),
        members_at: vec![Span::default(); config.instances.len()],
        members: config.instances.iter().map(|instance| instance.name.clone()).collect(),
        tracking_weight: own || named || choose.yes(),
        track: Tracking {
            interfaces: choose.maybe(|choose| track_interface(choose, "eth9".parse().unwrap())).into_iter().collect(),
            ..track_named(choose, config)
        },
        notify: choose.notify(),
    }]
}
