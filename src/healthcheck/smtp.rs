//! The dialogue of `SMTP_CHECK`: greeting, HELO, QUIT (RFC 5321 section 3).
//!
//! Bytes in, bytes out, no socket: `io/smtp.rs` carries them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::outcome::Outcome;
use crate::base::HeloName;

/// Bytes of one reply, with all its lines; RFC 5321 section 4.5.3.1.5 allows 512 for a line.
pub const REPLY_MAX_BYTES: usize = 8192;

/// What the server is to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SmtpStep {
    Greeting,
    Helo,
    Quit,
}

impl fmt::Display for SmtpStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Greeting => "the greeting",
            Self::Helo => "the answer to HELO",
            Self::Quit => "the answer to QUIT",
        })
    }
}

/// What follows from the bytes so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The reply is not complete.
    More,
    Send(String),
    End(Outcome),
}

/// One conversation.
#[derive(Clone, Debug)]
pub struct Dialogue {
    helo: HeloName,
    step: SmtpStep,
    /// Of the reply that is being read.
    line: Vec<u8>,
    read_bytes: usize,
}

impl Dialogue {
    /// It begins with the server's greeting.
    pub const fn new(helo: HeloName) -> Self {
        Self { helo, step: SmtpStep::Greeting, line: vec![], read_bytes: 0 }
    }

    /// Take what the server sent. What follows a complete reply in the same piece is dropped: nobody asked for it.
    pub fn receive(&mut self, piece: &[u8]) -> Progress {
        for byte in piece {
            self.read_bytes = self.read_bytes.saturating_add(1);
            if self.read_bytes > REPLY_MAX_BYTES {
                return Progress::End(Outcome::SmtpTooLong { step: self.step, limit_bytes: REPLY_MAX_BYTES });
            }
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            match line.as_slice() {
                // A reply of several lines: the last one has no hyphen.
                [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'-', ..] => {}
                [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', ..] => {
                    let code = [a, b, c].into_iter().fold(0, |code, digit| code * 10 + u16::from(*digit - b'0'));
                    return self.answered(code);
                }
                _ => return Progress::End(Outcome::NotSmtp { step: self.step }),
            }
        }
        Progress::More
    }

    fn answered(&mut self, got: u16) -> Progress {
        self.read_bytes = 0;
        let (wanted, next, words) = match self.step {
            SmtpStep::Greeting => (220, SmtpStep::Helo, format!("HELO {}\r\n", self.helo.as_str())),
            SmtpStep::Helo => (250, SmtpStep::Quit, "QUIT\r\n".to_owned()),
            // Whatever it says: the server has proved that it talks.
            SmtpStep::Quit => return Progress::End(Outcome::SmtpAnswered),
        };
        if got != wanted {
            return Progress::End(Outcome::SmtpCode { step: self.step, got, wanted });
        }
        self.step = next;
        Progress::Send(words)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// What is sent for each piece, and the end if there is one.
    fn talk(pieces: &[&[u8]]) -> (Vec<String>, Option<String>) {
        let mut dialogue = Dialogue::new("a.example".parse().unwrap());
        let mut sent = vec![];
        for piece in pieces {
            match dialogue.receive(piece) {
                Progress::More => {}
                Progress::Send(words) => sent.push(words),
                Progress::End(outcome) => return (sent, Some(outcome.to_string())),
            }
        }
        (sent, None)
    }

    /// A name, what the server says, what we say, the outcome.
    type Row<'a> = (&'a str, &'a [&'a [u8]], &'a [&'a str], Option<&'a str>);

    #[test]
    fn a_dialogue_goes_from_greeting_to_quit() {
        let long = [b'2'; REPLY_MAX_BYTES + 1];
        let (hello, quit) = ("HELO a.example\r\n", "QUIT\r\n");
        let rows: [Row; 9] = [
            ("all is well", &[b"220 x\r\n", b"250 x\r\n", b"221 x\r\n"], &[hello, quit], Some("talks SMTP")),
            ("without a text", &[b"220\n", b"250\n", b"500\n"], &[hello, quit], Some("talks SMTP")),
            ("several lines", &[b"220-a\r\n220-b\r\n220 c\r\n"], &[hello], None),
            ("byte by byte", &[b"2", b"2", b"0", b" ", b"\r", b"\n"], &[hello], None),
            ("greeting 554", &[b"554 no\r\n"], &[], Some("code 554 in the greeting, wanted 220")),
            ("HELO 502", &[b"220 x\r\n", b"502 no\r\n"], &[hello], Some("code 502 in the answer to HELO, wanted 250")),
            ("HTTP", &[b"HTTP/1.1 400 Bad\r\n"], &[], Some("the greeting is not SMTP")),
            ("an empty line", &[b"\r\n"], &[], Some("the greeting is not SMTP")),
            ("no end of line", &[&long], &[], Some("the greeting exceeds 8192 bytes")),
        ];
        for (name, pieces, sent, end) in rows {
            let (got, ended) = talk(pieces);
            assert_eq!((got, ended.as_deref()), (sent.iter().map(ToString::to_string).collect(), end), "{name}");
        }
    }

    proptest! {
        #[test]
        fn what_a_server_says_is_read_alike_however_it_is_cut(text in "[0-9 \r\n-]{0,40}", cuts in vec(1..8_usize, 40)) {
            let run = |pieces: Vec<&[u8]>| {
                let mut dialogue = Dialogue::new(HeloName::default());
                pieces.into_iter().map(|piece| dialogue.receive(piece)).find(|progress| *progress != Progress::More)
            };
            let mut rest = text.as_bytes();
            let mut pieces = vec![];
            for cut in cuts {
                let (piece, left) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = left;
            }
            prop_assert_eq!(run(vec![text.as_bytes()]), run(pieces));
        }
    }
}
