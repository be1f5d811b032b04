//! The kernel's IPVS, over generic netlink (family "IPVS", `linux/ip_vs.h`).
//!
//! Adding what exists edits it, editing what is missing adds it, deleting what is gone is done: see [`Step`].

#![expect(clippy::disallowed_methods, reason = "this file may start modprobe")]

mod codec;
mod manual;
mod socket;
mod sync;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

pub use codec::Info;

use self::codec::{Command, HeldService};
use self::socket::{BATCH_MAX, Outcome, Packet, Socket};
use crate::base::Family;
use crate::lvs::datapath::{
    ApplyError, Capabilities, Counters, Datapath, DatapathError, DestinationStats, Feature, ServiceStats,
};
use crate::lvs::io::attribute::AnswerError;
use crate::lvs::ipvsadm::Timeouts;

use crate::lvs::table::{DestinationKey, Entry, Scheduler, ServiceKey, Step, Table};

const PLANE: &str = "ipvs";
const READING: &str = "reading the services of IPVS";
const MODPROBE: &str = "/sbin/modprobe";

/// What is wanted of the reply about a destination, in a service of this family.
type Read<T> = fn(Family, &[u8]) -> Result<T, AnswerError>;

/// A connection to the IPVS of one network namespace.
#[derive(Debug)]
pub struct Ipvs {
    socket: Socket,
}

impl Ipvs {
    /// Those of every kernel with IPVS: modules are not looked for.
    pub fn capabilities_at_most() -> Capabilities {
        Capabilities {
            plane: PLANE,
            schedulers: Scheduler::ALL.into(),
            features: Feature::ALL.into_iter().filter(|feature| *feature != Feature::FullNat).collect(),
        }
    }

