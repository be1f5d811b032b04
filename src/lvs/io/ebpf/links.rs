//! The program on the ingress of interfaces: TCX where the kernel has it (6.6), else a filter on clsact.
//!
//! Level-triggered: says what shall be, finds out what is, changes the difference. A running program is replaced in
//! place, so that no packet passes by.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle, qdisc_add_clsact};
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType};
use aya::util::KernelVersion;
use nix::net::if_::{if_nameindex, if_nametoindex};

use super::fault::Fault;
use super::pins;
use crate::lvs::datapath::DatapathError;

/// Where our filter stands on clsact; a fixed place is how a restart finds it.
const PRIORITY: u16 = 49;
const HANDLE: TcHandle = TcHandle::new(0, 1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hook {
    Tcx,
    Clsact,
}

fn hook() -> Hook {
    match KernelVersion::current() {
        Ok(version) if version >= KernelVersion::new(6, 6, 0) => Hook::Tcx,
        Ok(_) | Err(_) => Hook::Clsact,
    }
}

/// Run `program` on exactly these interfaces. Those that do not exist are left out; the answer is the others.
pub(super) fn attach(
    program: &mut SchedClassifier,
    dir: &Path,
    interfaces: &[String],
) -> Result<Vec<String>, DatapathError> {
    let present: BTreeMap<u32, &String> =
        interfaces.iter().filter_map(|name| Some((if_nametoindex(name.as_str()).ok()?, name))).collect();
    let hook = hook();
    for (ifindex, name) in &present {
        match hook {
            Hook::Tcx => attach_tcx(program, &pins::link(dir, *ifindex), name, TcAttachType::Ingress)?,
            Hook::Clsact => attach_clsact(program, name, TcAttachType::Ingress)?,
        }
    }
    detach_others(dir, hook, &present)?;
    Ok(present.into_values().cloned().collect())
}

/// Whether links of an earlier run are on exactly those of these interfaces that exist. `false` also where it cannot be
/// told: before TCX there are no links.
pub(super) fn cover(dir: &Path, interfaces: &[String]) -> Result<bool, DatapathError> {
    let present: BTreeSet<u32> = interfaces.iter().filter_map(|name| if_nametoindex(name.as_str()).ok()).collect();
    Ok(hook() == Hook::Tcx && BTreeSet::from_iter(pins::links(dir)?) == present)
}

/// Run `program` on the way out of one interface; `pin` holds it there.
pub(super) fn attach_egress(program: &mut SchedClassifier, pin: &Path, name: &str) -> Result<(), DatapathError> {
    match hook() {
        Hook::Tcx => attach_tcx(program, pin, name, TcAttachType::Egress),
        Hook::Clsact => attach_clsact(program, name, TcAttachType::Egress),
    }
}

/// Take the program off every interface.
pub(super) fn detach_all(dir: &Path) -> Result<(), DatapathError> {
    detach_others(dir, hook(), &BTreeMap::new())
}

fn attach_tcx(
    program: &mut SchedClassifier,
    pin: &Path,
    name: &str,
    direction: TcAttachType,
) -> Result<(), DatapathError> {
    if let Ok(pinned) = PinnedLink::from_pin(pin) {
        let link = SchedClassifierLink::try_from(FdLink::from(pinned));
        // A link whose interface has gone refuses: its number belongs to a new interface.
        if let Ok(id) = link.map_err(drop).and_then(|link| program.attach_to_link(link).map_err(drop)) {
            let link = program.take_link(id).map_err(|error| fault(name, &error))?;
            drop(link); // the pin holds it
            return Ok(());
        }
        pins::take_off(pin)?;
    }
    let options = TcAttachOptions::TcxOrder(LinkOrder::default());
    let attached = program.attach_with_options(name, direction, options);
    let link = attached.and_then(|id| program.take_link(id)).map_err(|error| fault(name, &error))?;
    let link = FdLink::try_from(link).map_err(|error| fault(name, &error))?;
    link.pin(pin).map_err(|error| fault(name, &error))?;
    Ok(())
}

fn attach_clsact(program: &mut SchedClassifier, name: &str, direction: TcAttachType) -> Result<(), DatapathError> {
    let ours = SchedClassifierLink::attached(name, direction, PRIORITY, HANDLE, None);
    let replaced = ours.map_err(|error| fault(name, &error)).map(|link| program.attach_to_link(link));
    let id = if let Ok(id) = replaced? {
        id
    } else {
        // It is there already on most calls; where it is not, the attachment tells why.
        let _ = qdisc_add_clsact(name);
        let options = NlOptions { priority: PRIORITY, handle: HANDLE, ..NlOptions::default() };
        let attached = program.attach_with_options(name, direction, TcAttachOptions::Netlink(options));
        attached.map_err(|error| fault(name, &error))?
    };
    // Dropping it would detach it, and the filter is to outlive us.
    let link = program.take_link(id).map_err(|error| fault(name, &error))?;
    std::mem::forget(link);
    Ok(())
}

fn detach_others(dir: &Path, hook: Hook, keep: &BTreeMap<u32, &String>) -> Result<(), DatapathError> {
    for ifindex in pins::links(dir)? {
        if !keep.contains_key(&ifindex) {
            pins::take_off(&pins::link(dir, ifindex))?;
        }
    }
    if hook == Hook::Tcx {
        return Ok(());
    }
    let listed = if_nameindex().map_err(|errno| fault("all interfaces", &std::io::Error::from(errno)))?;
    for interface in &listed {
        if keep.contains_key(&interface.index()) {
            continue;
        }
        if let Ok(name) = interface.name().to_str() {
            detach_clsact(name);
        }
    }
    Ok(())
}

/// Remove our filter, known by the program's name; most interfaces have none.
fn detach_clsact(name: &str) {
    let _ = aya::programs::tc::qdisc_detach_program(name, TcAttachType::Ingress, super::programs::INGRESS);
}

fn fault(name: &str, error: &(dyn std::error::Error + 'static)) -> DatapathError {
    Fault::new(format!("attaching the program to {name}"), error).into()
}
