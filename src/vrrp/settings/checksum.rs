//! Which checksums go out and come in.

/// How VRRPv3 over IPv4 is summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksums {
    /// `v3_checksum_as_v2`: ours go without the pseudo-header. Both forms are accepted.
    pub bare: bool,
    pub old_unicast: OldUnicastChecksum,
}

/// `old_unicast_checksum`: whether unicast adverts of VRRPv3 over IPv4 have the checksum of keepalived before 1.3.7, as
/// if they went to 224.0.0.18.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OldUnicastChecksum {
    /// Once one was heard that has it.
    #[default]
    Auto,
    Always,
    /// And none is taken.
    Never,
}