    /// Connect, in the network namespace of the calling thread; where the kernel has no IPVS, try its module once.
    ///
    /// # Errors
    /// [`DatapathError::NoIpvs`] where the module is not there either.
    pub async fn open() -> Result<Self, DatapathError> {
        match Socket::open().await {
            Ok(socket) => Ok(Self { socket }),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                // Whatever it says: whether the family is there now is what counts.
                let _ = tokio::process::Command::new(MODPROBE).args(["-q", "ip_vs"]).status().await;
                let again = Socket::open().await.map_err(|error| match error.raw_os_error() {
                    Some(libc::ENOENT) => DatapathError::NoIpvs,
                    _ => kernel_error("opening generic netlink", error),
                });
                again.map(|socket| Self { socket })
            }
            Err(error) => Err(kernel_error("opening generic netlink", error)),
        }
    }

    /// Delete every service, whoever made it: `ipvsadm -C`.
    ///
    /// # Errors
    /// [`DatapathError::Permission`] without `CAP_NET_ADMIN`; [`DatapathError::Kernel`].
    pub async fn flush(&mut self) -> Result<(), DatapathError> {
        self.ask("flushing IPVS", Command::Flush, vec![]).await.map(|_| ())
    }

    /// `ipvsadm -l --timeout`.
    ///
    /// # Errors
    /// As [`Ipvs::flush`], and [`DatapathError::Answer`].
    pub async fn timeouts(&mut self) -> Result<Timeouts, DatapathError> {
        let action = "reading the timeouts of IPVS";
        let replies = self.ask(action, Command::GetConfig, vec![]).await?;
        codec::read_timeouts(only(&replies)).map_err(|error| answer_error(action, &error))
    }

    /// `ipvsadm --set`; a timeout of 0 is left as it is.
    ///
    /// # Errors
    /// As [`Ipvs::flush`].
    pub async fn set_timeouts(&mut self, timeouts: Timeouts) -> Result<(), DatapathError> {
        let body = codec::timeouts_request(timeouts);
        self.ask("setting the timeouts of IPVS", Command::SetConfig, body).await.map(|_| ())
    }

    /// What the first line of `ipvsadm -Ln` says.
    ///
    /// # Errors
    /// As [`Ipvs::timeouts`].
    pub async fn info(&mut self) -> Result<Info, DatapathError> {
        let action = "reading the version of IPVS";
        let replies = self.ask(action, Command::GetInfo, vec![]).await?;
        codec::read_info(only(&replies)).map_err(|error| answer_error(action, &error))
    }

    async fn ask(&mut self, action: &str, command: Command, body: Vec<u8>) -> Result<Vec<Vec<u8>>, DatapathError> {
        let request = Packet { command: command.number(), body };
        let outcomes = self.socket.execute(std::slice::from_ref(&request)).await;
        let outcomes = outcomes.map_err(|error| kernel_error(action, error))?;
        outcomes.into_iter().next().unwrap_or(Ok(vec![])).map_err(|error| kernel_error(action, error))
    }

    /// All services with their destinations, of which `read` takes what is wanted.
    async fn held<T>(&mut self, read: Read<T>) -> Result<Vec<(HeldService, Vec<T>)>, DatapathError> {
        let services = self.dump(|| READING.to_owned(), Command::GetService, vec![], codec::read_service).await?;
        let mut held = Vec::with_capacity(services.len());
        for service in services {
            let (key, body) = (service.key, codec::service_request(service.key, None));
            let action = || format!("reading the destinations of {key}");
            let destinations = self.dump(action, Command::GetDest, body, |body| read(key.family(), body)).await?;
            held.push((service, destinations));
        }
        Ok(held)
    }

    async fn dump<T>(
        &mut self,
        action: impl Fn() -> String,
        command: Command,
        body: Vec<u8>,
        read: impl FnMut(&[u8]) -> Result<T, AnswerError>,
    ) -> Result<Vec<T>, DatapathError> {
        let request = Packet { command: command.number(), body };
        let read = self.socket.dump(&request, read).await.map_err(|error| kernel_error(&action(), error))?;
        read.map_err(|error| answer_error(&action(), &error))
    }

    /// Carry out a batch; `Err` where the socket failed, so that nothing is known of any.
    async fn carry_out(&mut self, batch: &[&Step], failed: &mut Vec<(Step, DatapathError)>) -> io::Result<()> {
        let mut sent: Vec<(Step, Packet)> = vec![];
        for step in batch {
            match request(step) {
                Some(packet) => sent.push((**step, packet)),
                None => failed.push((**step, full_nat(step))),
            }
        }
        let packets: Vec<Packet> = sent.iter().map(|(_, packet)| packet.clone()).collect();
        let outcomes = self.socket.execute(&packets).await?;
        for ((step, _), outcome) in sent.into_iter().zip(outcomes) {
            match next(&step, outcome) {
                Next::Done => {}
                Next::Failed(error) => failed.push((step, error)),
                Next::Instead(other) => {
                    let Some(packet) = request(&other) else { continue };
                    let outcome = self.socket.execute(std::slice::from_ref(&packet)).await?.into_iter().next();
                    if let Err(error) = outcome.unwrap_or(Ok(vec![])) {
                        failed.push((step, kernel_error(&words(&step), error)));
                    }
                }
            }
        }
        Ok(())
    }
}

impl Datapath for Ipvs {
    fn capabilities(&self) -> Capabilities {
        Self::capabilities_at_most()
    }

    /// What the kernel holds, in our words; a service with a scheduler unknown to us is left out.
    async fn snapshot(&mut self) -> Result<Table, DatapathError> {
        let mut table = Table::default();
        for (held, destinations) in self.held(codec::read_destination).await? {
            let Some(service) = held.service else { continue };
            table.services.insert(held.key, Entry { service, destinations: destinations.into_iter().collect() });
        }
        Ok(table)
    }

    async fn apply(&mut self, steps: &[Step]) -> Result<(), ApplyError> {
        let capabilities = self.capabilities();
        let mut failed = vec![];
        let mut able = vec![];
        for step in steps {
            match capabilities.check_step(step) {
                Ok(()) => able.push(step),
                Err(error) => failed.push((*step, error)),
            }
        }
        for batch in batches(&able) {
            if let Err(error) = self.carry_out(&batch, &mut failed).await {
                failed.extend(batch.iter().map(|step| (**step, kernel_error(&words(step), copy_of(&error)))));
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(ApplyError { tried: steps.len(), failed }) }
    }

    async fn counters(&mut self) -> Result<Counters, DatapathError> {
        let mut services = BTreeMap::new();
        for (held, destinations) in self.held(codec::read_counted_destination).await? {
            let destinations: BTreeMap<DestinationKey, DestinationStats> =
                destinations.into_iter().map(|held| (held.key, held.stats)).collect();
            services.insert(held.key, ServiceStats { stats: held.stats, destinations });
        }
        Ok(Counters { services })
    }
}

/// What a step is about: two steps about one thing are not put in one batch, since the second
/// relies on what the first one came to.
fn object(step: &Step) -> (ServiceKey, Option<DestinationKey>) {
    match *step {
        Step::AddService(key, _) | Step::EditService(key, _) | Step::DeleteService(key) => (key, None),
        Step::AddDestination(key, at, _) | Step::EditDestination(key, at, _) | Step::DeleteDestination(key, at) => {
            (key, Some(at))
        }
    }
}

/// Steps that are sent together. What [`next`] does instead of one of them comes after all of them.
#[derive(Default)]
struct Batch<'a> {
    steps: Vec<&'a Step>,
    about: BTreeSet<(ServiceKey, Option<DestinationKey>)>,
    /// Services that may be there only after the batch.
    edited: BTreeSet<ServiceKey>,
}

