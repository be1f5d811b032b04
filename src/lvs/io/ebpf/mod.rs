//! Our own plane: `bpf/` on TC ingress, loaded and fed by aya.
//!
//! `plane` is the door; `abi` and `maps` are the kernel's side, `words` translates, `model` and `schedule` decide,
//! `commit` and `adopt` write and read the maps, `pins` and `links` keep it alive without us, `stats` counts.

pub mod abi;
mod adopt;
mod commit;
mod fault;
mod links;
mod maps;
mod model;
mod pins;
mod plane;
pub mod schedule;
mod slots;
mod stats;
mod words;

pub use plane::{Ebpf, EbpfOptions};
pub use stats::Reason;
