//! What a configuration says, typed and with every default of its own block filled in; what a block inherits is
//! `None` until somebody asks the block above. It knows neither text nor system.

mod checker;
mod forwarding;
mod http;
mod notify;
mod route;
mod track;
mod vmac;

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU8;
use std::time::Duration;

use serde::{Serialize, Serializer};

pub use checker::{Checker, CheckerKind, DnsCheck, MiscCheck, UdpCheck};
pub use forwarding::{
    EbpfMode, GroupMember, LbKind, LocalAddressGroup, LocalAddresses, Persistence, Plane, Protocol, SyncDaemon,
    SysctlMode, Timeouts, VirtualServerGroup, VirtualServerId, Wrapping, WrappingChecksum,
};
pub use http::{GrpcCheck, GrpcTls, Header, HttpCheck, HttpVersion, HttpsCheck, Sni, TlsFiles, Url};
pub use notify::{HostScript, Mail, Notify, NotifyFifo, OnDeletion};
pub use route::{KernelRoute, KernelRule, Statics, TrackGroup};
pub use track::{
    ArgumentsMatch, BfdInstance, InitFile, MaxHops, TrackEntry, TrackFile, TrackInterface, TrackProcess, Trackable,
    Tracking, VrrpScript,
};
pub use vmac::Vmac;

use super::source::Span;
use crate::base::{AddressOptions, AdvertInterval, Cidr, Family, IfName, Priority, Vrid, Weight};

/// As the file writes it: a number of seconds.
fn seconds<S: Serializer, T: Into<Option<Duration>> + Copy>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    let value: Option<Duration> = (*value).into();
    value.map(|span| span.as_secs_f64()).serialize(to)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference to the field")]
fn interval_seconds<S: Serializer>(value: &AdvertInterval, to: S) -> Result<S::Ok, S::Error> {
    seconds(&value.duration(), to)
}

#[expect(clippy::ref_option, reason = "serde hands over a reference to the field")]
fn hexadecimal<S: Serializer, B: AsRef<[u8]>>(value: &Option<B>, to: S) -> Result<S::Ok, S::Error> {
    let text = |bytes: &B| bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    value.as_ref().map(text).serialize(to)
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Config {
    pub global: Global,
    /// `SSL`.
    pub tls: TlsFiles,
    pub track_groups: Vec<TrackGroup>,
    pub statics: Statics,
    pub scripts: Vec<VrrpScript>,
    pub track_files: Vec<TrackFile>,
    pub track_processes: Vec<TrackProcess>,
    pub bfds: Vec<BfdInstance>,
    pub garp_groups: Vec<GarpGroup>,
    pub link_delays: Vec<LinkDelay>,
    pub sync_groups: Vec<SyncGroup>,
    pub instances: Vec<VrrpInstance>,
    pub virtual_server_groups: Vec<VirtualServerGroup>,
    pub local_address_groups: Vec<LocalAddressGroup>,
    pub virtual_servers: Vec<VirtualServer>,
}

/// `global_defs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a keyword of the file, free of the others")]
pub struct Global {
    pub router_id: Option<String>,
    pub script_user: Option<ScriptUser>,
    pub script_security: bool,
    /// `vrrp_version`: what an IPv4 instance uses that names none.
    pub vrrp_version: Option<VrrpVersion>,
    pub mcast_group4: Option<std::net::Ipv4Addr>,
    pub mcast_group6: Option<std::net::Ipv6Addr>,
    pub garp: Garp,
    /// `vrrp_skip_check_adv_addr`.
    pub skip_check_adv_addr: bool,
    /// `vrrp_check_unicast_src`.
    pub check_unicast_src: bool,
    pub lower_prio_no_advert: bool,
    /// `vrrp_higher_prio_send_advert`; `None`: on.
    pub higher_prio_send_advert: Option<bool>,
    /// `vrrp_owner_ignore_adverts`.
    pub owner_ignore_adverts: bool,
    /// `v3_checksum_as_v2`.
    pub checksum_as_v2: bool,
    /// `vrrp_strict`: what is not in the RFC is refused.
    pub strict: bool,
    pub down_timer_adverts: Option<u8>,
    /// `vmac_prefix`.
    pub vmac_prefix: Option<String>,
    /// `vmac_addr_prefix`; `None`: as `vmac_prefix`.
    pub vmac_addr_prefix: Option<String>,
    /// `dynamic_interfaces`: an instance waits for an interface that is not there yet.
    pub dynamic_interfaces: bool,
    /// `default_interface`: where static addresses stand that name none.
    pub default_interface: Option<IfName>,
    pub process: Process,
    pub startup: HostScript,
    pub shutdown: HostScript,
    pub mail: Mail,
    /// `notify_fifo`.
    pub fifo: NotifyFifo,
    /// `vrrp_notify_fifo`.
    pub vrrp_fifo: NotifyFifo,
    /// `lvs_notify_fifo`.
    pub lvs_fifo: NotifyFifo,
    /// `vrrp_notify_priority_changes`.
    pub notify_priority_changes: bool,
    /// `fifo_write_vrrp_states_on_reload`.
    pub states_on_reload: bool,
    pub plane: Plane,
    pub ebpf_mode: EbpfMode,
    /// `lvs_ebpf_connections`, a keyword of ours; `None`: as many as the plane has by itself.
    pub ebpf_connections: Option<u32>,
    /// `lvs_expire_quiescent_template false`, a keyword of ours: persistent clients stay with a server of weight 0.
    pub quiescent_keeps: bool,
    pub sysctl: SysctlMode,
    /// `lvs_flush`.
    pub lvs_flush: bool,
    pub rs_init_notifies: bool,
    pub checker_log_all_failures: bool,
    /// `lvs_timeouts`.
    pub timeouts: Option<Timeouts>,
    /// `metrics_listen`, a keyword of ours.
    pub metrics: Option<SocketAddr>,
    /// `lvs_sync_daemon`, or `lvs_sync_daemon_interface` of an instance.
    pub sync_daemon: Option<SyncDaemon>,
}

/// How the heartbeat is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Process {
    /// `vrrp_rt_priority`, 1..=99.
    pub rt_priority: Option<NonZeroU8>,
    /// `vrrp_priority`: a nice value, -20..=19.
    pub nice: Option<i8>,
    /// `vrrp_no_swap`.
    pub no_swap: bool,
    /// `vrrp_rlimit_rttime`, written in microseconds.
    #[serde(serialize_with = "seconds")]
    pub rt_limit: Option<Duration>,
    /// `vrrp_startup_delay`.
    #[serde(serialize_with = "seconds")]
    pub startup_delay: Duration,
    /// `vrrp_delay_after_boot`.
    #[serde(serialize_with = "seconds")]
    pub uptime_min: Duration,
    /// `vip_fence`, a keyword of ours; `None`: where the plane is eBPF.
    pub fence: Option<bool>,
}

