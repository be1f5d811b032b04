//! Problems as they are shown: three snapshots, and the words for programs.

use super::*;
use crate::config::collect::Problems;
use crate::config::expand::tests::{expand_files, expand_text};
use crate::config::parse::tests::tree;

fn problems(text: &str) -> (Sources, Vec<Problem>) {
    let (expanded, sources, mut found) = expand_text(text);
    let mut problems = Problems::default();
    tree(&expanded, &sources, &mut problems);
    found.extend(problems.finish());
    (sources, found)
}

#[test]
fn a_stray_brace_is_shown_where_it_stands() {
    let (sources, found) = problems("vrrp_instance A {\n    priority 100\n}\n{\n    state MASTER\n}\n");
    insta::assert_snapshot!(found[0].render(&sources, false));
}

#[test]
fn a_missing_brace_names_the_blocks_that_are_open() {
    let (sources, found) =
        problems("vrrp_instance A {\n    virtual_ipaddress {\n        192.0.2.1\n    priority 100\n");
    insta::assert_snapshot!(found[0].render(&sources, false));
}

#[test]
fn an_undefined_name_is_underlined() {
    let (sources, found) = problems("$NETWORK=192.0.2\nvirtual_ipaddress {\n\té ${NETWROK}.1/24 # typo\n}\n");
    insta::assert_snapshot!(found[0].render(&sources, false));
}

#[test]
fn places_in_other_files_and_general_problems_are_words() {
    let (_, sources, _) = expand_files(&[("/k/main.conf", "a\ninclude b.conf\n"), ("/k/b.conf", "x\n  y\n")]);
    let at = |source, start, end| Span { source: SourceId(source), start, end };
    let problem = Problem::new("code", Severity::Warning, at(0, 0, 1), "words").related(at(1, 4, 5), "defined here");
    assert!(problem.render(&sources, false).contains("/k/b.conf:2:3: defined here"));
    let general = Problem::general("code", Severity::Fatal, "the whole of it");
    assert!(general.render(&sources, false).contains("the whole of it"));
    let view = general.view(&sources);
    assert_eq!((view.file.as_str(), view.line, view.severity), ("", 0, "fatal"));
    let beyond = Problem::new("code", Severity::Note, at(0, 5, 9_000), "words");
    assert!(beyond.render(&sources, false).contains("words"));
}

#[test]
fn a_file_of_carriage_returns_is_one_line() {
    let (_, sources, found) = expand_text("vrrp_instance A {\r  interface eth0\r}\r");
    assert_eq!(found.iter().map(|problem| problem.code).collect::<Vec<_>>(), ["no-line-feeds"]);
    let shown = found[0].render(&sources, false);
    assert!(shown.contains(" 1 │ vrrp_instance A {   interface eth0 }"), "{shown}");
    let (_, _, found) = expand_text("vrrp_instance A {\r\n}\r\n");
    assert!(found.is_empty());
}

#[test]
fn a_variable_that_is_not_set_is_underlined() {
    let (_, sources, found) = expand_text("a b ${_ENV NO_SUCH} c\n");
    let view = found[0].view(&sources);
    assert_eq!((view.code, view.column, view.end_column), ("unset-variable", 5, 20));
}

#[test]
fn colour_is_only_where_it_is_wanted() {
    let (sources, found) = problems("}");
    assert!(found[0].render(&sources, true).contains('\x1b'));
    assert!(!found[0].render(&sources, false).contains('\x1b'));
}

#[test]
fn programs_read_lines_and_columns_from_one() {
    let (sources, found) = problems("a {\n  é } }\n");
    let view = found[0].view(&sources);
    assert_eq!((view.file.as_str(), view.code, view.severity), ("/etc/k/main.conf", "surplus-brace", "error"));
    assert_eq!((view.line, view.column, view.end_line, view.end_column), (2, 7, 2, 8));
}
