//! The bounds of each fault, computed from the configuration, each with its formula. Pure.

use std::time::Duration;

use super::judge::Promise;
use crate::base::{AdvertInterval, Priority};
use crate::lab::facts::CheckTiming;
use crate::lab::pair::Seat;

/// What the machine may add to a bound of theory: scheduling, a few packets.
pub const SLACK: Duration = Duration::from_millis(20);
/// The same for a takeover, of which the daemons are the only part.
pub const TAKEOVER_SLACK: Duration = Duration::from_millis(10);
/// The kernel looks for addresses that ran out at coarse times (`check_lifetime`, `net/ipv4/devinet.c`).
const LEASE_SLACK: Duration = Duration::from_millis(500);

/// The numbers of a pair that bounds are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    pub advert_int: AdvertInterval,
    /// Of the director that takes over.
    pub backup_priority: Priority,
    /// Of the service whose check is the slower one.
    pub check: CheckTiming,
}

impl Numbers {
    /// `Active_Down_Interval` of the backup (RFC 9568 section 6.1).
    pub fn active_down(&self) -> Duration {
        self.advert_int.duration() * 3 + self.advert_int.skew(self.backup_priority)
    }

    /// The VIP's lifetime in the kernel: whole seconds above `Active_Down_Interval`, and one.
    pub fn lease(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.active_down().as_millis().div_ceil(1000)).unwrap_or(u64::MAX) * 1000)
            + Duration::from_secs(1)
    }

    /// The active director fell silent without a word.
    pub fn silent(&self) -> Promise {
        let interval = self.advert_int;
        let skew = 256 - u16::from(self.backup_priority.get());
        let formula = format!("3 * {interval} + {skew}/256 * {interval} + {} s", TAKEOVER_SLACK.as_secs_f64());
        Promise::Outage { limit: self.active_down() + TAKEOVER_SLACK, formula }
    }

    /// The VIP leaves the killed `seat` by its lease, and not before the other one has it.
    pub fn lease_of(&self, seat: Seat) -> [Promise; 2] {
        let down = self.active_down().as_secs_f64();
        let formula = format!("ceil({down:.3}) + 1 + {} s", LEASE_SLACK.as_secs_f64());
        [Promise::VipGone { seat, limit: self.lease() + LEASE_SLACK, formula }, Promise::VipKept { seat }]
    }

    /// A real server died.
    pub fn server_out(&self, server: &str) -> Promise {
        let CheckTiming { delay_loop, connect_timeout, retry, delay_before_retry } = self.check;
        let [period, pause, limit] = [delay_loop, delay_before_retry, connect_timeout].map(|span| span.as_secs_f64());
        let formula = format!("{period} + {retry} * {pause} + {} * {limit} + {} s", retry + 1, SLACK.as_secs_f64());
        Promise::ServerOut { server: server.to_owned(), limit: self.check.detection() + SLACK, formula }
    }

    /// A real server returned.
    pub fn server_back(&self, server: &str) -> Promise {
        let [period, limit] = [self.check.delay_loop, self.check.connect_timeout].map(|span| span.as_secs_f64());
        let formula = format!("{period} + {limit} + {} s", SLACK.as_secs_f64());
        Promise::ServerBack { server: server.to_owned(), limit: self.check.recovery() + SLACK, formula }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_follow_from_the_numbers() {
        let rows = [
            // advert_int (cs), priority of the backup, Active_Down (us), lease (s)
            (10, 100, 360_937, 2),
            (100, 100, 3_609_375, 5),
            (1, 254, 30_078, 2),
            (100, 255, 3_003_906, 5),
        ];
        for (centis, priority, active_down_us, lease) in rows {
            let numbers = Numbers {
                advert_int: AdvertInterval::from_centis(centis).unwrap(),
                backup_priority: Priority::new(priority).unwrap(),
                check: CheckTiming {
                    delay_loop: Duration::from_secs(1),
                    connect_timeout: Duration::from_secs(1),
                    retry: 1,
                    delay_before_retry: Duration::from_millis(500),
                },
            };
            assert_eq!(numbers.active_down().as_micros(), active_down_us, "{centis} cs, {priority}");
            assert_eq!(numbers.lease(), Duration::from_secs(lease), "{centis} cs, {priority}");
        }
    }

    #[test]
    fn a_formula_shows_the_numbers_of_its_limit() {
        let numbers = Numbers {
            advert_int: AdvertInterval::from_centis(10).unwrap(),
            backup_priority: Priority::DEFAULT,
            check: CheckTiming {
                delay_loop: Duration::from_secs(1),
                connect_timeout: Duration::from_secs(2),
                retry: 3,
                delay_before_retry: Duration::from_millis(500),
            },
        };
        let rows = [
            (numbers.silent(), "3 * 0.10 + 156/256 * 0.10 + 0.01 s", 370_937),
            (numbers.server_out("s1"), "1 + 3 * 0.5 + 4 * 2 + 0.02 s", 10_520_000),
            (numbers.server_back("s1"), "1 + 2 + 0.02 s", 3_020_000),
            (numbers.lease_of(Seat::A)[0].clone(), "ceil(0.361) + 1 + 0.5 s", 2_500_000),
        ];
        for (promise, expected, expected_us) in rows {
            let (Promise::Outage { limit, formula }
            | Promise::ServerOut { limit, formula, .. }
            | Promise::ServerBack { limit, formula, .. }
            | Promise::VipGone { limit, formula, .. }) = promise
            else {
                panic!("{promise:?} has no limit")
            };
            assert_eq!((formula.as_str(), limit.as_micros()), (expected, expected_us));
        }
    }
}
