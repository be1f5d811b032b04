//! What an operator asks of the virtual routers: hand over, and hold nothing for a while.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Fleet, Output};
use crate::base::MonoTime;
use crate::vrrp::reason::Standing;
use crate::vrrp::router::Event;

/// Which virtual routers hold nothing until the operator says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// All, also those that a reload adds.
    pub all: bool,
    pub instances: BTreeSet<String>,
}

impl fmt::Display for Maintenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.all {
            return f.write_str("every virtual router");
        }
        let names: Vec<&str> = self.instances.iter().map(String::as_str).collect();
        f.write_str(&names.join(", "))
    }
}

impl Maintenance {
    pub fn holds(&self, instance: &str) -> bool {
        self.all || self.instances.contains(instance)
    }
}

/// Why a virtual router does not hand over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandOverError {
    #[error("there is no vrrp_instance `{name}`")]
    Unknown { name: String },
    #[error("{name} is not MASTER, so it has nothing to hand over")]
    NotActive { name: String },
    #[error("no other router took over, nothing was lost; MASTER again: {}", names.join(", "))]
    NobodyTookOver { names: Vec<String> },
    #[error("the daemon is stopping")]
    Stopping,
}

impl Fleet {
    /// Let these hand over, with all of their sync groups; gives the names of all that do.
    ///
    /// # Errors
    /// [`HandOverError::Unknown`], [`HandOverError::NotActive`], [`HandOverError::Stopping`]: then none does.
    pub fn hand_over(
        &mut self,
        now: MonoTime,
        names: &[String],
        force: bool,
    ) -> Result<(Vec<String>, Vec<Output>), HandOverError> {
        if self.stopping {
            return Err(HandOverError::Stopping);
        }
        let mut groups = BTreeSet::new();
        for name in names {
            let found = self.instances.iter().find(|one| one.settings.name == *name && !one.retiring);
            let instance = found.ok_or_else(|| HandOverError::Unknown { name: name.clone() })?;
            if instance.router.standing() != Standing::Active {
                return Err(HandOverError::NotActive { name: name.clone() });
            }
            groups.extend(instance.group().map(str::to_owned));
        }
        let (mut leaving, mut out) = (vec![], vec![]);
        for at in 0..self.instances.len() {
            let Some(instance) = self.instances.get(at) else { continue };
            let asked = names.contains(&instance.settings.name);
            let with_group = instance.group().is_some_and(|group| groups.contains(group));
            if (asked || with_group) && instance.router.standing() == Standing::Active && !instance.retiring {
                leaving.push(instance.settings.name.clone());
                self.event(now, at, Event::HandOver { force }, &mut out);
            }
        }
        Ok((leaving, out))
    }

    /// How a hand-over of these came out; `None` while it goes on.
    pub fn handed_over(&self, names: &[String]) -> Option<Result<(), HandOverError>> {
        let standing = |name: &String| {
            let found = self.instances.iter().find(|instance| instance.settings.name == *name);
            found.map(|instance| instance.router.standing())
        };
        if names.iter().any(|name| standing(name) == Some(Standing::HandingOver)) {
            return None;
        }
        let kept: Vec<String> = names.iter().filter(|name| standing(name) == Some(Standing::Active)).cloned().collect();
        Some(if kept.is_empty() { Ok(()) } else { Err(HandOverError::NobodyTookOver { names: kept }) })
    }

    /// From now on these hold nothing, and all others do as usual.
    pub fn maintain(&mut self, now: MonoTime, maintenance: Maintenance) -> Vec<Output> {
        let mut out = vec![];
        self.maintenance = maintenance;
        self.refresh(now, &mut out);
        out
    }
}

#[cfg(test)]
mod tests;
