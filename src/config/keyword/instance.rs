//! `vrrp_instance`, and the groups of instances.
//!
//! One row a line: block, word, form, tier, default, meaning, what vipd does.

use super::Context::{
    self, Addresses, AuthHmac, Authentication, GarpGroup, Instance, Names, Peers, Routes, Rules, SyncGroup, TrackGroup,
    Trackers,
};
use super::Form::{Address, Block, Bool, Command, Flag, Int, Maybe, OneOf, Seconds, Word, Words};
use super::Service::{NoEffect, NotYet, Served};
use super::Standing::{Deprecated, New, OldName, Removed};
use super::Tier::{A, B, C};
use super::{ANY, Keyword, MAX, row};

const SYNC: &[Context] = &[SyncGroup];
const GARP: &[Context] = &[GarpGroup];
const TRACK_GROUP: &[Context] = &[TrackGroup];
const INSTANCE: &[Context] = &[Instance];
const AUTH: &[Context] = &[Authentication];
const HMAC: &[Context] = &[AuthHmac];

const LINKS: &str = "vipd takes the state of links from the kernel, which tells every change";
pub(super) const BUFFERS: &str =
    "each VRRP socket of vipd has room for a megabyte of packets, beyond the system's limit";
const LISTENS: &str = "vipd listens before it speaks whenever it slept past its Active_Down";
const PARSED_ONLY: &str = "keepalived reads it and does nothing with it";