impl<'a> Batch<'a> {
    fn takes(&self, step: &Step) -> bool {
        let (key, at) = object(step);
        let relies = match step {
            Step::AddService(..) | Step::EditService(..) => false,
            Step::AddDestination(..) | Step::EditDestination(..) | Step::DeleteDestination(..) => {
                self.edited.contains(&key)
            }
            Step::DeleteService(_) => self.about.range((key, None)..).next().is_some_and(|(about, _)| *about == key),
        };
        self.steps.len() < BATCH_MAX && !relies && !self.about.contains(&(key, at))
    }

    fn push(&mut self, step: &'a Step) {
        if let Step::EditService(key, _) = step {
            self.edited.insert(*key);
        }
        self.about.insert(object(step));
        self.steps.push(step);
    }
}

/// Cut the steps into batches, in order.
fn batches<'a>(steps: &[&'a Step]) -> Vec<Vec<&'a Step>> {
    let mut batches = vec![];
    let mut batch = Batch::default();
    for step in steps {
        if !batch.takes(step) {
            batches.push(std::mem::take(&mut batch).steps);
        }
        batch.push(step);
    }
    if !batch.steps.is_empty() {
        batches.push(batch.steps);
    }
    batches
}

/// `None`: `FullNat`.
fn request(step: &Step) -> Option<Packet> {
    let (command, body) = match *step {
        Step::AddService(key, service) => (Command::NewService, codec::service_request(key, Some(service))),
        Step::EditService(key, service) => (Command::SetService, codec::service_request(key, Some(service))),
        Step::DeleteService(key) => (Command::DelService, codec::service_request(key, None)),
        Step::AddDestination(key, at, to) => (Command::NewDest, codec::destination_request(key, at, Some(to))?),
        Step::EditDestination(key, at, to) => (Command::SetDest, codec::destination_request(key, at, Some(to))?),
        Step::DeleteDestination(key, at) => (Command::DelDest, codec::destination_request(key, at, None)?),
    };
    Some(Packet { command: command.number(), body })
}

/// What follows from the kernel's answer to a step.
enum Next {
    Done,
    /// What is there differs from what the step assumed: this one leads to the same end.
    Instead(Step),
    Failed(DatapathError),
}

/// `ip_vs_ctl.c`: `ESRCH` means no such service, `ENOENT` no such destination, or no such scheduler or
/// persistence engine where a service is meant, `EEXIST` what it says.
fn next(step: &Step, outcome: Outcome) -> Next {
    let Err(error) = outcome else { return Next::Done };
    let code = error.raw_os_error();
    match (*step, code) {
        (Step::AddService(key, service), Some(libc::EEXIST)) => Next::Instead(Step::EditService(key, service)),
        (Step::EditService(key, service), Some(libc::ESRCH)) => Next::Instead(Step::AddService(key, service)),
        (Step::AddService(key, service) | Step::EditService(key, service), Some(libc::ENOENT)) => {
            let what = format!("schedule {key} by `{}`: this kernel has no module for it", service.scheduler);
            Next::Failed(DatapathError::Unsupported { plane: PLANE, what })
        }
        (Step::AddDestination(key, at, to), Some(libc::EEXIST)) => Next::Instead(Step::EditDestination(key, at, to)),
        (Step::EditDestination(key, at, to), Some(libc::ENOENT)) => Next::Instead(Step::AddDestination(key, at, to)),
        (Step::AddDestination(key, ..) | Step::EditDestination(key, ..), Some(libc::ESRCH)) => {
            Next::Failed(DatapathError::NotFound { action: "adding a destination", object: key.to_string() })
        }
        (Step::DeleteDestination(..) | Step::DeleteService(_), Some(libc::ENOENT | libc::ESRCH)) => Next::Done,
        (
            Step::AddService(..)
            | Step::EditService(..)
            | Step::AddDestination(..)
            | Step::EditDestination(..)
            | Step::DeleteDestination(..)
            | Step::DeleteService(_),
            _,
        ) => Next::Failed(kernel_error(&words(step), error)),
    }
}

