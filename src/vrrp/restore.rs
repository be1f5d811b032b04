//! Somebody else removes our addresses: put them back, and after too often give up.

use std::collections::VecDeque;
use std::time::Duration;

use super::reason::Fault;
use crate::base::MonoTime;

/// So many removals within [`WINDOW`] are a fight that is lost.
pub const REMOVALS_MAX: usize = 5;
pub const WINDOW: Duration = Duration::from_secs(10);
/// How long the fault stays after the last removal.
pub const REST: Duration = Duration::from_secs(30);

/// Routes that vanish within this time after an address or a link went with it.
pub const ALONG: Duration = Duration::from_secs(1);

/// The removals of one virtual router.
#[derive(Clone, Debug, Default)]
pub struct Restorer {
    removals: VecDeque<MonoTime>,
    fault_until: Option<MonoTime>,
    /// When something went by which the kernel drops routes too: an address, or the link.
    gone_at: Option<MonoTime>,
}

impl Restorer {
    /// Addresses vanished, all at once or one.
    pub fn removed(&mut self, now: MonoTime) {
        self.gone_at = Some(now);
        self.removals.retain(|at| now - *at < WINDOW);
        self.removals.push_back(now);
        if self.removals.len() >= REMOVALS_MAX {
            self.fault_until = Some(now + REST);
            self.removals.clear();
        }
    }

    /// A link was down.
    pub const fn link_went(&mut self, now: MonoTime) {
        self.gone_at = Some(now);
    }

    /// A route or rule vanished; whether somebody removed it, and not the kernel with what it needs.
    pub fn route_removed(&mut self, now: MonoTime) -> bool {
        let by_somebody = self.gone_at.is_none_or(|gone| now - gone >= ALONG);
        if by_somebody {
            self.removed(now);
            self.gone_at = None;
        }
        by_somebody
    }

    pub fn fault(&self, now: MonoTime) -> Option<Fault> {
        let removals = u32::try_from(REMOVALS_MAX).unwrap_or(u32::MAX);
        self.fault_until.filter(|until| now < *until).map(|_| Fault::AddressFight { removals })
    }

    /// When the fault goes away.
    pub fn deadline(&self, now: MonoTime) -> Option<MonoTime> {
        self.fault_until.filter(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_removals_in_ten_seconds_are_a_fault_for_half_a_minute() {
        let at = |s| MonoTime::from_start(Duration::from_secs(s));
        let mut slow = Restorer::default();
        for s in 0..20 {
            slow.removed(at(s * 3));
            assert_eq!(slow.fault(at(s * 3)), None, "{s}");
        }
        let mut fast = Restorer::default();
        for s in 0..5 {
            assert_eq!(fast.fault(at(s)), None, "{s}");
            fast.removed(at(s));
        }
        assert_eq!(fast.fault(at(5)), Some(Fault::AddressFight { removals: 5 }));
        assert_eq!(fast.deadline(at(5)), Some(at(34)));
        assert_eq!(fast.fault(at(34)), None);
    }

    #[test]
    fn a_route_that_goes_with_its_address_or_link_is_nobodys_removal() {
        let at = |ms| MonoTime::from_start(Duration::from_millis(ms));
        let mut restorer = Restorer::default();
        assert!(restorer.route_removed(at(0)));
        assert!(restorer.route_removed(at(10)), "each by itself");
        restorer.removed(at(20));
        assert!(!restorer.route_removed(at(200)), "with the address that is its source");
        for ms in (1_000..9_000).step_by(1_000) {
            restorer.link_went(at(ms));
            assert!(!restorer.route_removed(at(ms + 500)), "{ms}");
        }
        assert_eq!(restorer.fault(at(9_000)), None);
        assert!(restorer.route_removed(at(9_500)), "a second after the link");
    }
}
