//! Faults of the wire between the directors: partitions whole and one-way, adverts that get lost. The client hears both
//! directors all the time.

use std::time::Duration;

use super::super::bounds::SLACK;
use super::super::judge::Promise;
use super::Drill;
use crate::lab::error::LabError;
use crate::lab::hostile;
use crate::lab::pair::{Lab, Seat};

/// What a client may feel of a change between two that both serve.
pub(super) const BRIEF: Duration = Duration::from_millis(100);

/// How long the one-way partition and each loss of adverts goes on.
const TROUBLE: Duration = Duration::from_secs(5);

/// Claims of the VIP by the loser's hardware address, as they may be under way when a partition heals.
const CLAIMS: u32 = 10;
const CLAIM_EVERY: Duration = Duration::from_millis(20);

/// Parts of the adverts that get lost, in percent.
pub(in super::super) const LOSSES: [u8; 3] = [10, 30, 50];

impl Drill<'_> {
    pub(super) fn partition(&mut self) -> Result<(), LabError> {
        let cut = |lab: &mut Lab| {
            cut(lab, Seat::A)?;
            cut(lab, Seat::B)
        };
        let both = |drill: &mut Self| drill.owns(Seat::A) && drill.owns(Seat::B);
        let name = "partition: a and b hear no more of each other";
        let promises = [self.nothing_lost()];
        self.fault(name, "both own the VIP, all answered", &promises, cut, both)?;
        // A mixed pair promises nothing: where the loser is keepalived, it often yields before the winner has heard it.
        let alike = self.lab.director(Seat::A).is_vipd() == self.lab.director(Seat::B).is_vipd();
        // What the client learnt last is that b has it.
        let limit = self.numbers.advert_int.duration() + BRIEF;
        let formula = format!("{} + {} s", self.numbers.advert_int.duration().as_secs_f64(), BRIEF.as_secs_f64());
        let announced = Promise::Announced { seat: Seat::A, vip: self.lab.facts().vip, limit, formula };
        self.heals("heal of the partition", alike.then_some(announced), |lab| lab.switch().mend())?;
        self.calm()?;
        self.fault("the same partition again", "both own the VIP, all answered", &promises, cut, both)?;
        let raced = |lab: &mut Lab| {
            let loser = lab.director(Seat::B).host().mac()?.unwrap_or_default();
            hostile::claim(lab.client(), loser, lab.facts().vip, CLAIM_EVERY, CLAIMS)?;
            lab.switch().mend()
        };
        self.heals("heal while b's claims of the VIP are heard", None, raced)
    }

    pub(super) fn one_way(&mut self) -> Result<(), LabError> {
        let deaf = |lab: &mut Lab| cut(lab, Seat::A);
        let both = |drill: &mut Self| drill.owns(Seat::A) && drill.owns(Seat::B) && drill.since_fault() >= TROUBLE;
        let name = "one-way partition: b does not hear a";
        let promises = [self.nothing_lost()];
        self.fault(name, "both own the VIP, all answered", &promises, deaf, both)?;
        // a heard b all the time, and has announced again and again.
        self.heals("heal of the one-way partition", None, |lab| lab.switch().mend())
    }

    /// Adverts of the master get lost: whether the backup takes over is chance, whether a client notices is not.
    pub(super) fn loses(&mut self) -> Result<(), LabError> {
        for percent in LOSSES {
            let lose = move |lab: &mut Lab| lab.switch().lose_adverts(lab.director(Seat::A).host(), percent);
            let over = |drill: &mut Self| drill.since_fault() >= TROUBLE && drill.owns(Seat::A);
            let name = format!("{percent} % of the adverts of a get lost, for {} s", TROUBLE.as_secs());
            let promises = [brief()];
            self.fault(&name, "a owns the VIP, all answered", &promises, lose, over)?;
            self.lab.switch().mend()?;
            self.calm()?;
        }
        Ok(())
    }

    fn heals(
        &mut self,
        name: &str,
        more: Option<Promise>,
        mend: impl FnOnce(&mut Lab) -> Result<(), LabError>,
    ) -> Result<(), LabError> {
        let interval = self.numbers.advert_int.duration();
        let formula = format!("{} + {} s", interval.as_secs_f64(), SLACK.as_secs_f64());
        let alone = Promise::OneOwner { loser: Seat::B, limit: interval + SLACK, formula };
        let promises: Vec<_> = [alone, brief()].into_iter().chain(more).collect();
        let settled = |drill: &mut Self| drill.owns_alone(Seat::A);
        self.fault(name, "a owns the VIP alone, all answered", &promises, mend, settled)
    }
}

/// The client's outage after a change between two that both serve.
pub(super) fn brief() -> Promise {
    Promise::Outage { limit: BRIEF, formula: "what vipd promises".to_owned() }
}

/// What `from` sends does not reach the other one.
fn cut(lab: &Lab, from: Seat) -> Result<(), LabError> {
    lab.switch().cut(lab.director(from).host(), lab.director(from.other()).host())
}
