//! Faults of processes: a daemon stopped, killed, frozen, in maintenance, behind a dead link, flooded; a dead real server.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::bounds::SLACK;
use super::super::judge::{self, Promise};
use super::{Drill, PATIENCE};
use crate::lab::error::LabError;
use crate::lab::hostile;
use crate::lab::pair::{Lab, RealServer, Seat};
use crate::lab::questions::Questions;
use crate::lab::wait::{Clock, until};

/// How long a daemon is frozen: so that the kernel still has its VIP when it goes on, and so that it has not.
const BLINK: Duration = Duration::from_secs(1);
pub(super) const FREEZE: Duration = Duration::from_secs(5);
pub(super) const LONG_FREEZE: Duration = Duration::from_secs(30);
/// What a daemon that goes on may take to see that it was frozen.
const WAKING: Duration = Duration::from_millis(100);
/// Two hosts tell each kind of packet once in ten seconds, also of virtual routers that nobody has here.
const LOG_LINES: usize = 40;
/// How long bad packets are sent.
const FLOOD: Duration = Duration::from_secs(5);

impl Drill<'_> {
    pub(super) fn stopped(&mut self) -> Result<(), LabError> {
        let name = "orderly stop (SIGTERM) of the master a";
        let settled = |drill: &mut Self| drill.owns_alone(Seat::B) && !drill.lab.director_mut(Seat::A).is_running();
        let until = "a ended, b owns the VIP alone, all answered";
        let promises: Vec<_> = [self.nothing_lost()].into_iter().chain(self.long_lived()).collect();
        self.fault(name, until, &promises, |lab| lab.director(Seat::A).terminate(), settled)?;
        self.returns("return of a, which preempts", |lab| lab.director_mut(Seat::A).start())
    }

    pub(super) fn killed(&mut self) -> Result<(), LabError> {
        let [gone, kept] = self.numbers.lease_of(Seat::A);
        // The dead one's kernel serves until it hears its successor.
        let (asking, alone) = self.asked(judge::SIGHT, "how often the drill looks")?;
        let promises = [self.numbers.silent(), gone, kept].into_iter().chain(self.long_lived()).chain(alone);
        let promises: Vec<_> = promises.collect();
        let name = "kill -9 of every process of the master a";
        self.taken_over(name, &promises, |lab| lab.director_mut(Seat::A).kill().map(drop))?;
        drop(asking);
        self.returns("return of the killed a, which preempts", |lab| lab.director_mut(Seat::A).start())
    }

    pub(super) fn unlinked(&mut self) -> Result<(), LabError> {
        let promises = [self.numbers.silent()];
        self.taken_over("link down of the master a", &promises, |lab| lab.cable(Seat::A, false))?;
        self.returns("link up of a, which preempts", |lab| lab.cable(Seat::A, true))
    }

    /// A freeze and its end in one: the master goes on while the kernel still has its VIP.
    pub(super) fn blinks(&mut self) -> Result<(), LabError> {
        let blink = |lab: &mut Lab| {
            lab.director(Seat::A).freeze(true)?;
            let clock = Clock::start();
            until("the end of a freeze", BLINK * 2, || clock.now().since_start() >= BLINK)?;
            lab.director(Seat::A).freeze(false)
        };
        let taken_over = BLINK > self.numbers.active_down() + self.numbers.advert_int.duration();
        let (seconds, waking) = (BLINK.as_secs(), WAKING.as_secs_f64());
        let formula = format!("{seconds} + {waking} s");
        let lets_go = Promise::OneOwner { loser: Seat::A, limit: BLINK + WAKING, formula };
        let promises: Vec<_> = [self.numbers.silent()].into_iter().chain(taken_over.then_some(lets_go)).collect();
        let name = format!("freeze (SIGSTOP) of the master a for {seconds} s, and its thaw");
        let settled = |drill: &mut Self| drill.owns_alone(Seat::A);
        self.fault(&name, "a owns the VIP alone, all answered", &promises, blink, settled)
    }

    pub(super) fn frozen(&mut self, freeze: Duration) -> Result<(), LabError> {
        let [gone, _] = self.numbers.lease_of(Seat::A);
        let name = format!("freeze (SIGSTOP) of the master a for {} s", freeze.as_secs());
        let settled = |drill: &mut Self| drill.took_over(Seat::B) && drill.since_fault() >= freeze;
        let stop = |lab: &mut Lab| lab.director(Seat::A).freeze(true);
        let (asking, alone) = self.asked(Duration::ZERO, "")?;
        let promises: Vec<_> = [self.numbers.silent(), gone].into_iter().chain(alone).collect();
        self.patience = freeze;
        let ended = self.fault(&name, "b owns the VIP alone, all answered", &promises, stop, settled);
        self.patience = Duration::ZERO;
        ended?;
        drop(asking);
        let name = format!("thaw of a after {} s, which preempts", freeze.as_secs());
        self.returns(&name, |lab| lab.director(Seat::A).freeze(false))
    }

    /// Each director is asked for the VIP from now on; with a fence both answer for no longer than `limit`.
    fn asked(&mut self, limit: Duration, formula: &'static str) -> Result<(Questions, Option<Promise>), LabError> {
        let asking = Questions::start(&self.lab)?;
        let asked = |drill: &mut Self| Seat::BOTH.iter().any(|seat| drill.answered(*seat));
        self.wait("somebody answers for the VIP", PATIENCE, asked)?;
        Ok((asking, self.lab.facts().fenced.then_some(Promise::OneAnswers { deaf: Seat::A, limit, formula })))
    }

    pub(super) fn maintained(&mut self) -> Result<(), LabError> {
        let on = |lab: &mut Lab| lab.director(Seat::A).maintenance(true);
        let promises = [self.nothing_lost()];
        self.taken_over("planned failover: maintenance of the master a", &promises, on)?;
        self.returns("end of the maintenance of a, which preempts", |lab| lab.director(Seat::A).maintenance(false))
    }

    pub(super) fn flooded(&mut self) -> Result<(), LabError> {
        let interval = self.numbers.advert_int.duration();
        let flood = move |lab: &mut Lab| {
            let sources = lab.sources().into_iter().take(1).chain(Seat::BOTH.map(|seat| lab.address(seat))).collect();
            hostile::flood(lab.client(), sources, interval / 20, FLOOD).map(drop)
        };
        let punctual = Promise::Punctual { seat: Seat::A, interval, limit: SLACK };
        let promises = [self.nothing_lost(), Promise::NoMove, punctual];
        let settled = |drill: &mut Self| drill.owns_alone(Seat::A) && drill.since_fault() >= FLOOD;
        let name =
            format!("a flood of bad packets for {} s, 20 times the advert rate, forged addresses", FLOOD.as_secs());
        let before = self.log_lines();
        self.fault(&name, "a owns the VIP alone, all answered", &promises, flood, settled)?;
        let logged = self.log_lines().saturating_sub(before);
        self.judged(judge::at_most("lines in the logs of both".to_owned(), LOG_LINES, logged));
        if Seat::BOTH.iter().all(|seat| self.lab.director(*seat).is_vipd()) {
            let mut counted = BTreeSet::new();
            for seat in Seat::BOTH {
                counted.extend(self.lab.director(seat).discards()?);
            }
            let uncounted = hostile::kinds().iter().filter(|kind| !counted.contains(kind.word())).count();
            self.judged(judge::at_most(
                "kinds of bad packets that `vipd status` does not count".to_owned(),
                0,
                uncounted,
            ));
        }
        Ok(())
    }

    fn log_lines(&self) -> usize {
        Seat::BOTH.iter().map(|seat| self.lab.director(*seat).log_lines()).sum()
    }

    /// With state on one director only, connections in flight may break: then nothing is promised.
    fn long_lived(&self) -> Option<Promise> {
        self.by_hash.then_some(Promise::LongLivedKept)
    }

    pub(super) fn server_dies(&mut self) -> Result<(), LabError> {
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
}
