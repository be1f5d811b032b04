//! The sequence of a drill: wait until all is well, break something, wait until it is settled, judge.

mod daemon;
mod host;
mod wire;

pub(super) use wire::LOSSES;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use super::bounds::Numbers;
use super::judge::{Promise, Verdict};
use super::report::{FaultReport, Report};
use super::timeline::Timeline;
use super::{Plan, Scenario, many};
use crate::base::MonoTime;
use crate::lab::client::{Client, LOST_AFTER, PROBE_INTERVAL, REQUEST_TIMEOUT, Target};
use crate::lab::ear::Ear;
use crate::lab::error::LabError;
use crate::lab::journal::Journal;
use crate::lab::pair::{Lab, RealServer, Seat, Services};
use crate::lab::wait::{Clock, Stop, pause};
use crate::lab::watch::Watch;

/// How long everything has to be answered before the next fault, and at its end.
const CALM: Duration = Duration::from_millis(500);
/// Probes and connections that are still under way do not count for [`CALM`].
const UNDER_WAY: Duration = Duration::from_millis(100);
/// How long the pair may take until all is well.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a fault may take beyond its bound before the drill gives up on it.
const GRACE: Duration = Duration::from_secs(10);

/// About a second of probes.
const PROBES_LOOKED_AT: usize = 500;

/// A running drill. Fields go down in this order: the client and the watchers, then the lab.
#[derive(Debug)]
struct Drill<'a> {
    client: Option<Client>,
    _watch: Watch,
    _ear: Ear,
    lab: Lab,
    journal: Arc<Journal>,
    timeline: Timeline<'a>,
    numbers: Numbers,
    services: Services,
    /// The directors choose servers without state: connections in flight outlive a director.
    by_hash: bool,
    stop: Stop,
    /// The moment of the last fault.
    fault_at: MonoTime,
    /// What the next fault may take longer than others.
    patience: Duration,
    faults: Vec<FaultReport>,
}

/// Build the labs, run the scenarios of `plan`, tell the timeline to `out`; everything is down when this returns.
///
/// # Errors
/// [`LabError`] where a lab cannot be built or the pair never comes to rest. A broken bound is no error: it is in the
/// report.
pub fn run(plan: &Plan, stop: &Stop, out: &mut (dyn Write + Send)) -> Result<Report, LabError> {
    let (mut faults, mut planned) = (vec![], 0);
    for scenario in &plan.scenarios {
        let mut timeline = Timeline::new(&mut *out);
        let found = if *scenario == Scenario::Addresses {
            many::addresses(plan, &numbers(plan), stop, &mut timeline)
        } else if *scenario == Scenario::Routers {
            many::routers(plan, &numbers(plan), stop, &mut timeline)
        } else {
            continue;
        };
        planned += scenario.faults();
        match found {
            Ok(fault) => faults.push(fault),
            Err(LabError::TimedOut { what, after }) => gave_up(&mut timeline, MonoTime::ZERO, &what, after),
            Err(error) => return Err(error),
        }
    }
    if plan.scenarios.iter().any(|scenario| !scenario.has_its_own_lab()) {
        let (more, as_planned) = in_one_lab(plan, stop, out)?;
        faults.extend(more);
        planned += as_planned;
    }
    Ok(Report::new(faults, planned))
}

fn numbers(plan: &Plan) -> Numbers {
    let facts = &plan.setup.facts;
    let slower = if facts.tcp.check.detection() >= facts.udp.check.detection() { &facts.tcp } else { &facts.udp };
    Numbers { advert_int: facts.advert_int, backup_priority: plan.backup_priority, check: slower.check }
}

fn gave_up(timeline: &mut Timeline<'_>, at: MonoTime, what: &str, after: Duration) {
    timeline.tell(at, "drill", &format!("BROKEN  gave up after {} s: {what}", after.as_secs()));
}

