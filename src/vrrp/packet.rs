//! The VRRP message: versions 2 and 3, over IPv4 and IPv6, from bytes and to bytes.
//!
//! It checks what the bytes alone can tell (RFC 9568 section 7.1); what depends on the virtual router is
//! [`super::receive`]. No byte makes it panic.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::receive::Discard;
use super::settings::{ADVERTISED_MAX, GROUP_V4, Password, Version};
use crate::base::{AdvertInterval, Family, Vrid};

/// IP protocol number of VRRP (IANA).
pub const PROTOCOL: u8 = 112;
/// The largest message: 8 bytes, 255 IPv6 addresses; version 2 stays below it with its 8 bytes of authentication.
pub const MESSAGE_MAX: usize = HEADER_LEN + ADVERTISED_MAX * 16;

const HEADER_LEN: usize = 8;
/// VRRPv2 carries this much authentication data whatever the type (RFC 3768 section 5.3.10).
const AUTH_LEN: usize = 8;
const TYPE_ADVERTISEMENT: u8 = 1;

/// What the IP header says, for the pseudo-header and the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub source: IpAddr,
    pub destination: IpAddr,
    /// TTL or hop limit; `None` where the kernel did not tell.
    pub ttl: Option<u8>,
}

/// One advertisement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advert {
    pub vrid: Vrid,
    /// 0: the Active resigns; 255: the owner of the addresses.
    pub priority: u8,
    pub interval: AdvertInterval,
    /// At most [`ADVERTISED_MAX`], all of the family of the packet.
    pub addresses: Vec<IpAddr>,
    pub body: Body,
}

/// What only one of the versions has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    V2(Auth),
    V3 { checksum: ChecksumForm },
}

/// What the checksum covers beside the message: the pseudo-header over IPv6; over IPv4 all of these are in the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumForm {
    PseudoHeader,
    /// As in VRRPv2.
    Bare,
    /// Unicast of keepalived before 1.3.7: a pseudo-header to 224.0.0.18.
    OldUnicast,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    None,
    Password(Password),
    /// Type 2: the IP Authentication Header before the message (RFC 2338 section 5.3.6); see [`super::ah`].
    Header,
    Other(u8),
}

impl Advert {
    pub const fn version(&self) -> Version {
        match self.body {
            Body::V2(_) => Version::V2,
            Body::V3 { .. } => Version::V3,
        }
    }

    /// Read one message: exactly the bytes after the IP header.
    ///
    /// # Errors
    /// The first check that fails, of `Version`, `Length`, `Checksum`, `Type`, `Vrid` (0) and `Interval` (0).
    pub fn parse(bytes: &[u8], envelope: &Envelope) -> Result<Self, Discard> {
        let family = Family::of(envelope.source);
        let (header, rest) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(Discard::Length)?;
        let &[version_type, vrid, priority, count, fifth, sixth, _, _] = header;
        let version = match (version_type >> 4, family) {
            (2, Family::V4) => Version::V2,
            (3, Family::V4 | Family::V6) => Version::V3,
            _ => return Err(Discard::Version),
        };
        let (addresses, auth) =
            rest.split_at_checked(usize::from(count) * address_len(family)).ok_or(Discard::Length)?;
        let body = match version {
            Version::V2 => Body::V2(read_auth(fifth, auth, bytes)?),
            Version::V3 if auth.is_empty() => Body::V3 { checksum: read_checksum_form(bytes, envelope)? },
            Version::V3 => return Err(Discard::Length),
        };
        if version_type & 0x0f != TYPE_ADVERTISEMENT {
            return Err(Discard::Type);
        }
        let centis = match version {
            Version::V2 => u16::from(sixth) * 100,
            Version::V3 => u16::from_be_bytes([fifth & 0x0f, sixth]),
        };
        Ok(Self {
            vrid: Vrid::new(vrid).map_err(|_| Discard::Vrid)?,
            priority,
            interval: AdvertInterval::from_centis(centis).map_err(|_| Discard::Interval)?,
            addresses: read_addresses(addresses, family),
            body,
        })
    }

