//! `virtual_server` to pools of the forwarding plane.

use std::net::IpAddr;

use crate::base::Family;
use crate::config::model;
use crate::lvs::datapath::Locals;
use crate::lvs::ipvsadm::{SyncDaemon, SyncRole, Timeouts};
use crate::lvs::pool::{PoolId, PoolSettings, RealServer, SorryServer, Start};
use crate::lvs::table::{
    DestinationKey, Encapsulation, Forwarding, Persistence, Protocol, SchedulerFlags, Service, ServiceKey,
    TunnelChecksum,
};

use super::TranslateError;

/// A virtual server of the file beside the pool made of it.
pub type Pools<'a> = Vec<(&'a model::VirtualServer, PoolSettings)>;

pub fn pools<'a>(
    servers: &'a [model::VirtualServer],
    groups: &[model::VirtualServerGroup],
    locals: &[model::LocalAddressGroup],
    init_notifies: bool,
) -> Result<Pools<'a>, TranslateError> {
    servers.iter().map(|server| Ok((server, pool(server, groups, locals, init_notifies)?))).collect()
}

fn pool(
    server: &model::VirtualServer,
    groups: &[model::VirtualServerGroup],
    locals: &[model::LocalAddressGroup],
    init_notifies: bool,
) -> Result<PoolSettings, TranslateError> {
    let model::VirtualServer {
        id,
        at: _,
        family,
        lb_algo,
        sched_flags: [one, two, three],
        lb_kind,
        local_addresses,
        toa,
        protocol,
        ops,
        persistence,
        quorum,
        hysteresis,
        quorum_up: _,
        quorum_down: _,
        alpha,
        omega,
        ha_suspend: _,
        slow_start,
        drain_time,
        sorry_server,
        sorry_inhibit,
        inhibit_on_failure,
        check: _,
        virtualhost: _,
        real_servers,
        mail: _,
    } = server;
    let protocol = protocol_of(*protocol);
    let services = services(id, protocol, *family, groups)?;
    Ok(PoolSettings {
        id: pool_id(id, &services, protocol, *family),
        services,
        service: Service {
            scheduler: lb_algo.parse()?,
            flags: SchedulerFlags { one: *one, two: *two, three: *three },
            persistence: persistence.map(|kept| Persistence {
                timeout_s: kept.timeout_s,
                prefix_len: kept.prefix_len.unwrap_or(family.bits()),
                sip: kept.sip,
            }),
            one_packet: *ops,
        },
        locals: Locals { addresses: of_local_group(local_addresses.as_deref(), locals, *family), toa: *toa },
        quorum: *quorum,
        hysteresis: *hysteresis,
        omega: *omega,
        sorry_server: sorry_server.map(|sorry| {
            let model::SorryServer { addr, port, lb_kind: own } = sorry;
            SorryServer {
                address: DestinationKey { addr, port },
                forwarding: forwarding(own.unwrap_or(*lb_kind)),
                inhibit: *sorry_inhibit,
            }
        }),
        slow_start: slow_start.unwrap_or_default(),
        drain_time: drain_time.unwrap_or_default(),
        init_notifies,
        real_servers: real_servers
            .iter()
            .map(|real| (key(real), real_server(real, *lb_kind, *alpha, *inhibit_on_failure)))
            .collect(),
    })
}

/// One service names its pool; those of a group are named together.
fn pool_id(id: &model::VirtualServerId, services: &[ServiceKey], protocol: Protocol, family: Family) -> PoolId {
    match (id, services) {
        (model::VirtualServerId::Group { name }, _) => PoolId::Group { name: name.clone(), protocol },
        (_, [service, ..]) => PoolId::Service(*service),
        (model::VirtualServerId::Address { addr, port }, []) => {
            PoolId::Service(ServiceKey::Address { protocol, addr: *addr, port: *port })
        }
        (model::VirtualServerId::Fwmark { mark }, []) => PoolId::Service(ServiceKey::Fwmark { mark: *mark, family }),
    }
}

/// The addresses without which its checks rest; not for one that has none.
pub fn suspended(server: &model::VirtualServer, pool: &PoolSettings) -> Option<(String, Vec<IpAddr>)> {
    let address = |service: &ServiceKey| match service {
        ServiceKey::Address { addr, .. } => Some(*addr),
        ServiceKey::Fwmark { .. } => None,
    };
    let addresses: Vec<IpAddr> = pool.services.iter().filter_map(address).collect();
    (server.ha_suspend && !addresses.is_empty()).then(|| (pool.id.to_string(), addresses))
}

/// What names a real server within its pool.
pub const fn key(real: &model::RealServer) -> DestinationKey {
    DestinationKey { addr: real.addr, port: real.port }
}

fn real_server(real: &model::RealServer, service: model::LbKind, alpha: bool, inhibit: bool) -> RealServer {
    let model::RealServer {
        addr: _,
        port: _,
        at: _,
        weight,
        lb_kind,
        inhibit_on_failure,
        upper_threshold,
        lower_threshold,
        alpha: own_alpha,
        notify_up: _,
        notify_down: _,
        check: _,
        virtualhost: _,
        checkers,
        mail: _,
    } = real;
    let alpha = own_alpha.unwrap_or(alpha);
    let starts_down = checkers.iter().any(|checker| checker.alpha.unwrap_or(alpha));
    RealServer {
        forwarding: forwarding(lb_kind.unwrap_or(service)),
        weight: *weight,
        inhibit_on_failure: inhibit_on_failure.unwrap_or(inhibit),
        upper_threshold: *upper_threshold,
        lower_threshold: *lower_threshold,
        start: match (checkers.is_empty(), starts_down) {
            (true, _) => Start::Unchecked,
            (false, true) => Start::Down,
            (false, false) => Start::Up,
        },
    }
}