/// `script_user USER [GROUP]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScriptUser {
    pub user: String,
    pub group: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum VrrpVersion {
    V2,
    V3,
}

/// `garp_*` and `vrrp_garp_*`; `None`: the level above, at last keepalived's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Garp {
    #[serde(serialize_with = "seconds")]
    pub master_delay: Option<Duration>,
    pub master_repeat: Option<u32>,
    #[serde(serialize_with = "seconds")]
    pub master_refresh: Option<Duration>,
    pub master_refresh_repeat: Option<u32>,
    #[serde(serialize_with = "seconds")]
    pub lower_prio_delay: Option<Duration>,
    pub lower_prio_repeat: Option<u32>,
    /// `vrrp_garp_interval`, `garp_interval`.
    #[serde(serialize_with = "seconds")]
    pub interval: Option<Duration>,
    /// `vrrp_gna_interval`, `gna_interval`.
    #[serde(serialize_with = "seconds")]
    pub gna_interval: Option<Duration>,
    /// `vrrp_garp_extra_if`, `garp_extra_if`.
    pub extra: Option<ExtraGarp>,
}

/// `garp_extra_if [all] SECONDS`: announcements of addresses that stand elsewhere than their virtual router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ExtraGarp {
    /// Not only on interfaces that `use_vmac` made.
    pub all: bool,
    /// Zero: none.
    #[serde(serialize_with = "seconds")]
    pub interval: Duration,
}

/// `garp_group`: for the virtual routers on these interfaces, unless they say otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GarpGroup {
    #[serde(serialize_with = "seconds")]
    pub interval: Option<Duration>,
    #[serde(serialize_with = "seconds")]
    pub gna_interval: Option<Duration>,
    pub interfaces: Vec<IfName>,
}

