//! The door of the plane: open, attach, apply, read, close.
#![expect(clippy::disallowed_methods, reason = "rates need the time between two readings")]

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Instant;

use super::adopt;
use super::commit::Kernel;
use super::fault::Fault;
use super::links;
use super::maps::{ENTRIES_PER_CONNECTION, Limits};
use super::marks::{self, Marks};
use super::model::{Held, Model, key_of};
use super::netlink::Netlink;
use super::own::Own;
use super::pins;
use super::programs::{self, Loaded, Programs};
use super::stats::{self, Rates, Reason};
use super::words;
use super::xdp::{self, Front};
use crate::base::MonoTime;
use crate::lvs::datapath::{
    ApplyError, Capabilities, Counters, Datapath, DatapathError, HookMode, HookReason, Locals, Served,
};
use crate::lvs::table::{ServiceKey, Step, Table};

/// Services that are written before other tasks get their turn.
const SERVICES_PER_TURN: usize = 32;

/// What an operator chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EbpfOptions {
    /// A directory for the pins; becomes a bpffs of its own unless it is on one.
    pub pin_dir: PathBuf,
    /// Interfaces on which clients and (Masq) real servers arrive: Ethernet, or what looks like it.
    pub interfaces: Vec<String>,
    /// Connections at once; beyond them one is forgotten that was not seen for long, one that is established last.
    pub connections_max: u32,
    pub services_max: u32,
    /// Over all services.
    pub destinations_max: u32,
    /// Ports of the local addresses that `FullNat` connections begin at. Below `net.ipv4.ip_local_port_range` they
    /// do not meet the director's own connections.
    pub local_ports: RangeInclusive<u16>,
}

impl EbpfOptions {
    pub(super) const fn limits(&self) -> Limits {
        let Self { connections_max: connections, services_max: services, destinations_max: destinations, .. } = *self;
        Limits { connections, services, destinations }
    }
}

/// `local_ports` for a kernel with its usual `ip_local_port_range`.
pub const LOCAL_PORTS: RangeInclusive<u16> = 1024..=32_767;

/// The eBPF plane. Dropping it leaves the kernel forwarding; [`Ebpf::close`] ends it.
///
/// It attaches in the network namespace of the calling thread.
pub struct Ebpf {
    pub(super) pin_dir: PathBuf,
    pub(super) programs: Programs,
    pub(super) kernel: Kernel,
    pub(super) model: Model,
    rates: Rates,
    began: Instant,
    pub(super) netlink: Netlink,
    /// `Err`: TC alone, and why.
    pub(super) front: Result<Front, HookReason>,
    /// Interfaces with the program on TC.
    pub(super) attached: Vec<String>,
    /// Interfaces where the program of another version goes on with its own maps until these have services.
    waiting: Vec<String>,
    marks: Marks,
    pub(super) own: Own,
}

impl fmt::Debug for Ebpf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ebpf").field("pin_dir", &self.pin_dir).field("model", &self.model).finish_non_exhaustive()
    }
}

impl Ebpf {
    /// What the program can do at most: on the newest kernel that it asks anything of.
    pub fn capabilities_at_most() -> Capabilities {
        words::capabilities_with(true)
    }

    /// The first thing of a table that is refused though [`Self::capabilities_at_most`] has each part of it.
    pub fn refused(table: &Table) -> Option<DatapathError> {
        words::refused(table)
    }

    /// Load the program, go on with the pinned maps of an earlier run where their layout fits, and attach.
    ///
    /// # Errors
    /// [`DatapathError::Permission`], [`DatapathError::Load`] with the verifier's words, [`DatapathError::Kernel`].
    #[expect(clippy::unused_async, reason = "the door of a plane is async; loading may be moved off the thread")]
    pub async fn open(options: &EbpfOptions) -> Result<Self, DatapathError> {
        let EbpfOptions { pin_dir, interfaces, local_ports, .. } = options;
        let limits = options.limits();
        pins::ensure_bpffs(pin_dir)?;
        let (adopted, differs) = match pins::maps_fit(pin_dir, limits) {
            Ok(fit) => (fit, false),
            Err(differs) => {
                tracing::warn!(
                    %differs,
                    "the eBPF maps are of another version of vipd, or of other sizes: they are made anew, and \
                     connections begin anew"
                );
                (false, true)
            }
        };
        if !adopted {
            xdp::detach_all(pin_dir)?;
            pins::set_programs_aside(pin_dir)?;
            pins::remove_maps(pin_dir, limits)?;
        }
        let (loaded, mut kernel) = Loaded::load(pin_dir, limits)?;
        let model = if adopted {
            adopt::adopt(&mut kernel, limits, local_ports)?
        } else {
            adopt::begin(&mut kernel.maps, limits, local_ports)?
        };
        let programs = loaded.install(pin_dir, &mut kernel.maps)?;
        tracing::info!(adopted, services = model.services.len(), "eBPF plane loaded");
        let mut plane = Self::of(pin_dir.clone(), programs, kernel, model)?;
        if differs {
            plane.waiting.clone_from(interfaces);
        } else {
            plane.attach(interfaces)?;
        }
        Ok(plane)
    }

