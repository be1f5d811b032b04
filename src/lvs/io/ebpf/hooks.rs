//! At which hooks the plane serves: TC always, XDP in front of it where the mode says so.

use super::fault::Fault;
use super::maps::Limits;
use super::plane::Ebpf;
use super::xdp::{self, Front};
use crate::lvs::datapath::{DatapathError, Hook, HookMode, HookReason, Served};

/// The kernel is asked for a way out so often.
const WAY_MS: u32 = 100;

impl Ebpf {
    /// Serve at these hooks from now on. `fence`: number of the map with the fence's deadlines. XDP loads its programs
    /// anew each time, and puts them in the place of those that run; packets meanwhile are served by whatever is there.
    ///
    /// # Errors
    /// [`DatapathError`]; TC then serves alone.
    pub(super) fn choose_hooks(&mut self, mode: HookMode, fence: Option<u32>) -> Result<(), DatapathError> {
        let refused = match mode {
            HookMode::Tc => None,
            HookMode::Auto | HookMode::Xdp => match self.load_front(mode, fence) {
                Ok(()) => return Ok(()),
                Err(error) => Some(error),
            },
        };
        self.front = Err(refused.as_ref().map_or(HookReason::ModeIsTc, |error| HookReason::Refused(error.to_string())));
        xdp::detach_all(&self.pin_dir)?;
        refused.map_or(Ok(()), Err)
    }

    fn load_front(&mut self, mode: HookMode, fence: Option<u32>) -> Result<(), DatapathError> {
        let limits = Limits { connections: 0, services: 0, destinations: 0 }; // the pinned maps have theirs
        self.front = Ok(Front::load(&self.pin_dir, limits, mode, fence)?);
        self.follow_links()
    }

    /// XDP on the interfaces that TC serves.
    pub(super) fn follow_links(&mut self) -> Result<(), DatapathError> {
        if let Ok(front) = &mut self.front {
            front.attach(&self.netlink, &self.attached)?;
        }
        self.look_at_host()
    }

    /// What changes without a word: rings, offloads, routing rules, addresses, the way of marked packets.
    pub(super) fn look_at_host(&mut self) -> Result<(), DatapathError> {
        if let Ok(front) = &mut self.front {
            front.refresh(&self.netlink)?;
        }
        self.note_host()?;
        self.follow_marks()
    }

    /// Of these, what the programs read in maps.
    pub(super) fn note_host(&mut self) -> Result<(), DatapathError> {
        let usual = self.netlink.rules_are_usual().map_err(|error| Fault::new("listing the routing rules", &error))?;
        let way_ms = if usual { WAY_MS } else { 0 };
        let doing = "writing the settings";
        let settings = &mut self.kernel.maps.settings;
        let mut now = settings.get(&0, 0).map_err(Fault::map(doing))?;
        if now.way_ms != way_ms {
            now.way_ms = way_ms;
            settings.set(0, now, 0).map_err(Fault::map(doing))?;
        }
        Ok(self.own.follow(&self.netlink, &mut self.kernel.maps.own_addresses)?)
    }

    /// The interfaces that are served, and where.
    pub(super) fn hooks_in_use(&self) -> Vec<Served> {
        let of = |interface: &String| {
            let (hook, because) = match &self.front {
                Ok(front) => front.served(interface),
                Err(because) => (Hook::Tc, because.clone()),
            };
            Served { interface: interface.clone(), hook, because }
        };
        self.attached.iter().map(of).collect()
    }
}
