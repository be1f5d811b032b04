//! Running a program to its end, its words kept for the error.
#![expect(clippy::disallowed_methods, reason = "the lab starts programs")]

use std::process::{Command, Stdio};

use super::error::LabError;

/// Run `program` with `args`; gives what it wrote to standard output.
///
/// # Errors
/// [`LabError::Start`] where it cannot be started, [`LabError::Command`] where it does not exit with 0.
pub fn run(program: &str, args: &[&str]) -> Result<String, LabError> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| LabError::Start { program: program.to_owned(), source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(LabError::Command {
        command: format!("{program} {}", args.join(" ")),
        status: output.status.to_string(),
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// `ip` with arguments separated by blanks: no argument of the lab contains one.
pub(super) fn ip(line: &str) -> Result<String, LabError> {
    let args: Vec<&str> = line.split_whitespace().collect();
    run("ip", &args)
}
