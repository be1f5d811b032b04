//! Sending one alert by SMTP, without TLS and without a login, as keepalived does.

use lettre::address::AddressError;
use lettre::message::Mailbox;
use lettre::transport::smtp::AsyncSmtpTransport;
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncTransport as _, Message, Tokio1Executor};

use crate::notify::mail::{Mail, MailSettings};

/// Why an alert was not sent.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    #[error("`{address}` is no mail address: {source}")]
    Address { address: String, source: AddressError },
    #[error("the mail could not be written: {0}")]
    Message(#[from] lettre::error::Error),
    #[error("{server}: {source}")]
    Send { server: String, source: lettre::transport::smtp::Error },
}

/// Send it to every recipient, in one conversation.
///
/// # Errors
/// [`MailError`]
pub async fn send(settings: &MailSettings, mail: &Mail) -> Result<(), MailError> {
    let MailSettings { server, port, to, from, helo, timeout, router_id } = settings;
    let host = host_name();
    let from = from.clone().unwrap_or_else(|| format!("root@{host}"));
    let mut message = Message::builder().from(mailbox(&from)?);
    for address in to {
        message = message.to(mailbox(address)?);
    }
    let router = router_id.clone().unwrap_or_else(|| host.clone());
    let message = message.subject(format!("[{router}] {}", mail.subject)).body(mail.body.clone())?;
    let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server)
        .port(*port)
        .hello_name(ClientId::Domain(helo.clone().unwrap_or(host)))
        .timeout(Some(*timeout))
        .build();
    let sent = transport.send(message).await;
    sent.map(drop).map_err(|source| MailError::Send { server: format!("{server} port {port}"), source })
}

fn mailbox(address: &str) -> Result<Mailbox, MailError> {
    address.parse().map_err(|source| MailError::Address { address: address.to_owned(), source })
}

fn host_name() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_else(|| "localhost".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that takes one mail; gives all that the client said.
    async fn server(listener: TcpListener) -> String {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let (mut lines, mut said, mut data) = (BufReader::new(read).lines(), String::new(), false);
        write.write_all(b"220 test\r\n").await.unwrap();
        while let Some(line) = lines.next_line().await.unwrap() {
            said.push_str(&line);
            said.push('\n');
            let answer: &[u8] = match line.as_str() {
                "." => {
                    data = false;
                    b"250 taken\r\n"
                }
                _ if data => continue,
                "DATA" => {
                    data = true;
                    b"354 go on\r\n"
                }
                "QUIT" => b"221 bye\r\n",
                _ => b"250 fine\r\n",
            };
            write.write_all(answer).await.unwrap();
            if line == "QUIT" || line == "." {
                break;
            }
        }
        said
    }

    #[tokio::test]
    async fn an_alert_reaches_all_recipients_with_the_subject_of_keepalived() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = MailSettings {
            server: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
            to: vec!["a@example.org".to_owned(), "b@example.org".to_owned()],
            from: Some("vipd@example.org".to_owned()),
            helo: Some("lb1.example.org".to_owned()),
            timeout: Duration::from_secs(30),
            router_id: Some("LVS_1".to_owned()),
        };
        let mail = Mail { subject: "VRRP Instance VI_1 - Entering MASTER state".to_owned(), body: "why\n".to_owned() };
        let (sent, said) = tokio::join!(send(&settings, &mail), server(listener));
        sent.unwrap();
        for wanted in [
            "EHLO lb1.example.org\n",
            "MAIL FROM:<vipd@example.org>",
            "RCPT TO:<a@example.org>",
            "RCPT TO:<b@example.org>",
            "Subject: [LVS_1] VRRP Instance VI_1 - Entering MASTER state\n",
            "\nwhy\n",
        ] {
            assert!(said.contains(wanted), "{wanted}\n{said}");
        }
        let bad = MailSettings { to: vec!["nobody".to_owned()], ..settings };
        assert!(matches!(send(&bad, &mail).await, Err(MailError::Address { .. })));
    }
}
