//! Every task, and what they say to one another. The only place that knows all rooms.

pub mod checkers;
pub mod clock;
pub mod detach;
pub mod dump;
pub mod heartbeat;
pub mod ipvsadm;
pub mod log;
pub mod lvs;
pub mod manual;
pub mod notices;
pub mod notifier;
pub mod outbox;
pub mod owned;
pub mod pidfile;
pub mod recorder;
pub mod rundir;
pub mod status;
pub mod supervisor;
pub mod systemd;
pub mod telling;
pub mod trackers;
pub mod translate;
pub mod watchers;
pub mod watching;
