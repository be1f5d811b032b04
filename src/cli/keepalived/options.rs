//! keepalived's options, as `getopt_long(3)` reads them: long names may be cut short, values may be glued on.
//!
//! Only reading is here; what an option does is decided in `keepalived.rs`.

/// What an option means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opt {
    File,
    VrrpOnly,
    CheckersOnly,
    LogConsole,
    LogDetail,
    Umask,
    DontFork,
    Pid,
    VrrpPid,
    CheckersPid,
    AllConfig,
    ConfigId,
    Signum,
    ConfigTest,
    Version,
    Help,
    DumpConf,
    /// Of ours: where the socket and the lock are.
    RunDir,
    /// Taken in silence: vipd does what it asks for in any case.
    Always,
    /// Taken, and one line says why it has no effect.
    NoEffect(&'static str),
    /// Not taken: going on would do something else than what was asked for.
    Refused(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    None,
    Needed,
    /// Glued on only: `-tFILE`, `--config-test=FILE`.
    Optional,
}

struct Row(Option<char>, &'static str, Value, Opt);

const ONE_PROCESS: &str = "vipd is one process";
const NO_SNMP: &str = "vipd has no SNMP";

#[rustfmt::skip]
const ROWS: [Row; 39] = [
    Row(Some('f'), "use-file", Value::Needed, Opt::File),
    Row(Some('P'), "vrrp", Value::None, Opt::VrrpOnly),
    Row(Some('C'), "check", Value::None, Opt::CheckersOnly),
    Row(Some('B'), "no_bfd", Value::None, Opt::NoEffect("BFD sessions run where the configuration names them")),
    Row(None, "all", Value::None, Opt::NoEffect(ONE_PROCESS)),
    Row(Some('l'), "log-console", Value::None, Opt::LogConsole),
    Row(Some('D'), "log-detail", Value::None, Opt::LogDetail),
    Row(Some('S'), "log-facility", Value::Needed, Opt::NoEffect("log lines have the facility daemon")),
    Row(Some('g'), "log-file", Value::Optional, Opt::NoEffect("vipd logs to stderr or to syslog")),
    Row(None, "flush-log-file", Value::None, Opt::NoEffect("vipd logs to stderr or to syslog")),
    Row(Some('G'), "no-syslog", Value::None, Opt::LogConsole),
    Row(Some('u'), "umask", Value::Needed, Opt::Umask),
    Row(Some('X'), "release-vips", Value::None, Opt::Always),
    Row(Some('V'), "dont-release-vrrp", Value::None, Opt::NoEffect("addresses are handed over at the stop, and are leases in any case")),
    Row(Some('I'), "dont-release-ipvs", Value::None, Opt::NoEffect("services are removed at the stop")),
    Row(Some('R'), "dont-respawn", Value::None, Opt::NoEffect(ONE_PROCESS)),
    Row(Some('n'), "dont-fork", Value::None, Opt::DontFork),
    Row(Some('d'), "dump-conf", Value::None, Opt::DumpConf),
    Row(Some('p'), "pid", Value::Needed, Opt::Pid),
    Row(Some('r'), "vrrp_pid", Value::Needed, Opt::VrrpPid),
    Row(Some('c'), "checkers_pid", Value::Needed, Opt::CheckersPid),
    Row(Some('b'), "bfd_pid", Value::Needed, Opt::NoEffect(ONE_PROCESS)),
    Row(Some('T'), "genhash", Value::None, Opt::Refused("it must be the first option; `vipd genhash --help` lists those that follow")),
    Row(Some('a'), "address-monitoring", Value::None, Opt::NoEffect("`ip monitor address` tells address changes")),
    Row(Some('x'), "snmp", Value::None, Opt::NoEffect(NO_SNMP)),
    Row(Some('A'), "snmp-agent-socket", Value::Needed, Opt::NoEffect(NO_SNMP)),
    Row(Some('s'), "namespace", Value::Needed, Opt::Refused("vipd does not enter a network namespace by itself: start it by `ip netns exec NAME`")),
    Row(Some('m'), "core-dump", Value::None, Opt::NoEffect("the limits of the service decide on core dumps")),
    Row(Some('M'), "core-dump-pattern", Value::Optional, Opt::NoEffect("core_pattern belongs to the whole machine")),
    Row(Some('e'), "all-config", Value::None, Opt::AllConfig),
    Row(Some('i'), "config-id", Value::Needed, Opt::ConfigId),
    Row(None, "signum", Value::Needed, Opt::Signum),
    Row(Some('t'), "config-test", Value::Optional, Opt::ConfigTest),
    Row(None, "ignore-sigint", Value::None, Opt::NoEffect("SIGINT stops vipd in good order")),
    Row(None, "config-fd", Value::Needed, Opt::Refused("this is for keepalived's own children")),
    Row(None, "run-dir", Value::Needed, Opt::RunDir),
    Row(Some('v'), "version", Value::None, Opt::Version),
    Row(Some('h'), "help", Value::None, Opt::Help),
    Row(Some('L'), "mem-check-log", Value::None, Opt::NoEffect("it is for debug builds of keepalived")),
];

/// An option as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    pub opt: Opt,
    /// As it was written, without its value.
    pub name: String,
    pub value: Option<String>,
}

/// The words of keepalived.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    #[error("Unknown option {name}")]
    Unknown { name: String },
    #[error("Missing parameter for option {name}")]
    Missing { name: String },
    #[error("{name} takes no parameter")]
    Surplus { name: String },
    #[error("{name} is short for several options")]
    Ambiguous { name: String },
}

