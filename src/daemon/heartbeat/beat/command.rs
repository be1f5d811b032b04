//! What the supervisor tells the heartbeat.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Beat, Place};
use crate::base::MonoTime;
use crate::daemon::clock;
use crate::daemon::heartbeat::keeper::Owner;
use crate::daemon::heartbeat::{Command, StartError, interfaces_exist};
use crate::vrrp::lease::Lease;
use crate::vrrp::{Holdings, Settings};

impl Beat {
    /// `None`: the supervisor is gone, which is an order to stop.
    pub(super) fn commanded(&mut self, command: Option<Command>) {
        let now = clock::now();
        match command {
            Some(Command::Tracked { what, outcome }) => {
                let outputs = self.fleet.tracked(now, what, outcome);
                self.carry_out(outputs);
            }
            // Nobody waits for an answer whose asker is gone.
            Some(Command::Reconfigure { settings, statics, reply }) => {
                drop(reply.send(self.reconfigure(now, settings, statics)));
            }
            Some(Command::Look { reply }) => drop(reply.send(self.fleet.views())),
            Some(Command::HandOver { instances, force, reply }) => match self.fleet.hand_over(now, &instances, force) {
                Ok((names, outputs)) => {
                    self.carry_out(outputs);
                    self.handing_over.push((names, reply));
                }
                Err(error) => drop(reply.send(Err(error))),
            },
            Some(Command::Maintain(maintenance)) => {
                let outputs = self.fleet.maintain(now, maintenance);
                self.carry_out(outputs);
            }
            Some(Command::Leave { reply }) => {
                let (left, outputs) = self.fleet.leave(now);
                self.carry_out(outputs);
                self.left = true;
                let _ = reply.send(left);
            }
            Some(Command::Shutdown { reply }) => {
                self.stopping.push(reply);
                let outputs = self.fleet.shutdown(now);
                self.carry_out(outputs);
            }
            None => {
                let outputs = self.fleet.shutdown(now);
                self.carry_out(outputs);
            }
        }
    }

    /// All of it, or nothing: the new sockets are opened first.
    fn reconfigure(
        &mut self,
        now: MonoTime,
        settings: Vec<Arc<Settings>>,
        statics: Holdings,
    ) -> Result<(), StartError> {
        if !self.stopping.is_empty() {
            return Err(StartError::Ended);
        }
        Settings::check_all(&settings)?;
        let links = self.keeper.seen.borrow().links.clone();
        let known: BTreeSet<Place> = self.fleet.sockets().into_keys().collect();
        let new: Vec<Arc<Settings>> =
            settings.iter().filter(|one| !known.contains(&(one.interface.clone(), one.family))).cloned().collect();
        interfaces_exist(&new, &links)?;
        self.locks.hold(settings.iter().map(|one| one.key()))?;
        let statics = with_devices(statics, &settings);
        let mut fleet = self.fleet.clone();
        let outputs = fleet.reconfigure(now, settings);
        let needed = fleet.sockets();
        if let Some(refused) = self.sockets.get_mut().open(&needed, &links).into_iter().next() {
            self.sockets.get_mut().prune(&self.fleet.sockets(), &links);
            // They were ours a moment ago; nobody else starts within it.
            let _ = self.locks.hold(self.fleet.keys());
            return Err(refused.into());
        }
        self.fleet = fleet;
        self.hold(Owner::Static, statics, Lease::FOREVER);
        self.carry_out(outputs);
        self.sockets.get_mut().prune(&self.fleet.sockets(), &links);
        self.publish_at = clock::now();
        Ok(())
    }
}

/// The interfaces of virtual routers are there as long as they are configured, like static addresses.
pub fn with_devices(statics: Holdings, settings: &[Arc<Settings>]) -> Holdings {
    Holdings { devices: settings.iter().flat_map(|one| one.own_devices()).collect(), ..statics }
}
