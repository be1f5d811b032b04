//! Steps for the plane, in the words of a test.

use std::net::IpAddr;

use vipd::base::Weight;
use vipd::lvs::datapath::{Counters, Datapath, DestinationStats};
use vipd::lvs::io::ebpf::Ebpf;
use vipd::lvs::table::{
    Destination, DestinationKey, Forwarding, Protocol, Scheduler, SchedulerFlags, Service, ServiceKey, Step,
};

use crate::lab::wait;

pub fn key(protocol: Protocol, addr: impl Into<IpAddr>, port: u16) -> ServiceKey {
    ServiceKey::Address { protocol, addr: addr.into(), port }
}

pub fn service(scheduler: Scheduler) -> Service {
    // mh-port, sh-port: one client in a test is many to them.
    let flags = SchedulerFlags { one: false, two: true, three: false };
    Service { scheduler, flags, persistence: None, one_packet: false }
}

pub fn at(addr: IpAddr, port: u16) -> DestinationKey {
    DestinationKey { addr, port }
}

pub fn destination(forwarding: Forwarding, weight: u32) -> Destination {
    Destination { forwarding, weight: Weight::new(weight).unwrap(), upper_threshold: 0, lower_threshold: 0 }
}

pub fn apply(plane: &mut Ebpf, steps: &[Step]) {
    wait(plane.apply(steps)).unwrap_or_else(|error| panic!("{error}"));
}

pub fn counters(plane: &mut Ebpf) -> Counters {
    wait(plane.counters()).unwrap_or_else(|error| panic!("{error}"))
}

pub fn destination_stats(plane: &mut Ebpf, service: &ServiceKey, destination: &DestinationKey) -> DestinationStats {
    counters(plane).services[service].destinations[destination]
}