/// One line of `interface_up_down_delays`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LinkDelay {
    pub interface: IfName,
    #[serde(skip)]
    pub at: Span,
    #[serde(serialize_with = "seconds")]
    pub down: Duration,
    #[serde(serialize_with = "seconds")]
    pub up: Duration,
}

/// A command that is split already: no shell is involved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Command {
    /// Program and arguments; never empty.
    pub argv: Vec<String>,
    pub user: Option<ScriptUser>,
    #[serde(skip)]
    pub at: Span,
}

/// `vrrp_sync_group NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SyncGroup {
    pub name: String,
    #[serde(skip)]
    pub at: Span,
    pub members: Vec<String>,
    /// Where each of them stands.
    #[serde(skip)]
    pub members_at: Vec<Span>,
    pub tracking_weight: bool,
    /// For all members.
    pub track: Tracking,
    pub notify: Notify,
}

impl VrrpInstance {
    /// The longest delay of its interface (`interface_up_down_delays`): one that goes down yields before its backups take over.
    pub fn link_delay_most(&self) -> Duration {
        self.interval.duration() * u32::from(self.down_timer_adverts).saturating_sub(1)
    }
}

/// `old_unicast_checksum`: alone `Always`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum OldUnicastChecksum {
    #[default]
    Auto,
    Always,
    Never,
}

/// `state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum InitialState {
    Master,
    Backup,
}

/// One line of `virtual_ipaddress`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VirtualAddress {
    pub cidr: Cidr,
    pub dev: Option<IfName>,
    #[serde(skip)]
    pub dev_at: Span,
    pub label: Option<String>,
    pub broadcast: Option<Broadcast>,
    /// `RT_SCOPE_*`; 0 is global.
    pub scope: u8,
    pub options: AddressOptions,
    /// `track_group`, of `static_ipaddress`.
    pub track_group: Option<String>,
    /// `use_vmac`, of virtual addresses.
    pub use_vmac: bool,
    #[serde(skip)]
    pub at: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Broadcast {
    /// `+`: the highest address of the prefix.
    Ones,
    /// `-`: the lowest.
    Zeros,
    Address(std::net::Ipv4Addr),
}

/// Where an instance stands, and what makes it the one that it is; what is not written is at its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InstanceAt {
    pub name: Span,
    pub interface: Span,
    pub vrid: Span,
}

/// `vrrp_instance NAME`. Only instances that could run are in the model: interface and VRID are there, in version 3 an
/// address too. A version 2 instance without addresses elects, and its scripts do the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a keyword of the file, free of the others")]
pub struct VrrpInstance {
    pub name: String,
    #[serde(skip)]
    pub at: InstanceAt,
    pub state: InitialState,
    pub interface: IfName,
    /// `use_vmac`.
    pub vmac: Option<Vmac>,
    /// `use_vmac_addr`: addresses elsewhere, or of the other family, have interfaces of their own too.
    pub vmac_addresses: bool,
    /// `accept` and `no_accept`: packets for the addresses are taken.
    pub accept: bool,
    pub vrid: Vrid,
    pub priority: Priority,
    #[serde(serialize_with = "interval_seconds")]
    pub interval: AdvertInterval,
    /// Decided: the instance's, the global one, 2 for IPv4 and 3 for IPv6.
    pub version: VrrpVersion,
    /// The family of the first virtual address, or of the unicast addresses.
    pub family: Family,
    /// Decided: `strict_mode`, or the global `vrrp_strict`.
    pub strict: bool,
    pub preempt: bool,
    #[serde(serialize_with = "seconds")]
    pub preempt_delay: Duration,
    /// At most 8 bytes.
    pub auth_pass: Option<String>,
    /// `auth_type AH`: the password is the key of an Authentication Header.
    pub auth_header: bool,
    /// `unicast_src_ip` or `mcast_src_ip`.
    pub source: Option<IpAddr>,
    /// Not empty: unicast.
    pub unicast_peers: Vec<UnicastPeer>,
    /// Without a peer it has a fault; else multicast is used.
    pub unicast_fault_no_peer: bool,
    /// `unicast_ttl`: of our adverts.
    pub unicast_ttl: Option<u8>,
    /// `mcast_dst_ip`; `None`: the global group.
    pub mcast_group: Option<IpAddr>,
    /// `v3_checksum_as_v2`.
    pub checksum_as_v2: bool,
    pub old_unicast_checksum: OldUnicastChecksum,
    /// `track_src_ip`.
    pub track_source: bool,
    pub check_unicast_src: bool,
    pub skip_check_adv_addr: bool,
    pub lower_prio_no_advert: bool,
    /// One advert before it yields to a higher priority.
    pub higher_prio_send_advert: bool,
    /// With priority 255 the adverts of others move nothing.
    pub owner_ignore_adverts: bool,
    pub down_timer_adverts: u8,
    pub garp: Garp,
    pub dont_track_primary: bool,
    pub track: Tracking,
    pub addresses: Vec<VirtualAddress>,
    pub excluded_addresses: Vec<VirtualAddress>,
    pub routes: Vec<KernelRoute>,
    pub rules: Vec<KernelRule>,
    /// `promote_secondaries`: the sysctl of the interface is set.
    pub promote_secondaries: bool,
    pub notify: Notify,
}

