//! `SMTP_CHECK` against servers that talk, in whatever pieces, and servers that do not.

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use vipd::base::HeloName;
use vipd::healthcheck::io::smtp;
use vipd::healthcheck::probe::{Endpoint, SmtpProbe};

use super::{PATIENCE, SHORT};

/// Say the first reply at once and each further one after a line of the client; then close, or hold on.
async fn serve(replies: &'static [&'static str], hold: bool) -> (SmtpProbe, UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::new(listener.local_addr().unwrap(), if hold { SHORT } else { PATIENCE });
    let (sender, lines) = unbounded_channel();
    tokio::spawn(async move {
        let mut client = BufReader::new(listener.accept().await.unwrap().0);
        for (at, reply) in replies.iter().enumerate() {
            if at > 0 {
                let mut line = String::new();
                client.read_line(&mut line).await.unwrap();
                sender.send(line).unwrap();
            }
            for byte in reply.bytes() {
                client.write_all(&[byte]).await.unwrap();
            }
        }
        if hold {
            client.read_line(&mut String::new()).await.ok();
            client.read_line(&mut String::new()).await.ok();
        }
    });
    (SmtpProbe { endpoint, helo: HeloName::default() }, lines)
}

#[tokio::test]
async fn a_server_must_greet_and_answer_helo_and_quit() {
    let rows: [(&str, &[&str], bool, &str); 8] = [
        ("all is well", &["220 a\r\n", "250-b\r\n250 c\r\n", "221 d\r\n"], false, "talks SMTP"),
        ("busy", &["421 later\r\n"], false, "code 421 in the greeting, wanted 220"),
        ("HELO is not liked", &["220 a\r\n", "550 b\r\n"], false, "code 550 in the answer to HELO, wanted 250"),
        ("another protocol", &["SSH-2.0-x\r\n"], false, "the greeting is not SMTP"),
        ("silence", &[], true, "no answer within 500ms"),
        ("half a greeting", &["220 a"], true, "no answer within 500ms"),
        ("closed at once", &[], false, "the server closed before its answer was complete"),
        ("silence after HELO", &["220 a\r\n"], true, "no answer within 500ms"),
    ];
    for (name, replies, hold, wanted) in rows {
        let (probe, mut lines) = serve(replies, hold).await;
        assert_eq!(smtp::check(&probe).await.to_string(), wanted, "{name}");
        if replies.len() == 3 {
            assert_eq!(lines.recv().await.as_deref(), Some("HELO smtpchecker.keepalived.org\r\n"));
            assert_eq!(lines.recv().await.as_deref(), Some("QUIT\r\n"));
        }
    }
}
