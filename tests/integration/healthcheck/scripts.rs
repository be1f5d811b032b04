//! One run of a script: how it ends, what it leaves behind, and what it is given.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use vipd::notify::command::{Account, OUTPUT_MAX_BYTES, ScriptCommand, ScriptEnd};
use vipd::notify::io::script::{self, Output, Run};

use super::{PATIENCE, SHORT, until};

fn command(words: &[&str], account: Option<Account>) -> ScriptCommand {
    ScriptCommand::new(words.iter().map(|word| (*word).to_owned()), account).unwrap()
}

pub fn shell(line: &str) -> ScriptCommand {
    command(&["/bin/sh", "-c", line], None)
}

fn account(user: &str, group: Option<&str>) -> Account {
    Account { user: user.to_owned(), group: group.map(str::to_owned) }
}

async fn run(command: &ScriptCommand) -> Run {
    script::run(command, &[], PATIENCE, Output::Keep).await
}

/// The process ids that a script has written to `path`, one a line.
fn pids(path: &Path) -> Vec<Pid> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| Pid::from_raw(line.parse().unwrap())).collect()
}

/// Gone, or dead and not yet collected by the parent that it was handed to.
fn is_dead(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    kill(pid, None) == Err(Errno::ESRCH) || stat.contains(") Z ")
}

#[tokio::test]
async fn a_script_ends_as_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain");
    fs::write(&plain, "exit 3\n").unwrap();
    let not_executable = plain.to_str().unwrap();
    let no_shebang = dir.path().join("no-shebang");
    fs::copy(&plain, &no_shebang).unwrap();
    fs::set_permissions(&no_shebang, fs::Permissions::from_mode(0o755)).unwrap();
    let user = account("no-such-user", None);
    let group = account("root", Some("no-such-group"));
    let unknown = |name: &str| ScriptEnd::UnknownAccount { name: name.to_owned() };
    let rows = [
        ("0", shell("exit 0"), ScriptEnd::Exited { code: 0 }),
        ("1", shell("exit 1"), ScriptEnd::Exited { code: 1 }),
        ("255", shell("exit 255"), ScriptEnd::Exited { code: 255 }),
        ("a signal", shell("kill -USR1 $$"), ScriptEnd::Signalled { signal: libc::SIGUSR1 }),
        ("without #!", command(&[no_shebang.to_str().unwrap()], None), ScriptEnd::Exited { code: 3 }),
        ("not executable", command(&[not_executable], None), ScriptEnd::NotStarted { errno: libc::EACCES }),
        ("no such file", command(&["/none/such"], None), ScriptEnd::NotStarted { errno: libc::ENOENT }),
        ("unknown user", command(&["/bin/true"], Some(user)), unknown("no-such-user")),
        ("unknown group", command(&["/bin/true"], Some(group)), unknown("no-such-group")),
    ];
    for (name, command, wanted) in rows {
        assert_eq!(run(&command).await.end, wanted, "{name}");
    }
}

#[tokio::test]
async fn a_script_out_of_time_is_ended_with_all_that_it_started() {
    let dir = tempfile::tempdir().unwrap();
    // It ignores TERM, and says that it has begun.
    let child = dir.path().join("child");
    fs::write(&child, "trap '' TERM; echo $$ >> \"$1\"; while :; do sleep 1; done\n").unwrap();
    let forks = |file: &Path, leader: &str| {
        let child = format!("sh {} {}", child.display(), file.display());
        shell(&format!("{leader} {child} & setsid {child} & wait"))
    };
    let rows = [("obeys", "", false), ("ignores", "trap '' TERM;", true)];
    for (name, leader, killed) in rows {
        let file = dir.path().join(name);
        let command = forks(&file, leader);
        let limit = Duration::from_secs(2);
        let end = script::run(&command, &[], limit, Output::Discard).await.end;
        assert_eq!(end, ScriptEnd::TimedOut { after: limit, killed }, "{name}");
        assert_eq!(pids(&file).len(), 2, "{name}: both had begun, one with a session of its own");
        until("all that it started is dead", async || pids(&file).into_iter().all(is_dead)).await;
    }
}

#[tokio::test]
async fn a_run_that_is_given_up_takes_its_processes_along() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pids");
    let line = format!("trap '' TERM; echo $$ > {}; sleep 1000", file.display());
    let task = tokio::spawn(async move { script::run(&shell(&line), &[], PATIENCE, Output::Keep).await });
    until("it has begun", async || pids(&file).len() == 1).await;
    task.abort();
    until("it is dead", async || pids(&file).into_iter().all(is_dead)).await;
}

#[tokio::test]
async fn a_flood_of_output_is_read_and_dropped() {
    let flood = run(&shell("head -c 10000000 /dev/zero | tr '\\0' x; head -c 10000000 /dev/zero >&2; exit 4")).await;
    assert_eq!((flood.end, flood.output), (ScriptEnd::Exited { code: 4 }, "x".repeat(OUTPUT_MAX_BYTES)));
    let endless = script::run(&command(&["/usr/bin/yes"], None), &[], SHORT, Output::Keep).await;
    assert_eq!(endless.end, ScriptEnd::TimedOut { after: SHORT, killed: false });
    assert_eq!(endless.output.len(), OUTPUT_MAX_BYTES);
}

#[tokio::test]
async fn what_a_script_leaves_in_the_background_lives_and_holds_nobody_up() {
    let run = run(&shell("sleep 1000 & echo $!")).await;
    assert_eq!(run.end, ScriptEnd::Exited { code: 0 });
    let left = Pid::from_raw(run.output.trim().parse().unwrap());
    assert!(!is_dead(left) && run.leftover.is_some());
    kill(left, nix::sys::signal::Signal::SIGKILL).unwrap();
    run.leftover.unwrap().drain().await;
}

#[tokio::test]
async fn a_script_gets_its_words_its_account_and_a_clean_start() {
    let show = "echo \"$#:$1:$2:$(id -u):$(id -g):$(id -G):${LD_LIBRARY_PATH-unset}:$(cat)\"; ps -o pgid= -p $$ | tr -d ' '; echo $$";
    let nobody = account("nobody", Some("0"));
    let extra = ["INSTANCE".to_owned(), "a \"b\" $HOME".to_owned()];
    let words = ["/bin/sh", "-c", show, "sh"];
    for (name, account, ids) in [
        ("ours", None, "0:0:0"),
        ("another", Some(nobody), "65534:0:0"),
        ("numbers", Some(account("7", None)), "7:7:7"),
    ] {
        let run = script::run(&command(&words, account), &extra, PATIENCE, Output::Keep).await;
        assert_eq!(run.end, ScriptEnd::Exited { code: 0 }, "{name}: {}", run.output);
        let mut lines = run.output.lines();
        assert_eq!(lines.next().unwrap(), format!("2:INSTANCE:a \"b\" $HOME:{ids}:unset:"), "{name}");
        assert_eq!(lines.next(), lines.next(), "{name}: its own process group");
    }
}
