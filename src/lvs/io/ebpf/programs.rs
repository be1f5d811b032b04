//! The programs on TC: loaded once for a build, and pinned, so that who comes later need not have them verified again.

use std::hash::{DefaultHasher, Hasher as _};
use std::path::Path;

use aya::programs::{ProgramInfo, SchedClassifier};

use super::abi;
use super::commit::Kernel;
use super::fault::{self, Fault};
use super::maps::{self, Limits, Maps};
use super::pins;
use crate::lvs::datapath::DatapathError;

/// The program on the interfaces, by its name in the object.
pub(super) const INGRESS: &str = "vipd_ingress";
const INGRESS6: &str = "vipd_ingress6";
const MARKED: &str = "vipd_marked";
const CENSUS: &str = "vipd_census";
/// Those that others jump to, and where these find them.
const LED_TO: [(&str, u32); 5] = [
    ("vipd_fullnat", abi::PROGRAM_FULLNAT),
    ("vipd_refuse", abi::PROGRAM_REFUSE),
    ("vipd_tell", abi::PROGRAM_TELL),
    ("vipd_outer", abi::PROGRAM_OUTER),
    ("vipd_inside", abi::PROGRAM_INSIDE),
];
const LED_TO6: [(&str, u32); 7] = [
    (INGRESS6, abi::PROGRAM_IPV6),
    ("vipd_fullnat6", abi::PROGRAM_FULLNAT6),
    ("vipd_marked6", abi::PROGRAM_MARKED6),
    ("vipd_refuse6", abi::PROGRAM_REFUSE6),
    ("vipd_tell6", abi::PROGRAM_TELL6),
    ("vipd_outer6", abi::PROGRAM_OUTER6),
    ("vipd_inside6", abi::PROGRAM_INSIDE6),
];

/// In the place of the build, while the interfaces may have the program of another one.
const UNATTACHED: &str = "unattached";

/// Those that user space attaches or runs; the map of programs holds the others.
pub(super) struct Programs {
    pub(super) ingress: SchedClassifier,
    /// On the way out of the device for marked packets.
    pub(super) marked: SchedClassifier,
    pub(super) census: SchedClassifier,
}

/// Loaded, and nobody runs them yet.
pub(super) struct Loaded {
    object: aya::Ebpf,
    object6: aya::Ebpf,
}

impl Loaded {
    /// Load both objects beside the maps that are pinned in `dir`, and pin the maps that are not there.
    ///
    /// # Errors
    /// [`DatapathError::Load`] with the verifier's words, [`DatapathError::Permission`].
    pub(super) fn load(dir: &Path, limits: Limits) -> Result<(Self, Kernel), DatapathError> {
        let mut object = maps::load(dir, limits, abi::OBJECT)?;
        let names = [INGRESS, MARKED, CENSUS].into_iter().chain(LED_TO.map(|(name, _)| name));
        names.into_iter().try_for_each(|name| load(&mut object, name))?;
        let kernel = Kernel::new(Maps::of(&mut object)?);
        // Both objects have the same maps: the second one finds them pinned.
        let mut object6 = maps::load(dir, limits, abi::OBJECT6)?;
        LED_TO6.into_iter().try_for_each(|(name, _)| load(&mut object6, name))?;
        Ok((Self { object, object6 }, kernel))
    }

    /// Have them lead to one another, and pin them for the next who comes, who takes them up once [`attached`] is said.
    ///
    /// # Errors
    /// [`DatapathError::Kernel`].
    pub(super) fn install(mut self, dir: &Path, maps: &mut Maps) -> Result<Programs, DatapathError> {
        for (name, place) in LED_TO {
            lead_to(maps, &mut self.object, name, place)?;
        }
        for (name, place) in LED_TO6 {
            lead_to(maps, &mut self.object6, name, place)?;
        }
        pins::remove_builds(dir)?;
        let ingress = pin(&mut self.object, INGRESS, &pins::program(dir))?;
        let marked = pin(&mut self.object, MARKED, &pins::marked(dir))?;
        let census = pin(&mut self.object, CENSUS, &pins::build(dir, UNATTACHED))?;
        Ok(Programs { ingress, marked, census })
    }
}

impl Programs {
    /// Those that are pinned in `dir`; `None` where they are of another build, or not complete.
    ///
    /// # Errors
    /// [`DatapathError::Kernel`], [`DatapathError::Permission`].
    pub(super) fn pinned(dir: &Path) -> Result<Option<Self>, DatapathError> {
        if !pins::program(dir).exists() {
            return Ok(None);
        }
        let census = pins::build(dir, &build(dir)?);
        if !census.exists() {
            return Ok(None);
        }
        let [ingress, marked, census] = [pins::program(dir), pins::marked(dir), census].map(|pin| from_pin(&pin));
        Ok(Some(Self { ingress: ingress?, marked: marked?, census: census? }))
    }
}

/// Say that the interfaces have the pinned programs: by the name of the census they are known to be of this build.
///
/// # Errors
/// [`DatapathError::Kernel`].
pub(super) fn attached(dir: &Path) -> Result<(), DatapathError> {
    let before = pins::build(dir, UNATTACHED);
    if before.exists() { pins::rename(&before, &pins::build(dir, &build(dir)?)) } else { Ok(()) }
}

/// What tells this build's programs from all others: the objects, and the number that the kernel gave to the pinned one,
/// since a build that knows nothing of this name replaces that one.
fn build(dir: &Path) -> Result<String, DatapathError> {
    let mut hasher = DefaultHasher::new();
    hasher.write(abi::OBJECT);
    hasher.write(abi::OBJECT6);
    let info = ProgramInfo::from_pin(pins::program(dir));
    let info = info.map_err(|error| Fault::new("finding the pinned program", &error))?;
    Ok(format!("{:016x}_{}", hasher.finish(), info.id()))
}

fn from_pin(pin: &Path) -> Result<SchedClassifier, DatapathError> {
    let doing = || format!("opening the program {}", pin.display());
    SchedClassifier::from_pin(pin).map_err(|error| Fault::new(doing(), &error).into())
}

fn pin(object: &mut aya::Ebpf, name: &str, pin: &Path) -> Result<SchedClassifier, DatapathError> {
    pins::remove(pin)?;
    classifier(object, name)?.pin(pin).map_err(|error| Fault::new(format!("pinning the program {name}"), &error))?;
    from_pin(pin)
}

/// Packets that jump to this place go on in this program. The map keeps it; a running one is replaced between two
/// packets.
fn lead_to(maps: &mut Maps, object: &mut aya::Ebpf, name: &str, place: u32) -> Result<(), DatapathError> {
    let program = classifier(object, name)?.fd().map_err(|error| fault::load(&error))?;
    maps.programs.set(place, program, 0).map_err(Fault::map(format!("setting the program {name}")))?;
    Ok(())
}

fn load(object: &mut aya::Ebpf, name: &str) -> Result<(), DatapathError> {
    classifier(object, name)?.load().map_err(|error| fault::load(&error))
}

fn classifier<'a>(object: &'a mut aya::Ebpf, name: &str) -> Result<&'a mut SchedClassifier, DatapathError> {
    let missing = || DatapathError::Load { detail: format!("the object has no program `{name}`") };
    object.program_mut(name).ok_or_else(missing)?.try_into().map_err(|error| fault::load(&error))
}
