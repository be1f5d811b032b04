//! Whole files against the verdict of keepalived: accepted, complained about, refused.
//!
//! `VIPD_CORPUS=DIR cargo test --test corpus -- --nocapture` judges another corpus with the same `index.tsv`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a corpus that cannot be read fails the test"
)]

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

use vipd::config::io::loader::{LoadOptions, load};
use vipd::config::problem::exit_code;

/// Files of a foreign corpus that may be judged in another way: it holds verdicts that depend on the machine.
const FOREIGN_AGREEMENT_PERCENT: usize = 95;

/// One line of the index.
struct Case {
    file: String,
    class: String,
    messages: String,
}

fn cases(dir: &Path) -> Vec<Case> {
    let index = std::fs::read(dir.join("index.tsv")).unwrap();
    let index = String::from_utf8_lossy(&index).into_owned();
    let columns: Vec<Vec<&str>> = index.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    let column = |line: &[&str], at: usize| line.get(at).copied().unwrap_or("").to_owned();
    columns
        .iter()
        .map(|line| Case { file: column(line, 0), class: column(line, 5), messages: column(line, 6) })
        .collect()
}

/// The exit status that goes with a verdict. Which of several complaints came first is keepalived's own matter.
fn expected(case: &Case) -> &'static [u8] {
    let unsafe_scripts = case.messages.contains("SECURITY VIOLATION");
    match case.class.as_str() {
        "accept-env-only" if unsafe_scripts => &[6],
        "accept" | "accept-env-only" => &[0],
        "accept-script-security" => &[6],
        "complain-syntax" | "complain-semantic" => &[5],
        "reject" => &[4],
        _ => &[4, 5],
    }
}

#[test]
fn verdicts_are_those_of_keepalived() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let foreign = env::var_os("VIPD_CORPUS").map(PathBuf::from);
    let dir = foreign.as_ref().unwrap_or(&own);
    let mut classes: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut apart = vec![];
    // The interfaces and scripts of a file are on other machines.
    let options = LoadOptions { system: false, ..LoadOptions::default() };
    for case in cases(dir) {
        let loaded = load(&dir.join(&case.file), &options);
        let exit = exit_code(&loaded.problems);
        let agrees = expected(&case).contains(&exit);
        let (good, all) = classes.entry(case.class.clone()).or_default();
        *good += usize::from(agrees);
        *all += 1;
        if !agrees {
            let worst = loaded.problems.iter().min_by_key(|problem| problem.severity);
            let worst = worst.map_or(String::new(), |problem| format!("{}: {}", problem.code, problem.message));
            apart.push(format!("{} ({}): {exit} {worst}", case.file, case.class));
        }
    }
    for (class, (agreed, all)) in &classes {
        println!("{class}: {agreed} of {all}");
    }
    let (agreed, all) = classes.values().fold((0, 0), |sum, class| (sum.0 + class.0, sum.1 + class.1));
    assert!(all > 0, "{} holds no case", dir.display());
    println!("{}", apart.join("\n"));
    let percent = if foreign.is_some() { FOREIGN_AGREEMENT_PERCENT } else { 100 };
    assert!(agreed * 100 >= all * percent, "{agreed} of {all} agree:\n{}", apart.join("\n"));
}
