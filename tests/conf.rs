//! The example configurations: each is right, and two are shown as the model that they become.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "an example that cannot be read fails the test")]

use std::path::{Path, PathBuf};

use vipd::config::io::loader::{LoadOptions, Loaded, load};
use vipd::config::problem::Severity;

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conf")
}

fn read(file: &Path) -> Loaded {
    // The interfaces and scripts of an example are on other machines.
    load(file, &LoadOptions { system: false, ..LoadOptions::default() })
}

#[test]
fn examples_are_right() {
    let entries = std::fs::read_dir(dir()).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|ext| ext == "conf")).collect();
    assert!(files.len() >= 8, "{} examples", files.len());
    for file in files {
        let loaded = read(&file);
        let bad: Vec<&str> = loaded
            .problems
            .iter()
            .filter(|problem| problem.severity < Severity::Note)
            .map(|problem| problem.message.as_str())
            .collect();
        assert_eq!(bad, Vec::<&str>::new(), "{}", file.display());
    }
}

#[test]
fn examples_become_this_model() {
    for name in ["pair-master", "http-checks"] {
        let loaded = read(&dir().join(name).with_extension("conf"));
        insta::assert_snapshot!(name, without_places(&format!("{:#?}", loaded.config)));
    }
}

/// Where a word stands moves with every comment of an example.
fn without_places(shown: &str) -> String {
    let mut text = String::new();
    let mut lines = shown.lines();
    while let Some(line) = lines.next() {
        let field = line.trim_start();
        if ["at: Span {", "at: InstanceAt {", "members_at: ["].contains(&field) {
            let indent = " ".repeat(line.len() - field.len());
            let end = if field.ends_with('{') { format!("{indent}}},") } else { format!("{indent}],") };
            lines.find(|line| *line == end).unwrap();
        } else {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}
