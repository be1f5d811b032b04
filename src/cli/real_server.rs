//! `vipd real-server`: what an operator wants of a real server of the running daemon.

mod setup;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;

use super::print::{err, out, table};
use crate::base::Weight;
use crate::daemon::lvs::WishAsked;
use crate::daemon::real_server::{Drained, RealServerError, Running, real_servers};
use crate::lvs::pool::Wish;
use crate::lvs::table::DestinationKey;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show every real server, its connections, and what an operator wants of it.
    List {
        #[command(flatten)]
        at: super::RunDirArg,
        /// The same as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Give it no new connections; those that are there go on.
    ///
    /// With --wait the exit status is 0 when its last connection has ended, and 2 when the time was up before. A TCP
    /// connection has ended, as IPVS counts, when the director has seen a FIN of either end (DR, tunnel: of the client) or a
    /// reset; a UDP flow when its timeout is over. For UDP of a service by fwmark it does not wait.
    Drain {
        #[command(flatten)]
        which: Which,
        /// Wait so long for its last connection to end.
        #[arg(long, value_name = "SECONDS")]
        wait: Option<u64>,
    },
    /// On the real server itself: put the VIP where the director's packets find it, and keep ARP quiet about it.
    Setup(setup::Args),
    /// Take back what was wanted: what the configuration says counts again.
    Enable {
        #[command(flatten)]
        which: Which,
    },
    /// Take it out at once, with the connections that are there.
    Disable {
        #[command(flatten)]
        which: Which,
    },
    /// Give it this weight, whatever the configuration and its checkers say; `enable` takes it back.
    Weight {
        #[command(flatten)]
        which: Which,
        #[arg(value_name = "WEIGHT")]
        weight: u32,
    },
}

#[derive(Debug, clap::Args)]
struct Which {
    /// As the configuration names it: 192.0.2.1:80; an IPv6 address stands in brackets.
    #[arg(value_name = "ADDR:PORT", value_parser = address)]
    real_server: SocketAddr,
    /// In this virtual server only: 192.0.2.100:80, "TCP 192.0.2.100:80", or the name of its group.
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    #[command(flatten)]
    at: super::RunDirArg,
}

#[derive(Debug, thiserror::Error)]
enum NoAddress {
    #[error("the port is missing: as the configuration names it, {0} for one")]
    NoPort(SocketAddr),
    #[error("no address and port: 192.0.2.1:80, or [2001:db8::1]:80 for IPv6")]
    Other,
}

fn address(text: &str) -> Result<SocketAddr, NoAddress> {
    let alone = text.trim_matches(['[', ']']).parse();
    text.parse().map_err(|_| alone.map_or(NoAddress::Other, |addr| NoAddress::NoPort(SocketAddr::new(addr, 80))))
}

pub fn run(args: Args) -> ExitCode {
    if let Verb::Setup(args) = &args.verb {
        return setup::run(args);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            err(&format!("vipd: starting the runtime: {error}\n"));
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        match args.verb {
            Verb::Setup(_) => Ok(ExitCode::SUCCESS),
            Verb::List { at, json } => list(&Running::new(&at.run_dir), json).await,
            Verb::Drain { which, wait } => wish(which, Some(Wish::Drain), wait.map(Duration::from_secs)).await,
            Verb::Enable { which } => wish(which, None, None).await,
            Verb::Disable { which } => wish(which, Some(Wish::Disable), None).await,
            Verb::Weight { which, weight } => match Weight::new(weight) {
                Ok(weight) => wish(which, Some(Wish::Weight(weight)), None).await,
                Err(error) => {
                    err(&format!("vipd: {error}\n"));
                    Ok(ExitCode::FAILURE)
                }
            },
        }
    });
    done.unwrap_or_else(|error| {
        err(&format!("vipd: {error}\n"));
        ExitCode::FAILURE
    })
}

async fn list(running: &Running, json: bool) -> Result<ExitCode, RealServerError> {
    let status = running.status().await?;
    if json {
        let rows: Vec<_> = real_servers(&status)
            .map(|(service, real)| serde_json::json!({ "service": service.service, "real_server": real }))
            .collect();
        out(&(serde_json::to_string_pretty(&rows)? + "\n"));
        return Ok(ExitCode::SUCCESS);
    }
    let head = ["SERVICE", "REAL SERVER", "STATE", "WEIGHT", "CONFIGURED", "ACTIVE", "INACTIVE", "BY OPERATOR"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(real_servers(&status).map(|(service, real)| {
        vec![
            service.service.clone(),
            real.address.clone(),
            real.state.clone(),
            real.weight.to_string(),
            real.configured_weight.to_string(),
            real.active.to_string(),
            real.inactive.to_string(),
            real.by_operator.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    }));
    out(&table(&rows, 0));
    Ok(ExitCode::SUCCESS)
}

async fn wish(which: Which, wish: Option<Wish>, wait: Option<Duration>) -> Result<ExitCode, RealServerError> {
    let Which { real_server, service, at } = which;
    let running = Running::new(&at.run_dir);
    let key = DestinationKey { addr: real_server.ip(), port: real_server.port() };
    let asked = WishAsked { real_server: key, service, wish };
    let services = running.wish(&asked).await?;
    let what = match wish {
        None => "as configured".to_owned(),
        Some(Wish::Drain) => "gets no new connections".to_owned(),
        Some(Wish::Disable) => "is out".to_owned(),
        Some(Wish::Weight(weight)) => format!("has weight {}", weight.get()),
    };
    for service in &services {
        out(&format!("{service}: {key} {what}\n"));
    }
    let Some(wait) = wait else { return Ok(ExitCode::SUCCESS) };
    match running.drained(key, &services, wait).await? {
        Drained::Empty => {
            out(&format!("{key} has no connection left\n"));
            Ok(ExitCode::SUCCESS)
        }
        Drained::Left(left) => {
            err(&format!("vipd: {key} has {left} connections left after {} s\n", wait.as_secs()));
            Ok(ExitCode::from(2))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn a_real_server_has_an_address_and_a_port() {
        let rows = [
            ("192.0.2.1:80", Ok("192.0.2.1:80")),
            ("[2001:db8::1]:80", Ok("[2001:db8::1]:80")),
            ("192.0.2.1", Err("192.0.2.1:80 for one")),
            ("2001:db8::1", Err("[2001:db8::1]:80 for one")),
            ("[2001:db8::1]", Err("the port is missing")),
            ("web1", Err("no address and port")),
            ("192.0.2.1:99999", Err("no address and port")),
        ];
        for (text, wanted) in rows {
            match (address(text), wanted) {
                (Ok(read), Ok(wanted)) => assert_eq!(read.to_string(), wanted),
                (Err(said), Err(wanted)) => assert!(said.to_string().contains(wanted), "{text}: {said}"),
                (read, wanted) => panic!("{text}: {read:?}, not {wanted:?}"),
            }
        }
    }
}
