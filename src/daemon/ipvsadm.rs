//! `vipd ipvsadm`: one command line, or the lines of a restore, carried out on a plane.
//!
//! Which plane, and whether its daemon is asked, is `hand.rs`.

mod hand;

use std::path::PathBuf;

use crate::daemon::manual::{Question, Reply};
use crate::lvs::io::names::System;
use crate::lvs::ipvsadm::{Change, Command, Listed, Names, Numeric, Refusal, Spelling, connections, parse, report};
use crate::lvs::table::ServiceKey;
use crate::lvs::view::{self, Header, Listing, Row, order};
use hand::{Errand, Hand};

/// `--plane`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaneName {
    Ipvs,
    Ebpf,
}

/// What `vipd ipvsadm` is given.
#[derive(Clone, Debug)]
pub struct Request {
    pub run_dir: PathBuf,
    /// `None`: that of the running daemon, else eBPF where one lives on in its pins, else IPVS where the kernel has it,
    /// else eBPF.
    pub plane: Option<PlaneName>,
    /// Tables as JSON.
    pub json: bool,
    /// ipvsadm's own arguments.
    pub args: Vec<String>,
}

/// What it says, and its exit status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub stdout: String,
    pub stderr: String,
    pub status: u8,
}

impl Outcome {
    fn refuse(&mut self, refusal: &Refusal) {
        self.stderr.push_str(&refusal.text);
        self.stderr.push('\n');
        self.status = refusal.status;
    }
}

/// Carry the request out; `stdin` is read where it is a restore.
pub async fn run(request: &Request, stdin: impl FnOnce() -> std::io::Result<String>) -> Outcome {
    let mut run = Run::new(request.json, Box::new(System::default()));
    let command = match parse(&request.args, &mut *run.names) {
        Ok(command) => command,
        Err(refusal) => {
            run.outcome.refuse(&refusal);
            return run.outcome;
        }
    };
    if matches!(command, Command::Help | Command::Version) {
        run.outcome.stdout.push_str(if command == Command::Help { report::HELP } else { report::VERSION });
        return run.outcome;
    }
    // Before the plane is ours: who types the lines of a restore keeps nobody else waiting.
    let read = if command == Command::Restore { stdin() } else { Ok(String::new()) };
    let lines = match read {
        Ok(lines) => lines,
        Err(error) => {
            run.outcome.refuse(&Refusal::ours(format!("reading standard input: {error}")));
            return run.outcome;
        }
    };
    let mut hand = match Hand::choose(&request.run_dir, request.plane, Errand::of(&command)).await {
        Ok(hand) => hand,
        Err(refusal) => {
            run.outcome.refuse(&refusal);
            return run.outcome;
        }
    };
    match command {
        Command::Restore => run.restore(&mut hand, &lines).await,
        Command::Change(_) | Command::List { .. } | Command::Save { .. } | Command::Help | Command::Version => {
            run.command(&mut hand, command).await;
        }
    }
    if let Err(refusal) = hand.close().await {
        run.outcome.refuse(&refusal);
    }
    run.outcome
}

/// The words of a line of `-R`: without the command's name, which rules of other programs begin with, and what is a comment.
/// A firewall mark from 2^31 on is saved as a negative number by ipvsadm (`%d`), which restores none of its own; here it is one.
fn rule(line: &str) -> Vec<String> {
    let mut words: Vec<String> =
        line.split_whitespace().take_while(|word| !word.starts_with('#')).map(str::to_owned).collect();
    if words.first().is_some_and(|word| word == "ipvsadm") {
        words.remove(0);
    }
    let mark = words.iter().position(|word| word == "-f" || word == "--fwmark-service");
    if let Some(word) = mark.and_then(|at| words.get_mut(at + 1))
        && let Ok(mark @ i32::MIN..=-1) = word.parse::<i32>()
    {
        *word = mark.cast_unsigned().to_string();
    }
    words
}

struct Run {
    json: bool,
    names: Box<dyn Names>,
    outcome: Outcome,
}

impl Run {
    fn new(json: bool, names: Box<dyn Names>) -> Self {
        Self { json, names, outcome: Outcome::default() }
    }

    async fn command(&mut self, hand: &mut Hand, command: Command) {
        let done = match command {
            Command::Change(change) => return self.change(hand, vec![change]).await,
            Command::List { what, spelling } => self.list(hand, what, spelling).await,
            Command::Save { spelling } => self.save(hand, spelling).await,
            Command::Restore | Command::Help | Command::Version => Ok(()),
        };
        match done {
            Ok(()) => self.outcome.status = 0,
            Err(refusal) => self.outcome.refuse(&refusal),
        }
    }

