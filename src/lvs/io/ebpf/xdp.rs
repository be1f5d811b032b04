//! XDP in front of the program on TC: its objects, its links, and what it is told of interfaces.
//!
//! Level-triggered as `links`. Whatever fails here leaves an interface to TC, which does all that XDP does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aya::maps::{Array, MapData, ProgramArray};
use aya::programs::Xdp;
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::xdp::{XdpLink, XdpMode};

use super::abi;
use super::fault::{self, Fault};
use super::maps;
use super::netlink::{Link, Netlink};
use super::pins;
use super::ports;
use crate::lvs::datapath::{DatapathError, Hook, HookMode, HookReason};

pub(super) const PROGRAM: &str = "vipd_xdp";
const PROGRAM6: &str = "vipd_xdp6";
/// Maps that XDP has to itself.
const FENCE: &str = "fence_deadlines";
const PORTS: &str = "ports";
const PROGRAMS: &str = "xdp_programs";

/// The loaded programs. Dropping it leaves them where they are attached.
pub(super) struct Front {
    dir: PathBuf,
    mode: HookMode,
    object: aya::Ebpf,
    /// Holds the program that `programs` leads to.
    _object6: aya::Ebpf,
    ports: Array<MapData, abi::Port>,
    /// What `ports` holds.
    known: BTreeMap<u32, abi::Port>,
    /// The interfaces that are to be served, and by which hook each one is.
    served: BTreeMap<String, (Hook, HookReason)>,
    /// Why XDP is not where it was asked for; each is told once.
    refused: BTreeMap<String, String>,
}

impl Front {
    /// Load both programs beside the maps that are pinned in `dir`. `fence`: number of the map that says until when
    /// packets may be served before the fence on TC has seen them; `None`: there is no fence.
    ///
    /// # Errors
    /// [`DatapathError`].
    pub(super) fn load(
        dir: &Path,
        limits: maps::Limits,
        mode: HookMode,
        fence: Option<u32>,
    ) -> Result<Self, DatapathError> {
        renew_maps(dir, fence)?;
        let mut object = maps::load(dir, limits, abi::XDP_OBJECT)?;
        let mut object6 = maps::load(dir, limits, abi::XDP_OBJECT6)?;
        program(&mut object, PROGRAM)?.load().map_err(|error| fault::load(&error))?;
        let ipv6 = program(&mut object6, PROGRAM6)?;
        ipv6.load().map_err(|error| fault::load(&error))?;
        if fence.is_none() {
            let mut deadlines: Array<MapData, u64> = maps::take(&mut object, FENCE)?;
            let never = deadlines.set(abi::FENCE_EARLIEST, u64::MAX, 0);
            never.map_err(Fault::map("saying that there is no fence"))?;
        }
        let mut programs: ProgramArray<MapData> = maps::take(&mut object, PROGRAMS)?;
        let place = ipv6.fd().map_err(|error| fault::load(&error))?;
        programs.set(abi::XDP_PROGRAM_IPV6, place, 0).map_err(Fault::map("setting the XDP program of IPv6"))?;
        let ports = maps::take(&mut object, PORTS)?;
        Ok(Self {
            dir: dir.to_owned(),
            mode,
            object,
            _object6: object6,
            ports,
            known: BTreeMap::new(),
            served: BTreeMap::new(),
            refused: BTreeMap::new(),
        })
    }

    /// By which hook an interface is served, and why.
    pub(super) fn served(&self, interface: &str) -> (Hook, HookReason) {
        // One that is not known has gone since.
        self.served.get(interface).cloned().unwrap_or((Hook::Tc, HookReason::NotEthernet))
    }

    /// Run on those of these interfaces that the mode wants it on, and on no others.
    ///
    /// # Errors
    /// [`DatapathError`] where the kernel lists no links or a map cannot be written. An interface that refuses is left
    /// to TC.
    pub(super) fn attach(&mut self, netlink: &Netlink, interfaces: &[String]) -> Result<(), DatapathError> {
        let links = links(netlink)?;
        let mut ours: BTreeMap<u32, Hook> = BTreeMap::new();
        self.served.clear();
        for name in interfaces {
            let Some(link) = links.iter().find(|link| link.name == *name) else { continue };
            let hook = self.attach_one(link);
            let refusal = self.refused.get(&link.name).map(String::as_str);
            let because = ports::because(self.mode, link, hook, refusal);
            self.served.insert(name.clone(), (hook.unwrap_or(Hook::Tc), because));
            ours.extend(hook.map(|hook| (link.index, hook)));
        }
        for index in pins::xdp_links(&self.dir)? {
            if !ours.contains_key(&index) {
                pins::take_off(&pins::xdp_link(&self.dir, index))?;
            }
        }
        self.refresh(netlink)
    }