/// Options in their order, and what is none.
///
/// # Errors
/// [`UsageError`] for the first that cannot be read.
pub fn read(arguments: &[String]) -> Result<(Vec<Given>, Vec<String>), UsageError> {
    let (mut given, mut rest) = (vec![], vec![]);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            rest.extend(arguments.by_ref().cloned());
        } else if let Some(long) = argument.strip_prefix("--") {
            given.push(read_long(long, &mut arguments)?);
        } else if let Some(short) = argument.strip_prefix('-').filter(|short| !short.is_empty()) {
            read_short(short, &mut arguments, &mut given)?;
        } else {
            rest.push(argument.clone());
        }
    }
    Ok((given, rest))
}

fn read_long(text: &str, more: &mut std::slice::Iter<'_, String>) -> Result<Given, UsageError> {
    let (word, glued) = text.split_once('=').map_or((text, None), |(word, value)| (word, Some(value.to_owned())));
    let name = format!("--{word}");
    let exact = ROWS.iter().find(|Row(_, long, ..)| *long == word);
    let mut near = ROWS.iter().filter(|Row(_, long, ..)| long.starts_with(word));
    let row = match (exact, near.next(), near.next()) {
        (Some(row), ..) | (None, Some(row), None) => row,
        (None, None, _) => return Err(UsageError::Unknown { name }),
        (None, Some(_), Some(_)) => return Err(UsageError::Ambiguous { name }),
    };
    let Row(_, _, takes, opt) = row;
    let value = match (takes, glued) {
        (Value::None, Some(_)) => return Err(UsageError::Surplus { name }),
        (Value::Needed, None) => match more.next() {
            Some(value) => Some(value.clone()),
            None => return Err(UsageError::Missing { name }),
        },
        (Value::None | Value::Optional, None) => None,
        (Value::Needed | Value::Optional, glued) => glued,
    };
    Ok(Given { opt: *opt, name, value })
}

/// `-nlf FILE`: flags, the last of which may take a value.
fn read_short(text: &str, more: &mut std::slice::Iter<'_, String>, given: &mut Vec<Given>) -> Result<(), UsageError> {
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let name = format!("-{letter}");
        let Some(Row(_, _, takes, opt)) = ROWS.iter().find(|Row(short, ..)| *short == Some(letter)) else {
            return Err(UsageError::Unknown { name });
        };
        let glued = Some(letters.as_str()).filter(|glued| !glued.is_empty()).map(str::to_owned);
        let value = match takes {
            Value::None => {
                given.push(Given { opt: *opt, name, value: None });
                continue;
            }
            Value::Optional => glued,
            Value::Needed => match glued.or_else(|| more.next().cloned()) {
                Some(value) => Some(value),
                None => return Err(UsageError::Missing { name }),
            },
        };
        given.push(Given { opt: *opt, name, value });
        return Ok(());
    }
    Ok(())
}

