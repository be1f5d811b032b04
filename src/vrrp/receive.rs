//! The checks of a received packet, in order (RFC 9568 section 7.1): each failure has its own reason.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::happened::Warning;
use super::packet::{Advert, Auth, Body, ChecksumForm, Envelope};
use super::router::Heard;
use super::settings::{Authentication, OldUnicastChecksum, Settings, Transport, Version};
use crate::base::{Family, Priority};

/// Why a packet was dropped. The order is the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Discard {
    /// The TTL or hop limit shows that it passed a router, or is not what the peer's has to be, or the kernel told none.
    Ttl,
    /// Shorter than its header or its address count says.
    Length,
    /// Neither 2 nor 3, 2 over IPv6, or not the version of the virtual router.
    Version,
    Checksum,
    /// Not an ADVERTISEMENT (type 1).
    Type,
    /// No such virtual router on this interface and family.
    Vrid,
    /// Our own address as source.
    OwnPacket,
    /// Multicast where unicast is configured, or the other way round.
    Destination,
    /// `check_unicast_src`, and the source is no peer.
    NotAPeer,
    /// VRRPv2: the other authentication type.
    AuthType,
    /// VRRPv2: another password, or a seal that does not fit.
    AuthData,
    /// VRRPv2 with an Authentication Header: the sequence number was heard before.
    Replayed,
    /// VRRPv2: another advert interval. VRRPv3: the interval is 0.
    Interval,
    /// The address list differs, and the virtual router is strict about it.
    AddressList,
    /// VRRPv3: it lists no address (RFC 9568 section 5.2.5), and we do.
    NoAddress,
}

impl Discard {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ttl => "ttl",
            Self::Length => "length",
            Self::Version => "version",
            Self::Checksum => "checksum",
            Self::Type => "type",
            Self::Vrid => "vrid",
            Self::OwnPacket => "own_packet",
            Self::Destination => "destination",
            Self::NotAPeer => "not_a_peer",
            Self::AuthType => "auth_type",
            Self::AuthData => "auth_data",
            Self::Replayed => "replayed",
            Self::Interval => "interval",
            Self::AddressList => "address_list",
            Self::NoAddress => "no_address",
        }
    }
}

impl fmt::Display for Discard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Check an advert for one virtual router, whose own packets come from `own`.
///
/// # Errors
/// The first check that fails; [`Advert::parse`] has done those of the bytes alone.
pub fn check(
    advert: &Advert,
    envelope: &Envelope,
    settings: &Settings,
    own: IpAddr,
) -> Result<(Heard, Vec<Warning>), Discard> {
    let (peer, fits) = match &settings.transport {
        Transport::Multicast { group, .. } => (None, envelope.destination == *group),
        Transport::Unicast { peers, .. } => {
            (peers.iter().find(|peer| peer.addr == envelope.source), !envelope.destination.is_multicast())
        }
    };
    let near = match (&settings.transport, peer) {
        (Transport::Multicast { .. }, _) => u8::MAX..=u8::MAX,
        (Transport::Unicast { .. }, Some(peer)) => peer.ttl.clone(),
        (Transport::Unicast { .. }, None) => 0..=u8::MAX,
    };
    if envelope.ttl.is_none_or(|ttl| !near.contains(&ttl)) {
        return Err(Discard::Ttl);
    }
    if advert.version() != settings.version {
        return Err(Discard::Version);
    }
    if advert.vrid != settings.vrid {
        return Err(Discard::Vrid);
    }
    if envelope.source == own {
        return Err(Discard::OwnPacket);
    }
    if !fits {
        return Err(Discard::Destination);
    }
    match &settings.transport {
        Transport::Unicast { only_peers: true, .. } if peer.is_none() => return Err(Discard::NotAPeer),
        Transport::Unicast { .. } | Transport::Multicast { .. } => (),
    }
    let mut warnings = vec![];
    match advert.body {
        Body::V2(auth) => check_version_2(advert, auth, settings)?,
        Body::V3 { checksum } => warnings.extend(check_checksum_form(checksum, settings)?),
    }
    if !same_addresses(advert, settings) {
        let ours = settings.advertised().count();
        // RFC 9568 section 5.2.5 and erratum 8299. Not where ours lists none either, which keepalived allows.
        if advert.addresses.is_empty() && advert.version() == Version::V3 {
            return Err(Discard::NoAddress);
        }
        if settings.strict_address_list {
            return Err(Discard::AddressList);
        }
        warnings.push(Warning::AddressList { theirs: advert.addresses.len(), ours });
    }
    let heard = Heard {
        from: envelope.source,
        priority: Priority::new(advert.priority).ok(),
        interval: advert.interval,
        from_greater: envelope.source > own,
    };
    Ok((heard, warnings))
}

