//! `vipd explain INSTANCE`: why a virtual router is what it is, what would change it, and its history.

use std::process::ExitCode;

use super::ask::{AskError, ask};
use super::print::tell;
use super::when::utc;
use crate::control::api::{Explanation, HistoryStatus};
use crate::control::query::encode;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The `vrrp_instance`, by its name.
    instance: String,
    #[command(flatten)]
    at: super::RunDirArg,
    /// The same as JSON.
    #[arg(long)]
    json: bool,
    /// How many entries of the history to show.
    #[arg(long, value_name = "N", default_value_t = 30)]
    history: usize,
}

pub fn run(args: &Args) -> ExitCode {
    tell(explain(args))
}

fn explain(args: &Args) -> Result<String, AskError> {
    let text = ask(&args.at.run_dir, "GET", &format!("/explain?{}", encode(&args.instance)), vec![])?;
    if args.json {
        return Ok(text + "\n");
    }
    Ok(render(&serde_json::from_str(&text)?, args.history))
}

fn render(explained: &Explanation, entries: usize) -> String {
    let Explanation {
        name,
        state,
        since_s,
        interface,
        vrid,
        priority: _,
        effective_priority,
        because,
        next,
        entered_because,
        notes,
        history,
    } = explained;
    let mut text = format!("{name} is {state} because {because};\n    {next}\n");
    text.push_str(&format!("  {state} for {since_s:.3} s, entered because: {entered_because}\n"));
    text.push_str(&format!("  VRID {vrid} on {interface}, priority {effective_priority}\n"));
    for note in notes {
        text.push_str(&format!("  {note}\n"));
    }
    if entries == 0 || history.is_empty() {
        return text;
    }
    let skipped = history.len().saturating_sub(entries);
    text.push_str("\nHistory (UTC)");
    if skipped > 0 {
        text.push_str(&format!(", {skipped} older entries are not shown (--history {})", history.len()));
    }
    text.push('\n');
    for HistoryStatus { unix_s, until_unix_s, s_ago: _, text: line, what: _ } in history.iter().skip(skipped) {
        let until = until_unix_s.map_or_else(String::new, |until| format!(" (until {})", utc(until)));
        text.push_str(&format!("  {}  {line}{until}\n", utc(*unix_s)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_says_why_and_what_comes_next_then_what_was() {
        let entry = |unix_s, until_unix_s, text: &str| HistoryStatus {
            unix_s,
            until_unix_s,
            s_ago: 1.0,
            text: text.to_owned(),
            what: serde_json::Value::Null,
        };
        let explained = Explanation {
            name: "VI_1".to_owned(),
            state: "BACKUP".to_owned(),
            since_s: 12.5,
            interface: "eth0".to_owned(),
            vrid: 7,
            priority: 100,
            effective_priority: 100,
            because: "192.0.2.2 advertises 150 > 100 since 12.5 s ago, last heard 0.400 s ago".to_owned(),
            next: "would become MASTER in 3.209 s without another advert (Active_Down 3.609 s)".to_owned(),
            entered_because: "192.0.2.2 is Active with priority 150".to_owned(),
            notes: vec!["script chk is good (its failure is a fault)".to_owned()],
            history: vec![
                entry(1_700_000_000.0, None, "left out"),
                entry(1_700_000_001.25, None, "INIT -> BACKUP: started"),
                entry(1_700_000_002.5, Some(1_700_000_009.0), "rejected 3 packets on eth0: checksum"),
            ],
        };
        insta::assert_snapshot!(render(&explained, 2));
    }
}
