//! The control packet (RFC 5880 section 4.1), from bytes and to bytes. No byte makes it panic.

use std::fmt;
use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The packet without authentication.
pub const LEN: usize = 24;

const VERSION: u8 = 1;
const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const AUTHENTICATED: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;

/// `State` (RFC 5880 section 4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    AdminDown,
    #[default]
    Down,
    Init,
    Up,
}

impl State {
    const fn number(self) -> u8 {
        match self {
            Self::AdminDown => 0,
            Self::Down => 1,
            Self::Init => 2,
            Self::Up => 3,
        }
    }

    const fn of(bits: u8) -> Self {
        match bits {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AdminDown => "admin down",
            Self::Down => "down",
            Self::Init => "init",
            Self::Up => "up",
        })
    }
}

/// `Diag`: why the session was last down. Those that are sent from here, and the rest by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Diagnostic {
    #[default]
    None,
    /// The control detection time expired.
    Expired,
    NeighborDown,
    AdminDown,
    Other(u8),
}

impl Diagnostic {
    const fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Expired => 1,
            Self::NeighborDown => 3,
            Self::AdminDown => 7,
            Self::Other(number) => number & 0x1f,
        }
    }

    const fn of(number: u8) -> Self {
        match number {
            0 => Self::None,
            1 => Self::Expired,
            3 => Self::NeighborDown,
            7 => Self::AdminDown,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no diagnostic"),
            Self::Expired => f.write_str("no packet within the detection time"),
            Self::NeighborDown => f.write_str("the neighbour says it is down"),
            Self::AdminDown => f.write_str("the neighbour is shut down"),
            Self::Other(number) => write!(f, "diagnostic {number}"),
        }
    }
}

/// Why a packet was dropped (RFC 5880 section 6.8.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Discard {
    Length,
    Version,
    Multiplier,
    Multipoint,
    /// `My Discriminator` is 0.
    Discriminator,
    /// It is authenticated, and no session here is.
    Authentication,
    /// It came over more hops than the session allows (RFC 5881 section 5).
    Ttl,
    /// It names no session, and none waits for this neighbour.
    Stranger,
}

impl Discard {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Version => "version",
            Self::Multiplier => "multiplier",
            Self::Multipoint => "multipoint",
            Self::Discriminator => "discriminator",
            Self::Authentication => "authentication",
            Self::Ttl => "ttl",
            Self::Stranger => "stranger",
        }
    }
}

/// One control packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    pub diagnostic: Diagnostic,
    pub state: State,
    pub poll: bool,
    pub is_final: bool,
    pub demand: bool,
    pub multiplier: NonZeroU8,
    pub mine: NonZeroU32,
    /// 0: not known yet.
    pub yours: u32,
    pub desired_min_tx: Duration,
    /// Zero: it wants no packets at intervals.
    pub required_min_rx: Duration,
}

impl Packet {
    /// # Errors
    /// [`Discard`]: what the bytes alone can tell.
    pub fn parse(bytes: &[u8]) -> Result<Self, Discard> {
        let (words, _) = bytes.as_chunks::<4>();
        let &[[first, flags, multiplier, length], mine, yours, tx, rx, _echo, ..] = words else {
            return Err(Discard::Length);
        };
        if first >> 5 != VERSION {
            return Err(Discard::Version);
        }
        if usize::from(length) < LEN || usize::from(length) > bytes.len() {
            return Err(Discard::Length);
        }
        if flags & AUTHENTICATED != 0 {
            return Err(Discard::Authentication);
        }
        if flags & MULTIPOINT != 0 {
            return Err(Discard::Multipoint);
        }
        let yours = u32::from_be_bytes(yours);
        let state = State::of(flags >> 6);
        if yours == 0 && matches!(state, State::Init | State::Up) {
            return Err(Discard::Discriminator);
        }
        Ok(Self {
            diagnostic: Diagnostic::of(first & 0x1f),
            state,
            poll: flags & POLL != 0,
            is_final: flags & FINAL != 0,
            demand: flags & DEMAND != 0,
            multiplier: NonZeroU8::new(multiplier).ok_or(Discard::Multiplier)?,
            mine: NonZeroU32::new(u32::from_be_bytes(mine)).ok_or(Discard::Discriminator)?,
            yours,
            desired_min_tx: Duration::from_micros(u32::from_be_bytes(tx).into()),
            required_min_rx: Duration::from_micros(u32::from_be_bytes(rx).into()),
        })
    }