fn services(
    id: &model::VirtualServerId,
    protocol: Protocol,
    family: Family,
    groups: &[model::VirtualServerGroup],
) -> Result<Vec<ServiceKey>, TranslateError> {
    match id {
        model::VirtualServerId::Address { addr, port } => {
            Ok(vec![ServiceKey::Address { protocol, addr: *addr, port: *port }])
        }
        model::VirtualServerId::Fwmark { mark } => Ok(vec![ServiceKey::Fwmark { mark: *mark, family }]),
        model::VirtualServerId::Group { name } => {
            let group = groups.iter().find(|group| group.name == *name);
            let group = group.ok_or_else(|| TranslateError::NoGroup { name: name.clone() })?;
            Ok(group.members.iter().flat_map(|member| of_group(member, protocol, family)).collect())
        }
    }
}

/// Addresses of the service's own family; a group that is not there is told by `vipd check`.
fn of_local_group(name: Option<&str>, groups: &[model::LocalAddressGroup], family: Family) -> Vec<IpAddr> {
    let group = groups.iter().find(|group| Some(group.name.as_str()) == name);
    let all = group.into_iter().flat_map(model::LocalAddressGroup::addresses);
    all.filter(|addr| Family::of(*addr) == family).collect()
}

fn of_group(member: &model::GroupMember, protocol: Protocol, family: Family) -> Vec<ServiceKey> {
    match member {
        model::GroupMember::Addresses { addresses, ports } => {
            let of = |addr: &IpAddr| {
                let addr = *addr;
                ports.clone().map(move |port| ServiceKey::Address { protocol, addr, port })
            };
            addresses.iter().flat_map(of).collect()
        }
        model::GroupMember::Fwmark(mark) => vec![ServiceKey::Fwmark { mark: *mark, family }],
    }
}

/// What the file does not set is 0: it stays as it is.
pub fn timeouts(timeouts: model::Timeouts) -> Timeouts {
    let model::Timeouts { tcp_s, tcp_fin_s, udp_s } = timeouts;
    Timeouts {
        tcp_s: tcp_s.unwrap_or_default(),
        tcp_fin_s: tcp_fin_s.unwrap_or_default(),
        udp_s: udp_s.unwrap_or_default(),
    }
}

/// The sync daemons of IPVS, and whom they follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sync {
    /// The role apart.
    daemon: SyncDaemon,
    /// The virtual router whose state is the role; `None`: both daemons run.
    pub instance: Option<String>,
}

impl Sync {
    /// The daemons of a director whose virtual router is Active, or not.
    pub fn daemons(&self, active: bool) -> Vec<SyncDaemon> {
        let roles: &[SyncRole] = match (&self.instance, active) {
            (None, _) => &[SyncRole::Master, SyncRole::Backup],
            (Some(_), true) => &[SyncRole::Master],
            (Some(_), false) => &[SyncRole::Backup],
        };
        roles.iter().map(|role| SyncDaemon { role: *role, ..self.daemon.clone() }).collect()
    }
}

pub fn sync(daemon: &model::SyncDaemon, instances: &[model::VrrpInstance]) -> Sync {
    let model::SyncDaemon { interface, at: _, instance, id, max_len, port, ttl, group } = daemon;
    let follows = instances.iter().find(|one| Some(&one.name) == instance.as_ref());
    Sync {
        daemon: SyncDaemon {
            role: SyncRole::Backup,
            interface: interface.to_string(),
            sync_id: id.or(follows.map(|one| one.vrid.get())).unwrap_or_default(),
            max_len: max_len.unwrap_or_default(),
            group: *group,
            port: port.unwrap_or_default(),
            ttl: ttl.unwrap_or_default(),
        },
        instance: instance.clone(),
    }
}

const fn protocol_of(protocol: model::Protocol) -> Protocol {
    match protocol {
        model::Protocol::Tcp => Protocol::Tcp,
        model::Protocol::Udp => Protocol::Udp,
        model::Protocol::Sctp => Protocol::Sctp,
    }
}

const fn forwarding(kind: model::LbKind) -> Forwarding {
    match kind {
        model::LbKind::Nat => Forwarding::Masq,
        model::LbKind::Dr => Forwarding::Route,
        model::LbKind::Tun(wrapping) => Forwarding::Tunnel(encapsulation(wrapping)),
        model::LbKind::FullNat => Forwarding::FullNat,
    }
}

const fn encapsulation(wrapping: model::Wrapping) -> Encapsulation {
    match wrapping {
        model::Wrapping::Ipip => Encapsulation::Ipip,
        model::Wrapping::Gue { port, checksum: sum } => Encapsulation::Gue { port, checksum: checksum(sum) },
        model::Wrapping::Gre { checksum: sum } => Encapsulation::Gre { checksum: checksum(sum) },
    }
}

const fn checksum(checksum: model::WrappingChecksum) -> TunnelChecksum {
    match checksum {
        model::WrappingChecksum::None => TunnelChecksum::None,
        model::WrappingChecksum::Checksum => TunnelChecksum::Checksum,
        model::WrappingChecksum::Remote => TunnelChecksum::Remote,
    }
}