    /// Nothing is attached yet, or all that shall be.
    pub(super) fn of(
        pin_dir: PathBuf,
        programs: Programs,
        kernel: Kernel,
        model: Model,
    ) -> Result<Self, DatapathError> {
        let netlink = Netlink::open().map_err(|error| Fault::new("opening netlink", &error))?;
        Ok(Self {
            pin_dir,
            programs,
            kernel,
            model,
            rates: Rates::default(),
            began: Instant::now(),
            netlink,
            front: Err(HookReason::ModeIsTc),
            attached: vec![],
            waiting: vec![],
            marks: Marks::default(),
            own: Own::default(),
        })
    }

    /// Run on exactly these interfaces: on new ones from now on, on those not named no more. Call it again when
    /// interfaces come and go; the answer is those that exist.
    ///
    /// # Errors
    /// [`DatapathError::Kernel`] naming the interface that refused.
    pub fn attach(&mut self, interfaces: &[String]) -> Result<Vec<String>, DatapathError> {
        self.waiting.clear();
        self.attached = links::attach(&mut self.programs.ingress, &self.pin_dir, &outside(interfaces))?;
        pins::remove(&pins::aside(&self.pin_dir))?;
        programs::attached(&self.pin_dir)?;
        self.follow_links()?;
        Ok(self.attached.clone())
    }

    /// Packets that were not forwarded as usual, by reason.
    pub fn reasons(&self) -> Vec<(Reason, u64)> {
        stats::reasons(&self.kernel.maps)
    }

    /// End. With `keep` the kernel goes on forwarding and the next [`Ebpf::open`] goes on from there; without it
    /// programs, links, maps and our mount are removed.
    ///
    /// # Errors
    /// [`DatapathError::Kernel`] for the first thing that could not be removed.
    #[expect(clippy::unused_async, reason = "the door of a plane is async")]
    pub async fn close(self, keep: bool) -> Result<(), DatapathError> {
        if keep {
            return Ok(());
        }
        let limits = Limits { connections: 0, services: 0, destinations: 0 }; // names matter, not sizes
        marks::remove(&self.netlink, &self.pin_dir)?;
        xdp::detach_all(&self.pin_dir)?;
        links::detach_all(&self.pin_dir)?;
        pins::remove_builds(&self.pin_dir)?;
        for pin in [pins::marked(&self.pin_dir), pins::program(&self.pin_dir), pins::aside(&self.pin_dir)] {
            pins::remove(&pin)?;
        }
        pins::remove_maps(&self.pin_dir, limits)?;
        pins::unmount(&self.pin_dir)
    }

    /// Packets with the marks of services come to the program.
    ///
    /// # Errors
    /// [`DatapathError::Kernel`]; the next call tries again.
    pub(super) fn follow_marks(&mut self) -> Result<(), DatapathError> {
        let mark = |key: &ServiceKey| match *key {
            ServiceKey::Fwmark { mark, family } => Some((family, mark.get())),
            ServiceKey::Address { .. } => None,
        };
        let wanted = self.model.services.keys().filter_map(mark).collect();
        self.marks.follow(&self.netlink, &mut self.programs.marked, &self.pin_dir, &wanted)
    }

    /// Write the touched services; on a refusal the model goes back to what the maps hold.
    async fn commit(&mut self, touched: BTreeMap<ServiceKey, Touched>, failed: &mut Vec<(Step, DatapathError)>) {
        let mut writable = self.begin_change(touched.len());
        for (number, (key, Touched { before, steps })) in touched.into_iter().enumerate() {
            if number % SERVICES_PER_TURN == SERVICES_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
            let generation = self.model.next_generation();
            let now = self.model.services.get_mut(&key);
            let written = match &writable {
                Ok(()) => self.kernel.commit(&key, before.as_ref(), now, generation),
                Err(fault) => Err(fault.clone()),
            };
            match written {
                Ok(()) => {
                    let now = self.model.services.get(&key).cloned();
                    self.model.settle(before.as_ref(), now.as_ref());
                }
                Err(fault) => {
                    self.take_back(key, before);
                    failed.extend(steps.into_iter().map(|step| (step, fault.clone().into())));
                }
            }
        }
        if writable.is_ok() {
            writable = self.kernel.mark(&self.model, 0, false);
        }
        if let Err(fault) = writable {
            tracing::warn!(error = %DatapathError::from(fault), "the eBPF plane could not note its state");
        }
    }

    /// What a crash from here on leaves is finished by the next start.
    fn begin_change(&mut self, services: usize) -> Result<(), Fault> {
        self.kernel.collect_garbage()?;
        let services = u32::try_from(services).unwrap_or(u32::MAX);
        self.kernel.mark(&self.model, services, true)
    }

