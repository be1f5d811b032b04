//! What ipvsadm prints beside the table: `-S`, timeouts, sync daemons, help; and the table as JSON.

use std::net::Ipv4Addr;

use serde::Serialize;

use super::command::{SyncDaemon, SyncRole, Timeouts};
use super::name::{Names, place};
use crate::base::Family;
use crate::lvs::table::{Encapsulation, Forwarding, Protocol, ServiceKey, TunnelChecksum};
use crate::lvs::view::{DestinationRow, Header, Row, flag_words, mask_words, protocol_of};

/// Whose command line, options and words we speak.
pub const VERSION: &str = "ipvsadm v1.31 (as vipd speaks it, IPVS v1.2.1)\n";

/// `-h`.
pub const HELP: &str = "\
usage: vipd ipvsadm [--run-dir DIR] [--plane ipvs|ebpf] [--json] COMMAND

COMMAND is ipvsadm's; long options have ipvsadm's names.
  -A|-E SERVICE [-s SCHEDULER] [-b FLAGS] [-p [SECONDS]] [-M MASK] [--pe sip] [-o]     add, edit a service
  -D SERVICE                                                                           delete it
  -a|-e SERVICE -r SERVER [-g|-i|-m|-b] [-w WEIGHT] [-x UPPER] [-y LOWER] [TUNNEL]     add, edit a server
  -d SERVICE -r SERVER                                                                 delete it
  -L|-l [SERVICE] [-n] [--stats|--rate|--thresholds|--persistent-conn|--tun-info] [--exact] [--nosort]
  -L -c|--timeout|--daemon [-n]                         connections, timeouts, sync daemons
  -S [-n]                                               save the table as lines that -R takes
  -R                                                    carry out the lines of standard input
  -Z [SERVICE]                                          set the counters to zero
  -C                                                    delete every service
  --set TCP TCPFIN UDP                                  timeouts in seconds; 0 leaves one as it is
  --start-daemon master|backup [--mcast-interface IF] [--syncid ID] [--sync-maxlen BYTES]
      [--mcast-group ADDR] [--mcast-port PORT] [--mcast-ttl TTL]
  --stop-daemon master|backup

SERVICE: -t|-u|--sctp-service ADDR[:PORT], or -f MARK [-6]
SERVER: ADDR[:PORT]; -g routes (the default), -i tunnels, -m masquerades, -b is FullNat
TUNNEL: --tun-type ipip|gue|gre [--tun-port PORT] [--tun-nocsum|--tun-csum|--tun-remcsum]
SCHEDULER: rr wrr lc wlc lblc lblcr dh sh sed nq fo ovf mh; wlc is the default
FLAGS: flag-1 flag-2 flag-3, sh-fallback sh-port, mh-fallback mh-port, separated by commas
";

/// `-S`: a line for each service and server. Thresholds are left out, as ipvsadm 1.31 leaves them out.
pub fn save(rows: &[Row], names: &mut dyn Names) -> String {
    let mut text = String::new();
    for row in rows {
        let name = service_words(row.key, names);
        let Row { service, .. } = row;
        text.push_str(&format!("-A {name} -s {}", service.scheduler));
        if let Some(persistence) = service.persistence {
            text.push_str(&format!(" -p {}", persistence.timeout_s));
            if let Some(mask) = mask_words(row.key.family(), persistence.prefix_len) {
                text.push_str(&format!(" -M {mask}"));
            }
            if persistence.sip {
                text.push_str(" --pe sip");
            }
        }
        if service.one_packet {
            text.push_str(" -o");
        }
        let flags = flag_words(*service);
        if !flags.is_empty() {
            text.push_str(&format!(" -b {flags}"));
        }
        text.push('\n');
        for destination in &row.destinations {
            text.push_str(&server_line(&name, row.key, destination, names));
        }
    }
    text
}

fn service_words(key: ServiceKey, names: &mut dyn Names) -> String {
    match key {
        ServiceKey::Address { protocol, addr, port } => {
            let option = match protocol {
                Protocol::Tcp => "-t",
                Protocol::Udp => "-u",
                Protocol::Sctp => "--sctp-service",
            };
            format!("{option} {}", place(names, addr, port, Some(protocol)))
        }
        ServiceKey::Fwmark { mark, family: Family::V4 } => format!("-f {}", mark.get().cast_signed()),
        ServiceKey::Fwmark { mark, family: Family::V6 } => format!("-f {} -6", mark.get().cast_signed()),
    }
}

fn server_line(service: &str, key: ServiceKey, row: &DestinationRow, names: &mut dyn Names) -> String {
    let at = place(names, row.key.addr, row.key.port, protocol_of(key));
    let (method, tunnel) = match row.destination.forwarding {
        Forwarding::Masq => ("-m", String::new()),
        Forwarding::Route => ("-g", String::new()),
        Forwarding::FullNat => ("-b", String::new()),
        Forwarding::Tunnel(Encapsulation::Ipip) => ("-i", " --tun-type ipip".to_owned()),
        Forwarding::Tunnel(Encapsulation::Gue { port, checksum }) => {
            ("-i", format!(" --tun-type gue --tun-port {port} {}", checksum_word(checksum)))
        }
        Forwarding::Tunnel(Encapsulation::Gre { checksum }) => {
            ("-i", format!(" --tun-type gre {}", checksum_word(checksum)))
        }
    };
    format!("-a {service} -r {at} {method} -w {}{tunnel}\n", row.destination.weight.get())
}

const fn checksum_word(checksum: TunnelChecksum) -> &'static str {
    match checksum {
        TunnelChecksum::None => "--tun-nocsum",
        TunnelChecksum::Checksum => "--tun-csum",
        TunnelChecksum::Remote => "--tun-remcsum",
    }
}

/// `-L --timeout`.
pub fn timeouts(timeouts: Timeouts) -> String {
    let Timeouts { tcp_s, tcp_fin_s, udp_s } = timeouts;
    format!("Timeout (tcp tcpfin udp): {tcp_s} {tcp_fin_s} {udp_s}\n")
}

/// `-L --daemon`: a line for each that runs.
pub fn daemons(daemons: &[SyncDaemon]) -> String {
    let mut text = String::new();
    for daemon in daemons {
        let SyncDaemon { role, interface, sync_id, max_len, group, port, ttl } = daemon;
        let role = match role {
            SyncRole::Master => "master",
            SyncRole::Backup => "backup",
        };
        let group = group.unwrap_or(Ipv4Addr::new(224, 0, 0, 81).into());
        text.push_str(&format!(
            "{role} sync daemon (mcast={interface}, syncid={sync_id}, maxlen={max_len}, group={group}, port={port}, ttl={ttl})\n"
        ));
    }
    text
}

/// `--json`: the same as words and numbers.
pub fn json(header: Header, rows: &[Row]) -> Result<String, serde_json::Error> {
    #[derive(Serialize)]
    struct Document<'a> {
        version: String,
        size: u32,
        services: &'a [Row],
    }
    let (major, minor, patch) = header.version;
    let version = format!("{major}.{minor}.{patch}");
    serde_json::to_string_pretty(&Document { version, size: header.table_size, services: rows }).map(|text| text + "\n")
}
