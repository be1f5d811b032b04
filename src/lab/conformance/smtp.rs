//! How SMTP servers and agents talk, and how they fail to.

use super::{Act, Behaviour, stream};

pub(super) fn behaviours() -> Vec<Behaviour> {
    let say = |text: &str| Act::Say(text.as_bytes().to_vec());
    let talk = |greeting: Act| vec![greeting, Act::Line, say("250 hello\r\n"), Act::Line, say("221 bye\r\n")];
    let long = format!("220 {}\r\n", "x".repeat(20_000));
    vec![
        stream("SMTP", talk(say("220 mail\r\n"))),
        stream("SMTP greeting byte by byte", talk(Act::Bytewise(b"220 mail\r\n".to_vec()))),
        stream("SMTP greeting of three lines", talk(say("220-a\r\n220-b\r\n220 c\r\n"))),
        stream("SMTP greeting without CR", talk(say("220 mail\n"))),
        stream("SMTP greeting of 20 kB", talk(say(&long))),
        stream("SMTP greeting that drips", vec![say("220 "), Act::Drip]),
        stream("SMTP 421", vec![say("421 later\r\n")]),
        stream("SMTP 554", vec![say("554 no\r\n"), Act::Hold]),
        stream("SMTP, HELO is refused", vec![say("220 mail\r\n"), Act::Line, say("550 no\r\n"), Act::Hold]),
        stream("SMTP, silence after HELO", vec![say("220 mail\r\n"), Act::Hold]),
        stream("SMTP, closes after HELO", vec![say("220 mail\r\n"), Act::Line]),
        stream("SMTP, closes at QUIT", vec![say("220 mail\r\n"), Act::Line, say("250 hello\r\n"), Act::Line]),
    ]
}

/// Programs that speak HAProxy's agent protocol.
pub(super) fn agents() -> Vec<Behaviour> {
    let say = |text: &str| vec![Act::Say(text.as_bytes().to_vec())];
    vec![
        stream("agent: up 50%", say("up 50%\n")),
        stream("agent: drain", say("drain\r\n")),
        stream("agent: down, with a remark", say("down # the disk is full\n")),
        stream("agent: a line without end", say("up")),
    ]
}
