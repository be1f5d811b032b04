//! `virtual_server` to pools of the forwarding plane.

use std::net::IpAddr;

use crate::base::Family;
use crate::config::model;
use crate::lvs::pool::{PoolId, PoolSettings, RealServer, SorryServer, Start};
use crate::lvs::table::{
    DestinationKey, Encapsulation, Forwarding, Persistence, Protocol, SchedulerFlags, Service, ServiceKey,
};

use super::TranslateError;

/// A virtual server of the file beside the pool made of it.
pub type Pools<'a> = Vec<(&'a model::VirtualServer, PoolSettings)>;

pub fn pools<'a>(
    servers: &'a [model::VirtualServer],
    groups: &[model::VirtualServerGroup],
    locals: &[model::LocalAddressGroup],
) -> Result<Pools<'a>, TranslateError> {
    servers.iter().map(|server| Ok((server, pool(server, groups, locals)?))).collect()
}

fn pool(
    server: &model::VirtualServer,
    groups: &[model::VirtualServerGroup],
    locals: &[model::LocalAddressGroup],
) -> Result<PoolSettings, TranslateError> {
    let model::VirtualServer {
        id,
        at: _,
        family,
        lb_algo,
        sched_flags: [one, two, three],
        lb_kind,
        local_addresses,
        protocol,
        ops,
        persistence,
        quorum,
        hysteresis,
        quorum_up: _,
        quorum_down: _,
        alpha,
        omega,
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
        id: match (id, services.as_slice()) {
            (model::VirtualServerId::Group { name }, _) => PoolId::Group { name: name.clone(), protocol },
            (_, [service, ..]) => PoolId::Service(*service),
            (model::VirtualServerId::Address { addr, port }, []) => {
                PoolId::Service(ServiceKey::Address { protocol, addr: *addr, port: *port })
            }
            (model::VirtualServerId::Fwmark { mark }, []) => {
                PoolId::Service(ServiceKey::Fwmark { mark: *mark, family: *family })
            }
        },
        services,
        service: Service {
            scheduler: lb_algo.parse()?,
            flags: SchedulerFlags { one: *one, two: *two, three: *three },
            persistence: persistence.map(|kept| Persistence {
                timeout_s: kept.timeout_s,
                prefix_len: kept.prefix_len.unwrap_or(family.bits()),
                sip: false,
            }),
            one_packet: *ops,
        },
        local_addresses: of_local_group(local_addresses.as_deref(), locals, *family),
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
        real_servers: real_servers
            .iter()
            .map(|real| (key(real), real_server(real, *lb_kind, *alpha, *inhibit_on_failure)))
            .collect(),
    })
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
    let starts_down = alpha || *own_alpha || checkers.iter().any(|checker| checker.alpha);
    RealServer {
        forwarding: forwarding(lb_kind.unwrap_or(service)),
        weight: *weight,
        inhibit_on_failure: inhibit || *inhibit_on_failure,
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
    let all = group.into_iter().flat_map(|group| group.addresses.iter().flatten());
    all.copied().filter(|addr| Family::of(*addr) == family).collect()
}

fn of_group(member: &model::GroupMember, protocol: Protocol, family: Family) -> Vec<ServiceKey> {
    match member {
        model::GroupMember::Addresses { addresses, port } => {
            addresses.iter().map(|addr| ServiceKey::Address { protocol, addr: *addr, port: *port }).collect()
        }
        model::GroupMember::Fwmark(mark) => vec![ServiceKey::Fwmark { mark: *mark, family }],
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
        model::LbKind::Tun => Forwarding::Tunnel(Encapsulation::Ipip),
        model::LbKind::FullNat => Forwarding::FullNat,
    }
}