    /// The bytes after the IP header. Addresses beyond [`ADVERTISED_MAX`] and those of the other family are left out.
    pub fn emit(&self, source: IpAddr, destination: IpAddr) -> Vec<u8> {
        let family = Family::of(source);
        let listed = || self.addresses.iter().filter(|addr| Family::of(**addr) == family).take(ADVERTISED_MAX);
        let (fifth, sixth) = match self.body {
            Body::V2(auth) => (auth.number(), u8::try_from(self.interval.centis() / 100).unwrap_or(u8::MAX)),
            Body::V3 { .. } => {
                let [high, low] = self.interval.centis().min(0x0fff).to_be_bytes();
                (high, low)
            }
        };
        let version_type = self.version().number() << 4 | TYPE_ADVERTISEMENT;
        let count = u8::try_from(listed().count()).unwrap_or(u8::MAX);
        let mut bytes = vec![version_type, self.vrid.get(), self.priority, count, fifth, sixth, 0, 0];
        for addr in listed() {
            match addr {
                IpAddr::V4(addr) => bytes.extend(addr.octets()),
                IpAddr::V6(addr) => bytes.extend(addr.octets()),
            }
        }
        let sum = match self.body {
            Body::V2(auth) => {
                bytes.extend(auth.data());
                checksum(&bytes, 0)
            }
            Body::V3 { checksum: ChecksumForm::Bare } if family == Family::V4 => checksum(&bytes, 0),
            Body::V3 { checksum: ChecksumForm::OldUnicast } if family == Family::V4 => {
                checksum(&bytes, pseudo_sum(source, GROUP_V4.into(), bytes.len()))
            }
            Body::V3 { .. } => checksum(&bytes, pseudo_sum(source, destination, bytes.len())),
        };
        if let Some(field) = bytes.get_mut(6..8) {
            field.copy_from_slice(&sum.to_be_bytes());
        }
        bytes
    }
}

impl Auth {
    const fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Password(_) => 1,
            Self::Header => 2,
            Self::Other(number) => number,
        }
    }

    const fn data(self) -> [u8; AUTH_LEN] {
        match self {
            Self::None | Self::Header | Self::Other(_) => [0; AUTH_LEN],
            Self::Password(password) => password.bytes(),
        }
    }
}

const fn address_len(family: Family) -> usize {
    match family {
        Family::V4 => 4,
        Family::V6 => 16,
    }
}

fn read_auth(number: u8, data: &[u8], message: &[u8]) -> Result<Auth, Discard> {
    let data: [u8; AUTH_LEN] = data.try_into().map_err(|_| Discard::Length)?;
    if checksum(message, 0) != 0 {
        return Err(Discard::Checksum);
    }
    Ok(match number {
        0 => Auth::None,
        1 => Auth::Password(Password::from_bytes(data)),
        2 => Auth::Header,
        other => Auth::Other(other),
    })
}

fn read_checksum_form(message: &[u8], envelope: &Envelope) -> Result<ChecksumForm, Discard> {
    let pseudo = pseudo_sum(envelope.source, envelope.destination, message.len());
    let old = || pseudo_sum(envelope.source, GROUP_V4.into(), message.len());
    if checksum(message, pseudo) == 0 {
        Ok(ChecksumForm::PseudoHeader)
    } else if Family::of(envelope.source) == Family::V6 {
        Err(Discard::Checksum)
    } else if checksum(message, 0) == 0 {
        Ok(ChecksumForm::Bare)
    } else if !envelope.destination.is_multicast() && checksum(message, old()) == 0 {
        Ok(ChecksumForm::OldUnicast)
    } else {
        Err(Discard::Checksum)
    }
}

