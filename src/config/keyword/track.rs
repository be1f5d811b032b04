//! What instances track: scripts, files, processes, BFD sessions.
//!
//! One row a line: block, word, form, tier, default, meaning, what vipd does.

use super::Context::{self, Bfd, Script, TrackFile, TrackProcess};
use super::Form::{Address, Command, Flag, Int, Seconds, Word, Words};
use super::Service::Served;
use super::Standing::New;
use super::Tier::{A, B, C};
use super::{ANY, Keyword, MAX, row};

const SCRIPT: &[Context] = &[Script];
const FILE: &[Context] = &[TrackFile];
const PROCESS: &[Context] = &[TrackProcess];
const BFD: &[Context] = &[Bfd];

#[rustfmt::skip]
pub(super) const ROWS: &[Keyword] = &[
    row(SCRIPT, "script", Command(false), A, "required", "command; no shell", Served).complains(),
    row(SCRIPT, "interval", Seconds("0.001", "4294"), A, "1", "period; 0 becomes 1 with a complaint", Served),
    row(SCRIPT, "timeout", Seconds("0.001", "4294"), B, "interval", "then SIGTERM, 2 s later SIGKILL", Served),
    row(SCRIPT, "weight", Words("INT -253..253 [reverse]", 1, 2), A, "0", "0: failure means FAULT; else priority change", Served),
    row(SCRIPT, "rise", Int(1, MAX, ""), A, "1", "successes needed", Served),
    row(SCRIPT, "fall", Int(1, MAX, ""), A, "1", "failures needed", Served),
    row(SCRIPT, "user", Words("USER [GROUP]", 1, 2), B, "script_user", "who runs it", Served),
    row(SCRIPT, "init_fail", Flag, C, "off", "start in failed state", Served),
    row(FILE, "file", Word("PATH"), B, "required", "file with one integer; directory must exist", Served).complains(),
    row(FILE, "weight", Words("INT -254..254 [reverse]", 1, 2), B, "1", "factor for the number; 0: non-zero means FAULT", Served).complains(),
    row(FILE, "init_file", Words("[INT] [overwrite]", 0, 2), C, "no", "create (or overwrite) the file at start", Served),
    row(PROCESS, "process", Words("PATH|NAME [ARG...]", 1, ANY), B, "required", "process to watch; arguments imply full command match", Served),
    row(PROCESS, "param_match", Words("[initial|partial]", 0, 1), C, "exact if arguments given", "how arguments are compared", Served),
    row(PROCESS, "weight", Words("INT -254..254 [reverse]", 1, 2), B, "0", "0 means FAULT when quorum fails", Served).complains(),
    row(PROCESS, "quorum", Int(1, 65_535, ""), B, "1", "least number of processes", Served),
    row(PROCESS, "quorum_max", Int(0, 65_535, ""), C, "no limit", "most processes; 0 means none may run", Served),
    row(PROCESS, "delay", Seconds("0.000001", "3600"), C, "0", "both delays below", Served),
    row(PROCESS, "terminate_delay", Seconds("0.000001", "3600"), C, "0", "wait after processes end", Served),
    row(PROCESS, "fork_delay", Seconds("0.000001", "3600"), C, "0", "wait after processes start", Served),
    row(PROCESS, "full_command", Flag, C, "off", "compare the full command line", Served),
    row(BFD, "neighbor_ip", Address, B, "required", "peer", Served).complains(),
    row(BFD, "neighbour_ip", Address, B, "required", "synonym of neighbor_ip", Served).complains(),
    row(BFD, "source_ip", Address, B, "by route", "local address", Served),
    row(BFD, "min_rx", Int(1, 4_294_967, "ms"), B, "10", "wanted receive interval, three decimals at most; above 10000 warned", Served),
    row(BFD, "min_tx", Int(1, 4_294_967, "ms"), B, "10", "send interval, three decimals at most", Served),
    row(BFD, "idle_tx", Int(1_000, 4_294_967, "ms"), B, "1000", "send interval while down", Served),
    row(BFD, "multiplier", Int(1, 255, ""), B, "5", "missed packets to declare down", Served),
    row(BFD, "passive", Flag, C, "off", "wait for the peer to start", Served),
    row(BFD, "ttl", Int(1, 255, ""), C, "255", "TTL sent", Served),
    row(BFD, "hoplimit", Int(1, 255, ""), C, "64 or 255", "synonym of ttl for IPv6", Served),
    row(BFD, "max_hops", Int(-1, 255, ""), C, "0", "largest hop count accepted; -1 none checked", Served),
    row(BFD, "multihop", Flag, C, "off", "port 4784", Served).standing(New),
    row(BFD, "weight", Words("INT -253..253 [reverse]", 1, 2), B, "0", "default for track_bfd", Served),
    row(BFD, "vrrp", Flag, C, "both", "events go to VRRP", Served),
    row(BFD, "checker", Flag, C, "both", "events go to checkers", Served),
];