/// All that share a lab; gives what was found, and of how many faults it should be.
fn in_one_lab(plan: &Plan, stop: &Stop, out: &mut (dyn Write + Send)) -> Result<(Vec<FaultReport>, usize), LabError> {
    let journal = Arc::new(Journal::default());
    let mut timeline = Timeline::new(out);
    let facts = &plan.setup.facts;
    timeline.tell(journal.now(), "lab", "building: a switch, a client, two directors, their real servers");
    let lab = Lab::pair(&plan.setup)?;
    let (watch, ear) = (Watch::start(&lab, &journal)?, Ear::start(&lab, &journal)?);
    let target = Target { vip: facts.vip, tcp_port: facts.tcp.port, udp_port: facts.udp.port, sources: lab.sources() };
    let client = Client::start(lab.client(), &target, &journal)?;
    let mut drill = Drill {
        client: Some(client),
        _watch: watch,
        _ear: ear,
        lab,
        journal,
        timeline,
        numbers: numbers(plan),
        services: plan.setup.services,
        by_hash: facts.tcp.by_hash && plan.setup.services == Services::Forwarded,
        stop: stop.clone(),
        fault_at: MonoTime::ZERO,
        patience: Duration::ZERO,
        faults: vec![],
    };
    let planned =
        plan.scenarios.iter().filter(|scenario| drill.fits(**scenario)).map(|scenario| scenario.faults()).sum();
    match drill.all(&plan.scenarios) {
        Ok(()) => {}
        // The faults that are left are missing in the report, which is broken by that.
        Err(LabError::TimedOut { what, after }) => {
            let at = drill.journal.now();
            gave_up(&mut drill.timeline, at, &what, after);
            drill.show_logs();
        }
        Err(LabError::Interrupted) => return Err(LabError::Interrupted),
        Err(error) => {
            drill.show_logs();
            return Err(error);
        }
    }
    if plan.keep {
        drill.stand();
    }
    Ok((std::mem::take(&mut drill.faults), planned))
}