    /// Times beyond 71 minutes are sent as the longest that fits.
    pub fn emit(&self) -> [u8; LEN] {
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        let flags =
            self.state.number() << 6 | flag(self.poll, POLL) | flag(self.is_final, FINAL) | flag(self.demand, DEMAND);
        let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX).to_be_bytes();
        let length = u8::try_from(LEN).unwrap_or(u8::MAX);
        let words = [
            [VERSION << 5 | self.diagnostic.number(), flags, self.multiplier.get(), length],
            self.mine.get().to_be_bytes(),
            self.yours.to_be_bytes(),
            micros(self.desired_min_tx),
            micros(self.required_min_rx),
            [0; 4], // no echo
        ];
        let mut bytes = [0; LEN];
        for (to, from) in bytes.iter_mut().zip(words.as_flattened()) {
            *to = *from;
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn valid() -> Packet {
        Packet {
            diagnostic: Diagnostic::Expired,
            state: State::Init,
            poll: true,
            is_final: false,
            demand: false,
            multiplier: NonZeroU8::new(5).unwrap(),
            mine: NonZeroU32::new(0x0102_0304).unwrap(),
            yours: 9,
            desired_min_tx: Duration::from_millis(10),
            required_min_rx: Duration::from_millis(20),
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_rfc() {
        let bytes = valid().emit();
        assert_eq!(bytes[..12], [0x21, 0xa0, 5, 24, 1, 2, 3, 4, 0, 0, 0, 9]);
        assert_eq!(bytes[12..], [0, 0, 0x27, 0x10, 0, 0, 0x4e, 0x20, 0, 0, 0, 0]);
    }

    #[test]
    fn each_fault_has_its_own_discard() {
        let rows: [(&str, usize, u8, Discard); 8] = [
            ("version", 0, 0x40, Discard::Version),
            ("length below", 3, 23, Discard::Length),
            ("length above", 3, 25, Discard::Length),
            ("authentication", 1, 0xa4, Discard::Authentication),
            ("multipoint", 1, 0xa1, Discard::Multipoint),
            ("multiplier", 2, 0, Discard::Multiplier),
            ("yours is 0 and it is in init", 11, 0, Discard::Discriminator),
            ("short", 24, 0, Discard::Length),
        ];
        for (name, at, value, discard) in rows {
            let mut bytes = valid().emit().to_vec();
            match bytes.get_mut(at) {
                Some(byte) => *byte = value,
                None => bytes.truncate(23),
            }
            assert_eq!(Packet::parse(&bytes), Err(discard), "{name}");
        }
        let mut bytes = valid().emit();
        bytes[4..8].fill(0);
        assert_eq!(Packet::parse(&bytes), Err(Discard::Discriminator));
    }

    proptest! {
        #[test]
        fn what_is_emitted_is_read_back(diagnostic in 0u8..32, state in 0u8..4, flags: [bool; 3], multiplier: NonZeroU8,
                                        mine: NonZeroU32, yours in 1u32.., times: [u32; 2]) {
            let [desired_min_tx, required_min_rx] = times.map(|us| Duration::from_micros(us.into()));
            let packet = Packet {
                diagnostic: Diagnostic::of(diagnostic), state: State::of(state), poll: flags[0], is_final: flags[1],
                demand: flags[2], multiplier, mine, yours, desired_min_tx, required_min_rx,
            };
            prop_assert_eq!(Packet::parse(&packet.emit()), Ok(packet));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Packet::parse(&bytes);
        }
    }
}
