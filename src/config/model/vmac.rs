//! `use_vmac` of a virtual router.

use serde::Serialize;

use crate::base::IfName;

/// `use_vmac`: the addresses stand on an interface of their own, with the virtual router's MAC address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vmac {
    /// `None`: made from `vmac_prefix` and the VRID.
    pub name: Option<IfName>,
    /// `None`: that of RFC 9568 section 7.3.
    pub mac: Option<[u8; 6]>,
    /// `vmac_xmit_base`.
    pub xmit_base: bool,
}
