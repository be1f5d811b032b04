//! `vipd genhash`: the digest of a page, for `digest` of `HTTP_GET` and `SSL_GET`; keepalived's options and output.
//!
//! A page that cannot be had whole is an error here, where keepalived prints what it got and exits with 0.

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use super::print::{err, out};
use crate::healthcheck::expect::Expect;
use crate::healthcheck::io::http::Page;
use crate::healthcheck::io::{http, tls};
use crate::healthcheck::outcome::Outcome;
use crate::healthcheck::probe::{Endpoint, HttpProbe, HttpVersion, HttpsProbe, Sni, TlsClient, TlsFiles, Url};

/// Bytes of a line of the verbose output.
const LINE_BYTES: usize = 16;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Ask within TLS.
    #[arg(short = 'S', long)]
    use_ssl: bool,
    /// Send the virtualhost as the name that TLS tells the server first.
    #[arg(short = 'I', long)]
    use_sni: bool,
    /// The server's address.
    #[arg(short, long, value_name = "ADDRESS")]
    server: IpAddr,
    /// 80, or 443 within TLS, where it is not given.
    #[arg(short, long)]
    port: Option<u16>,
    /// The path, as `/index.html`.
    #[arg(short, long, value_name = "PATH")]
    url: String,
    /// The Host field; without it the address is sent.
    #[arg(short = 'V', long = "use-virtualhost", value_name = "NAME")]
    virtualhost: Option<String>,
    /// Show the header and the body too.
    #[arg(short, long)]
    verbose: bool,
    /// `SO_MARK` of the socket.
    #[arg(short = 'm', long, value_name = "MARK")]
    fwmark: Option<u32>,
    /// Version of HTTP: 1.0, 1.0c (with Connection: close), 1.1 or 2.
    #[arg(short = 'P', long, value_parser = version, default_value = "1.0")]
    protocol: HttpVersion,
    /// Seconds for each step: to connect, for the header, for each piece of the body.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

fn version(text: &str) -> Result<HttpVersion, &'static str> {
    match text {
        "1.0" => Ok(HttpVersion::Http10),
        "1.0c" | "1.0C" => Ok(HttpVersion::Http10Close),
        "1.1" => Ok(HttpVersion::Http11),
        "2" => Ok(HttpVersion::Http2),
        _ => Err("one of 1.0, 1.0c, 1.1 and 2"),
    }
}

#[derive(Debug, thiserror::Error)]
enum GenhashError {
    #[error("starting the runtime: {0}")]
    Runtime(std::io::Error),
    #[error("{0}")]
    Page(Outcome),
}

pub fn run(args: &Args) -> ExitCode {
    match page(args) {
        Ok(page) => {
            let digest = page.digest.clone().finish();
            out(&if args.verbose { shown(args, &page) } else { format!("{digest}\n") });
            ExitCode::SUCCESS
        }
        Err(error) => {
            err(&format!("vipd: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn page(args: &Args) -> Result<Page, GenhashError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(GenhashError::Runtime)?;
    runtime.block_on(fetch(args)).map_err(GenhashError::Page)
}

async fn fetch(args: &Args) -> Result<Page, Outcome> {
    let limit = Duration::from_secs(args.timeout);
    let port = args.port.unwrap_or(if args.use_ssl { 443 } else { 80 });
    let endpoint = Endpoint { mark: args.fwmark, ..Endpoint::new(SocketAddr::new(args.server, port), limit) };
    let url = Url {
        path: args.url.clone(),
        host: args.virtualhost.clone(),
        expect: Expect::default(),
        tls_compliant: false,
        headers: vec![],
    };
    let http = HttpProbe {
        endpoint,
        version: args.protocol,
        first: url.clone(),
        more: vec![],
        fast_recovery: false,
        deadline: HttpProbe::default_deadline(limit),
    };
    if !args.use_ssl {
        return http::fetch(&http, &url).await;
    }
    let sni = if args.use_sni { Sni::Host } else { Sni::Off };
    tls::fetch(&HttpsProbe { http, tls: TlsClient { sni, files: TlsFiles::default(), reuse: false } }, &url).await
}

/// What keepalived's `--verbose` shows.
fn shown(args: &Args, page: &Page) -> String {
    let digest = page.digest.clone().finish();
    let head = String::from_utf8_lossy(&page.head);
    format!(
        "{}{}{}{head}\n{}{}{}{digest}\n\nGlobal response time for [{}] = {} usecs\n",
        title("   HTTP Header Buffer   "),
        dump(&page.head),
        title("HTTP Header Ascii Buffer"),
        title("       HTML Buffer       "),
        dump(&page.body),
        title("HTML hash final resulting"),
        args.url,
        page.took.as_micros(),
    )
}

fn title(text: &str) -> String {
    format!("-----------------------[ {text} ]-----------------------\n")
}

/// Offset, two groups of eight bytes, and the same as letters.
fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (line, bytes) in bytes.chunks(LINE_BYTES).enumerate() {
        let cell = |at: usize| bytes.get(at).map_or_else(|| "   ".to_owned(), |byte| format!("{byte:02x} "));
        let low: String = (0..8).map(cell).collect();
        let high: String = (8..LINE_BYTES).map(cell).collect();
        let readable = |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' };
        let letters: String = bytes.iter().map(readable).collect();
        text.push_str(&format!("{:04}  {low}- {high}  {letters}\n", line * LINE_BYTES));
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn bytes_are_shown_as_keepalived_shows_them() {
        assert_eq!(
            super::dump(b"HTTP/1.1 200 OK\r\nA"),
            "0000  48 54 54 50 2f 31 2e 31 - 20 32 30 30 20 4f 4b 0d   HTTP/1.1 200 OK.\n\
             0016  0a 41                   -                           .A\n"
        );
    }
}
