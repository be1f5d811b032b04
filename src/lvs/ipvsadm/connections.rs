//! Connections: the kernel's list of them, and what `-Lc` prints.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::name::{Names, place};
use crate::lvs::table::Protocol;

/// An address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub addr: IpAddr,
    pub port: u16,
}

/// One connection, or a template of persistence (its client has port 0).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// `TCP`, `UDP`, `SCTP`; `IP` for a template of a firewall mark.
    pub protocol: String,
    pub expires_s: u32,
    pub state: String,
    pub client: End,
    pub service: End,
    pub destination: End,
    /// Name and data of the persistence engine.
    pub engine: Option<(String, String)>,
}

/// `-Lc`: with `engine` there are two columns more, filled where there is an engine.
pub fn list(connections: &[Connection], engine: bool, names: &mut dyn Names) -> String {
    let mut text = "IPVS connection entries\n".to_owned();
    let (state, source, target) = ("state", "source", "virtual");
    if engine {
        let (destination, name) = ("destination", "pe name");
        text.push_str(&format!(
            "pro expire {state:<11} {source:<18} {target:<18} {destination:<18} {name:<16} pe_data\n"
        ));
    } else {
        text.push_str(&format!("pro expire {state:<11} {source:<18} {target:<18} destination\n"));
    }
    for connection in connections {
        let protocol = match connection.protocol.as_str() {
            "TCP" => Some(Protocol::Tcp),
            "UDP" => Some(Protocol::Udp),
            _ => None,
        };
        let mut end = |end: End| place(names, end.addr, end.port, protocol);
        let (client, service) = (end(connection.client), end(connection.service));
        let destination = end(connection.destination);
        let expires = format!("{:02}:{:02}", connection.expires_s / 60, connection.expires_s % 60);
        let Connection { protocol, state, .. } = connection;
        text.push_str(&format!("{protocol:<3} {expires:<6} {state:<11} {client:<18} {service:<18} "));
        match &connection.engine {
            Some((name, data)) if engine => text.push_str(&format!("{destination:<18} {name:<16} {data}\n")),
            Some(_) | None => text.push_str(&format!("{destination}\n")),
        }
    }
    text
}

/// What `/proc/net/ip_vs_conn` says; lines that are none are left out.
pub fn read(text: &str) -> Vec<Connection> {
    text.lines().skip(1).filter_map(read_line).collect()
}

/// `TCP 0A00010A 9CFE 0A000164 0050 0A00020C 0050 TIME_WAIT 109 [engine data]` (`ip_vs_conn_seq_show`).
fn read_line(line: &str) -> Option<Connection> {
    let mut words = line.split_whitespace();
    let protocol = words.next()?.to_owned();
    let mut end = || Some(End { addr: address(words.next()?)?, port: u16::from_str_radix(words.next()?, 16).ok()? });
    let (client, service, destination) = (end()?, end()?, end()?);
    let (state, expires_s) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
    let engine = words.next().zip(words.next()).map(|(name, data)| (name.to_owned(), data.to_owned()));
    Some(Connection { protocol, expires_s, state, client, service, destination, engine })
}

/// IPv4 as eight hexadecimal digits, IPv6 as text.
fn address(word: &str) -> Option<IpAddr> {
    if word.contains(':') {
        return word.trim_matches(['[', ']']).parse().ok();
    }
    u32::from_str_radix(word, 16).ok().map(|bits| Ipv4Addr::from_bits(bits).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lvs::ipvsadm::Numeric;

    #[test]
    fn the_kernels_lines_are_printed_as_ipvsadm_prints_them() {
        let proc = "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n\
            TCP 0A00010A 8FEC 0A000164 0050 0A00020B 0050 TIME_WAIT        94\n\
            UDP fd00:0001:0000:0000:0000:0000:0000:0010 CA92 fd00:0001:0000:0000:0000:0000:0000:0100 0050 \
            fd00:0002:0000:0000:0000:0000:0000:0012 0050 UDP             293 sip call-1\n\
            nonsense\n";
        let connections = read(proc);
        assert_eq!(connections.len(), 2);
        assert_eq!(
            list(&connections, false, &mut Numeric),
            "IPVS connection entries\n\
            pro expire state       source             virtual            destination\n\
            TCP 01:34  TIME_WAIT   10.0.1.10:36844    10.0.1.100:80      10.0.2.11:80\n\
            UDP 04:53  UDP         [fd00:1::10]:51858 [fd00:1::100]:80   [fd00:2::12]:80\n"
        );
        let with_engine = list(&connections, true, &mut Numeric);
        let lines: Vec<_> = with_engine.lines().collect();
        assert_eq!(
            lines[1],
            "pro expire state       source             virtual            destination        pe name          pe_data"
        );
        assert_eq!(lines[2], "TCP 01:34  TIME_WAIT   10.0.1.10:36844    10.0.1.100:80      10.0.2.11:80");
        assert!(lines[3].ends_with("[fd00:2::12]:80    sip              call-1"), "{}", lines[3]);
    }
}
