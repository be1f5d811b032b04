//! Steps as an operator means them: what is there is not added again, what is not there is not changed.
//!
//! `lvs::table::Step` itself is idempotent; the kernel's IPVS is strict by itself and does not need this file.

use std::collections::BTreeMap;

use super::command::Refusal;
use crate::lvs::table::{Entry, Step, Table};

/// What ipvsadm says for `EINVAL`.
pub const INVALID: &str = "Invalid operation.  Possibly wrong module version, address not unicast, ...";

/// Carry the step out in the table, or say what stands against it.
///
/// # Errors
/// [`Refusal`] with ipvsadm's words; the table is then as it was.
pub fn admit(table: &mut Table, step: &Step) -> Result<(), Refusal> {
    let refused = |text: &str| Err(Refusal::kernel(text));
    match *step {
        Step::AddService(key, service) => {
            if table.services.contains_key(&key) {
                return refused("Service already exists");
            }
            table.services.insert(key, Entry { service, destinations: BTreeMap::new() });
        }
        Step::EditService(key, service) => match table.services.get_mut(&key) {
            Some(entry) => entry.service = service,
            None => return refused("No such service"),
        },
        Step::DeleteService(key) => {
            if table.services.remove(&key).is_none() {
                return refused("No such service");
            }
        }
        Step::AddDestination(key, at, to) | Step::EditDestination(key, at, to) => {
            let Some(entry) = table.services.get_mut(&key) else { return refused("Service not defined") };
            let adds = matches!(step, Step::AddDestination(..));
            match (entry.destinations.contains_key(&at), adds) {
                (true, true) => return refused("Destination already exists"),
                (false, false) => return refused("No such destination"),
                (true, false) | (false, true) => {}
            }
            if to.lower_threshold > to.upper_threshold {
                return refused("Numerical result out of range"); // as ip_vs_ctl.c
            }
            if !at.is_unicast() {
                return refused(INVALID);
            }
            entry.destinations.insert(at, to);
        }
        Step::DeleteDestination(key, at) => {
            let Some(entry) = table.services.get_mut(&key) else { return refused("Service not defined") };
            if entry.destinations.remove(&at).is_none() {
                return refused("No such destination");
            }
        }
    }
    Ok(())
}
