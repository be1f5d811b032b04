//! Writing to the terminal. A reader that went away (`vipd status | head`) is not an error.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

/// Print to stdout what people or programs asked for.
pub fn out(text: &str) {
    read(text);
}

/// Print what a verb has found out, or why it has not: its exit status is 0 or 1.
pub fn tell<E: Display>(found: Result<String, E>) -> ExitCode {
    match found {
        Ok(text) => {
            out(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            err(&format!("vipd: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

/// As [`out`]; whether there is still somebody who reads.
pub fn read(text: &str) -> bool {
    match io::stdout().lock().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Ok(()) => true,
        Err(error) => {
            if error.kind() != io::ErrorKind::BrokenPipe {
                err(&format!("vipd: writing to stdout: {error}\n"));
            }
            false
        }
    }
}

/// Whether stdout is a terminal.
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Columns and lines of the terminal that stdout is, where it says so.
pub fn room() -> Option<(usize, usize)> {
    let (terminal_size::Width(columns), terminal_size::Height(lines)) = terminal_size::terminal_size_of(io::stdout())?;
    Some((columns.into(), lines.into()))
}

/// Print to stderr what went wrong. Where stderr is gone too, nobody is left to tell.
pub fn err(text: &str) {
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

/// Whether stdout shows colours: a terminal, and `NO_COLOR` is not set.
pub fn colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A table with columns as wide as their widest cell; the last one ends where it ends.
pub fn table(rows: &[Vec<String>], indent: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = " ".repeat(indent);
        for (cell, width) in row.iter().zip(&widths) {
            let missing = width.saturating_sub(cell.chars().count());
            line.push_str(cell);
            line.push_str(&" ".repeat(missing + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_stand_below_one_another() {
        let rows = [vec!["NAME".into(), "STATE".into()], vec!["VI_1".into(), "MASTER".into()], vec!["A".into()]];
        assert_eq!(super::table(&rows, 2), "  NAME  STATE\n  VI_1  MASTER\n  A\n");
    }
}
