//! `virtual_server_group NAME`: lines of `ADDR[-LAST|-ADDR|/MASK] [PORT[-LAST]]` and `fwmark N [inet|inet6]`;
//! `local_address_group NAME`: lines of `ADDR[-LAST|-ADDR] [IFNAME]`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use super::value::{interface, number_word};
use crate::config::model::{GroupMember, LocalAddressGroup, LocalAddresses, VirtualServerGroup};
use crate::config::problem::{Problem, Severity};
use crate::config::tree::{Statement, Word};

/// The most services that one line may stand for: one for each address and port.
const RANGE_MAX: u32 = 65_536;

pub fn read(statement: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<VirtualServerGroup> {
    let name = statement.arg(0)?;
    let members = statement.statements().iter().filter_map(|line| member(line, problems)).collect();
    Some(VirtualServerGroup { name: name.text.to_owned(), at: name.at, members })
}

pub fn read_local(statement: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<LocalAddressGroup> {
    let name = statement.arg(0)?;
    let lines = statement.statements().iter().filter_map(|line| local(line, problems)).collect();
    Some(LocalAddressGroup { name: name.text.to_owned(), at: name.at, lines })
}

/// Without a name of an interface that could be, the addresses are taken to be there.
fn local(line: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<LocalAddresses> {
    let addresses = addresses(line.keyword, problems)?;
    let interface = line.arg(0).and_then(|_| interface(problems, line, 0));
    Some(LocalAddresses { addresses, interface, at: line.at() })
}

fn addresses(word: Word<'_>, problems: &mut Vec<Problem>) -> Option<Vec<IpAddr>> {
    range(word.text).map_err(|bad| problems.push(describe(bad, word))).ok()
}

fn member(line: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<GroupMember> {
    let is_mark = line.keyword.text == "fwmark";
    let has_family = is_mark && line.arg(1).is_some_and(|word| ["inet", "inet6"].contains(&word.text));
    surplus(line, if has_family { 2 } else { 1 }, problems);
    if is_mark {
        if line.args.is_empty() {
            let problem = Problem::new("missing-argument", Severity::Fatal, line.keyword.at, "`fwmark` has no value");
            problems.push(problem.label("something is missing after it").help("the form is: fwmark INT 1..4294967295"));
        }
        let mark = number_word(problems, "fwmark", line.arg(0)?, 1..=i64::from(u32::MAX), "")?;
        return NonZeroU32::new(mark).map(GroupMember::Fwmark);
    }
    let ports = match line.arg(0) {
        Some(word) => ports(word, problems),
        None => Some(0..=0),
    };
    let addresses = addresses(line.keyword, problems);
    let (addresses, ports) = (addresses?, ports?);
    if addresses.len().saturating_mul(ports.len()) > usize::try_from(RANGE_MAX).unwrap_or(usize::MAX) {
        problems.push(describe(BadRange::Services, line.keyword));
        return None;
    }
    Some(GroupMember::Addresses { addresses, ports })
}

/// `PORT`, 0 for all, or `FIRST-LAST`, which keepalived does not know.
fn ports(word: Word<'_>, problems: &mut Vec<Problem>) -> Option<RangeInclusive<u16>> {
    let Some((first, last)) = word.text.split_once('-') else {
        return number_word(problems, "port", word, 0..=65_535, "").map(|port| port..=port);
    };
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0);
    let ports = port(first).zip(port(last)).map(|(first, last)| first..=last).filter(|ports| !ports.is_empty());
    if ports.is_none() {
        problems.push(describe(BadRange::Ports, word));
    }
    ports
}

/// Keepalived drops it in silence.
fn surplus(line: &Statement<'_>, taken: usize, problems: &mut Vec<Problem>) {
    let Some(first) = line.args.get(taken) else { return };
    let message = format!("what follows from `{}` on is dropped", first.text);
    problems.push(
        Problem::new("surplus-words", Severity::Warning, first.at, message)
            .label("not read")
            .help("one member a line: ADDR[-LAST|/MASK] [PORT[-LAST]], or fwmark N [inet|inet6]"),
    );
}

/// Why a range of addresses or ports is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BadRange {
    Address,
    End,
    Backwards,
    Mask,
    Long,
    Ports,
    Services,
}

fn describe(bad: BadRange, word: Word<'_>) -> Problem {
    let text = word.text;
    let (code, message) = match bad {
        BadRange::Address => ("not-an-address", format!("`{text}` does not begin with an IPv4 or IPv6 address")),
        BadRange::End => {
            ("bad-range", format!("the end of `{text}` is neither a number nor an address of the same network"))
        }
        BadRange::Backwards => ("bad-range", format!("`{text}` ends before it begins")),
        BadRange::Mask => ("bad-range", format!("the mask of `{text}` is no prefix length of its address")),
        BadRange::Long => ("bad-range", format!("`{text}` stands for more than {RANGE_MAX} addresses")),
        BadRange::Ports => ("bad-range", format!("`{text}` is no range of ports from 1 to 65535")),
        BadRange::Services => {
            ("bad-range", format!("the addresses of `{text}` with these ports are more than {RANGE_MAX} services"))
        }
    };
    let help = match bad {
        BadRange::Ports => "a port, or a range as 8000-8009; port 0 is all of them",
        BadRange::Services => "port 0 with a persistence_timeout is one service for all ports of an address",
        BadRange::Address | BadRange::End | BadRange::Backwards | BadRange::Mask | BadRange::Long => {
            "an address, a range as 192.0.2.1-20 or 192.0.2.1-192.0.2.20, or a network as 192.0.2.0/28"
        }
    };
    Problem::new(code, Severity::Error, word.at, message).label("left out").help(help)
}

/// The addresses of `ADDR`, `ADDR-LAST`, `ADDR-ADDR` or `ADDR/PREFIX`.
fn range(text: &str) -> Result<Vec<IpAddr>, BadRange> {
    let address = |text: &str| text.parse::<IpAddr>().map_err(|_| BadRange::Address);
    if let Some((first, last)) = text.split_once('-') {
        let first = address(first)?;
        return between(first, end(first, last)?);
    }
    if let Some((first, mask)) = text.split_once('/') {
        return network(address(first)?, mask.parse().map_err(|_| BadRange::Mask)?);
    }
    Ok(vec![address(text)?])
}

/// The end of a range: an address, or what stands for its last part (decimal in IPv4, hexadecimal in IPv6).
fn end(first: IpAddr, text: &str) -> Result<IpAddr, BadRange> {
    if let Ok(last) = text.parse::<IpAddr>() {
        return Ok(last);
    }
    match first {
        IpAddr::V4(first) => {
            let [a, b, c, _] = first.octets();
            let last: u8 = text.parse().map_err(|_| BadRange::End)?;
            Ok(Ipv4Addr::new(a, b, c, last).into())
        }
        IpAddr::V6(first) => {
            let last = u16::from_str_radix(text, 16).map_err(|_| BadRange::End)?;
            let network = u128::from(first) & !u128::from(u16::MAX);
            Ok(Ipv6Addr::from(network | u128::from(last)).into())
        }
    }
}

fn between(first: IpAddr, last: IpAddr) -> Result<Vec<IpAddr>, BadRange> {
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            let (first, last) = (u32::from(first), u32::from(last));
            let count = last.checked_sub(first).ok_or(BadRange::Backwards)?;
            if count >= RANGE_MAX {
                Err(BadRange::Long)
            } else {
                Ok((first..=last).map(|bits| Ipv4Addr::from(bits).into()).collect())
            }
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            let (first, last) = (u128::from(first), u128::from(last));
            let count = last.checked_sub(first).ok_or(BadRange::Backwards)?;
            if count >= u128::from(RANGE_MAX) {
                Err(BadRange::Long)
            } else {
                Ok((first..=last).map(|bits| Ipv6Addr::from(bits).into()).collect())
            }
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Err(BadRange::End),
    }
}

/// Every address of the network, its first and last among them: a service has no use for a broadcast address.
fn network(addr: IpAddr, prefix: u32) -> Result<Vec<IpAddr>, BadRange> {
    match addr {
        IpAddr::V4(addr) if prefix <= 32 => {
            let hosts = u32::MAX.checked_shr(prefix).unwrap_or(0);
            let first = u32::from(addr) & !hosts;
            between(Ipv4Addr::from(first).into(), Ipv4Addr::from(first | hosts).into())
        }
        IpAddr::V6(addr) if prefix <= 128 => {
            let hosts = u128::MAX.checked_shr(prefix).unwrap_or(0);
            let first = u128::from(addr) & !hosts;
            between(Ipv6Addr::from(first).into(), Ipv6Addr::from(first | hosts).into())
        }
        IpAddr::V4(_) | IpAddr::V6(_) => Err(BadRange::Mask),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_what_they_say() {
        type Seen<'a> = Result<(&'a str, &'a str, usize), BadRange>;
        let rows: [(&str, Seen<'_>); 12] = [
            ("192.0.2.1", Ok(("192.0.2.1", "192.0.2.1", 1))),
            ("192.0.2.1-5", Ok(("192.0.2.1", "192.0.2.5", 5))),
            ("192.0.2.250-192.0.3.5", Ok(("192.0.2.250", "192.0.3.5", 12))),
            ("192.0.2.77/30", Ok(("192.0.2.76", "192.0.2.79", 4))),
            ("192.0.2.7/32", Ok(("192.0.2.7", "192.0.2.7", 1))),
            ("2001:db8::1-1f", Ok(("2001:db8::1", "2001:db8::1f", 31))),
            ("2001:db8::/126", Ok(("2001:db8::", "2001:db8::3", 4))),
            ("192.0.2.9-5", Err(BadRange::Backwards)),
            ("192.0.2.9-256", Err(BadRange::End)),
            ("192.0.2.9/33", Err(BadRange::Mask)),
            ("10.0.0.0/8", Err(BadRange::Long)),
            ("web-5", Err(BadRange::Address)),
        ];
        for (text, expected) in rows {
            let read = range(text);
            let seen = read.as_ref().map(|all| (all[0].to_string(), all[all.len() - 1].to_string(), all.len()));
            let seen =
                seen.as_ref().map(|(first, last, count)| (first.as_str(), last.as_str(), *count)).map_err(|bad| **bad);
            assert_eq!(seen, expected, "{text}");
        }
    }
}