/// Over IPv4 both forms are taken, and the old one from peers.
fn check_checksum_form(checksum: ChecksumForm, settings: &Settings) -> Result<Option<Warning>, Discard> {
    let bare = match checksum {
        ChecksumForm::OldUnicast if settings.checksums.old_unicast == OldUnicastChecksum::Never => {
            return Err(Discard::Checksum);
        }
        ChecksumForm::OldUnicast => return Ok(None),
        ChecksumForm::Bare => true,
        ChecksumForm::PseudoHeader => false,
    };
    let differs = settings.family == Family::V4 && bare != settings.checksums.bare;
    Ok(differs.then_some(Warning::ChecksumForm { pseudo_header: !bare }))
}

fn check_version_2(advert: &Advert, auth: Auth, settings: &Settings) -> Result<(), Discard> {
    match (auth, settings.auth) {
        (Auth::None, None) | (Auth::Header, Some(Authentication::Header(_))) => (),
        (Auth::Password(theirs), Some(Authentication::Password(ours))) if theirs == ours => (),
        (Auth::Password(_), Some(Authentication::Password(_))) => return Err(Discard::AuthData),
        (Auth::None | Auth::Header | Auth::Other(_), Some(Authentication::Password(_)))
        | (Auth::None | Auth::Password(_) | Auth::Other(_), Some(Authentication::Header(_)))
        | (Auth::Password(_) | Auth::Header | Auth::Other(_), None) => return Err(Discard::AuthType),
    }
    if advert.interval == settings.interval { Ok(()) } else { Err(Discard::Interval) }
}

