//! `vipd check`: every problem of a configuration, where it stands, and what to do about it.

use std::path::PathBuf;
use std::process::ExitCode;

use super::print::{colour, err, out};
use crate::base::Count;
use crate::config::explain::{explain, meant};
use crate::config::io::loader::{LoadOptions, Loaded};
use crate::config::problem::Severity;
use crate::daemon::loading::load;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration, as keepalived.conf has it.
    #[arg(required_unless_present_any = ["explain", "use_file"])]
    file: Option<PathBuf>,
    /// The same, as `vipd run` and keepalived take it.
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with = "file")]
    use_file: Option<PathBuf>,
    /// Say what a problem code means, with an example and the way out, instead of reading a file.
    #[arg(long, value_name = "CODE", conflicts_with_all = ["file", "use_file"])]
    explain: Option<String>,
    /// Do not look at this machine's interfaces, users and script files.
    #[arg(long)]
    no_system: bool,
    /// The problems as JSON: file, code, severity, message, help, and the place twice: `line` and `column` count from 1 in
    /// characters, `range` is that of the Language Server Protocol, from 0 in UTF-16 code units.
    #[arg(long)]
    json: bool,
    /// What `@ID` lines are compared with; the host's name by default.
    #[arg(short = 'i', long, value_name = "ID")]
    config_id: Option<String>,
}

pub fn run(args: &Args) -> ExitCode {
    if let Some(code) = &args.explain {
        return explained(code);
    }
    let Some(file) = args.file.as_ref().or(args.use_file.as_ref()) else { return ExitCode::FAILURE };
    let options = LoadOptions { system: !args.no_system, config_id: args.config_id.clone(), ..LoadOptions::default() };
    let loaded = load(file, &options);
    out(&if args.json { json(&loaded) } else { text(&loaded, colour()) });
    ExitCode::from(loaded.exit_code())
}

/// Exit status 1: there is no such code.
fn explained(code: &str) -> ExitCode {
    if let Some(text) = explain(code) {
        out(&format!("{code}\n\n{}\n", text.trim_end()));
        return ExitCode::SUCCESS;
    }
    let hint = meant(code).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    err(&format!("vipd: there is no problem code `{code}`{hint}\n"));
    ExitCode::FAILURE
}

/// The same for programs.
pub fn json(loaded: &Loaded) -> String {
    let problems: Vec<_> = loaded.problems.iter().map(|problem| problem.view(&loaded.sources)).collect();
    let answer = serde_json::json!({ "exit_code": loaded.exit_code(), "problems": problems });
    format!("{answer:#}\n")
}

/// The problems as people read them, and the verdict.
pub fn text(loaded: &Loaded, colour: bool) -> String {
    let mut text = String::new();
    for problem in &loaded.problems {
        text.push_str(&problem.render(&loaded.sources, colour));
        text.push('\n');
    }
    let count = |severity| loaded.problems.iter().filter(|problem| problem.severity == severity).count();
    let verdict = match loaded.exit_code() {
        0 => "it would run",
        4 => "it would NOT run",
        6 => "it would run; scripts would run without enable_script_security",
        _ => "it would run, with problems",
    };
    text.push_str(&format!(
        "{verdict}: {} fatal, {}, {}, {}; {}, {}\n",
        count(Severity::Fatal),
        Count(count(Severity::Error), "error"),
        Count(count(Severity::Warning) + count(Severity::ScriptSecurity), "warning"),
        Count(count(Severity::Note), "note"),
        Count(loaded.config.instances.len(), "virtual router"),
        Count(loaded.config.virtual_servers.len(), "virtual server"),
    ));
    if let Some(first) = loaded.problems.first() {
        text.push_str(&format!("more on a kind of problem: vipd check --explain {}\n", first.code));
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn the_file_stands_alone_or_after_f() {
        let rows: [(&[&str], bool); 6] = [
            (&["a.conf"], true),
            (&["-f", "a.conf"], true),
            (&["--use-file", "a.conf"], true),
            (&["--explain", "no-vips"], true),
            (&["-f", "a.conf", "b.conf"], false),
            (&[], false),
        ];
        for (words, taken) in rows {
            let line = Line::try_parse_from(["check"].iter().chain(words));
            assert_eq!(line.is_ok(), taken, "{words:?}: {line:?}");
        }
    }
}