fn read_addresses(bytes: &[u8], family: Family) -> Vec<IpAddr> {
    match family {
        Family::V4 => bytes.as_chunks::<4>().0.iter().map(|octets| Ipv4Addr::from(*octets).into()).collect(),
        Family::V6 => bytes.as_chunks::<16>().0.iter().map(|octets| Ipv6Addr::from(*octets).into()).collect(),
    }
}

/// The words of the pseudo-header, summed: RFC 8200 section 8.1 for IPv6, RFC 793 section 3.1's form for IPv4.
fn pseudo_sum(source: IpAddr, destination: IpAddr, message_len: usize) -> u32 {
    let address_words = |addr: IpAddr| match addr {
        IpAddr::V4(addr) => sum_words(&addr.octets()),
        IpAddr::V6(addr) => sum_words(&addr.octets()),
    };
    let len = u32::try_from(message_len).unwrap_or(u32::MAX) & 0xffff;
    address_words(source) + address_words(destination) + len + u32::from(PROTOCOL)
}

/// Sum of the 16-bit words, the last one filled up with a zero. At most 64 KiB, so it stays below 2^31.
fn sum_words(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<2>();
    let odd = rest.first().map_or(0, |byte| u32::from(*byte) << 8);
    words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum::<u32>() + odd
}