/// The order does not matter.
fn same_addresses(advert: &Advert, settings: &Settings) -> bool {
    settings.advertised().eq(advert.addresses.iter().copied())
        || settings.advertised().collect::<BTreeSet<_>>() == advert.addresses.iter().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{AdvertInterval, Vrid};
    use crate::vrrp::settings::{Password, Peer, VirtualAddress};

    fn settings() -> Settings {
        let mut settings = Settings::new("VI_1", "eth0".parse().unwrap(), Vrid::new(7).unwrap(), Family::V4);
        settings.addresses = vec![VirtualAddress::new("10.0.0.9/24".parse().unwrap())];
        settings
    }

    fn unicast(settings: Settings, peer: &str, only_peers: bool) -> Settings {
        let peers = vec![Peer { addr: peer.parse().unwrap(), ttl: 64..=100 }];
        Settings { transport: Transport::Unicast { source: None, peers, ttl: 255, only_peers }, ..settings }
    }

    type Change = fn(Settings, &mut Advert, &mut Envelope) -> Settings;

    #[test]
    fn each_check_has_its_own_discard() {
        let rows: [(&str, Change, Result<(), Discard>); 20] = [
            ("valid", |s, _, _| s, Ok(())),
            (
                "came over a router",
                |s, _, e| {
                    e.ttl = Some(254);
                    s
                },
                Err(Discard::Ttl),
            ),
            (
                "no TTL told",
                |s, _, e| {
                    e.ttl = None;
                    s
                },
                Err(Discard::Ttl),
            ),
            ("other version", |s, _, _| Settings { version: Version::V3, ..s }, Err(Discard::Version)),
            (
                "other VRID",
                |s, a, _| {
                    a.vrid = Vrid::new(8).unwrap();
                    s
                },
                Err(Discard::Vrid),
            ),
            (
                "own packet",
                |s, _, e| {
                    e.source = "10.0.0.1".parse().unwrap();
                    s
                },
                Err(Discard::OwnPacket),
            ),
            (
                "unicast to multicast",
                |s, _, e| {
                    e.destination = "10.0.0.1".parse().unwrap();
                    s
                },
                Err(Discard::Destination),
            ),
            ("multicast to unicast", |s, _, _| unicast(s, "10.0.0.3", false), Err(Discard::Destination)),
            (
                "below the TTL of the peer",
                |s, _, e| {
                    e.destination = "10.0.0.1".parse().unwrap();
                    e.ttl = Some(63);
                    unicast(s, "10.0.0.2", false)
                },
                Err(Discard::Ttl),
            ),
            (
                "above it",
                |s, _, e| {
                    e.destination = "10.0.0.1".parse().unwrap();
                    e.ttl = Some(101);
                    unicast(s, "10.0.0.2", false)
                },
                Err(Discard::Ttl),
            ),
            (
                "no peer, and nobody has to be one",
                |s, _, e| {
                    e.destination = "10.0.0.1".parse().unwrap();
                    e.ttl = Some(1);
                    unicast(s, "10.0.0.3", false)
                },
                Ok(()),
            ),
            (
                "no peer",
                |s, _, e| {
                    e.destination = "10.0.0.1".parse().unwrap();
                    unicast(s, "10.0.0.3", true)
                },
                Err(Discard::NotAPeer),
            ),
            (
                "password wanted",
                |s, _, _| Settings { auth: Some(Authentication::Password(Password::new("x"))), ..s },
                Err(Discard::AuthType),
            ),
            (
                "password not wanted",
                |s, a, _| {
                    a.body = Body::V2(Auth::Password(Password::new("x")));
                    s
                },
                Err(Discard::AuthType),
            ),
            (
                "other password",
                |s, a, _| {
                    a.body = Body::V2(Auth::Password(Password::new("x")));
                    Settings { auth: Some(Authentication::Password(Password::new("y"))), ..s }
                },
                Err(Discard::AuthData),
            ),
            (
                "other interval",
                |s, a, _| {
                    a.interval = AdvertInterval::from_centis(200).unwrap();
                    s
                },
                Err(Discard::Interval),
            ),
            (
                "other addresses",
                |s, a, _| {
                    a.addresses.clear();
                    s
                },
                Ok(()),
            ),
            (
                "no address in version 3",
                |s, a, _| {
                    a.addresses.clear();
                    a.body = Body::V3 { checksum: ChecksumForm::PseudoHeader };
                    Settings { version: Version::V3, ..s }
                },
                Err(Discard::NoAddress),
            ),
            (
                "no address in version 3, and we have none",
                |s, a, _| {
                    a.addresses.clear();
                    a.body = Body::V3 { checksum: ChecksumForm::PseudoHeader };
                    Settings { version: Version::V3, addresses: vec![], ..s }
                },
                Ok(()),
            ),
            (
                "other addresses, strict",
                |s, a, _| {
                    a.addresses.clear();
                    Settings { strict_address_list: true, ..s }
                },
                Err(Discard::AddressList),
            ),
        ];
        for (name, change, expected) in rows {
            let mut advert = Advert {
                vrid: Vrid::new(7).unwrap(),
                priority: 100,
                interval: AdvertInterval::DEFAULT,
                addresses: vec!["10.0.0.9".parse().unwrap()],
                body: Body::V2(Auth::None),
            };
            let mut envelope = Envelope {
                source: "10.0.0.2".parse().unwrap(),
                destination: "224.0.0.18".parse().unwrap(),
                ttl: Some(255),
            };
            let settings = change(settings(), &mut advert, &mut envelope);
            let checked = check(&advert, &envelope, &settings, "10.0.0.1".parse().unwrap());
            assert_eq!(checked.map(|_| ()), expected, "{name}");
        }
    }
}
