//! The sequence of a drill: wait until all is well, break something, wait until it is settled, judge.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use super::bounds::Numbers;
use super::judge::Promise;
use super::report::{FaultReport, Report};
use super::timeline::Timeline;
use super::{Plan, Scenario};
use crate::base::MonoTime;
use crate::lab::client::{Client, LOST_AFTER, PROBE_INTERVAL, REQUEST_TIMEOUT, Target};
use crate::lab::error::LabError;
use crate::lab::hostile;
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

/// How long a daemon is frozen.
const FREEZE: Duration = Duration::from_secs(5);
/// How long bad packets are sent.
const FLOOD: Duration = Duration::from_secs(5);
/// About a second of probes.
const PROBES_LOOKED_AT: usize = 500;

/// A running drill. Fields go down in this order: the client and the watchers, then the lab.
#[derive(Debug)]
struct Drill<'a> {
    client: Option<Client>,
    _watch: Watch,
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
    faults: Vec<FaultReport>,
}

/// Build the lab, run the scenarios of `plan`, tell the timeline to `out`; everything is down when this returns.
///
/// # Errors
/// [`LabError`] where the lab cannot be built or the pair never comes to rest. A broken bound is no error: it is
/// in the report.
pub fn run(plan: &Plan, stop: &Stop, out: &mut (dyn Write + Send)) -> Result<Report, LabError> {
    let journal = Arc::new(Journal::default());
    let mut timeline = Timeline::new(out);
    let facts = &plan.setup.facts;
    timeline.tell(journal.now(), "lab", "building: a switch, a client, two directors, their real servers");
    let lab = Lab::pair(&plan.setup)?;
    let watch = Watch::start(&lab, &journal)?;
    let target = Target { vip: facts.vip, tcp_port: facts.tcp.port, udp_port: facts.udp.port, sources: lab.sources() };
    let client = Client::start(lab.client(), &target, &journal)?;
    let slower = if facts.tcp.check.detection() >= facts.udp.check.detection() { &facts.tcp } else { &facts.udp };
    let numbers = Numbers { advert_int: facts.advert_int, backup_priority: plan.backup_priority, check: slower.check };
    let mut drill = Drill {
        client: Some(client),
        _watch: watch,
        lab,
        journal,
        timeline,
        numbers,
        services: plan.setup.services,
        by_hash: facts.tcp.by_hash && plan.setup.services == Services::Forwarded,
        stop: stop.clone(),
        fault_at: MonoTime::ZERO,
        faults: vec![],
    };
    let planned =
        plan.scenarios.iter().filter(|scenario| drill.fits(**scenario)).map(|scenario| scenario.faults()).sum();
    match drill.all(&plan.scenarios) {
        Ok(()) => {}
        // The faults that are left are missing in the report, which is broken by that.
        Err(LabError::TimedOut { what, after }) => {
            drill.tell("drill", &format!("BROKEN  gave up after {} s: {what}", after.as_secs()));
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
    Ok(Report::new(std::mem::take(&mut drill.faults), planned))
}

impl Drill<'_> {
    fn fits(&self, scenario: Scenario) -> bool {
        match scenario {
            Scenario::Server => self.services == Services::Forwarded,
            Scenario::Stop | Scenario::Kill | Scenario::Link | Scenario::Freeze | Scenario::Hostile => true,
            Scenario::Maintenance => self.lab.director(Seat::A).is_vipd(),
        }
    }

    fn all(&mut self, scenarios: &[Scenario]) -> Result<(), LabError> {
        for seat in Seat::BOTH {
            self.tell("drill", &format!("director {seat} starts"));
            self.lab.director_mut(seat).start()?;
        }
        for &scenario in scenarios {
            if self.fits(scenario) {
                self.calm()?;
                self.scenario(scenario)?;
            }
        }
        Ok(())
    }

    fn scenario(&mut self, scenario: Scenario) -> Result<(), LabError> {
        match scenario {
            Scenario::Server => self.server_dies(),
            Scenario::Stop => {
                let name = "orderly stop (SIGTERM) of the master a";
                let settled =
                    |drill: &mut Self| drill.owns_alone(Seat::B) && !drill.lab.director_mut(Seat::A).is_running();
                let until = "a ended, b owns the VIP alone, all answered";
                let promises: Vec<_> = [Promise::NothingLost].into_iter().chain(self.long_lived()).collect();
                self.fault(name, until, &promises, |lab| lab.director(Seat::A).terminate(), settled)?;
                self.returns("return of a, which preempts", |lab| lab.director_mut(Seat::A).start())
            }
            Scenario::Kill => {
                let [gone, kept] = self.numbers.lease_of(Seat::A);
                let promises: Vec<_> =
                    [self.numbers.silent(), gone, kept].into_iter().chain(self.long_lived()).collect();
                let name = "kill -9 of every process of the master a";
                self.taken_over(name, &promises, |lab| lab.director_mut(Seat::A).kill().map(drop))?;
                self.returns("return of the killed a, which preempts", |lab| lab.director_mut(Seat::A).start())
            }
            Scenario::Link => {
                let promises = [self.numbers.silent()];
                self.taken_over("link down of the master a", &promises, |lab| lab.cable(Seat::A, false))?;
                self.returns("link up of a, which preempts", |lab| lab.cable(Seat::A, true))
            }
            Scenario::Freeze => {
                let [gone, _] = self.numbers.lease_of(Seat::A);
                let name = format!("freeze (SIGSTOP) of the master a for {} s", FREEZE.as_secs());
                let settled = |drill: &mut Self| drill.owns_alone(Seat::B) && drill.since_fault() >= FREEZE;
                let freeze = |lab: &mut Lab| lab.director(Seat::A).freeze(true);
                let promises = [self.numbers.silent(), gone];
                self.fault(&name, "b owns the VIP alone, all answered", &promises, freeze, settled)?;
                self.returns("thaw of a, which preempts", |lab| lab.director(Seat::A).freeze(false))
            }
            Scenario::Maintenance => {
                let on = |lab: &mut Lab| lab.director(Seat::A).maintenance(true);
                self.taken_over("planned failover: maintenance of the master a", &[Promise::NothingLost], on)?;
                self.returns("end of the maintenance of a, which preempts", |lab| {
                    lab.director(Seat::A).maintenance(false)
                })
            }
            Scenario::Hostile => {
                let every = self.numbers.advert_int.duration() / 20;
                let flood = move |lab: &mut Lab| hostile::flood(lab.client(), every, FLOOD).map(drop);
                let promises = [Promise::NothingLost, Promise::NoMove];
                let settled = |drill: &mut Self| drill.owns_alone(Seat::A) && drill.since_fault() >= FLOOD;
                let name = format!("a flood of bad packets for {} s, 20 times the advert rate", FLOOD.as_secs());
                self.fault(&name, "a owns the VIP alone, all answered", &promises, flood, settled)
            }
        }
    }

    /// With state on one director only, connections in flight may break: then nothing is promised.
    fn long_lived(&self) -> Option<Promise> {
        self.by_hash.then_some(Promise::LongLivedKept)
    }

    fn server_dies(&mut self) -> Result<(), LabError> {
        let server = self.busiest();
        let promises = [self.numbers.server_out(&server), Promise::OthersUnharmed { server: server.clone() }];
        let dies = |lab: &mut Lab| {
            lab.server_mut(&server).into_iter().for_each(RealServer::stop);
            Ok(())
        };
        self.fault(&format!("real server {server} dies"), "all answered by the others", &promises, dies, |_| true)?;
        let promises = [self.numbers.server_back(&server), Promise::NothingLost];
        let returns = |lab: &mut Lab| lab.server_mut(&server).map_or(Ok(()), RealServer::start);
        let back = |drill: &mut Self| drill.answers_since_fault(&server);
        self.fault(&format!("real server {server} returns"), &format!("{server} answers"), &promises, returns, back)
    }

    /// A fault after which `b` owns the VIP.
    fn taken_over(
        &mut self,
        name: &str,
        promises: &[Promise],
        act: impl FnOnce(&mut Lab) -> Result<(), LabError>,
    ) -> Result<(), LabError> {
        let settled = |drill: &mut Self| drill.owns_alone(Seat::B);
        self.fault(name, "b owns the VIP alone, all answered", promises, act, settled)
    }

    /// A return after which `a` owns the VIP, and nobody noticed.
    fn returns(&mut self, name: &str, act: impl FnOnce(&mut Lab) -> Result<(), LabError>) -> Result<(), LabError> {
        let settled = |drill: &mut Self| drill.owns_alone(Seat::A);
        self.fault(name, "a owns the VIP alone, all answered", &[Promise::NothingLost], act, settled)
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
        let deadline = self.longest_bound() + GRACE;
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

    fn owns_alone(&self, seat: Seat) -> bool {
        let pages = self.journal.pages();
        let holds = |seat| pages.moves.iter().rev().find(|moved| moved.seat == seat).is_some_and(|moved| moved.holds);
        holds(seat) && !holds(seat.other())
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
        for seat in Seat::BOTH {
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