/// The Internet checksum (RFC 1071): 0 over a message that holds its right checksum.
pub(super) fn checksum(message: &[u8], start: u32) -> u16 {
    let mut sum = sum_words(message.get(..0xffff).unwrap_or(message)) + start;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn envelope(family: Family) -> Envelope {
        let (source, destination) = match family {
            Family::V4 => ("192.0.2.1", "224.0.0.18"),
            Family::V6 => ("fe80::1", "ff02::12"),
        };
        Envelope { source: source.parse().unwrap(), destination: destination.parse().unwrap(), ttl: Some(255) }
    }

    fn any_family() -> impl Strategy<Value = Family> {
        prop_oneof![Just(Family::V4), Just(Family::V6)]
    }

    prop_compose! {
        fn any_advert()(family in any_family(), vrid in 1u8..=255, priority: u8, seconds in 1u16..=40, version3: bool,
                        password in proptest::option::of("[a-z]{0,8}"), pseudo_header: bool,
                        addresses in proptest::collection::vec(any::<[u8; 16]>(), 0..=255)) -> (Family, Advert) {
            let body = if version3 || family == Family::V6 {
                let bare = !pseudo_header && family == Family::V4;
                Body::V3 { checksum: if bare { ChecksumForm::Bare } else { ChecksumForm::PseudoHeader } }
            } else {
                Body::V2(password.map_or(Auth::None, |text| Auth::Password(Password::new(&text))))
            };
            let addresses = addresses.into_iter().map(|octets| match family {
                Family::V4 => Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]).into(),
                Family::V6 => Ipv6Addr::from(octets).into(),
            }).collect();
            let interval = AdvertInterval::from_centis(seconds * 100).unwrap();
            (family, Advert { vrid: Vrid::new(vrid).unwrap(), priority, interval, addresses, body })
        }
    }

    proptest! {
        #[test]
        fn what_is_emitted_is_read_back((family, advert) in any_advert()) {
            let envelope = envelope(family);
            let bytes = advert.emit(envelope.source, envelope.destination);
            prop_assert!(bytes.len() <= MESSAGE_MAX);
            let read = Advert::parse(&bytes, &envelope).unwrap();
            // The two forms are one where the pseudo-header sums to zero: accept it as the form with it.
            prop_assert_eq!(read, advert);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), family in any_family()) {
            if let Ok(advert) = Advert::parse(&bytes, &envelope(family)) {
                prop_assert_eq!(advert.addresses.len(), usize::from(bytes[3]));
            }
        }

        #[test]
        fn one_flipped_bit_is_noticed((family, advert) in any_advert(), at: prop::sample::Index, bit in 0u8..8) {
            let envelope = envelope(family);
            let mut bytes = advert.emit(envelope.source, envelope.destination);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(Advert::parse(&bytes, &envelope).is_err());
        }
    }

    #[test]
    fn each_fault_has_its_own_discard() {
        let valid = Advert {
            vrid: Vrid::new(7).unwrap(),
            priority: 100,
            interval: AdvertInterval::DEFAULT,
            addresses: vec!["192.0.2.9".parse().unwrap()],
            body: Body::V3 { checksum: ChecksumForm::PseudoHeader },
        };
        let envelope = envelope(Family::V4);
        let bytes = valid.emit(envelope.source, envelope.destination);
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = bytes.clone();
            change(&mut bytes);
            bytes[6..8].fill(0);
            let sum = checksum(&bytes, pseudo_sum(envelope.source, envelope.destination, bytes.len()));
            bytes[6..8].copy_from_slice(&sum.to_be_bytes());
            Advert::parse(&bytes, &envelope)
        };
        assert_eq!(with(&|_| ()), Ok(valid.clone()));
        assert_eq!(with(&|bytes| bytes[0] = 0x41), Err(Discard::Version));
        assert_eq!(with(&|bytes| bytes[0] = 0x32), Err(Discard::Type));
        assert_eq!(with(&|bytes| bytes[1] = 0), Err(Discard::Vrid));
        assert_eq!(with(&|bytes| bytes[3] = 2), Err(Discard::Length));
        assert_eq!(with(&|bytes| bytes.push(0)), Err(Discard::Length));
        assert_eq!(with(&|bytes| bytes[4..6].fill(0)), Err(Discard::Interval));
        assert_eq!(Advert::parse(&bytes[..7], &envelope), Err(Discard::Length));
        let mut wrong = bytes.clone();
        wrong[7] ^= 1;
        assert_eq!(Advert::parse(&wrong, &envelope), Err(Discard::Checksum));
    }

    #[test]
    fn unicast_of_an_old_keepalived_is_known_by_its_checksum() {
        let [source, peer] = ["192.0.2.1", "192.0.2.2"].map(|addr| addr.parse().unwrap());
        let form = ChecksumForm::OldUnicast;
        let advert = Advert {
            vrid: Vrid::new(7).unwrap(),
            priority: 100,
            interval: AdvertInterval::DEFAULT,
            addresses: vec!["192.0.2.9".parse().unwrap()],
            body: Body::V3 { checksum: form },
        };
        let bytes = advert.emit(source, peer);
        let now = Advert { body: Body::V3 { checksum: ChecksumForm::PseudoHeader }, ..advert.clone() };
        assert_eq!(bytes, now.emit(source, GROUP_V4.into()), "as if it were multicast");
        assert_eq!(Advert::parse(&bytes, &Envelope { source, destination: peer, ttl: None }), Ok(advert));
        let other = Envelope { source: "192.0.2.3".parse().unwrap(), destination: peer, ttl: None };
        assert_eq!(Advert::parse(&bytes, &other), Err(Discard::Checksum));
    }

    #[test]
    fn the_bytes_of_version_2_are_those_of_the_rfc() {
        const GROUP: IpAddr = IpAddr::V4(GROUP_V4);
        let advert = Advert {
            vrid: Vrid::new(51).unwrap(),
            priority: 100,
            interval: AdvertInterval::DEFAULT,
            addresses: vec!["10.0.0.100".parse().unwrap()],
            body: Body::V2(Auth::Password(Password::new("secret"))),
        };
        let bytes = advert.emit("10.0.0.1".parse().unwrap(), GROUP);
        assert_eq!(bytes[..6], [0x21, 51, 100, 1, 1, 1]);
        assert_eq!(bytes[8..], [10, 0, 0, 100, b's', b'e', b'c', b'r', b'e', b't', 0, 0]);
    }
}