    async fn change(&mut self, hand: &mut Hand, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        match hand.ask(Question::Change(changes)).await {
            Ok(Reply::Change(results)) => {
                for result in results {
                    match result {
                        Ok(()) => self.outcome.status = 0,
                        Err(refusal) => self.outcome.refuse(&refusal),
                    }
                }
            }
            Ok(_) => self.outcome.refuse(&hand::nonsense()),
            Err(refusal) => self.outcome.refuse(&refusal),
        }
    }

    /// `-R`: lines one after the other; the exit status is the last one's, and a wrong line ends it, as with ipvsadm.
    async fn restore(&mut self, hand: &mut Hand, text: &str) {
        let mut waiting = vec![];
        for line in text.lines() {
            let args = rule(line);
            if args.is_empty() {
                continue;
            }
            match parse(&args, &mut *self.names) {
                Ok(Command::Change(change)) => waiting.push(change),
                Ok(Command::Help | Command::Version) => {}
                Ok(Command::Restore) => {
                    self.change(hand, std::mem::take(&mut waiting)).await;
                    return self.outcome.refuse(&Refusal::try_help());
                }
                Ok(command @ (Command::List { .. } | Command::Save { .. })) => {
                    self.change(hand, std::mem::take(&mut waiting)).await;
                    self.command(hand, command).await;
                }
                Err(refusal) => {
                    self.change(hand, std::mem::take(&mut waiting)).await;
                    self.outcome.refuse(&refusal);
                    if refusal.ends_restore() {
                        return;
                    }
                }
            }
        }
        self.change(hand, waiting).await;
    }

    fn names(&mut self, spelling: Spelling) -> Box<dyn Names + '_> {
        match spelling {
            Spelling::Numbers => Box::new(Numeric),
            Spelling::Names => Box::new(&mut *self.names),
        }
    }

    async fn list(&mut self, hand: &mut Hand, what: Listed, spelling: Spelling) -> Result<(), Refusal> {
        let question = match what {
            Listed::Services { .. } => Question::Table,
            Listed::Connections { .. } => Question::Connections,
            Listed::Timeouts => Question::Timeouts,
            Listed::Daemons => Question::Daemons,
        };
        let text = match (what, hand.ask(question).await?) {
            (Listed::Services { service, listing, sorted }, Reply::Table { header, rows }) => {
                self.services(header, rows, service, listing, sorted, spelling)?
            }
            (Listed::Connections { .. }, Reply::Connections(connections)) if self.json => as_json(&connections)?,
            (Listed::Connections { engine }, Reply::Connections(connections)) => {
                connections::list(&connections, engine, &mut *self.names(spelling))
            }
            (Listed::Timeouts, Reply::Timeouts(timeouts)) if self.json => as_json(&timeouts)?,
            (Listed::Timeouts, Reply::Timeouts(timeouts)) => report::timeouts(timeouts),
            (Listed::Daemons, Reply::Daemons(daemons)) if self.json => as_json(&daemons)?,
            (Listed::Daemons, Reply::Daemons(daemons)) => report::daemons(&daemons),
            (_, _) => return Err(hand::nonsense()),
        };
        self.outcome.stdout.push_str(&text);
        Ok(())
    }

    fn services(
        &mut self,
        header: Header,
        mut rows: Vec<Row>,
        service: Option<ServiceKey>,
        listing: Listing,
        sorted: bool,
        spelling: Spelling,
    ) -> Result<String, Refusal> {
        if let Some(key) = service {
            rows.retain(|row| row.key == key);
            if rows.is_empty() {
                return Err(Refusal::ours("No such service"));
            }
        }
        if sorted {
            rows = order::sorted(rows);
        }
        if self.json {
            return json(header, &rows);
        }
        // A single service goes without the first line.
        let head = if service.is_some() { String::new() } else { view::head(header) };
        Ok(head + &view::services(&rows, listing, &mut *self.names(spelling)))
    }

    async fn save(&mut self, hand: &mut Hand, spelling: Spelling) -> Result<(), Refusal> {
        let Reply::Table { header, rows } = hand.ask(Question::Table).await? else { return Err(hand::nonsense()) };
        let rows = order::sorted(rows);
        let text = if self.json { json(header, &rows)? } else { report::save(&rows, &mut *self.names(spelling)) };
        self.outcome.stdout.push_str(&text);
        Ok(())
    }
}

fn json(header: Header, rows: &[Row]) -> Result<String, Refusal> {
    report::json(header, rows).map_err(|error| Refusal::ours(error.to_string()))
}

fn as_json(value: &impl serde::Serialize) -> Result<String, Refusal> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Refusal::ours(error.to_string()))?;
    Ok(text + "\n")
}

#[cfg(test)]
mod tests;
