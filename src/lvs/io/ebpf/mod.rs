//! Our own plane: `bpf/` on TC ingress and, in front of it, in XDP, loaded and fed by aya.
//!
//! `plane` is the door; `abi` and `maps` are the kernel's side, `words` translates, `model` and `schedule` decide,
//! `commit` and `adopt` write and read the maps, `pins` and `links` keep it alive without us,
//! `stats` counts; `hooks` chooses, `ports` decides and `xdp` attaches XDP, by what `netlink` says; `marks` leads marked
//! packets to the program; `own` tells the programs this host's addresses; `decapsulate` is for real servers, `trial` for tests and benches.
//!
//! Packets count the connections of each destination as they begin and end; those that end in silence are found by the
//! census that every `counters()` takes. Whoever uses lc, wlc, sed, nq, ovf, lblc, lblcr or thresholds should therefore
//! ask for counters every few seconds.
//!
//! What becomes of flows in flight:
//! - A destination of weight 0 keeps its flows, whoever set it (drain, `inhibit_on_failure`), as in IPVS.
//! - A destination that is removed loses its flows with the next packet. A datagram is scheduled anew; a TCP client is
//!   reset by the stack that owns the address, or by the next server where the scheduler is a hash. IPVS would drop
//!   its packets in silence until the entry expires (`expire_nodest_conn` 0): the client would wait for nothing.
//!   Removed and added again in one batch counts as removed: a caller can cut the flows of a dead server of weight 0.
//! - A persistent client follows its template as in IPVS, for the persistence timeout from its last new connection and
//!   for as long as a connection of it is there (the census sees that). Weight 0 and removal end it for new connections:
//!   a drain comes to an end, as in IPVS with `expire_quiescent_template` 1.
//! - Packets of a firewall mark are known by their address and port once their connection is open: a mark that is taken
//!   away ends no connection.
//! - `FullNat` flows go on only where they began: another director has other local addresses. Their TCP is reset.
//! - Without an entry (another director opened the flow, or the table lost it) `mh`, `sh` and `dh` schedule a TCP packet
//!   that is no SYN by its hash, so the flow goes on; other schedulers leave it to the stack, which resets it. But XDP makes
//!   no entry for a SYN in a flood (`bpf/flood.h`): then, and for a minute, a hash chooses for them too.

pub mod abi;
mod adopt;
mod commit;
mod decapsulate;
mod fault;
mod hooks;
mod links;
mod manual;
mod maps;
mod mark_rules;
mod marks;
mod model;
mod netlink;
mod own;
mod pinned;
mod pins;
mod plane;
mod ports;
mod programs;
pub mod schedule;
mod slots;
mod stats;
mod templates;
mod trial;
mod words;
mod xdp;

pub use decapsulate::Decapsulator;
pub use plane::{Ebpf, EbpfOptions, LOCAL_PORTS};
pub use stats::Reason;
pub use trial::Verdict;
