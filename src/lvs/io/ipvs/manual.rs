//! IPVS under an operator's hand: the kernel itself is strict, and its errors become ipvsadm's words.
#![expect(clippy::disallowed_methods, reason = "the kernel lists connections in a file")]

use std::io;

use super::codec::{self, Command};
use super::socket::{BATCH_MAX, Packet};
use super::{Ipvs, full_nat, kernel_error, request, sync};
use crate::lvs::datapath::DatapathError;
use crate::lvs::ipvsadm::connections::{self, Connection};
use crate::lvs::ipvsadm::manual::{Manual, refused};
use crate::lvs::ipvsadm::strict::INVALID;
use crate::lvs::ipvsadm::{Change, Refusal, SyncDaemon, Timeouts};
use crate::lvs::table::Step;
use crate::lvs::view::{DestinationRow, Header, Row};

const CONNECTIONS: &str = "/proc/thread-self/net/ip_vs_conn";

impl Manual for Ipvs {
    async fn listing(&mut self) -> Result<(Header, Vec<Row>), DatapathError> {
        let info = self.info().await?;
        let mut rows = vec![];
        for (held, destinations) in self.held(codec::read_counted_destination).await? {
            let Some(service) = held.service else { continue };
            let destinations = destinations.into_iter().map(|held| DestinationRow {
                key: held.key,
                destination: held.destination,
                counted: held.stats,
            });
            rows.push(Row { key: held.key, service, stats: held.stats, destinations: destinations.collect() });
        }
        Ok((Header { version: info.version, table_size: info.table_size }, rows))
    }

    async fn change(&mut self, changes: &[Change]) -> Vec<Result<(), Refusal>> {
        let mut results = vec![];
        for batch in changes.chunks(BATCH_MAX) {
            let packets: Vec<Result<Packet, Refusal>> = batch.iter().map(packet).collect();
            let sent: Vec<Packet> = packets.iter().filter_map(|packet| packet.as_ref().ok().cloned()).collect();
            let mut outcomes = match self.socket.execute(&sent).await {
                Ok(outcomes) => outcomes.into_iter(),
                Err(error) => {
                    let refusal = refused(&kernel_error("changing IPVS", error));
                    results.extend(batch.iter().map(|_| Err(refusal.clone())));
                    continue;
                }
            };
            for (change, packet) in batch.iter().zip(packets) {
                results.push(match packet {
                    Ok(_) => outcomes.next().unwrap_or(Ok(vec![])).map(|_| ()).map_err(|error| words(change, &error)),
                    Err(refusal) => Err(refusal),
                });
            }
        }
        results
    }

    async fn connections(&mut self) -> Result<Vec<Connection>, DatapathError> {
        let action = || format!("reading {CONNECTIONS}");
        let text = std::fs::read_to_string(CONNECTIONS).map_err(|error| kernel_error(&action(), error))?;
        Ok(connections::read(&text))
    }

    async fn timeouts(&mut self) -> Result<Timeouts, DatapathError> {
        Self::timeouts(self).await
    }

    async fn sync_daemons(&mut self) -> Result<Vec<SyncDaemon>, DatapathError> {
        let action = || "reading the sync daemons of IPVS".to_owned();
        self.dump(action, Command::GetDaemon, vec![], sync::read).await
    }
}

fn packet(change: &Change) -> Result<Packet, Refusal> {
    let (command, body) = match change {
        Change::Step(step) => return request(step).ok_or_else(|| refused(&full_nat(step))),
        Change::Clear => (Command::Flush, vec![]),
        Change::Zero(None) => (Command::Zero, vec![]),
        Change::Zero(Some(key)) => (Command::Zero, codec::service_request(*key, None)),
        Change::Set(timeouts) => (Command::SetConfig, codec::timeouts_request(*timeouts)),
        Change::StartDaemon(daemon) => (Command::NewDaemon, sync::start_request(daemon)),
        Change::StopDaemon(role) => (Command::DelDaemon, sync::stop_request(*role)),
    };
    Ok(Packet { command: command.number(), body })
}

/// The kernel's error in ipvsadm's words.
fn words(change: &Change, error: &io::Error) -> Refusal {
    const ENGINE: &str = "Scheduler or persistence engine not found";
    let code = error.raw_os_error();
    let text = match (change, code) {
        (Change::Step(Step::AddService(..)), Some(libc::EEXIST)) => "Service already exists",
        (Change::Step(Step::AddService(..) | Step::EditService(..)), Some(libc::ENOENT)) => ENGINE,
        (Change::Step(Step::EditService(..) | Step::DeleteService(_)) | Change::Zero(_), Some(libc::ESRCH)) => {
            "No such service"
        }
        (
            Change::Step(Step::AddDestination(..) | Step::EditDestination(..) | Step::DeleteDestination(..)),
            Some(libc::ESRCH),
        ) => "Service not defined",
        (Change::Step(Step::AddDestination(..)), Some(libc::EEXIST)) => "Destination already exists",
        (Change::Step(Step::EditDestination(..) | Step::DeleteDestination(..)), Some(libc::ENOENT)) => {
            "No such destination"
        }
        (Change::StartDaemon(_), Some(libc::EEXIST)) => "Daemon has already run",
        (Change::StopDaemon(_), Some(libc::ESRCH)) => "No daemon is running",
        (_, Some(libc::EPERM)) => "Permission denied (you must be root)",
        (_, Some(libc::EINVAL)) => INVALID,
        (_, Some(libc::ENOPROTOOPT)) => "Protocol not available",
        (_, Some(libc::ENOMEM)) => "Memory allocation problem",
        (_, Some(libc::EOPNOTSUPP)) => "Operation not supported with IPv6",
        (_, Some(libc::EAFNOSUPPORT)) => "Operation not supported with specified address family",
        (_, Some(libc::EMSGSIZE)) => "Module is wrong version",
        (_, _) => {
            let text = error.to_string();
            return Refusal::kernel(text.split_once(" (os error").map_or(text.as_str(), |(text, _)| text));
        }
    };
    Refusal::kernel(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lvs::ipvsadm::SyncRole;
    use crate::lvs::table::{Protocol, ServiceKey};

    #[test]
    fn the_kernels_errors_are_said_as_ipvsadm_says_them() {
        let addr = std::net::Ipv4Addr::LOCALHOST.into();
        let key = ServiceKey::Address { protocol: Protocol::Tcp, addr, port: 80 };
        let delete = Change::Step(Step::DeleteService(key));
        let rows = [
            (&delete, libc::ESRCH, "No such service"),
            (&Change::Zero(Some(key)), libc::ESRCH, "No such service"),
            (&Change::StopDaemon(SyncRole::Master), libc::ESRCH, "No daemon is running"),
            (&delete, libc::EPERM, "Permission denied (you must be root)"),
            (&delete, libc::ERANGE, "Numerical result out of range"),
        ];
        for (change, code, said) in rows {
            assert_eq!(words(change, &io::Error::from_raw_os_error(code)), Refusal::kernel(said));
        }
    }
}