/// `ADDRESS [min_ttl INT] [max_ttl INT]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct UnicastPeer {
    pub addr: IpAddr,
    pub ttl_min: u8,
    pub ttl_max: u8,
}

/// `virtual_server`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a keyword of the file, free of the others")]
pub struct VirtualServer {
    pub id: VirtualServerId,
    #[serde(skip)]
    pub at: Span,
    /// Of the address, the group, or the real servers (fwmark).
    pub family: Family,
    /// ipvsadm's name of the scheduler: one of rr wrr lc wlc lblc lblcr dh sh sed nq fo ovf mh.
    pub lb_algo: &'static str,
    /// `flag-1` (sh-fallback, mh-fallback), `flag-2` (sh-port, mh-port), `flag-3`.
    pub sched_flags: [bool; 3],
    pub lb_kind: LbKind,
    /// `laddr_group_name`: a [`LocalAddressGroup`].
    pub local_addresses: Option<String>,
    /// `toa`, a keyword of ours.
    pub toa: bool,
    pub protocol: Protocol,
    pub ops: bool,
    pub persistence: Option<Persistence>,
    pub quorum: u32,
    pub hysteresis: u32,
    pub quorum_up: Option<Box<Command>>,
    pub quorum_down: Option<Box<Command>>,
    pub alpha: bool,
    pub omega: bool,
    /// Checked only while one of its addresses is on this host.
    pub ha_suspend: bool,
    /// `slow_start`; `None`: a server that comes up has its weight at once.
    #[serde(serialize_with = "seconds")]
    pub slow_start: Option<Duration>,
    /// `drain_time`; `None`: a server that leaves the configuration is removed at once.
    #[serde(serialize_with = "seconds")]
    pub drain_time: Option<Duration>,
    pub sorry_server: Option<SorryServer>,
    /// `sorry_server_inhibit`.
    pub sorry_inhibit: bool,
    pub inhibit_on_failure: bool,
    /// What checkers inherit.
    pub check: CheckDefaults,
    pub virtualhost: Option<String>,
    pub real_servers: Vec<RealServer>,
    /// `smtp_alert`; `None`: the global ones, off at last.
    pub mail: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SorryServer {
    pub addr: IpAddr,
    pub port: u16,
    /// `None`: the service's.
    pub lb_kind: Option<LbKind>,
}

/// Values that a checker takes from the blocks above it; `None`: the next block, at last the checker's built-in one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckDefaults {
    #[serde(serialize_with = "seconds")]
    pub delay_loop: Option<Duration>,
    #[serde(serialize_with = "seconds")]
    pub connect_timeout: Option<Duration>,
    pub retry: Option<u32>,
    #[serde(serialize_with = "seconds")]
    pub delay_before_retry: Option<Duration>,
    #[serde(serialize_with = "seconds")]
    pub warmup: Option<Duration>,
}

/// `real_server ADDR PORT`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RealServer {
    pub addr: IpAddr,
    pub port: u16,
    #[serde(skip)]
    pub at: Span,
    pub weight: Weight,
    /// `None`: the service's.
    pub lb_kind: Option<LbKind>,
    /// `None`: the service's.
    pub inhibit_on_failure: Option<bool>,
    pub upper_threshold: u32,
    pub lower_threshold: u32,
    /// `None`: the service's.
    pub alpha: Option<bool>,
    pub notify_up: Option<Box<Command>>,
    pub notify_down: Option<Box<Command>>,
    pub check: CheckDefaults,
    pub virtualhost: Option<String>,
    pub checkers: Vec<Checker>,
    /// `smtp_alert`; `None`: the global ones, on at last.
    pub mail: Option<bool>,
}