/// The step in words, for an error.
fn words(step: &Step) -> String {
    match step {
        Step::AddService(key, _) => format!("adding {key}"),
        Step::EditService(key, _) => format!("changing {key}"),
        Step::AddDestination(key, at, _) => format!("adding {at} to {key}"),
        Step::EditDestination(key, at, _) => format!("changing {at} of {key}"),
        Step::DeleteDestination(key, at) => format!("deleting {at} from {key}"),
        Step::DeleteService(key) => format!("deleting {key}"),
    }
}

fn full_nat(step: &Step) -> DatapathError {
    DatapathError::Unsupported { plane: PLANE, what: format!("forward by FullNat ({})", words(step)) }
}

fn kernel_error(action: &str, source: io::Error) -> DatapathError {
    let action = action.to_owned();
    if source.kind() == io::ErrorKind::PermissionDenied {
        DatapathError::Permission { plane: PLANE, action, capability: "CAP_NET_ADMIN" }
    } else {
        DatapathError::Kernel { action, source }
    }
}

fn answer_error(action: &str, error: &AnswerError) -> DatapathError {
    DatapathError::Answer { action: action.to_owned(), detail: error.to_string() }
}

/// One failure of the socket is the failure of every step in the batch.
fn copy_of(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

/// The body of the first reply; nothing where there is none, and then the reader says what it misses.
fn only(replies: &[Vec<u8>]) -> &[u8] {
    replies.first().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lvs::table::{Destination, Forwarding, Scheduler, SchedulerFlags, Service};

    /// `a1` adds service 1, `e1` edits it, `d1` deletes it; with a second digit it is that destination of the service.
    fn step(word: &str) -> Step {
        let mut digits = word.bytes().skip(1).map(|digit| u16::from(digit - b'0'));
        let key = ServiceKey::Address {
            protocol: crate::lvs::table::Protocol::Tcp,
            addr: "192.0.2.1".parse().unwrap(),
            port: digits.next().unwrap(),
        };
        let scheduler = Scheduler::Rr;
        let service = Service { scheduler, flags: SchedulerFlags::default(), persistence: None, one_packet: false };
        let (forwarding, weight) = (Forwarding::Masq, crate::base::Weight::ONE);
        let to = Destination { forwarding, weight, upper_threshold: 0, lower_threshold: 0 };
        let at = digits.next().map(|port| DestinationKey { addr: "192.0.2.2".parse().unwrap(), port });
        match (word.split_at(1).0, at) {
            ("a", None) => Step::AddService(key, service),
            ("e", None) => Step::EditService(key, service),
            ("d", None) => Step::DeleteService(key),
            ("a", Some(at)) => Step::AddDestination(key, at, to),
            ("e", Some(at)) => Step::EditDestination(key, at, to),
            ("d", Some(at)) => Step::DeleteDestination(key, at),
            _ => panic!("{word}"),
        }
    }

    #[test]
    fn a_step_that_relies_on_the_outcome_of_another_one_is_not_in_its_batch() {
        for (words, sizes) in [
            ("a1 a11 a12 a2 a21", &[5][..]),
            ("d11 d12 a13", &[3]),
            // An edit may have to become an addition, which comes after its batch.
            ("e1 a11 a12", &[1, 2]),
            ("a11 e1", &[2]),
            ("e1 a21 a11", &[2, 1]),
            // A service that goes takes its destinations along.
            ("d11 d1", &[1, 1]),
            ("d11 d2", &[2]),
            ("a1 d1", &[1, 1]),
            ("a11 e11", &[1, 1]),
        ] {
            let steps: Vec<Step> = words.split(' ').map(step).collect();
            let steps: Vec<&Step> = steps.iter().collect();
            let cut: Vec<usize> = batches(&steps).iter().map(Vec::len).collect();
            assert_eq!(cut, sizes, "{words}");
        }
    }
}
