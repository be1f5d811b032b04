//! The order in which ipvsadm lists services and destinations.
//!
//! It compares numbers by subtracting them in 32 bits (`ipvs_cmp_services`), so two that are more than 2^31 apart
//! stand the other way round: 192.0.2.1 before 10.0.0.1. Among 10, 100 and 192 that goes in a circle, and what comes
//! out then depends on the order before and on the C library's merge sort, which is done here too.

use std::net::IpAddr;

use super::{DestinationRow, Row};
use crate::base::Family;
use crate::lvs::table::{Protocol, ServiceKey};

/// Services and their destinations in ipvsadm's order.
pub fn sorted(rows: Vec<Row>) -> Vec<Row> {
    let mut rows = merge_sort(rows, &services);
    for row in &mut rows {
        row.destinations = merge_sort(std::mem::take(&mut row.destinations), &destinations);
    }
    rows
}

/// `a - b` as a C `int`.
const fn minus(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b).cast_signed()
}

/// Mark, family, protocol, address and port.
fn service_numbers(row: &Row) -> [u32; 8] {
    let family = |family| match family {
        Family::V4 => 2,
        Family::V6 => 10,
    };
    match row.key {
        ServiceKey::Address { protocol, addr, port } => {
            let protocol = match protocol {
                Protocol::Tcp => 6,
                Protocol::Udp => 17,
                Protocol::Sctp => 132,
            };
            let [a, b, c, d] = address_numbers(addr);
            [0, family(Family::of(addr)), protocol, a, b, c, d, port.into()]
        }
        ServiceKey::Fwmark { mark, family: of } => [mark.get(), family(of), 0, 0, 0, 0, 0, 0],
    }
}

/// An IPv4 address is one number, an IPv6 address four.
fn address_numbers(addr: IpAddr) -> [u32; 4] {
    match addr {
        IpAddr::V4(addr) => [addr.to_bits(), 0, 0, 0],
        IpAddr::V6(addr) => {
            let bits = addr.to_bits();
            [96, 64, 32, 0].map(|shift| u32::try_from((bits >> shift) & 0xffff_ffff).unwrap_or(0))
        }
    }
}

fn compare(a: &[u32], b: &[u32]) -> i32 {
    a.iter().zip(b).map(|(a, b)| minus(*a, *b)).find(|difference| *difference != 0).unwrap_or(0)
}

fn services(a: &Row, b: &Row) -> i32 {
    compare(&service_numbers(a), &service_numbers(b))
}

fn destinations(a: &DestinationRow, b: &DestinationRow) -> i32 {
    let numbers = |row: &DestinationRow| {
        let [one, two, three, four] = address_numbers(row.key.addr);
        [one, two, three, four, row.key.port.into()]
    };
    compare(&numbers(a), &numbers(b))
}

/// The C library's `qsort(3)`: the standard sort refuses an order that goes in a circle.
fn merge_sort<T>(mut all: Vec<T>, compare: &impl Fn(&T, &T) -> i32) -> Vec<T> {
    if all.len() < 2 {
        return all;
    }
    let upper = all.split_off(all.len() / 2);
    let mut merged = Vec::with_capacity(all.len() + upper.len());
    let mut lower = merge_sort(all, compare).into_iter().peekable();
    let mut upper = merge_sort(upper, compare).into_iter().peekable();
    while let (Some(a), Some(b)) = (lower.peek(), upper.peek()) {
        merged.extend(if compare(a, b) <= 0 { lower.next() } else { upper.next() });
    }
    merged.extend(lower);
    merged.extend(upper);
    merged
}
