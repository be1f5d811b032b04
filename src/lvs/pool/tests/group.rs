//! Groups whose services are of both address families.

use super::*;

#[test]
fn each_service_of_a_group_has_the_real_servers_of_its_family() {
    let stray = DestinationKey { addr: "fd00::1".parse().unwrap(), port: 80 };
    let ipip = Forwarding::Tunnel(Encapsulation::Ipip);
    let mut mixed = with_sorry(settings(&[1]), true);
    let vip6 = ServiceKey::Address { protocol: Protocol::Tcp, addr: "fd00::80".parse().unwrap(), port: 80 };
    mixed.services.push(vip6);
    mixed.real_servers.insert(stray, real(1));
    mixed.real_servers.insert(rs(7), RealServer { forwarding: ipip, ..real(1) });
    let tunnel = |key| table_key(key, rs(7), ipip);
    let wanted = [(VIP, vec![rs(1), tunnel(VIP), SORRY]), (vip6, vec![tunnel(vip6), stray])];
    let named = |all: Vec<(ServiceKey, Entry)>| -> Vec<(ServiceKey, Vec<DestinationKey>)> {
        all.into_iter().map(|(key, entry)| (key, entry.destinations.into_keys().collect())).collect()
    };
    let (adjusted, told) = mixed.clone().adjusted();
    assert_eq!((adjusted.real_servers.len(), told), (3, vec![]));
    assert_eq!(named(Pool::new(mixed.clone(), &[]).0.desired()), wanted);
    assert_eq!(named(mixed.whole()), wanted);
}
