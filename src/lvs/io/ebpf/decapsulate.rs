//! The real server's end of a tunnel, where its kernel has no tunnel device.
//!
//! It knows nothing of the plane: it runs on real servers. It lives on in its pins when the process ends.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use aya::EbpfLoader;
use aya::maps::{HashMap, Map, MapData};
use aya::programs::{SchedClassifier, TcAttachType, tc};
use nix::net::if_::if_nameindex;

use super::fault::{self, Fault};
use super::{abi, links, pins, words};
use crate::lvs::datapath::DatapathError;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/decapsulate.bpf.o"));
const PROGRAM: &str = "vipd_decapsulate";
const VIPS: &str = "vips";

/// Packets in packets (IPIP, of any two versions) that arrive for this host, and in them one of the addresses, lose their outer header.
///
/// It attaches in the network namespace of the calling thread.
#[derive(Clone, Debug)]
pub struct Decapsulator {
    dir: PathBuf,
}

impl Decapsulator {
    /// The one whose pins are in `dir`, which is made a bpffs when there is something to pin.
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The addresses that it serves; none where it does not run.
    ///
    /// # Errors
    /// [`DatapathError::Permission`], [`DatapathError::Kernel`].
    pub fn addresses(&self) -> Result<BTreeSet<IpAddr>, DatapathError> {
        match self.vips()? {
            Some(vips) => Ok(vips.keys().filter_map(Result::ok).map(words::ip).collect()),
            None => Ok(BTreeSet::new()),
        }
    }

    /// The interfaces that it is on.
    ///
    /// # Errors
    /// As [`Decapsulator::addresses`].
    pub fn interfaces(&self) -> Result<Vec<String>, DatapathError> {
        if self.vips()?.is_none() {
            return Ok(vec![]);
        }
        let on = pins::links(&self.dir)?;
        let listed = if_nameindex().map_err(|errno| Fault::new("listing interfaces", &io::Error::from(errno)))?;
        let ours = listed.iter().filter(|interface| on.contains(&interface.index()));
        Ok(ours.map(|interface| interface.name().to_string_lossy().into_owned()).collect())
    }

    /// Serve one more address, on exactly these interfaces.
    ///
    /// # Errors
    /// [`DatapathError::Permission`], [`DatapathError::Load`], [`DatapathError::Kernel`].
    pub fn add(&self, vip: IpAddr, interfaces: &[String]) -> Result<(), DatapathError> {
        pins::ensure_bpffs(&self.dir)?;
        let mut loader = EbpfLoader::new();
        loader.btf(None).default_map_pin_directory(&self.dir);
        let mut object = loader.load(OBJECT).map_err(|error| fault::load(&error))?;
        // Before the program runs: the first packet finds the address.
        let map = object.map_mut(VIPS).ok_or_else(|| DatapathError::Load { detail: format!("no map `{VIPS}`") })?;
        let mut vips: HashMap<_, abi::Address, u32> = map.try_into().map_err(Fault::map("opening the addresses"))?;
        vips.insert(words::address(vip), 1, 0).map_err(Fault::map(format!("adding {vip}")))?;
        let missing = || DatapathError::Load { detail: format!("the object has no program `{PROGRAM}`") };
        let program = object.program_mut(PROGRAM).ok_or_else(missing)?;
        let program: &mut SchedClassifier = program.try_into().map_err(|error| fault::load(&error))?;
        program.load().map_err(|error| fault::load(&error))?;
        links::attach(program, &self.dir, interfaces)?;
        Ok(())
    }

    /// Serve one less; with the last one it ends.
    ///
    /// # Errors
    /// As [`Decapsulator::addresses`].
    pub fn remove(&self, vip: IpAddr) -> Result<(), DatapathError> {
        let Some(mut vips) = self.vips()? else { return Ok(()) };
        if vips.get(&words::address(vip), 0).is_ok() {
            vips.remove(&words::address(vip)).map_err(Fault::map(format!("removing {vip}")))?;
        }
        if vips.keys().next().is_some() {
            return Ok(());
        }
        links::detach_all(&self.dir)?;
        detach_filters()?;
        pins::remove(&self.dir.join(VIPS))?;
        pins::unmount(&self.dir)
    }

    fn vips(&self) -> Result<Option<HashMap<MapData, abi::Address, u32>>, DatapathError> {
        let pin = self.dir.join(VIPS);
        match fs::metadata(&pin) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Fault::new(format!("looking at {}", pin.display()), &error).into()),
            Ok(_) => {}
        }
        let opening = || Fault::map(format!("opening {}", pin.display()));
        let map = Map::from_map_data(MapData::from_pin(&pin).map_err(opening())?).map_err(opening())?;
        Ok(Some(map.try_into().map_err(opening())?))
    }
}

/// Before Linux 6.6 the program is a filter, which no pin removes.
fn detach_filters() -> Result<(), DatapathError> {
    let listed = if_nameindex().map_err(|errno| Fault::new("listing interfaces", &io::Error::from(errno)))?;
    for interface in &listed {
        if let Ok(name) = interface.name().to_str() {
            // Most interfaces have none.
            let _ = tc::qdisc_detach_program(name, TcAttachType::Ingress, PROGRAM);
        }
    }
    Ok(())
}
