//! What the watcher knows: its files and processes, what has to be read, and what is to be told. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{Found, ToRead, WatchEvent, WatchReason, WatchSettings, WatchView};
use crate::base::MonoTime;
use crate::vrrp::settings::{Outcome, Tracked};
use crate::vrrp::track::process::{Quorum, Running};

#[derive(Debug, Default)]
pub struct State {
    watched: BTreeMap<Tracked, Watched>,
    /// Which processes are counted, each with the trackers that it matches.
    counted: BTreeMap<u32, BTreeSet<Tracked>>,
    files_due: bool,
    processes_due: Due,
    /// Files to be made before they are read.
    to_init: Vec<(PathBuf, i32, bool)>,
    events: Vec<WatchEvent>,
}

#[derive(Debug)]
struct Watched {
    settings: WatchSettings,
    /// Of processes.
    quorum: Option<Quorum>,
    told: Option<(Outcome, WatchReason)>,
}

/// Which processes have to be read.
#[derive(Debug)]
enum Due {
    All,
    These(BTreeSet<u32>),
}

impl Default for Due {
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

impl State {
    /// Watch these in place of the present ones.
    pub fn configure(&mut self, wanted: Vec<WatchSettings>) {
        let mut old = std::mem::take(&mut self.watched);
        for settings in wanted {
            let before = old.remove(&settings.what());
            let new_file = before.as_ref().is_none_or(|before| before.settings != settings);
            let quorum = match &settings {
                WatchSettings::File { path, init, .. } => {
                    if new_file {
                        self.to_init.extend(init.map(|(value, overwrite)| (path.clone(), value, overwrite)));
                    }
                    None
                }
                WatchSettings::Process { limits, .. } => {
                    let kept = before.as_ref().and_then(|before| before.quorum);
                    Some(kept.map_or_else(|| Quorum::new(*limits), |quorum| quorum.with_limits(*limits)))
                }
            };
            let told = before.and_then(|before| before.told);
            self.watched.insert(settings.what(), Watched { settings, quorum, told });
        }
        self.look_at_all();
    }

    pub fn is_idle(&self) -> bool {
        self.watched.is_empty()
    }

    pub fn has_processes(&self) -> bool {
        self.watched.values().any(|watched| watched.quorum.is_some())
    }

    /// Where the files lie.
    pub fn directories(&self) -> BTreeSet<PathBuf> {
        let paths = self.watched.values().filter_map(|watched| match &watched.settings {
            WatchSettings::File { path, .. } => Some(path),
            WatchSettings::Process { .. } => None,
        });
        paths.map(|path| path.parent().unwrap_or(Path::new("/")).to_path_buf()).collect()
    }

    pub fn views(&self) -> Vec<WatchView> {
        let view = |(what, watched): (&Tracked, &Watched)| WatchView {
            what: what.clone(),
            outcome: watched.told.as_ref().map(|(outcome, _)| *outcome),
            reason: match watched.quorum {
                Some(quorum) => quorum.told().map(|_| WatchReason::Run { count: quorum.count() }),
                None => watched.told.as_ref().map(|(_, reason)| reason.clone()),
            },
        };
        self.watched.iter().map(view).collect()
    }

    pub fn take_events(&mut self) -> Vec<WatchEvent> {
        std::mem::take(&mut self.events)
    }

    pub fn deadline(&self) -> Option<MonoTime> {
        self.watched.values().filter_map(|watched| watched.quorum?.deadline()).min()
    }

    /// Serve the delays that have passed.
    pub fn tick(&mut self, now: MonoTime) {
        for (what, watched) in &mut self.watched {
            if watched.quorum.and_then(|quorum| quorum.deadline()).is_some_and(|at| at <= now) {
                let count = watched.quorum.map_or(0, |quorum| quorum.count());
                count_is(now, what, watched, count, &mut self.events);
            }
        }
    }

    pub fn files_may_have_changed(&mut self) {
        self.files_due = true;
    }

    pub fn look_at_all(&mut self) {
        self.files_due = true;
        if self.has_processes() {
            self.processes_due = Due::All;
        }
    }

    pub fn look_at_process(&mut self, process: u32) {
        match &mut self.processes_due {
            Due::All => {}
            Due::These(these) => _ = these.insert(process),
        }
    }

    /// A child is what its parent is, until it becomes something else.
    pub fn forked(&mut self, parent: u32, child: u32) {
        if self.counted.contains_key(&parent) {
            self.look_at_process(child);
        }
    }

    pub fn ended(&mut self, now: MonoTime, process: u32) {
        if let Due::These(these) = &mut self.processes_due {
            these.remove(&process);
        }
        if self.counted.remove(&process).is_some() {
            self.count(now);
        }
    }

    /// What the next thread has to read; `None`: nothing.
    pub fn take_to_read(&mut self) -> Option<ToRead> {
        let processes = match std::mem::take(&mut self.processes_due) {
            Due::All => None,
            Due::These(these) => Some(these.into_iter().collect::<Vec<_>>()),
        };
        let files_due = std::mem::take(&mut self.files_due);
        if !files_due && processes.as_ref().is_some_and(Vec::is_empty) {
            return None;
        }
        let mut wanted = ToRead { processes, init: std::mem::take(&mut self.to_init), ..ToRead::default() };
        for watched in self.watched.values() {
            match &watched.settings {
                WatchSettings::File { name, path, .. } if files_due => wanted.files.push((name.clone(), path.clone())),
                WatchSettings::File { .. } => {}
                WatchSettings::Process { pattern, .. } => wanted.command_lines |= pattern.needs_command_line(),
            }
        }
        Some(wanted)
    }

