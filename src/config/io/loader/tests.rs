//! Loading from a disk: what is read, what is refused, and with which words.

#![expect(clippy::disallowed_methods, reason = "the files that are read are written here")]

use super::*;
use std::fs;

fn options() -> LoadOptions {
    LoadOptions { system: false, config_id: Some("lb1".into()), ..LoadOptions::default() }
}

fn codes(loaded: &Loaded) -> Vec<&str> {
    loaded.problems.iter().map(|problem| problem.code).collect()
}

#[test]
fn files_are_included_in_order_and_relative_to_their_file() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    write("main.conf", "include d/*.conf\ninclude d/{b,no}.conf\n");
    write("d/b.conf", "}\n");
    write("d/a.conf", "include c\n");
    write("d/c", "}\n");
    write("d/.hidden.conf", "}\n");
    let loaded = load(&dir.path().join("main.conf"), &options());
    assert_eq!(codes(&loaded), ["include-failed", "surplus-brace", "surplus-brace", "surplus-brace"]);
    let names: Vec<_> = loaded.problems.iter().map(|problem| loaded.sources.name(problem.at.unwrap().source)).collect();
    let names: Vec<_> = names.iter().map(|name| name.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["main.conf", "c", "b.conf", "b.conf"]);
    assert_eq!((loaded.exit_code(), loaded.is_fatal()), (5, false));
}

#[test]
fn what_cannot_be_read_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("run.sh");
    fs::write(&script, "a").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let rows = [
        (dir.path().join("no.conf"), "no such file"),
        (dir.path().to_owned(), "it is a directory"),
        (script.clone(), "it may be executed"),
        (PathBuf::from("/dev/null"), "it is not a regular file"),
        (script.join("x"), "Not a directory"),
    ];
    for (path, words) in rows {
        let loaded = load(&path, &options());
        assert!(loaded.is_fatal() && loaded.exit_code() == 4, "{words}");
        let message = &loaded.problems[0].message;
        assert!(message.contains(words) && message.contains(&path.display().to_string()), "{message}");
    }
    let main = dir.path().join("main.conf");
    for (pattern, fatal) in [("*.no", true), ("gone/*.x", true), ("[", true), ("run.sh", true), ("main.conf", false)] {
        fs::write(&main, format!("includea {pattern}\n")).unwrap();
        assert_eq!(load(&main, &options()).is_fatal(), fatal, "{pattern}");
    }
}

#[test]
fn bytes_that_are_no_text_are_replaced_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let main = dir.path().join("main.conf");
    fs::write(&main, b"# a\n# \xff b\n# \xc3( c\n").unwrap();
    let loaded = load(&main, &options());
    assert_eq!((codes(&loaded), loaded.exit_code()), (vec!["not-utf8"], 0));
    let view = loaded.problems[0].view(&loaded.sources);
    assert_eq!((view.line, view.column), (2, 3));
    assert!(view.message.contains("2 places"));
}

#[test]
fn a_text_is_loaded_like_a_file() {
    let loaded = load_text("typed.conf", "@lb1 }\n@lb2 }\n@lb1 {\n", &options());
    assert_eq!(codes(&loaded), ["surplus-brace", "stray-brace"]);
    assert_eq!(loaded.sources.name(loaded.problems[0].at.unwrap().source), "typed.conf");
    assert!(load_text("typed.conf", "# nothing\n", &LoadOptions::default()).problems.is_empty());
}

#[test]
fn examples_load_without_an_error() {
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
    let files = fs::read_dir(conf).unwrap().map(|entry| entry.unwrap().path());
    let mut count = 0;
    for path in files.filter(|path| path.extension().is_some_and(|extension| extension == "conf")) {
        let loaded = load(&path, &options());
        assert_eq!(loaded.exit_code(), 0, "{}: {:?}", path.display(), loaded.problems);
        assert!(loaded.config != Config::default(), "{}", path.display());
        count += 1;
    }
    assert!(count >= 3, "{count} examples");
}

/// Found by the fuzzer: 400 bytes that took 800 MB and 30 s.
#[test]
fn problems_without_end_are_bounded() {
    // Too long to be looked for among the keywords.
    let long = "x".repeat(70);
    for (name, text) in [
        ("of words", format!("global_defs {{\n~SEQ(A, 1, 11000) {long}${{A}} ${{A}} }}}}}}}}\n}}")),
        ("of words at the top", format!("~SEQ(A, 1, 11000) {long}${{A}} {{ b }}")),
        ("of names", "~SEQ(A, 1, 2000) vrrp_sync_group a${A} {group { a b c d e f g h i j }}".to_owned()),
        ("of values", "virtual_server 192.0.2.1 80 {\n~SEQ(A, 1, 11000) delay_loop x${A}\n}".to_owned()),
    ] {
        let loaded = load_text("/nonexistent/main.conf", &text, &options());
        let told = loaded.problems.len();
        assert!(told < 100, "{name}: {told}");
        assert!(codes(&loaded).contains(&"more-alike"), "{name}");
        assert!(codes(&loaded).contains(&"too-many-problems"), "{name}");
        assert_eq!(loaded.exit_code(), 5, "{name}");
    }
}
