//! Faults on a director: its address or interface taken away, its peer restarted, reloads, a machine that is busy.
#![expect(clippy::disallowed_methods, reason = "the lab starts programs that keep the machine busy")]

use std::cell::RefCell;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread::available_parallelism;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::super::judge::Promise;
use super::Drill;
use super::wire::{BRIEF, brief};
use crate::lab::disk::Disk;
use crate::lab::error::LabError;
use crate::lab::pair::{Lab, Seat};
use crate::vrrp::restore::{REMOVALS_MAX, REST};

/// Between two removals of a fight.
const AGAIN: Duration = Duration::from_millis(300);
/// How long netlink is kept busy.
const STORM: Duration = Duration::from_secs(10);
/// How long cores are kept busy, and a disk hangs.
const BUSY: Duration = Duration::from_mins(1);
/// Processes that only burn time, for each core.
const HOGS: usize = 2;
/// Reloads, one a second.
const RELOADS: u32 = 60;
/// What an advert may be early or late on a busy machine.
const PUNCTUAL: Duration = Duration::from_millis(20);
/// The last byte of the VIP that reloads add.
const ADDED: u8 = 101;

impl Drill<'_> {
    pub(super) fn deleted(&mut self) -> Result<(), LabError> {
        let settled = |drill: &mut Self| drill.owns_alone(Seat::A);
        let promises = [Promise::Restored { seat: Seat::A, limit: BRIEF }, brief()];
        let until = "a owns the VIP alone, all answered";
        self.fault("somebody removes the VIP from the master a", until, &promises, remove, settled)
    }

    /// As often as vipd stands it, and once more.
    pub(super) fn fought(&mut self) -> Result<(), LabError> {
        let skew = self.numbers.advert_int.skew(self.numbers.backup_priority);
        let formula = format!("skew {} + {} s", skew.as_secs_f64(), BRIEF.as_secs_f64());
        let promises = [Promise::Outage { limit: skew + BRIEF, formula }];
        let (mut removed, mut failed) = (1, None);
        let settled = |drill: &mut Self| {
            if drill.owns(Seat::A) && removed < REMOVALS_MAX && drill.since_fault() >= AGAIN * as_u32(removed) {
                failed = remove(&mut drill.lab).err();
                removed += 1;
            }
            failed.is_some() || drill.owns_alone(Seat::B)
        };
        let name =
            format!("the VIP is removed {REMOVALS_MAX} times in {:.1} s", (AGAIN * as_u32(REMOVALS_MAX)).as_secs_f64());
        self.fault(&name, "b owns the VIP alone, all answered", &promises, remove, settled)?;
        failed.map_or(Ok(()), Err)?;
        self.patience = REST;
        let back = self.returns(&format!("return of a, {} s after the last removal", REST.as_secs()), |_| Ok(()));
        self.patience = Duration::ZERO;
        back
    }

    pub(super) fn replugged(&mut self) -> Result<(), LabError> {
        let mac = self.lab.mac(Seat::A)?;
        let promises = [self.numbers.silent()];
        self.taken_over("the interface of the master a is deleted", &promises, |lab| lab.unplug(Seat::A))?;
        self.returns("the interface of a is there again", |lab| lab.plug(Seat::A, &mac))
    }

    pub(super) fn backup_restarts(&mut self) -> Result<(), LabError> {
        let promises = [self.nothing_lost(), Promise::NoMove];
        let restart = |lab: &mut Lab| {
            let backup = lab.director_mut(Seat::B);
            backup.terminate()?;
            backup.wait_for_end(Duration::from_secs(10))?;
            backup.start()
        };
        // Where it wrongly took over, it would have by then.
        let settled =
            |drill: &mut Self| drill.owns_alone(Seat::A) && drill.since_fault() >= drill.numbers.active_down() * 3;
        self.fault("restart of the backup b", "a owns the VIP alone, all answered", &promises, restart, settled)
    }

    /// Another VIP comes and goes.
    pub(super) fn reloads(&mut self) -> Result<(), LabError> {
        let promises = [self.nothing_lost(), Promise::NoMove];
        let rows = [("a reload that adds a VIP", true), ("a reload that takes it away again", false)];
        for (name, more) in rows {
            let until = if more { "a has both" } else { "a has one" };
            let settled = move |drill: &mut Self| {
                let added = drill.lab.has(Seat::A, ADDED).is_ok_and(|has| has == more);
                added && drill.owns_alone(Seat::A)
            };
            let reload = move |lab: &mut Lab| {
                // The backup first: the master's adverts are what it has to understand.
                for seat in [Seat::B, Seat::A] {
                    lab.configure(seat, more.then_some(ADDED))?;
                    lab.director(seat).reload()?;
                }
                Ok(())
            };
            self.fault(name, until, &promises, reload, settled)?;
        }
        Ok(())
    }

    pub(super) fn reloaded_often(&mut self) -> Result<(), LabError> {
        let promises = [self.nothing_lost(), Promise::NoMove];
        let (mut done, mut failed) = (0, None);
        let settled = |drill: &mut Self| {
            if done < RELOADS && failed.is_none() && drill.since_fault() >= Duration::from_secs(1) * done {
                done += 1;
                failed = reload_once(&drill.lab, done).err();
            }
            failed.is_some() || (done >= RELOADS && drill.owns_alone(Seat::A))
        };
        self.patience = Duration::from_secs(1) * RELOADS;
        let name = format!("{RELOADS} reloads of a, one a second, each with another VIP or without");
        let ended = self.fault(&name, "a owns the VIP alone, all answered", &promises, |_| Ok(()), settled);
        self.patience = Duration::ZERO;
        ended?;
        self.lab.configure(Seat::A, None)?;
        self.lab.director(Seat::A).reload()?;
        failed.map_or(Ok(()), Err)
    }

    pub(super) fn hogged(&mut self) -> Result<(), LabError> {
        let count = available_parallelism().map_or(1, usize::from) * HOGS;
        let name = format!("{count} processes that burn every core, for {} s", BUSY.as_secs());
        self.busy(&name, count, "while :; do :; done", BUSY)
    }

    /// Everything that the daemon of the master has on a disk is on one that hangs.
    pub(super) fn disk_hangs(&mut self) -> Result<(), LabError> {
        let interval = self.numbers.advert_int.duration();
        let director = self.lab.director_mut(Seat::A);
        director.terminate()?;
        director.wait_for_end(Duration::from_secs(10))?;
        let disk = Disk::mount(director.directory())?;
        self.lab.start_afresh(Seat::A)?;
        self.calm()?;
        let promises =
            [self.nothing_lost(), Promise::NoMove, Promise::Punctual { seat: Seat::A, interval, limit: PUNCTUAL }];
        let over = |drill: &mut Self| drill.since_fault() >= BUSY && drill.owns_alone(Seat::A);
        let name = format!("the disk of a hangs for {} s", BUSY.as_secs());
        self.patience = BUSY;
        let ended = self.fault(&name, "a owns the VIP alone, all answered", &promises, |_| disk.hang(), over);
        self.patience = Duration::ZERO;
        disk.go_on()?;
        ended?;
        let director = self.lab.director_mut(Seat::A);
        director.terminate()?;
        director.wait_for_end(Duration::from_secs(10))?;
        drop(disk);
        self.lab.start_afresh(Seat::A)
    }

    pub(super) fn netlink_storm(&mut self) -> Result<(), LabError> {
        let line = |byte| format!("address add 192.0.2.{byte}/32 dev lo\\naddress del 192.0.2.{byte}/32 dev lo\\n");
        let batch = (1..=250).map(line).collect::<Vec<_>>().concat();
        let script = format!("while :; do printf '{batch}' | ip -batch -; done");
        self.busy(&format!("a netlink storm on a, for {} s", STORM.as_secs()), 1, &script, STORM)
    }

    /// Run `count` shells with `script` on the master for so long: no move, and adverts in time.
    fn busy(&mut self, name: &str, count: usize, script: &str, how_long: Duration) -> Result<(), LabError> {
        let interval = self.numbers.advert_int.duration();
        let promises = [Promise::NoMove, Promise::Punctual { seat: Seat::A, interval, limit: PUNCTUAL }];
        let shells = RefCell::new(vec![]);
        let start = |lab: &mut Lab| {
            for _ in 0..count {
                let mut command = Command::new("sh");
                command.args(["-c", script]).process_group(0);
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                shells.borrow_mut().push(lab.director(Seat::A).host().spawn(command)?);
            }
            Ok(())
        };
        let over = |drill: &mut Self| {
            let over = drill.since_fault() >= how_long;
            if over {
                end(&mut shells.borrow_mut());
            }
            over && drill.owns_alone(Seat::A)
        };
        self.patience = how_long;
        let ended = self.fault(name, "a owns the VIP alone, all answered", &promises, start, over);
        self.patience = Duration::ZERO;
        end(&mut shells.borrow_mut());
        ended
    }
}

/// Kill -9 of each shell and of what it started.
fn end(shells: &mut Vec<Child>) {
    for mut shell in shells.drain(..) {
        if let Ok(pid) = i32::try_from(shell.id()) {
            kill(Pid::from_raw(-pid), Signal::SIGKILL).ok();
        }
        shell.wait().ok();
    }
}

/// Take the VIP away behind the daemon's back.
fn remove(lab: &mut Lab) -> Result<(), LabError> {
    let (vip, interface) = (lab.facts().vip, lab.facts().interface.clone());
    lab.director(Seat::A).host().ip(&format!("address flush dev {interface} to {vip}/32")).map(drop)
}

fn reload_once(lab: &Lab, number: u32) -> Result<(), LabError> {
    lab.configure(Seat::A, (number % 2 == 1).then_some(ADDED))?;
    lab.director(Seat::A).reload()
}

fn as_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