    pub fn found(&mut self, now: MonoTime, found: Found) {
        for (name, said) in found.files {
            let what = Tracked::File(name);
            let Some(watched) = self.watched.get_mut(&what) else { continue };
            let (number, reason) = match said {
                Ok(number) => (number, WatchReason::Says { number }),
                Err(error) => (0, WatchReason::Unreadable { error }),
            };
            tell(&what, watched, Outcome::Number(number), reason, &mut self.events);
        }
        if found.all {
            self.counted.clear();
        }
        let looked = found.all || !found.processes.is_empty();
        for (process, running) in found.processes {
            let matched = running.map(|running| self.matching(&running)).unwrap_or_default();
            if matched.is_empty() {
                self.counted.remove(&process);
            } else {
                self.counted.insert(process, matched);
            }
        }
        if looked {
            self.count(now);
        }
    }

    fn matching(&self, running: &Running) -> BTreeSet<Tracked> {
        let matches = |watched: &Watched| match &watched.settings {
            WatchSettings::File { .. } => false,
            WatchSettings::Process { pattern, .. } => pattern.matches(running),
        };
        self.watched.iter().filter(|(_, watched)| matches(watched)).map(|(what, _)| what.clone()).collect()
    }

    fn count(&mut self, now: MonoTime) {
        for (what, watched) in &mut self.watched {
            let count = self.counted.values().filter(|matched| matched.contains(what)).count();
            count_is(now, what, watched, count, &mut self.events);
        }
    }
}

fn count_is(now: MonoTime, what: &Tracked, watched: &mut Watched, count: usize, events: &mut Vec<WatchEvent>) {
    let Some(good) = watched.quorum.as_mut().and_then(|quorum| quorum.observe(now, count)) else { return };
    tell(what, watched, Outcome::Good(good), WatchReason::Run { count }, events);
}

fn tell(what: &Tracked, watched: &mut Watched, outcome: Outcome, reason: WatchReason, events: &mut Vec<WatchEvent>) {
    let news = watched.told.as_ref().is_none_or(|(told, _)| *told != outcome);
    watched.told = Some((outcome, reason.clone()));
    if news {
        events.push(WatchEvent { what: what.clone(), outcome, reason });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::vrrp::track::process::{Comparison, Limits, Pattern};

    fn web() -> WatchSettings {
        let pattern =
            Pattern { program: "web".into(), arguments: vec![], comparison: Comparison::Any, full_command: false };
        let limits = Limits { least: 1, most: None, terminate_delay: Duration::ZERO, fork_delay: Duration::ZERO };
        WatchSettings::Process { name: "web".into(), pattern, limits }
    }

    fn file() -> WatchSettings {
        WatchSettings::File { name: "f".into(), path: "/run/f".into(), init: Some((3, false)) }
    }

    fn told(state: &mut State) -> Vec<(String, Outcome)> {
        state.take_events().into_iter().map(|event| (event.what.to_string(), event.outcome)).collect()
    }

    fn process(id: u32, name: &str) -> (u32, Option<Running>) {
        (id, Some(Running { name: name.into(), argv: vec![] }))
    }

    #[test]
    fn processes_are_counted_as_they_come_and_go() {
        let now = MonoTime::ZERO;
        let mut state = State::default();
        assert!(state.is_idle() && state.take_to_read().is_none());
        state.configure(vec![web()]);
        let wanted = state.take_to_read().unwrap();
        assert_eq!((wanted.processes, wanted.command_lines), (None, false));
        let all = vec![process(7, "web"), process(8, "sh")];
        state.found(now, Found { all: true, processes: all, ..Found::default() });
        let name = "process web".to_owned();
        assert_eq!(told(&mut state), [(name.clone(), Outcome::Good(true))]);

        state.forked(8, 80);
        assert!(state.take_to_read().is_none(), "the child of a stranger");
        state.forked(7, 70);
        assert_eq!(state.take_to_read().unwrap().processes, Some(vec![70]));
        state.found(now, Found { processes: vec![process(70, "web")], ..Found::default() });
        state.ended(now, 7);
        assert_eq!(told(&mut state), [], "its child goes on");
        state.look_at_process(70);
        state.take_to_read().unwrap();
        state.found(now, Found { processes: vec![process(70, "sh")], ..Found::default() });
        assert_eq!(told(&mut state), [(name, Outcome::Good(false))]);
    }

    #[test]
    fn a_file_is_told_when_its_number_changes() {
        let now = MonoTime::ZERO;
        let mut state = State::default();
        state.configure(vec![file()]);
        let wanted = state.take_to_read().unwrap();
        assert_eq!((wanted.init.len(), wanted.files.len(), wanted.processes), (1, 1, Some(vec![])));
        let say = |state: &mut State, said: Result<i32, String>| {
            state.found(now, Found { files: vec![("f".into(), said)], ..Found::default() });
            told(state).into_iter().map(|(_, outcome)| outcome).collect::<Vec<_>>()
        };
        assert_eq!(say(&mut state, Ok(3)), [Outcome::Number(3)]);
        assert_eq!(say(&mut state, Ok(3)), []);
        assert_eq!(say(&mut state, Err("gone".into())), [Outcome::Number(0)]);
        state.configure(vec![file()]);
        assert_eq!(state.take_to_read().unwrap().init, [], "made once");
        assert_eq!(say(&mut state, Ok(0)), []);
        state.configure(vec![]);
        assert_eq!((state.views(), say(&mut state, Ok(9))), (vec![], vec![]));
    }
}