#[rustfmt::skip]
pub(super) const ROWS: &[Keyword] = &[
    row(TRACK_GROUP, "group", Block("", 0, 0, Names), C, "-", "member instances", Served).strict(),
    row(SYNC, "group", Block("", 0, 0, Names), A, "required", "member instances, one or more per line", Served).strict(),
    row(SYNC, "track_interface", Block("", 0, 0, Trackers), B, "-", "interface tracking for all members", Served).strict(),
    row(SYNC, "track_script", Block("", 0, 0, Trackers), B, "-", "script tracking for all members", Served).strict(),
    row(SYNC, "track_file", Block("", 0, 0, Trackers), C, "-", "file tracking for all members", Served).strict(),
    row(SYNC, "track_process", Block("", 0, 0, Trackers), C, "-", "process tracking for all members", Served).strict(),
    row(SYNC, "track_bfd", Block("", 0, 0, Trackers), C, "-", "BFD tracking for all members", Served).strict(),
    row(SYNC, "notify_backup", Command(true), B, "-", "script when the group enters BACKUP", Served),
    row(SYNC, "notify_master", Command(true), B, "-", "script when the group enters MASTER", Served),
    row(SYNC, "notify_fault", Command(true), B, "-", "script when the group enters FAULT", Served),
    row(SYNC, "notify_stop", Command(true), C, "-", "script at shutdown", Served),
    row(SYNC, "notify", Command(true), B, "-", "script for each change; gets GROUP NAME STATE 0", Served),
    row(SYNC, "smtp_alert", Bool, B, "inherited", "mail on group changes", Served),
    row(SYNC, "global_tracking", Flag, C, "off", "acts as sync_group_tracking_weight", Served).standing(Deprecated("write `sync_group_tracking_weight`")),
    row(SYNC, "sync_group_tracking_weight", Flag, C, "off", "allow weighted trackers on members", Served),
    row(SYNC, "notify_priority_changes", Bool, C, "inherited", "FIFO priority events of members", Served),
    row(GARP, "garp_interval", Seconds("0", "4294"), C, "-", "gap between GARPs", Served),
    row(GARP, "gna_interval", Seconds("0", "4294"), C, "-", "gap between NAs", Served),
    row(GARP, "interface", Word("IFNAME"), C, "-", "one interface of the group", Served),
    row(GARP, "interfaces", Block("", 0, 0, Names), C, "-", "interfaces sharing one limit", Served).strict(),
    row(INSTANCE, "use_vmac", Words("[NAME] [MAC] [name NAME] [netlink_notify_msg] [group GROUP]", 0, ANY), B, "off", "macvlan with the VRRP MAC; default name vrrp.VRID or vrrp6.VRID", Served),
    row(INSTANCE, "use_vmac_addr", Flag, C, "off", "VMACs also for VIPs on other interfaces", Served),
    row(INSTANCE, "vmac_xmit_base", Flag, B, "off", "send adverts from the base interface", Served),
    row(INSTANCE, "use_ipvlan", Words("[NAME] [ADDRESS] [name NAME] [bridge|private|vepa]", 0, ANY), C, "off", "ipvlan interface for the VIPs", NotYet),
    row(INSTANCE, "unicast_peer", Block("", 0, 0, Peers), A, "-", "send adverts to these addresses", Served).strict(),
    row(INSTANCE, "unicast_fault_no_peer", Flag, C, "off", "FAULT rather than multicast if no peer is given", Served),
    row(INSTANCE, "check_unicast_src", Flag, C, "off", "drop adverts not from a peer", Served),
    row(INSTANCE, "old_unicast_checksum", Maybe(&["never"]), C, "auto", "checksum of keepalived < 1.3.7 peers", Served),
    row(INSTANCE, "native_ipv6", Flag, C, "off", "legacy: force IPv6 and version 3", Served),
    row(INSTANCE, "state", OneOf(&["MASTER", "BACKUP"]), A, "BACKUP (MASTER if priority 255)", "wanted initial state; upper case only", Served),
    row(INSTANCE, "interface", Word("IFNAME <=15"), A, "required unless unicast with source", "interface of the instance; not lo", Served),
    row(INSTANCE, "vrf", Word("IFNAME"), C, "-", "VRF for unicast without interface", NotYet),
    row(INSTANCE, "dont_track_primary", Flag, B, "off", "ignore faults of the instance's own interface", Served),
    row(INSTANCE, "track_interface", Block("", 0, 0, Trackers), A, "-", "weight 0 means fault when down", Served).strict(),
    row(INSTANCE, "track_script", Block("", 0, 0, Trackers), A, "weight of the script", "scripts to track", Served).strict(),
    row(INSTANCE, "track_file", Block("", 0, 0, Trackers), B, "weight of the file", "files to track", Served).strict(),
    row(INSTANCE, "track_process", Block("", 0, 0, Trackers), B, "weight of the process", "processes to track", Served).strict(),
    row(INSTANCE, "track_bfd", Block("", 0, 0, Trackers), B, "weight of the session", "BFD sessions to track", Served).strict(),
    row(INSTANCE, "mcast_src_ip", Address, A, "first address of interface", "source of multicast adverts", Served),
    row(INSTANCE, "unicast_src_ip", Address, A, "first address of interface", "source of unicast adverts", Served),
    row(INSTANCE, "mcast_dst_ip", Word("MCAST"), C, "global group", "advert destination of this instance", Served),
    row(INSTANCE, "track_src_ip", Flag, C, "off", "FAULT while the source address is absent", Served),
    row(INSTANCE, "virtual_router_id", Int(1, 255, ""), A, "required", "VRID", Served),
    row(INSTANCE, "unicast_ttl", Int(0, 255, ""), C, "255 (IPv6: kernel)", "TTL of unicast adverts", Served),
    row(INSTANCE, "version", OneOf(&["2", "3"]), B, "global vrrp_version; 3 for IPv6", "VRRP version", Served),
    row(INSTANCE, "priority", Int(1, 255, ""), A, "100 (255 if state MASTER and none given)", "election priority; 255 is address owner", Served),
    row(INSTANCE, "advert_int", Seconds("0.01", "255"), A, "1", "v2: rounded to whole seconds; v3: 10 ms steps, below 40.96", Served),
    row(INSTANCE, "virtual_ipaddress", Block("", 0, 0, Addresses), A, "one wanted; required for v3 and strict", "advertised addresses of one family", Served).strict(),
    row(INSTANCE, "virtual_ipaddress_excluded", Block("", 0, 0, Addresses), B, "-", "addresses set but not advertised; any family", Served).strict(),
    row(INSTANCE, "no_virtual_ipaddress", Flag, C, "off", "allow an instance without VIPs", NotYet).standing(New),
    row(INSTANCE, "promote_secondaries", Flag, C, "off", "set the sysctl of that name on the interface", Served),
    row(INSTANCE, "linkbeat_use_polling", Flag, C, "off", "see linkbeat_interfaces", NoEffect(LINKS)).standing(Deprecated("write `linkbeat_interfaces`")),
    row(INSTANCE, "v3_checksum_as_v2", Bool, C, "global", "VRRPv3 IPv4 checksum without pseudo header", Served).standing(New),
    row(INSTANCE, "virtual_routes", Block("", 0, 0, Routes), B, "-", "routes held while master", Served).strict(),
    row(INSTANCE, "virtual_rules", Block("", 0, 0, Rules), B, "-", "policy rules held while master", Served).strict(),
    row(INSTANCE, "accept", Flag, B, "on unless strict", "accept packets for the VIPs", Served),
    row(INSTANCE, "no_accept", Flag, C, "off", "drop packets for the VIPs by firewall", Served),
    row(INSTANCE, "skip_check_adv_addr", Bool, C, "global", "any valid value turns it on", Served),
    row(INSTANCE, "strict_mode", Bool, C, "global vrrp_strict", "strict behaviour for this instance", Served),
    row(INSTANCE, "preempt", Flag, B, "on", "undo nopreempt", Served),
    row(INSTANCE, "nopreempt", Flag, A, "off", "do not take over a lower priority master; state must be BACKUP", Served),
    row(INSTANCE, "preempt_delay", Seconds("0", "1000"), B, "0", "wait before taking over a lower priority master", Served),
    row(INSTANCE, "debug", Words("INT 0..4", 1, 1), B, "0", "debug level; read and put aside", NoEffect(PARSED_ONLY)),
    row(INSTANCE, "notify_backup", Command(true), A, "-", "script on BACKUP", Served),
    row(INSTANCE, "notify_master", Command(true), A, "-", "script on MASTER", Served),
    row(INSTANCE, "notify_fault", Command(true), A, "-", "script on FAULT", Served),
    row(INSTANCE, "notify_stop", Command(true), B, "-", "script at shutdown, given 1 s", Served),
    row(INSTANCE, "notify_deleted", Words("[COMMAND [USER [GROUP]]]", 0, 3), C, "send FAULT", "script and DELETED state when removed by reload", Served),
    row(INSTANCE, "notify", Command(true), A, "-", "script on each change; gets INSTANCE NAME STATE PRIO", Served),
    row(INSTANCE, "notify_master_rx_lower_pri", Command(true), C, "-", "script when a master hears a lower priority advert", Served),
    row(INSTANCE, "smtp_alert", Bool, A, "smtp_alert_vrrp, smtp_alert, false", "mail on changes", Served),
    row(INSTANCE, "notify_priority_changes", Bool, C, "group or global", "FIFO priority events", Served),
    row(INSTANCE, "lvs_sync_daemon_interface", Word("IFNAME"), A, "-", "interface of the IPVS connection sync daemon", Served).standing(Deprecated("write `lvs_sync_daemon IFNAME inst NAME` in `global_defs`")),
    row(INSTANCE, "garp_master_delay", Int(0, 4_294, "s"), B, "5", "delay of second GARP burst", Served),
    row(INSTANCE, "garp_master_refresh", Int(0, MAX, "s"), B, "0", "GARP refresh period", Served),
    row(INSTANCE, "garp_master_repeat", Int(1, MAX, ""), B, "5", "GARPs per burst", Served),
    row(INSTANCE, "garp_master_refresh_repeat", Int(1, MAX, ""), B, "1", "GARPs per refresh", Served),
    row(INSTANCE, "garp_lower_prio_delay", Int(0, 4_294, "s"), C, "global", "delay of the second burst after a lower priority advert", Served),
    row(INSTANCE, "garp_lower_prio_repeat", Int(0, MAX, ""), C, "global", "GARPs after a lower priority advert; 0: none", Served),
    row(INSTANCE, "down_timer_adverts", Int(1, 100, ""), C, "3", "missed adverts before takeover", Served),
    row(INSTANCE, "timer_expired_backup", Words("[INT 1..254]", 0, 1), C, "off", "on late timers go BACKUP; needs nopreempt", NoEffect(LISTENS)).standing(New),
    row(INSTANCE, "thread_timer_expired", Words("[INT 1..254]", 0, 1), C, "off", "misnamed synonym of timer_expired_backup", NoEffect(LISTENS)).standing(New).standing(OldName("timer_expired_backup")),
    row(INSTANCE, "garp_extra_if", Words("[all] INT s 0..86400", 1, 2), C, "0", "periodic GARP on interfaces of addresses other than its own", Served).complains(),
    row(INSTANCE, "vmac_garp_intvl", Words("[all] INT s", 1, 2), C, "0", "old name of garp_extra_if", Served).complains().standing(Deprecated("write `garp_extra_if`")),
    row(INSTANCE, "lower_prio_no_advert", Bool, C, "global", "do not answer a lower priority advert", Served),
    row(INSTANCE, "higher_prio_send_advert", Bool, C, "global", "send one advert before yielding to a higher priority", Served),
    row(INSTANCE, "owner_ignore_adverts", Bool, C, "global", "drop received adverts at priority 255", Served).standing(New),
    row(INSTANCE, "kernel_rx_buf_size", Int(0, MAX, "bytes"), C, "policy", "receive buffer", NoEffect(BUFFERS)).complains(),
    row(INSTANCE, "authentication", Block("", 0, 0, Authentication), A, "-", "VRRPv2 authentication", Served),
    row(INSTANCE, "auth_hmac", Block("", 0, 0, AuthHmac), C, "-", "HMAC trailer on adverts; keepalived only", NotYet).standing(New),
    row(AUTH, "auth_type", OneOf(&["PASS", "AH"]), A, "none", "plain password or IPsec AH; refused for v3 and strict", Served),
    row(AUTH, "auth_pass", Word("STRING"), A, "required with auth_type", "shared password", Served),
    row(HMAC, "key", Words("INT ASCII|hex:HEX|file:PATH", 2, 2), C, "-", "one key by id", NotYet),
    row(HMAC, "active_key", Int(1, 255, ""), C, "required", "key used for sending", NotYet),
    row(HMAC, "time_window", Int(1, 300, "s"), C, "3 x advert_int, 5..300", "freshness window", NotYet),
    row(HMAC, "anti_replay", OneOf(&["time", "monotonic"]), C, "time", "replay protection", NotYet),
    row(HMAC, "mode", OneOf(&["enforce", "permissive", "receive-only"]), C, "enforce", "what to do with adverts that lack it", NotYet),
    row(INSTANCE, "lvs_sync_daemon_inteface", Word("IFNAME"), C, "-", "a misspelling from old documents", NotYet).standing(Removed("write `lvs_sync_daemon IFNAME inst NAME` in `global_defs`")),
];