    fn take_back(&mut self, key: ServiceKey, before: Option<Held>) {
        let now = self.model.services.remove(&key);
        if let Some(before) = &before {
            self.model.settle(now.as_ref(), Some(before));
        } else {
            self.model.settle(now.as_ref(), None);
        }
        if let Some(before) = before {
            self.model.services.insert(key, before);
        }
    }
}

/// A service as it was before a batch, and the batch's steps for it.
#[derive(Default)]
struct Touched {
    before: Option<Held>,
    steps: Vec<Step>,
}

impl Datapath for Ebpf {
    fn capabilities(&self) -> Capabilities {
        self.model.capabilities.clone()
    }

    async fn snapshot(&mut self) -> Result<Table, DatapathError> {
        adopt::table(&self.kernel.maps, self.model.destination_slots.end())
    }

    async fn apply(&mut self, steps: &[Step]) -> Result<(), ApplyError> {
        let mut failed = Vec::new();
        let mut touched: BTreeMap<ServiceKey, Touched> = BTreeMap::new();
        for step in steps {
            let key = key_of(step);
            let known = &self.model.services;
            let entry =
                touched.entry(key).or_insert_with(|| Touched { before: known.get(&key).cloned(), steps: Vec::new() });
            match self.model.take(step) {
                Ok(()) => entry.steps.push(*step),
                Err(error) => failed.push((*step, error)),
            }
        }
        touched.retain(|_, touched| !touched.steps.is_empty());
        if !touched.is_empty() {
            let marks = touched.keys().any(|key| matches!(key, ServiceKey::Fwmark { .. }));
            self.commit(touched, &mut failed).await;
            if marks && let Err(error) = self.follow_marks() {
                failed.extend(unserved(steps, error));
            }
        }
        let waiting = std::mem::take(&mut self.waiting);
        if !waiting.is_empty()
            && let Err(error) = self.attach(&waiting)
        {
            tracing::error!(%error, "the program of another version goes on; tried again with the next change");
            self.waiting = waiting;
            failed.extend(steps.first().map(|step| (*step, error)));
        }
        if failed.is_empty() { Ok(()) } else { Err(ApplyError { tried: steps.len(), failed }) }
    }

    fn set_locals(&mut self, of: &BTreeMap<ServiceKey, Locals>) -> Result<(), DatapathError> {
        let mut locals = BTreeMap::new();
        for (key, held) in of {
            locals.extend(words::locals(key, held)?.map(|wire| (*key, wire)));
        }
        self.kernel.set_locals(locals);
        for (key, held) in &self.model.services {
            self.kernel.write_locals(key, held.slot)?;
        }
        Ok(())
    }

    fn reasons(&self) -> Vec<(&'static str, u64)> {
        Self::reasons(self).into_iter().map(|(reason, count)| (reason.name(), count)).collect()
    }

    fn set_hooks(&mut self, mode: HookMode, fence: Option<u32>) -> Result<(), DatapathError> {
        self.choose_hooks(mode, fence)
    }

    fn connections_max(&self) -> Option<u32> {
        Some(self.kernel.maps.connections.len() / ENTRIES_PER_CONNECTION)
    }

    fn set_quiescent_keeps(&mut self, keeps: bool) -> Result<(), DatapathError> {
        const ACTION: &str = "setting what becomes of the clients of servers of weight 0";
        let mut settings = self.kernel.maps.settings.get(&0, 0).map_err(Fault::map(ACTION))?;
        settings.quiescent_keeps = keeps.into();
        Ok(self.kernel.maps.settings.set(0, settings, 0).map_err(Fault::map(ACTION))?)
    }

    fn hooks(&self) -> Vec<Served> {
        self.hooks_in_use()
    }

    async fn tend(&mut self) -> Result<(), DatapathError> {
        self.look_at_host()?;
        // The counts of connections come from a census, which reading the counters takes.
        self.counters().await.map(drop)
    }

    async fn counters(&mut self) -> Result<Counters, DatapathError> {
        let now = MonoTime::from_start(self.began.elapsed());
        let Self { programs, kernel, model, rates, .. } = self;
        stats::counters(&mut kernel.maps, &programs.census, model, rates, now)
    }
}

/// The first step for a mark has failed: its service is in the maps, and no packet comes to it.
fn unserved(steps: &[Step], error: DatapathError) -> Option<(Step, DatapathError)> {
    let step = steps.iter().find(|step| matches!(key_of(step), ServiceKey::Fwmark { .. }))?;
    Some((*step, error))
}

/// The interfaces that packets from outside come to.
pub(super) fn outside(interfaces: &[String]) -> Vec<String> {
    interfaces.iter().filter(|name| !marks::is_ours(name)).cloned().collect()
}
