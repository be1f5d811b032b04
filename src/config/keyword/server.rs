//! `virtual_server` and `real_server`.
//!
//! One row a line: block, word, form, tier, default, meaning, what vipd does.

use super::Context::{
    self, AgentCheck, BfdCheck, DnsCheck, FileCheck, GrpcCheck, HttpGet, MiscCheck, PingCheck, RealServer, SmtpCheck,
    SslGet, TcpCheck, UdpCheck, VirtualServer,
};
use super::Form::{Block, Bool, Command, Flag, Int, OneOf, Seconds, Word, Words};
use super::Service::{NoEffect, NotYet, Served};
use super::Standing::{Dpvs, Ours, Removed};
use super::Tier::{A, B, C};
use super::{ANY, Keyword, MAX, row};

const VS: &[Context] = &[VirtualServer];
const RS: &[Context] = &[RealServer];

const PARSED_ONLY: &str = "keepalived reads it and does nothing with it";

#[rustfmt::skip]
pub(super) const ROWS: &[Keyword] = &[
    row(VS, "ip_family", OneOf(&["inet", "inet6"]), C, "by addresses", "family for fwmark services", Served),
    row(VS, "retry", Int(1, MAX, ""), B, "checker default", "inherited by checkers", Served),
    row(VS, "delay_before_retry", Seconds("0", "4294"), B, "checker default", "inherited by checkers", Served),
    row(VS, "warmup", Seconds("0", "4294"), C, "delay_loop", "inherited by checkers", Served),
    row(VS, "connect_timeout", Seconds("0.000001", "4294"), B, "5", "inherited by checkers", Served),
    row(VS, "delay_loop", Seconds("0.000001", "4294"), A, "60", "check period", Served),
    row(VS, "inhibit_on_failure", Flag, B, "off", "weight 0 rather than removal", Served),
    row(VS, "lb_algo", OneOf(&["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq", "fo", "ovf", "twos"]), A, "wlc, with a complaint", "scheduler; lower case", Served),
    row(VS, "lvs_sched", OneOf(&["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq", "fo", "ovf", "twos"]), A, "wlc", "scheduler; the newer name of lb_algo", Served),
    row(VS, "hashed", Flag, C, "off", "scheduler flag; read and put aside", NoEffect(PARSED_ONLY)),
    row(VS, "ops", Flag, C, "off", "one packet scheduling, UDP only", Served),
    row(VS, "flag-1", Flag, C, "off", "scheduler flag", Served),
    row(VS, "flag-2", Flag, C, "off", "scheduler flag", Served),
    row(VS, "flag-3", Flag, C, "off", "scheduler flag", Served),
    row(VS, "sh-port", Flag, C, "off", "sh only, and only after lb_algo sh", Served),
    row(VS, "sh-fallback", Flag, C, "off", "sh only", Served),
    row(VS, "mh-port", Flag, C, "off", "mh only", Served),
    row(VS, "mh-fallback", Flag, C, "off", "mh only", Served),
    row(VS, "lb_kind", Words("NAT|DR|TUN|FNAT [type ipip|gue|gre] [port INT] [nocsum|csum|remcsum]", 1, ANY), A, "NAT, with a complaint", "forwarding; upper case; gue needs port", Served),
    row(VS, "lvs_method", Words("NAT|DR|TUN|FNAT [type ipip|gue|gre] [port INT] [nocsum|csum|remcsum]", 1, ANY), A, "NAT", "newer name of lb_kind", Served),
    row(VS, "persistence_engine", OneOf(&["sip"]), C, "none", "the Call-ID of SIP over UDP decides in place of the client's address; lvs_datapath ipvs", Served),
    row(VS, "persistence_timeout", Words("[INT s 1..2678400]", 0, 1), A, "off; 360 without value", "client stickiness; 0 is an error", Served),
    row(VS, "persistence_granularity", Word("NETMASK | INT 1..128"), B, "none", "turns persistence on (360 s)", Served),
    row(VS, "protocol", OneOf(&["TCP", "UDP", "SCTP"]), A, "UDP, with a complaint", "any case", Served),
    row(VS, "ha_suspend", Flag, B, "off", "check only while we hold the VIP; not for fwmark", Served),
    row(VS, "slow_start", Seconds("0.000001", "4294"), C, "-", "a server that comes up gets its weight step by step over this time", Served).standing(Ours),
    row(VS, "drain_time", Seconds("0.000001", "4294"), C, "-", "a server that leaves the configuration keeps its connections for so long, at weight 0", Served).standing(Ours),
    row(VS, "smtp_alert", Bool, B, "smtp_alert_checker, smtp_alert, false", "mail on quorum changes", Served),
    row(VS, "virtualhost", Word("STRING"), A, "-", "Host header inherited by HTTP/SSL_GET", Served).complains(),
    row(VS, "snmp_name", Word("NAME"), C, "-", "name shown over SNMP", NotYet).complains().strict(),
    row(VS, "alpha", Flag, B, "off", "real servers start down until a check succeeds", Served),
    row(VS, "omega", Flag, B, "off", "run down notifies at shutdown", Served),
    row(VS, "quorum_up", Command(true), B, "-", "script on gaining quorum", Served),
    row(VS, "quorum_down", Command(true), B, "-", "script on losing quorum", Served),
    row(VS, "quorum", Int(1, MAX, ""), B, "1", "weight sum needed; lowered to the total if larger", Served),
    row(VS, "hysteresis", Int(0, MAX, ""), B, "0", "margin; must stay below quorum", Served),
    row(VS, "weight", Int(1, 2_147_483_647, ""), C, "1", "default for real servers", Served),
    row(VS, "sorry_server", Words("ADDRESS [PORT]", 1, 2), A, "-", "used while quorum is lost", Served),
    row(VS, "sorry_server_inhibit", Flag, C, "off", "inhibit rule for the sorry server; after sorry_server", Served),
    row(VS, "sorry_server_lvs_method", Words("NAT|DR|TUN|FNAT [type ipip|gue|gre] [port INT] [nocsum|csum|remcsum]", 1, ANY), C, "that of the service", "forwarding of the sorry server", Served).complains(),
    row(VS, "real_server", Block("ADDRESS [PORT]", 1, 2, RealServer), A, "port of the service", "backend; at least one", Served),
    row(RS, "weight", Int(0, 2_147_483_647, ""), A, "service weight", "IPVS weight", Served),
    row(RS, "lvs_method", Words("NAT|DR|TUN|FNAT [type ipip|gue|gre] [port INT] [nocsum|csum|remcsum]", 1, ANY), B, "that of the service", "forwarding", Served),
    row(RS, "uthreshold", Int(0, MAX, ""), C, "0", "upper connection limit", Served),
    row(RS, "lthreshold", Int(0, MAX, ""), C, "0", "lower connection limit", Served),
    row(RS, "inhibit_on_failure", Bool, A, "service", "weight 0 rather than removal", Served),
    row(RS, "notify_up", Command(true), A, "-", "script when up", Served),
    row(RS, "notify_down", Command(true), A, "-", "script when down", Served),
    row(RS, "alpha", Bool, C, "service", "start down", Served),
    row(RS, "retry", Int(1, MAX, ""), C, "service", "inherited by checkers", Served),
    row(RS, "delay_before_retry", Seconds("0", "4294"), C, "service", "inherited by checkers", Served),
    row(RS, "warmup", Seconds("0", "4294"), C, "service", "inherited by checkers", Served),
    row(RS, "connect_timeout", Seconds("0.000001", "4294"), C, "service", "inherited by checkers", Served),
    row(RS, "delay_loop", Seconds("0.000001", "4294"), C, "service", "inherited by checkers", Served),
    row(RS, "smtp_alert", Bool, B, "smtp_alert_checker, smtp_alert, true", "mail on changes; on by default here", Served),
    row(RS, "virtualhost", Word("STRING"), B, "service", "Host header", Served).complains(),
    row(RS, "snmp_name", Word("NAME"), C, "-", "name shown over SNMP", NotYet).complains().strict(),
    row(RS, "TCP_CHECK", Block("", 0, 0, TcpCheck), A, "-", "connect test", Served),
    row(RS, "HTTP_GET", Block("", 0, 0, HttpGet), A, "-", "HTTP test", Served),
    row(RS, "SSL_GET", Block("", 0, 0, SslGet), A, "-", "HTTPS test", Served),
    row(RS, "MISC_CHECK", Block("", 0, 0, MiscCheck), A, "-", "script test", Served),
    row(RS, "SMTP_CHECK", Block("", 0, 0, SmtpCheck), B, "-", "SMTP test", Served),
    row(RS, "DNS_CHECK", Block("", 0, 0, DnsCheck), B, "-", "DNS query over UDP", Served),
    row(RS, "UDP_CHECK", Block("", 0, 0, UdpCheck), B, "-", "UDP datagram test", Served),
    row(RS, "PING_CHECK", Block("", 0, 0, PingCheck), B, "-", "ICMP echo test", Served),
    row(RS, "AGENT_CHECK", Block("", 0, 0, AgentCheck), C, "-", "health and weight by HAProxy's agent protocol", Served).standing(Ours),
    row(RS, "GRPC_CHECK", Block("", 0, 0, GrpcCheck), C, "-", "grpc.health.v1 test", Served).standing(Ours),
    row(RS, "FILE_CHECK", Block("", 0, 0, FileCheck), C, "-", "the number in a track_file changes the weight, or takes the real server down", Served),
    row(RS, "BFD_CHECK", Block("", 0, 0, BfdCheck), C, "-", "a BFD session as check", Served),
    row(VS, "toa", Bool, C, "off", "FullNat over TCP hands the client's address on to the real server, by an option (254) of the handshake", Served).standing(Ours),
    row(VS, "laddr_group_name", Word("NAME"), C, "-", "the local_address_group that FullNat takes its source addresses from", Served).standing(Dpvs),
    row(VS, "nat_mask", Word("NETMASK"), C, "-", "netmask of NAT on Linux 2.2; gone since keepalived 1.2.20", NotYet).standing(Removed("delete the line: nothing needs it")),
    row(VS, "net_mask", Word("NETMASK"), C, "-", "meant as nat_mask, which is gone too", NotYet).standing(Removed("delete the line: nothing needs it")),
    row(RS, "lb_kind", Word("WORD"), C, "-", "the forwarding of one real server goes by another name", NotYet).standing(Removed("write `lvs_method`")),
];