/// Every option on a line, as `--help` shows them.
pub fn usage() -> String {
    let mut text = String::from("Usage: keepalived [OPTION...]   (vipd answers)\n");
    for Row(short, long, takes, opt) in &ROWS {
        let short = short.map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
        let value = match takes {
            Value::None => "",
            Value::Needed => "=VALUE",
            Value::Optional => "[=VALUE]",
        };
        let head = format!("  {short}--{long}{value}");
        text.push_str(&format!("{head:<34} {}{}\n", verdict(*opt), meaning(*opt)));
    }
    text
}

fn verdict(opt: Opt) -> &'static str {
    if matches!(opt, Opt::NoEffect(_)) {
        "no effect: "
    } else if matches!(opt, Opt::Refused(_)) {
        "refused: "
    } else {
        ""
    }
}

const fn meaning(opt: Opt) -> &'static str {
    match opt {
        Opt::File => "the configuration; default /etc/keepalived/keepalived.conf",
        Opt::VrrpOnly => "only virtual routers, unless -C is given too",
        Opt::CheckersOnly => "only virtual servers, unless -P is given too",
        Opt::LogConsole => "log to stderr",
        Opt::LogDetail => "given twice: log more",
        Opt::Umask => "umask of the files that are made",
        Opt::DontFork => "stay in the foreground, and log to stderr",
        Opt::Pid => "pid file; default /run/keepalived.pid",
        Opt::VrrpPid | Opt::CheckersPid => "one more pid file, of the same process",
        Opt::AllConfig => "an include that finds no file is an error",
        Opt::ConfigId => "what `@ID` lines are compared with",
        Opt::Signum => "print the signal of STOP, RELOAD, DATA, STATS, STATS_CLEAR or JSON",
        Opt::ConfigTest => "check the configuration; the messages go to VALUE, else to stderr",
        Opt::Version => "the version",
        Opt::Help => "this text",
        Opt::DumpConf => "print the configuration as it was understood, and run",
        Opt::RunDir => "vipd's own: the directory of the socket and the lock",
        Opt::Always => "vipd does so in any case",
        Opt::NoEffect(why) | Opt::Refused(why) => why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn options_are_read_as_getopt_reads_them() {
        type Row<'a> = (&'a str, &'a [(Opt, Option<&'a str>)], &'a [&'a str]);
        let rows: [Row<'_>; 8] = [
            ("-n -l", &[(Opt::DontFork, None), (Opt::LogConsole, None)], &[]),
            ("-nlf a.conf", &[(Opt::DontFork, None), (Opt::LogConsole, None), (Opt::File, Some("a.conf"))], &[]),
            ("-fa.conf x", &[(Opt::File, Some("a.conf"))], &["x"]),
            ("--use-file=a.conf --use-file b", &[(Opt::File, Some("a.conf")), (Opt::File, Some("b"))], &[]),
            ("--use a -- -n", &[(Opt::File, Some("a"))], &["-n"]),
            (
                "-t -tlog --config-test=log",
                &[(Opt::ConfigTest, None), (Opt::ConfigTest, Some("log")), (Opt::ConfigTest, Some("log"))],
                &[],
            ),
            ("-t log", &[(Opt::ConfigTest, None)], &["log"]),
            ("--vrrp", &[(Opt::VrrpOnly, None)], &[]),
        ];
        for (line, expected, rest) in rows {
            let (given, others) = read(&words(line)).unwrap();
            let given: Vec<_> = given.iter().map(|given| (given.opt, given.value.as_deref())).collect();
            assert_eq!((given.as_slice(), others), (expected, words(&rest.join(" "))), "{line}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_as_keepalived_tells_it() {
        let rows = [
            ("--bogus", "Unknown option --bogus"),
            ("-nZ", "Unknown option -Z"),
            ("-f", "Missing parameter for option -f"),
            ("--pid", "Missing parameter for option --pid"),
            ("--vrrp=1", "--vrrp takes no parameter"),
            ("--con", "--con is short for several options"),
        ];
        for (line, expected) in rows {
            assert_eq!(read(&words(line)).unwrap_err().to_string(), expected, "{line}");
        }
    }

    #[test]
    fn the_usage_names_every_option() {
        insta::assert_snapshot!(usage());
    }
}