impl Drill<'_> {
    fn fits(&self, scenario: Scenario) -> bool {
        let has_what_it_breaks = match scenario {
            Scenario::Server => self.services == Services::Forwarded,
            Scenario::Maintenance => self.lab.director(Seat::A).is_vipd(),
            Scenario::Stop
            | Scenario::Kill
            | Scenario::Link
            | Scenario::Freeze
            | Scenario::LongFreeze
            | Scenario::Hostile
            | Scenario::Partition
            | Scenario::OneWay
            | Scenario::Loss
            | Scenario::Delete
            | Scenario::Fight
            | Scenario::Replug
            | Scenario::Backup
            | Scenario::Reload
            | Scenario::Reloads
            | Scenario::Hogs
            | Scenario::Disk
            | Scenario::Netlink
            | Scenario::Addresses
            | Scenario::Routers => true,
        };
        has_what_it_breaks && !scenario.has_its_own_lab()
    }

    fn all(&mut self, scenarios: &[Scenario]) -> Result<(), LabError> {
        for seat in Seat::BOTH {
            self.tell("drill", &format!("director {seat} starts"));
            self.lab.director_mut(seat).start()?;
        }
        for &scenario in scenarios {
            if self.fits(scenario) {
                let before = self.faults.len();
                self.calm()?;
                self.scenario(scenario)?;
                if self.faults.iter().skip(before).any(|fault| fault.stuck.is_some()) {
                    self.afresh()?;
                }
            }
        }
        Ok(())
    }

    /// What did not settle must not spoil the next fault.
    fn afresh(&mut self) -> Result<(), LabError> {
        self.tell("drill", "both directors start afresh");
        self.lab.switch().mend()?;
        for seat in Seat::BOTH {
            self.lab.cable(seat, true)?;
            self.lab.start_afresh(seat)?;
        }
        Ok(())
    }

    fn scenario(&mut self, scenario: Scenario) -> Result<(), LabError> {
        match scenario {
            Scenario::Server => self.server_dies(),
            Scenario::Stop => self.stopped(),
            Scenario::Kill => self.killed(),
            Scenario::Link => self.unlinked(),
            Scenario::Freeze => {
                self.blinks()?;
                self.calm()?;
                self.frozen(daemon::FREEZE)
            }
            Scenario::LongFreeze => self.frozen(daemon::LONG_FREEZE),
            Scenario::Maintenance => self.maintained(),
            Scenario::Hostile => self.flooded(),
            Scenario::Partition => self.partition(),
            Scenario::OneWay => self.one_way(),
            Scenario::Loss => self.loses(),
            Scenario::Delete => self.deleted(),
            Scenario::Fight => self.fought(),
            Scenario::Replug => self.replugged(),
            Scenario::Backup => self.backup_restarts(),
            Scenario::Reload => self.reloads(),
            Scenario::Reloads => self.reloaded_often(),
            Scenario::Hogs => self.hogged(),
            Scenario::Disk => self.disk_hangs(),
            Scenario::Netlink => self.netlink_storm(),
            Scenario::Addresses | Scenario::Routers => Ok(()), // elsewhere: see `run`
        }
    }

    /// Nothing at all, where real servers answer: what ends on a director itself does not outlive it.
    fn nothing_lost(&self) -> Promise {
        match self.services {
            Services::Forwarded => Promise::NothingLost,
            Services::OnDirectors => Promise::NoProbeLost,
        }
    }

    /// A fault after which `b` owns the VIP.
    fn taken_over(
        &mut self,
        name: &str,
        promises: &[Promise],
        act: impl FnOnce(&mut Lab) -> Result<(), LabError>,
    ) -> Result<(), LabError> {
        let settled = |drill: &mut Self| drill.took_over(Seat::B);
        self.fault(name, "b owns the VIP alone, all answered", promises, act, settled)
    }

    /// A return after which `a` owns the VIP, and nobody noticed; keepalived lets go before the client knows.
    fn returns(&mut self, name: &str, act: impl FnOnce(&mut Lab) -> Result<(), LabError>) -> Result<(), LabError> {
        let settled = |drill: &mut Self| drill.owns_alone(Seat::A);
        let hands_over = self.lab.director(Seat::B).is_vipd();
        let promises = [if hands_over { self.nothing_lost() } else { wire::brief() }];
        self.fault(name, "a owns the VIP alone, all answered", &promises, act, settled)
    }

    /// Break something, wait until it is `settled` (in words: `until`) and all is answered, and judge.
    fn fault(
        &mut self,
        name: &str,
        until: &str,
        promises: &[Promise],
        act: impl FnOnce(&mut Lab) -> Result<(), LabError>,
        mut settled: impl FnMut(&mut Self) -> bool,
    ) -> Result<(), LabError> {
        if let Some(client) = &self.client {
            client.renew();
        }
        let renewed = |drill: &mut Self| drill.client.as_ref().is_none_or(Client::is_renewed);
        self.wait("the long-lived connections are new", PATIENCE, renewed)?;
        let from = self.journal.now();
        self.fault_at = from;
        self.tell("drill", name);
        act(&mut self.lab)?;
        let deadline = self.longest_bound() + self.patience + GRACE;
        let waited = self.wait(until, deadline, |drill| settled(drill) && drill.is_calm());
        let stuck = match waited {
            Ok(()) => None,
            Err(LabError::TimedOut { what, .. }) => Some(what),
            Err(error) => return Err(error),
        };
        let to = self.journal.now();
        // What was sent until now may still be answered, and counts.
        let under_way = LOST_AFTER.max(REQUEST_TIMEOUT);
        self.wait("the last answers", GRACE, |drill| drill.journal.now().since(to) > under_way)?;
        let window = self.journal.window(from, to);
        let flows = u32::try_from(self.lab.sources().len()).unwrap_or(1);
        let report = FaultReport::new(name.to_owned(), &window, promises, flows, stuck);
        for verdict in &report.verdicts {
            self.tell("drill", &verdict.to_string());
        }
        if let Some(what) = &report.stuck {
            self.tell("drill", &format!("BROKEN  waited in vain for: {what}"));
        }
        if !report.kept {
            self.show_logs();
        }
        self.faults.push(report);
        Ok(())
    }

    /// What was found beside the records, for the last fault.
    fn judged(&mut self, verdict: Verdict) {
        self.tell("drill", &verdict.to_string());
        if let Some(fault) = self.faults.last_mut() {
            fault.kept &= verdict.kept;
            fault.verdicts.push(verdict);
        }
    }

    /// Wait until `a` owns the VIP alone and the client is answered.
    fn calm(&mut self) -> Result<(), LabError> {
        let what = "a owns the VIP alone, every probe and connection is answered";
        let mut ended = None;
        self.wait(what, PATIENCE, |drill| {
            ended = Seat::BOTH.into_iter().find(|&seat| !drill.lab.director_mut(seat).is_running());
            ended.is_some() || (drill.owns_alone(Seat::A) && drill.is_calm())
        })?;
        ended.map_or(Ok(()), |seat| Err(LabError::NotRunning { name: seat.name().to_owned() }))
    }

    /// Wait for a condition while the timeline goes on.
    fn wait(
        &mut self,
        what: &str,
        deadline: Duration,
        mut condition: impl FnMut(&mut Self) -> bool,
    ) -> Result<(), LabError> {
        let clock = Clock::start();
        while !condition(self) {
            self.timeline.follow(&self.journal);
            if self.stop.is_set() {
                return Err(LabError::Interrupted);
            }
            if clock.now().since_start() >= deadline {
                return Err(LabError::TimedOut { what: what.to_owned(), after: deadline });
            }
            pause();
        }
        self.timeline.follow(&self.journal);
        Ok(())
    }

    /// Whether everything that was sent in the last while is answered, apart from what is still under way.
    fn is_calm(&self) -> bool {
        let now = self.journal.now().since_start();
        let end = now.saturating_sub(UNDER_WAY);
        let begin = end.saturating_sub(CALM).max(self.fault_at.since_start());
        if end.saturating_sub(begin) < CALM {
            return false;
        }
        let pages = self.journal.pages();
        let recent = pages.probes.iter().rev().skip_while(|probe| probe.sent.since_start() > end);
        let recent = recent.take_while(|probe| probe.sent.since_start() >= begin);
        let (sent, answered) = recent
            .fold((0_u32, 0_u32), |(sent, answered), probe| (sent + 1, answered + u32::from(probe.answer.is_some())));
        // A client that sends too little sees nothing: a busy machine has to calm down first.
        let enough = PROBE_INTERVAL * sent * 4 >= CALM;
        let mut asked = pages.requests.iter().rev().take_while(|request| request.ended.since_start() >= begin);
        let connected = asked.next().is_some_and(|request| request.result.is_ok()) && asked.all(|it| it.result.is_ok());
        enough && sent == answered && connected
    }

    fn since_fault(&self) -> Duration {
        self.journal.now().since(self.fault_at)
    }

    fn owns(&self, seat: Seat) -> bool {
        let pages = self.journal.pages();
        pages.moves.iter().rev().find(|moved| moved.seat == seat).is_some_and(|moved| moved.holds)
    }

    fn owns_alone(&self, seat: Seat) -> bool {
        self.owns(seat) && !self.owns(seat.other())
    }

    /// `seat` took over; keepalived leaves the VIP on a host where it was killed or frozen.
    fn took_over(&self, seat: Seat) -> bool {
        self.owns(seat) && (!self.owns(seat.other()) || !self.lab.director(seat.other()).is_vipd())
    }

    /// Whether a director answered when it was asked by itself.
    fn answered(&self, seat: Seat) -> bool {
        self.journal.pages().replies.iter().any(|reply| reply.seat == seat)
    }

    fn answers_since_fault(&self, server: &str) -> bool {
        let pages = self.journal.pages();
        let mut probes = pages.probes.iter().rev().take_while(|probe| probe.sent >= self.fault_at);
        let mut requests = pages.requests.iter().rev().take_while(|request| request.started >= self.fault_at);
        probes.any(|probe| probe.answer.as_ref().is_some_and(|answer| *answer.from == *server))
            || requests.any(|request| request.result.as_ref().is_ok_and(|name| **name == *server))
    }

    /// The real server that answered most of the last probes: its death is felt.
    fn busiest(&self) -> String {
        let mut answers: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        for probe in self.journal.pages().probes.iter().rev().take(PROBES_LOOKED_AT) {
            if let Some(answer) = &probe.answer {
                *answers.entry(Arc::clone(&answer.from)).or_default() += 1;
            }
        }
        let most = answers.into_iter().max_by_key(|(_, count)| *count);
        most.map_or_else(|| "s1".to_owned(), |(name, _)| name.to_string())
    }

    /// The longest time that any fault may take to settle.
    fn longest_bound(&self) -> Duration {
        self.numbers.check.detection().max(self.numbers.lease())
    }

    fn show_logs(&mut self) {
        let ours = Seat::BOTH.into_iter().filter(|seat| self.lab.director(*seat).is_vipd());
        for seat in ours.collect::<Vec<_>>() {
            for line in self.lab.director(seat).log_tail() {
                self.tell(seat.name(), &format!("log: {line}"));
            }
        }
    }

    /// Leave the lab standing until interrupted.
    fn stand(&mut self) {
        self.client = None;
        self.tell("lab", "stands until Ctrl-C; the client asks no more. To look around:");
        let hosts = [self.lab.client(), self.lab.director(Seat::A).host(), self.lab.director(Seat::B).host()];
        let all = hosts.into_iter().chain(self.lab.servers().iter().map(RealServer::host));
        let lines: Vec<String> = all.map(|host| format!("nsenter --net=/run/netns/{}", host.namespace())).collect();
        for line in lines {
            self.tell("lab", &line);
        }
        for seat in Seat::BOTH {
            let (log, run_dir) = (self.lab.director(seat).log_path(), self.lab.director(seat).run_dir());
            self.tell("lab", &format!("{seat}: log {}, run directory {}", log.display(), run_dir.display()));
        }
        while !self.stop.is_set() {
            self.timeline.follow(&self.journal);
            pause();
        }
    }

    fn tell(&mut self, who: &str, what: &str) {
        self.timeline.follow(&self.journal);
        self.timeline.tell(self.journal.now(), who, what);
    }
}
