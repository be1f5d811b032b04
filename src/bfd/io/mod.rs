//! System calls of BFD.

pub mod socket;
