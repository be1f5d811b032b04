//! What a drill is to do: which configurations, which faults. Pure.

use clap::ValueEnum;

use crate::base::{AdvertInterval, Priority};
use crate::lab::director::Daemon;
use crate::lab::facts::{Facts, FactsError};
use crate::lab::pair::{Seat, Services, Setup};

/// The pair that `vipd drill` runs by default.
const MASTER: &str = include_str!("../../../conf/pair-master.conf");
const BACKUP: &str = include_str!("../../../conf/pair-backup.conf");

/// How much lower the backup's priority is where one configuration is given for both.
const PRIORITY_STEP: u8 = 50;

/// Mostly two faults: something breaks, and it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Scenario {
    /// A real server dies and returns.
    Server,
    /// The master is stopped in order and returns.
    Stop,
    /// Every process of the master is killed, and it returns.
    Kill,
    /// The master's link goes down and up.
    Link,
    /// The master's daemon is frozen (SIGSTOP) for 1 s and for 5 s, and goes on.
    Freeze,
    /// The same for 30 s.
    LongFreeze,
    /// The master goes into maintenance and out of it again, as an operator asks.
    Maintenance,
    /// A host floods the network with bad packets, at 20 times the advert rate.
    Hostile,
    /// The directors hear no more of each other, and do again, also while the loser's claims of the VIP are heard.
    Partition,
    /// The backup does not hear the master, and does again.
    OneWay,
    /// 10, 30 and 50 % of the master's adverts get lost.
    Loss,
    /// The VIP is removed by hand, once.
    Delete,
    /// The VIP is removed by hand too often.
    Fight,
    /// The master's interface is deleted and made anew.
    Replug,
    /// The backup is restarted.
    Backup,
    /// A reload adds a VIP, and another one takes it away.
    Reload,
    /// A reload each second for a minute.
    Reloads,
    /// Processes burn every core for a minute.
    Hogs,
    /// The master's disk hangs for a minute: configuration, log, run directory.
    Disk,
    /// Addresses of the master come and go as fast as the kernel can for 10 s.
    Netlink,
    /// The master of 200 VIPs loses its link.
    Addresses,
    /// 255 virtual routers on one pair: what they cost, vipd beside keepalived.
    Routers,
}

impl Scenario {
    /// What a drill does that nobody chose for.
    pub const DEFAULT: [Self; 8] = [
        Self::Server,
        Self::Stop,
        Self::Kill,
        Self::Link,
        Self::Freeze,
        Self::Maintenance,
        Self::Hostile,
        Self::Partition,
    ];

    /// Its lab has no client that keeps asking.
    pub const fn has_its_own_lab(self) -> bool {
        matches!(self, Self::Addresses | Self::Routers)
    }

