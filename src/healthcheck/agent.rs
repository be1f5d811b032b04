//! What an agent says of its server, in HAProxy's agent protocol (its configuration manual, `agent-check`).
//!
//! One line of words: `up`, `down`, `failed`, `stopped`; `ready`, `drain`, `maint`; `75%`; `maxconn:30`; what follows
//! `#` is for people. No socket: `io/agent.rs` reads the line.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::WeightWish;

/// Bytes of the line; what follows is not read.
pub const LINE_MAX_BYTES: usize = 512;
/// Characters of the remark that are kept.
const REMARK_MAX: usize = 80;
/// The largest share that an agent may ask for, in percent (HAProxy has 256 parts of the weight).
const PERCENT_MAX: u16 = 256;

/// One line, read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentLine {
    pub health: Option<AgentHealth>,
    pub wish: Option<Administration>,
    pub percent: Option<u16>,
    /// Behind `#`.
    pub remark: Option<String>,
}

/// What the agent knows of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentHealth {
    Up,
    Down,
    Failed,
    Stopped,
}

/// What the agent's operator wants; it holds until he says another word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Administration {
    #[default]
    Ready,
    /// No new connections.
    Drain,
    /// Nothing at all.
    Maint,
}

impl AgentLine {
    /// Read a line; `None` where it holds no word that we know.
    ///
    /// As in HAProxy a word that nobody knows is passed over, and of two that say the same thing the later counts.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let line = text.lines().next().unwrap_or_default();
        let (words, remark) = line.split_once('#').map_or((line, None), |(words, remark)| (words, Some(remark)));
        let mut said = Self::default();
        for word in words.split([' ', '\t', ',']).map(str::to_ascii_lowercase) {
            match word.as_str() {
                "up" => said.health = Some(AgentHealth::Up),
                "down" => said.health = Some(AgentHealth::Down),
                "fail" | "failed" => said.health = Some(AgentHealth::Failed),
                "stopped" => said.health = Some(AgentHealth::Stopped),
                "ready" => said.wish = Some(Administration::Ready),
                "drain" => said.wish = Some(Administration::Drain),
                "maint" => said.wish = Some(Administration::Maint),
                word => {
                    let percent = word.strip_suffix('%').and_then(|number| number.parse::<u16>().ok());
                    said.percent = percent.map(|percent| percent.min(PERCENT_MAX)).or(said.percent);
                }
            }
        }
        if said == Self::default() {
            return None;
        }
        let readable = |letter: &char| !letter.is_control();
        let remark: Option<String> = remark.map(|text| text.trim().chars().filter(readable).take(REMARK_MAX).collect());
        said.remark = remark.filter(|text| !text.is_empty());
        Some(said)
    }
}

impl fmt::Display for AgentLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let health = self.health.map(|health| match health {
            AgentHealth::Up => "up",
            AgentHealth::Down => "down",
            AgentHealth::Failed => "failed",
            AgentHealth::Stopped => "stopped",
        });
        let wish = self.wish.map(|wish| match wish {
            Administration::Ready => "ready",
            Administration::Drain => "drain",
            Administration::Maint => "maint",
        });
        let percent = self.percent.map(|percent| format!("{percent}%"));
        let words: Vec<&str> = [health, wish, percent.as_deref()].into_iter().flatten().collect();
        write!(f, "the agent says {}", words.join(" "))?;
        match &self.remark {
            Some(remark) => write!(f, " ({remark})"),
            None => Ok(()),
        }
    }
}

/// What holds of an agent's words until it says others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    administration: Administration,
    percent: Option<u16>,
}

impl Memory {
    /// Take in a line: whether the server is to be used, and with what weight.
    pub fn hear(&mut self, line: &AgentLine) -> (bool, WeightWish) {
        self.administration = line.wish.unwrap_or(self.administration);
        self.percent = line.percent.or(self.percent);
        let healthy = match line.health {
            None | Some(AgentHealth::Up) => true,
            Some(AgentHealth::Down | AgentHealth::Failed | AgentHealth::Stopped) => false,
        };
        match self.administration {
            Administration::Ready => (healthy, WeightWish::Percent(self.percent.unwrap_or(100))),
            Administration::Drain => (healthy, WeightWish::Percent(0)),
            Administration::Maint => (false, WeightWish::Percent(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_read_as_haproxy_reads_it() {
        let rows: [(&[u8], Option<&str>); 14] = [
            (b"up\n", Some("the agent says up")),
            (b"UP 50%\r\n", Some("the agent says up 50%")),
            (b"75%", Some("the agent says 75%")),
            (b"up,ready 80%\n", Some("the agent says up ready 80%")),
            (b"drain\n", Some("the agent says drain")),
            (b"maint # till noon\n", Some("the agent says maint (till noon)")),
            (b"down #db is away\n", Some("the agent says down (db is away)")),
            (b"stopped\nup\n", Some("the agent says stopped")),
            (b"maxconn:30 up\n", Some("the agent says up")),
            (b"1000%\n", Some("the agent says 256%")),
            (b"\n", None),
            (b"", None),
            (b"HTTP/1.1 400 Bad Request\r\n", None),
            (b"\xff\xfe\x00", None),
        ];
        for (bytes, wanted) in rows {
            let got = AgentLine::parse(bytes).map(|line| line.to_string());
            assert_eq!(got.as_deref(), wanted, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn an_operators_wish_and_a_share_hold_until_others_are_said() {
        let mut memory = Memory::default();
        let rows = [
            ("up", true, 100),
            ("up 50%", true, 50),
            ("up", true, 50),
            ("drain", true, 0),
            ("up", true, 0),
            ("ready", true, 50),
            ("down", false, 50),
            ("maint", false, 0),
            ("up", false, 0),
            ("up ready 100%", true, 100),
        ];
        for (line, usable, percent) in rows {
            let line = AgentLine::parse(line.as_bytes()).unwrap();
            assert_eq!(memory.hear(&line), (usable, WeightWish::Percent(percent)), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_line_or_none_and_print_short(bytes in vec(any::<u8>(), 0..LINE_MAX_BYTES)) {
            if let Some(line) = AgentLine::parse(&bytes) {
                let text = line.to_string();
                prop_assert!(text.chars().count() < 200 && !text.contains(char::is_control), "{text:?}");
            }
        }
    }
}
