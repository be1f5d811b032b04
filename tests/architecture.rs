//! The rules of `ARCHITECTURE.md` that a machine can hold: the I/O border, the import rule, sizes, openings.
//!
//! It reads the sources as text. Each rule has a counter-example below that proves the rule can fail.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a source that cannot be read fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

const ROOMS: [&str; 7] = ["bfd", "config", "vrrp", "lvs", "healthcheck", "notify", "control"];
const FILE_LINES_MAX: usize = 500;

struct Source {
    path: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec![];
    let mut waiting = vec![root.join("src")];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push(Source { path: path.strip_prefix(root).unwrap().display().to_string(), text });
            }
        }
    }
    assert!(found.len() > 10, "the sources were not found below {}", root.display());
    found
}

fn room(path: &str) -> &str {
    path.strip_prefix("src/").and_then(|rest| rest.split('/').next()).unwrap_or("")
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// The lines that are code, up to the file's own test module.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .map(|(number, line)| (number + 1, line.split("//").next().unwrap_or("")))
}

/// May touch the world.
fn is_shell(path: &str) -> bool {
    path.contains("/io/") || path.starts_with("src/daemon/") || path.starts_with("src/lab/")
}

fn world(source: &Source) -> Vec<String> {
    const WORLD: [&str; 21] = [
        "std::fs",
        "std::process::Command",
        "std::net::Tcp",
        "std::net::Udp",
        "std::os::unix::net",
        "std::thread",
        "Instant::now",
        "SystemTime::now",
        "tokio::",
        "socket2::",
        "rtnetlink::",
        "genetlink::",
        "netlink_sys::",
        "pnet_base::",
        "aya::",
        "hyper::",
        "hyper_util::",
        "nix::",
        "libc::",
        "tracing::",
        "std::env::var(",
    ];
    // A verb parses arguments, reads the files they name, prints, and starts a runtime for the one call it makes.
    const VERBS: [&str; 3] = ["tokio::", "std::fs", "nix::"];
    if is_shell(&source.path) || is_test(&source.path) {
        return vec![];
    }
    let cli = source.path.starts_with("src/cli/");
    code(&source.text)
        .flat_map(|(number, line)| WORLD.iter().filter(|word| line.contains(**word)).map(move |word| (number, *word)))
        .filter(|(_, word)| !(cli && VERBS.contains(word)))
        .map(|(number, word)| format!("{}:{number}: a core names `{word}`", source.path))
        .collect()
}

/// `main > cli > daemon > rooms > base`; lab stands beside daemon; rooms do not know one another.
fn imports(source: &Source) -> Vec<String> {
    let here = room(&source.path);
    let core = !source.path.contains("/io/") && !is_test(&source.path) && ROOMS.contains(&here);
    code(&source.text)
        .flat_map(|(number, line)| {
            line.match_indices("crate::").map(move |(at, _)| (number, line.split_at(at + 7).1)).collect::<Vec<_>>()
        })
        .filter_map(|(number, rest)| {
            let there = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("");
            let known = ROOMS.contains(&there) || ["base", "daemon", "lab", "cli"].contains(&there);
            let allowed = match here {
                "base" => there == "base",
                "daemon" | "lab" => there != "cli" && (there == here || !["daemon", "lab"].contains(&there)),
                "cli" | "main.rs" | "lib.rs" => true,
                _ => there == here || there == "base",
            };
            let inward = core && rest.starts_with(&format!("{here}::io"));
            (known && (!allowed || inward)).then(|| format!("{}:{number}: {here} imports {rest}", source.path))
        })
        .collect()
}

fn shape(source: &Source) -> Vec<String> {
    let mut faults = vec![];
    if !source.text.starts_with("//!") {
        faults.push(format!("{}: does not open with `//!`", source.path));
    }
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX {
        faults.push(format!("{}: {lines} lines, {FILE_LINES_MAX} at most", source.path));
    }
    for (number, line) in source.text.lines().enumerate() {
        for word in ["TODO", "FIXME", "XXX", "todo!(", "unimplemented!("] {
            if line.contains(word) {
                faults.push(format!("{}:{}: {word}", source.path, number + 1));
            }
        }
        if line.contains("allow(") && source.path != "src/lib.rs" {
            faults.push(format!("{}:{}: `allow` where `expect` with a reason belongs", source.path, number + 1));
        }
    }
    faults
}

fn all(rule: impl Fn(&Source) -> Vec<String>) -> Vec<String> {
    sources().iter().flat_map(rule).collect()
}

#[test]
fn only_io_daemon_and_lab_touch_the_world() {
    let faults = all(world);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn rooms_import_base_and_themselves_only() {
    let faults = all(imports);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn files_are_small_and_say_what_they_hold() {
    let faults = all(shape);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_rules_can_fail() {
    let bad = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
    assert_eq!(world(&bad("src/vrrp/router.rs", "let now = std::time::Instant::now();")).len(), 1);
    assert_eq!(world(&bad("src/vrrp/io/socket.rs", "let now = std::time::Instant::now();")).len(), 0);
    assert_eq!(imports(&bad("src/vrrp/router.rs", "use crate::lvs::table;")).len(), 1);
    assert_eq!(imports(&bad("src/vrrp/router.rs", "use crate::vrrp::io::socket;")).len(), 1);
    assert_eq!(imports(&bad("src/vrrp/router.rs", "use crate::base::Vrid;")).len(), 0);
    assert_eq!(imports(&bad("src/base/time.rs", "use crate::vrrp::Settings;")).len(), 1);
    assert_eq!(imports(&bad("src/daemon/lvs.rs", "use crate::cli::run;")).len(), 1);
    assert_eq!(shape(&bad("src/vrrp/router.rs", &"use x;\n".repeat(501))).len(), 2);
}