    /// Tell the programs what the links are like now.
    ///
    /// # Errors
    /// As [`Front::attach`].
    pub(super) fn refresh(&mut self, netlink: &Netlink) -> Result<(), DatapathError> {
        let mut now = BTreeMap::new();
        for link in links(netlink)?.iter().filter(|link| link.index < abi::PORTS) {
            let ours = self.served.get(&link.name).is_some_and(|(hook, _)| *hook != Hook::Tc);
            now.insert(link.index, ports::port(link, ours));
        }
        for index in self.known.keys().filter(|index| !now.contains_key(index)) {
            let gone = self.ports.set(*index, abi::Port::default(), 0);
            gone.map_err(Fault::map("forgetting an interface"))?;
        }
        for (index, port) in &now {
            if self.known.get(index) != Some(port) {
                self.ports.set(*index, *port, 0).map_err(Fault::map("noting an interface"))?;
            }
        }
        self.known = now;
        Ok(())
    }

    /// For trials.
    pub(super) fn program(&mut self) -> Result<&mut Xdp, DatapathError> {
        program(&mut self.object, PROGRAM)
    }

    /// The best hook of XDP that the interface takes.
    fn attach_one(&mut self, link: &Link) -> Option<Hook> {
        let wanted = ports::ways(self.mode, link);
        let pin = pins::xdp_link(&self.dir, link.index);
        if let Some(held) = ports::attached(link).filter(|held| wanted.contains(held))
            && self.adopt(&pin)
        {
            self.refused.remove(&link.name);
            return Some(held);
        }
        // It is of an interface that has gone, or of another mode. What does not go is told by the next step.
        let _ = pins::take_off(&pin);
        let mut refusal = None;
        for hook in wanted {
            match self.attach_new(link, *hook, &pin) {
                Ok(()) => {
                    self.refused.remove(&link.name);
                    return Some(*hook);
                }
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        if let Some(error) = refusal
            && self.refused.get(&link.name) != Some(&error)
        {
            tracing::warn!(interface = link.name, "no XDP here ({error}): TC serves it");
            self.refused.insert(link.name.clone(), error);
        }
        None
    }

    /// Go on by a link that is there: the program is replaced between two packets.
    fn adopt(&mut self, pin: &Path) -> bool {
        let Ok(pinned) = PinnedLink::from_pin(pin) else { return false };
        let Ok(program) = program(&mut self.object, PROGRAM) else { return false };
        let link = XdpLink::try_from(FdLink::from(pinned)).map_err(drop);
        let adopted = link.and_then(|link| program.attach_to_link(link).map_err(drop));
        // Dropping the link leaves the pin, which holds it.
        adopted.is_ok_and(|id| program.take_link(id).is_ok())
    }

    fn attach_new(&mut self, link: &Link, hook: Hook, pin: &Path) -> Result<(), String> {
        let program = program(&mut self.object, PROGRAM).map_err(|error| error.to_string())?;
        let mode = if hook == Hook::GenericXdp { XdpMode::Skb } else { XdpMode::Driver };
        let attached = program.attach_to_if_index(link.index, mode).and_then(|id| program.take_link(id));
        let attached = attached.map_err(|error| match fault::errno(&error) {
            Some(libc::EBUSY | libc::EEXIST) => "another program is there".to_owned(),
            Some(_) | None => fault::chain(&error),
        })?;
        let held = FdLink::try_from(attached).map_err(|error| fault::chain(&error))?;
        held.pin(pin).map_err(|error| fault::chain(&error))?;
        Ok(())
    }
}

fn links(netlink: &Netlink) -> Result<Vec<Link>, DatapathError> {
    netlink.links().map_err(|error| Fault::new("listing the interfaces", &error).into())
}

/// Take the programs off every interface, and forget what they were told.
///
/// # Errors
/// [`DatapathError`] for the first pin that stays.
pub(super) fn detach_all(dir: &Path) -> Result<(), DatapathError> {
    for index in pins::xdp_links(dir)? {
        pins::take_off(&pins::xdp_link(dir, index))?;
    }
    remove_maps(dir)
}

/// The maps of XDP alone begin anew, but for that of the fence, where the loader finds it. Programs that run keep those
/// that they have.
fn renew_maps(dir: &Path, fence: Option<u32>) -> Result<(), DatapathError> {
    remove_maps(dir)?;
    let Some(id) = fence else { return Ok(()) };
    let map = MapData::from_id(id).map_err(Fault::map("finding the fence"))?;
    map.pin(dir.join(FENCE)).map_err(|error| Fault::new("pinning the fence's deadlines", &error).into())
}

fn remove_maps(dir: &Path) -> Result<(), DatapathError> {
    [FENCE, PORTS, PROGRAMS].iter().try_for_each(|name| pins::remove(&dir.join(name)))
}

fn program<'a>(object: &'a mut aya::Ebpf, name: &str) -> Result<&'a mut Xdp, DatapathError> {
    let missing = || DatapathError::Load { detail: format!("the object has no program `{name}`") };
    object.program_mut(name).ok_or_else(missing)?.try_into().map_err(|error| fault::load(&error))
}
