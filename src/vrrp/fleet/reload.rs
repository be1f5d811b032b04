//! Taking new settings while all go on: matched by [`Key`], nothing else.

use std::sync::Arc;

use super::{Fleet, Instance, Output, hold_all, hold_nothing};
use crate::base::MonoTime;
use crate::vrrp::reason::Standing;
use crate::vrrp::router::{Event, Rules};
use crate::vrrp::settings::Settings;

impl Fleet {
    /// Drive these from now on; also the first start. What is unchanged keeps state, timers and counters, and
    /// what is gone hands over. Check them with [`Settings::check_all`] first.
    pub fn reconfigure<S: Into<Arc<Settings>>>(&mut self, now: MonoTime, wanted: Vec<S>) -> Vec<Output> {
        let mut out = vec![];
        let mut old = std::mem::take(&mut self.instances);
        for settings in wanted.into_iter().map(S::into) {
            let key = settings.key();
            let found = old.iter().position(|instance| instance.settings.key() == key);
            let instance = match found.map(|at| old.remove(at)) {
                Some(instance) if !instance.retiring => keep(now, instance, settings, &mut out),
                Some(retiring) => {
                    out.push(hold_nothing(&retiring, key));
                    Instance::new(now, settings)
                }
                None => self.begin(now, settings),
            };
            self.instances.push(instance);
        }
        let kept = self.instances.len();
        self.instances.append(&mut old);
        for at in kept..self.instances.len() {
            let Some(instance) = self.instances.get_mut(at) else { continue };
            let retiring = std::mem::replace(&mut instance.retiring, true);
            if !retiring {
                self.event(now, at, Event::Shutdown, &mut out);
            }
        }
        self.lanes.clear();
        self.damping.configure(self.instances.iter().flat_map(|instance| &instance.settings.link_delays));
        let tracked = self.instances.iter().flat_map(|instance| &instance.settings.track).map(|track| &track.what);
        let tracked: std::collections::BTreeSet<_> = tracked.collect();
        self.outcomes.retain(|what, _| tracked.contains(what));
        self.refresh(now, &mut out);
        self.forget_retired();
        out
    }

    /// Those that left the configuration and hold nothing any more.
    pub(super) fn forget_retired(&mut self) {
        self.instances.retain(|instance| !instance.retiring || instance.router.standing() != Standing::Stopped);
    }
}

fn keep(now: MonoTime, mut instance: Instance, settings: Arc<Settings>, out: &mut Vec<Output>) -> Instance {
    if instance.settings == settings {
        return instance;
    }
    let more = settings.addresses.iter().any(|address| !instance.settings.addresses.contains(address));
    instance.settings = settings;
    instance.claims.stop();
    let actions = instance.router.handle(now, Event::Configured(Rules::from(&*instance.settings)));
    debug_assert!(actions.is_empty(), "settings alone move nothing");
    // One that hands over takes all when nobody takes over: its successor may have the new ones already.
    if instance.router.standing() == Standing::Active {
        if more {
            instance.announce_when_settled = Some(now);
        }
        out.push(hold_all(&instance));
    }
    instance
}
