//! The kernel's sync daemons: `IPVS_CMD_NEW_DAEMON` and its neighbours (`linux/ip_vs.h`). No socket here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::lvs::io::attribute::{AnswerError, Reader, Writer};
use crate::lvs::ipvsadm::{SyncDaemon, SyncRole};

/// `IPVS_CMD_ATTR_DAEMON`.
const DAEMON: u16 = 3;
// IPVS_DAEMON_ATTR_*
const STATE: u16 = 1;
const MCAST_IFN: u16 = 2;
const SYNC_ID: u16 = 3;
const SYNC_MAXLEN: u16 = 4;
const MCAST_GROUP: u16 = 5;
const MCAST_GROUP6: u16 = 6;
const MCAST_PORT: u16 = 7;
const MCAST_TTL: u16 = 8;
// IP_VS_STATE_*
const MASTER: u32 = 1;
const BACKUP: u32 = 2;

const fn state(role: SyncRole) -> u32 {
    match role {
        SyncRole::Master => MASTER,
        SyncRole::Backup => BACKUP,
    }
}

/// Start it; what is left at 0 gets the kernel's default.
pub(super) fn start_request(daemon: &SyncDaemon) -> Vec<u8> {
    let SyncDaemon { role, interface, sync_id, max_len, group, port, ttl } = daemon;
    let mut body = Writer::default();
    body.nest(DAEMON, |to| {
        to.u32(STATE, state(*role));
        to.name(MCAST_IFN, interface);
        to.u32(SYNC_ID, (*sync_id).into());
        if *max_len != 0 {
            to.u16(SYNC_MAXLEN, *max_len);
        }
        match group {
            Some(IpAddr::V4(group)) => to.bytes(MCAST_GROUP, &group.octets()),
            Some(IpAddr::V6(group)) => to.bytes(MCAST_GROUP6, &group.octets()),
            None => {}
        }
        if *port != 0 {
            to.u16(MCAST_PORT, *port);
        }
        if *ttl != 0 {
            to.u8(MCAST_TTL, *ttl);
        }
    });
    body.finish()
}

pub(super) fn stop_request(role: SyncRole) -> Vec<u8> {
    let mut body = Writer::default();
    body.nest(DAEMON, |to| to.u32(STATE, state(role)));
    body.finish()
}

/// A daemon that runs.
pub(super) fn read(body: &[u8]) -> Result<SyncDaemon, AnswerError> {
    let from = Reader::new(body).need(DAEMON, "sync daemon")?.nested();
    let role = match from.need(STATE, "sync state")?.u32("sync state")? {
        MASTER => SyncRole::Master,
        BACKUP => SyncRole::Backup,
        got => return Err(AnswerError::Value { name: "sync state", got: got.into() }),
    };
    let sync_id = from.need(SYNC_ID, "sync id")?.u32("sync id")?;
    let group4 = from.find(MCAST_GROUP)?.map(|group| group.array::<4>("multicast group")).transpose()?;
    let group6 = from.find(MCAST_GROUP6)?.map(|group| group.array::<16>("multicast group")).transpose()?;
    let group4 = group4.map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
    Ok(SyncDaemon {
        role,
        interface: from.need(MCAST_IFN, "multicast interface")?.name("multicast interface")?.to_owned(),
        sync_id: u8::try_from(sync_id).map_err(|_| AnswerError::Value { name: "sync id", got: sync_id.into() })?,
        max_len: from.find(SYNC_MAXLEN)?.map_or(Ok(0), |length| length.u16("longest message"))?,
        group: group6.map(|octets| IpAddr::V6(Ipv6Addr::from(octets))).or(group4),
        port: from.find(MCAST_PORT)?.map_or(Ok(0), |port| port.u16("multicast port"))?,
        ttl: from.find(MCAST_TTL)?.map_or(Ok(0), |ttl| ttl.u8("multicast ttl"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_is_read_as_it_was_asked_for() {
        let rows = [
            ("all given", Some("239.1.1.1".parse().unwrap()), 1400, 9000, 3),
            ("IPv6", Some("ff02::81".parse().unwrap()), 1452, 8848, 1),
            ("the kernel's defaults", None, 0, 0, 0),
        ];
        for (name, group, max_len, port, ttl) in rows {
            let interface = "eth0".to_owned();
            let daemon = SyncDaemon { role: SyncRole::Backup, interface, sync_id: 7, max_len, group, port, ttl };
            assert_eq!(read(&start_request(&daemon)), Ok(daemon), "{name}");
        }
        assert!(read(&[]).is_err());
    }
}