    /// What it has to report on.
    pub const fn faults(self) -> usize {
        match self {
            Self::Hostile
            | Self::Delete
            | Self::Backup
            | Self::Reloads
            | Self::Hogs
            | Self::Disk
            | Self::Netlink
            | Self::Addresses
            | Self::Routers => 1,
            Self::Loss => super::faults::LOSSES.len(),
            Self::Partition => 4,
            Self::Freeze => 3,
            Self::Server
            | Self::Stop
            | Self::Kill
            | Self::Link
            | Self::LongFreeze
            | Self::Maintenance
            | Self::OneWay
            | Self::Fight
            | Self::Replug
            | Self::Reload => 2,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub setup: Setup,
    pub backup_priority: Priority,
    pub scenarios: Vec<Scenario>,
    /// Leave the lab standing after the last fault until interrupted.
    pub keep: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("configuration of the master: {0}")]
    Master(#[source] FactsError),
    #[error("configuration of the backup: {0}")]
    Backup(#[source] FactsError),
    #[error("the master's priority is {master}, the backup's {backup}: the first has to be the higher one")]
    Priorities { master: Priority, backup: Priority },
    #[error("{got} configurations: give one for both directors, or that of the master and that of the backup")]
    Configs { got: usize },
}

impl Plan {
    /// Plan with `configs`: none (the example), one for both, or the master's and the backup's.
    /// One for both is given to the backup with each priority lowered by 50. No `scenarios` means [`Scenario::DEFAULT`].
    pub fn new(
        configs: &[String],
        daemon: &Daemon,
        services: Services,
        scenarios: &[Scenario],
        keep: bool,
    ) -> Result<Self, PlanError> {
        let (config_a, config_b) = match configs {
            [] => (MASTER.to_owned(), BACKUP.to_owned()),
            [both] => (both.clone(), with_lower_priority(both)),
            [master, backup] => (master.clone(), backup.clone()),
            [_, _, ..] => return Err(PlanError::Configs { got: configs.len() }),
        };
        let facts = Facts::scan(&config_a).map_err(PlanError::Master)?;
        let backup = Facts::scan(&config_b).map_err(PlanError::Backup)?;
        if facts.priority <= backup.priority {
            return Err(PlanError::Priorities { master: facts.priority, backup: backup.priority });
        }
        let scenarios = if scenarios.is_empty() { &Scenario::DEFAULT } else { scenarios };
        let (daemon_a, daemon_b) = (daemon.clone(), daemon.clone());
        let setup = Setup { facts, config_a, config_b, daemon_a, daemon_b, services };
        Ok(Self { setup, backup_priority: backup.priority, scenarios: scenarios.to_vec(), keep })
    }

    /// With another `advert_int` on both.
    #[must_use]
    pub fn with_interval(mut self, interval: AdvertInterval) -> Self {
        let setup = &mut self.setup;
        for config in [&mut setup.config_a, &mut setup.config_b] {
            *config = with_value(config, "advert_int", |_| Some(interval.duration().as_secs_f64().to_string()));
        }
        setup.facts.advert_int = interval;
        self
    }

    /// With keepalived on `seats`. It forwards by IPVS only, so that the directors themselves answer.
    #[must_use]
    pub fn with_keepalived_on(mut self, seats: &[Seat]) -> Self {
        let setup = &mut self.setup;
        for seat in seats {
            match seat {
                Seat::A => setup.daemon_a = Daemon::Keepalived,
                Seat::B => setup.daemon_b = Daemon::Keepalived,
            }
        }
        setup.services = Services::OnDirectors;
        setup.config_a = without_services(&setup.config_a);
        setup.config_b = without_services(&setup.config_b);
        self
    }
}

fn with_lower_priority(config: &str) -> String {
    let lower = |word: &str| {
        let priority = word.parse::<u8>().ok()?;
        Some(priority.saturating_sub(PRIORITY_STEP).max(1).to_string())
    };
    with_value(config, "priority", lower)
}

/// The text with another value in each line of a keyword; `None` leaves a line as it is.
fn with_value(config: &str, keyword: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        match (words.next(), words.next().and_then(&value)) {
            (Some(word), Some(value)) if word == keyword => format!("{keyword} {value}"),
            (Some(_) | None, _) => line.to_owned(),
        }
    };
    config.lines().map(line).fold(String::new(), |text, line| text + &line + "\n")
}

/// The text without its `virtual_server` blocks.
fn without_services(config: &str) -> String {
    let (mut depth, mut inside) = (0_usize, false);
    let mut kept = |line: &&str| {
        let text = line.split(['#', '!']).next().unwrap_or_default();
        let words: Vec<&str> = text.split_whitespace().collect();
        inside |= depth == 0 && words.first() == Some(&"virtual_server");
        let before = inside;
        depth = (depth + text.matches('{').count()).saturating_sub(text.matches('}').count());
        inside &= depth > 0 || !text.contains('}');
        !before
    };
    config.lines().filter(|line| kept(line)).fold(String::new(), |text, line| text + line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(configs: &[String]) -> Result<Plan, PlanError> {
        Plan::new(configs, &Daemon::Keepalived, Services::OnDirectors, &[], false)
    }

    #[test]
    fn the_example_is_the_default_and_the_short_scenarios_are() {
        let plan = plan(&[]).unwrap();
        assert_eq!((plan.setup.facts.priority.get(), plan.backup_priority.get()), (150, 100));
        assert_eq!(plan.scenarios, Scenario::DEFAULT);
    }

    #[test]
    fn one_configuration_serves_both() {
        let plan = plan(&[MASTER.to_owned()]).unwrap();
        assert_eq!((plan.setup.facts.priority.get(), plan.backup_priority.get()), (150, 100));
        assert!(plan.setup.config_b.contains("virtual_server"));
    }

    #[test]
    fn another_interval_is_written_into_both() {
        let interval = AdvertInterval::from_centis(2).unwrap();
        let plan = plan(&[]).unwrap().with_interval(interval);
        for config in [&plan.setup.config_a, &plan.setup.config_b] {
            assert_eq!(Facts::scan(config).unwrap().advert_int, interval);
        }
        assert_eq!(plan.setup.facts.advert_int, interval);
    }

    #[test]
    fn keepalived_gets_a_pair_without_services() {
        let plan = plan(&[]).unwrap().with_keepalived_on(&[Seat::B]);
        assert_eq!((plan.setup.daemon_b, plan.setup.services), (Daemon::Keepalived, Services::OnDirectors));
        for config in [plan.setup.config_a, plan.setup.config_b] {
            assert!(config.contains("virtual_ipaddress"), "{config}");
            assert!(!config.contains("real_server 1") && !config.contains("\nvirtual_server "), "{config}");
            assert_eq!(config.matches('{').count(), config.matches('}').count(), "{config}");
        }
    }

    #[test]
    fn plans_without_a_preferred_master_are_refused() {
        let (master, backup) = (MASTER.to_owned(), BACKUP.to_owned());
        let low = MASTER.replace("priority 150", "priority 1");
        let priorities = |master: u8, backup: u8| PlanError::Priorities {
            master: Priority::new(master).unwrap(),
            backup: Priority::new(backup).unwrap(),
        };
        let rows = [
            ("swapped", vec![backup.clone(), master.clone()], priorities(100, 150)),
            ("nothing is lower than 1", vec![low], priorities(1, 1)),
            ("three", vec![master.clone(), backup.clone(), backup], PlanError::Configs { got: 3 }),
        ];
        for (name, configs, error) in rows {
            assert_eq!(plan(&configs).map(drop), Err(error), "{name}");
        }
    }
}
