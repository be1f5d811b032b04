//! At which hooks the plane serves: TC always, XDP in front of it where the mode says so.

use super::fault::Fault;
use super::maps::Limits;
use super::plane::Ebpf;
use super::xdp::{self, Front};
use crate::lvs::datapath::{DatapathError, Hook, HookMode};

/// The kernel is asked for a way out so often.
const WAY_MS: u32 = 100;

impl Ebpf {
    /// Serve at these hooks from now on. `fence`: number of the map with the fence's deadlines. XDP loads its programs
    /// anew each time, and puts them in the place of those that run; packets meanwhile are served by whatever is there.
    ///
    /// # Errors
    /// [`DatapathError`]; TC then serves alone.
    pub(super) fn choose_hooks(&mut self, mode: HookMode, fence: Option<u32>) -> Result<(), DatapathError> {
        let chosen = match mode {
            HookMode::Tc => {
                self.front = None;
                xdp::detach_all(&self.pin_dir)
            }
            HookMode::Auto | HookMode::Xdp => self.load_front(mode, fence),
        };
        if chosen.is_err() {
            self.front = None;
            xdp::detach_all(&self.pin_dir)?;
        }
        chosen
    }

    fn load_front(&mut self, mode: HookMode, fence: Option<u32>) -> Result<(), DatapathError> {
        let limits = Limits { connections: 0, services: 0, destinations: 0 }; // the pinned maps have theirs
        self.front = Some(Front::load(&self.pin_dir, limits, mode, fence)?);
        self.follow_links()
    }

    /// XDP on the interfaces that TC serves.
    pub(super) fn follow_links(&mut self) -> Result<(), DatapathError> {
        if let Some(front) = &mut self.front {
            front.attach(&self.netlink, &self.attached)?;
        }
        self.look_at_host()
    }

    /// What changes without a word: rings, offloads, routing rules.
    pub(super) fn look_at_host(&mut self) -> Result<(), DatapathError> {
        if let Some(front) = &mut self.front {
            front.refresh(&self.netlink)?;
        }
        let usual = self.netlink.rules_are_usual().map_err(|error| Fault::new("listing the routing rules", &error))?;
        let way_ms = if usual { WAY_MS } else { 0 };
        let doing = "writing the settings";
        let settings = &mut self.kernel.maps.settings;
        let mut now = settings.get(&0, 0).map_err(Fault::map(doing))?;
        if now.way_ms != way_ms {
            now.way_ms = way_ms;
            settings.set(0, now, 0).map_err(Fault::map(doing))?;
        }
        Ok(())
    }

    /// The interfaces that are served, and the first hook of each.
    pub(super) fn hooks_in_use(&self) -> Vec<(String, Hook)> {
        let served = self.front.as_ref().map(Front::served);
        let hook = |name: &String| served.and_then(|served| served.get(name)).copied().unwrap_or(Hook::Tc);
        self.attached.iter().map(|name| (name.clone(), hook(name))).collect()
    }
}
