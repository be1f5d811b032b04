//! The plane that an earlier run left, taken up as it is: no program is loaded, verified or put in another's place.
//!
//! For `vipd ipvsadm`, whose commands are over in milliseconds. A daemon opens the plane anew ([`Ebpf::open`]).

use std::path::Path;

use super::adopt;
use super::commit::Kernel;
use super::links;
use super::maps::Maps;
use super::pins;
use super::plane::{Ebpf, EbpfOptions, outside};
use super::programs::Programs;
use crate::lvs::datapath::DatapathError;
use crate::lvs::ipvsadm::manual::Access;

impl Ebpf {
    /// How many connections at once what is pinned there has room for. `None`: there is nothing that tells.
    pub fn pinned_connections(pin_dir: &Path) -> Option<u32> {
        pins::connections(pin_dir)
    }

    /// Whether what is pinned there has a service, or may have one: it is of another version.
    pub fn pinned_has_service(pin_dir: &Path) -> bool {
        pins::have_service(pin_dir)
    }

    /// Take up what is pinned. `None`: it has to be opened, since there is nothing, it was left half written,
    /// or (to change it) it is of another build, or other interfaces are to be served.
    ///
    /// # Errors
    /// [`DatapathError::Permission`], [`DatapathError::Kernel`]; [`DatapathError::Unsupported`] to read maps of another
    /// layout.
    pub fn take_up(options: &EbpfOptions, access: Access) -> Result<Option<Self>, DatapathError> {
        let EbpfOptions { pin_dir, interfaces, .. } = options;
        let limits = options.limits();
        match pins::maps_fit(pin_dir, limits) {
            Ok(true) => {}
            // To open it would replace the maps, which somebody who only looks must not do.
            Err(differs) if access == Access::Read => {
                let what = format!(
                    "show what another version of vipd left in {} ({differs}); list it with that version",
                    pin_dir.display()
                );
                return Err(DatapathError::Unsupported { plane: "ebpf", what });
            }
            Ok(false) | Err(_) => return Ok(None),
        }
        let Some(programs) = Programs::pinned(pin_dir)? else { return Ok(None) };
        if access == Access::Change && !links::cover(pin_dir, &outside(interfaces))? {
            return Ok(None);
        }
        let mut kernel = Kernel::new(Maps::pinned(pin_dir)?);
        let Some(model) = adopt::look(&kernel.maps, limits)? else { return Ok(None) };
        if access == Access::Change {
            adopt::resume(&mut kernel, &model)?;
        }
        let mut plane = Self::of(pin_dir.clone(), programs, kernel, model)?;
        if access == Access::Change {
            plane.note_host()?;
        }
        Ok(Some(plane))
    }
}
