//! Expansion, seen from outside: files in a map go in, text and problems come out.

use super::*;
use crate::config::problem::exit_code;
use std::collections::BTreeMap;

/// Files without a disk: by absolute path.
#[derive(Debug, Default)]
pub(in crate::config) struct Map(pub(in crate::config) BTreeMap<PathBuf, String>);

impl Outside for Map {
    fn read(&mut self, path: &Path) -> Result<FileText, FileFault> {
        if path.ends_with("dir") {
            return Err(FileFault::Directory);
        }
        let text = self.0.get(path).cloned().ok_or(FileFault::Missing)?;
        let dir = path.parent().unwrap_or(Path::new("/")).to_owned();
        Ok(FileText { text, identity: path.to_owned(), dir, replaced: None })
    }

    /// Only `DIR/*END`.
    fn glob(&mut self, pattern: &Path) -> Globbed {
        let pattern = pattern.display().to_string();
        let (before, after) = pattern.split_once('*').unwrap();
        let names = self.0.keys().filter(|path| {
            let name = path.display().to_string();
            name.starts_with(before) && name.ends_with(after)
        });
        if before.contains("gone") { Globbed::NoDirectory } else { Globbed::Found(names.cloned().collect()) }
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        (name == "HOME").then(|| "/root\nno".to_owned())
    }
}

pub(in crate::config) fn expand_files(files: &[(&str, &str)]) -> (Expanded, Sources, Vec<Problem>) {
    let mut map = Map(files.iter().map(|(name, text)| (PathBuf::from(name), (*text).to_owned())).collect());
    let (mut sources, mut problems) = (Sources::default(), Problems::default());
    let settings = Settings { config_id: "lb1", seed: 1, strictness: Strictness::default() };
    let main = Path::new(files[0].0);
    let expanded = expand(main, &settings, &mut map, &mut sources, &mut problems);
    (expanded, sources, problems.finish())
}

pub(in crate::config) fn expand_text(text: &str) -> (Expanded, Sources, Vec<Problem>) {
    expand_files(&[("/etc/k/main.conf", text)])
}

pub(in crate::config) fn text_of(expanded: &Expanded, sources: &Sources) -> String {
    expanded
        .parts(sources)
        .map(|(text, _)| if text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") })
        .collect()
}

fn lines(expanded: &Expanded, sources: &Sources) -> Vec<String> {
    text_of(expanded, sources).lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn lines_of((expanded, sources, _): (Expanded, Sources, Vec<Problem>)) -> Vec<String> {
    lines(&expanded, &sources)
}

fn codes(problems: &[Problem]) -> Vec<&str> {
    problems.iter().map(|problem| problem.code).collect()
}

#[test]
fn lines_are_expanded() {
    let rows: [(&str, &[&str], &[&str]); 54] = [
        ("priority 77#no", &["priority 77"], &[]),
        ("  ! whole\nadvert_int 2!also", &["advert_int 2"], &[]),
        ("script \"exit # kept\"", &["script \"exit # kept\""], &[]),
        (r"auth_pass ES\#C", &["auth_pass ES#C"], &["escaped-comment"]),
        ("a 1\r\nb 2 # c\r\nc\r\n", &["a 1", "b 2", "c"], &[]),
        ("\u{feff}a 1", &["a 1"], &["byte-order-mark"]),
        ("a\0b\nc", &["c"], &["nul-in-line"]),
        ("priority \\\nb", &["priority\\", "b"], &[]),
        ("a # foo \\\nb", &["a", "b"], &[]),
        ("$A=1\nx ${A}/2 $A, $A) $A.5 $A", &["x 1/2 1, 1) $A.5 1"], &[]),
        ("  $A=  1 \nx \"${A}\"", &["x \"1\""], &[]),
        ("$A =1\nx", &["$A =1", "x"], &[]),
        ("$A=1\n$A=2\nx $A", &["x 2"], &[]),
        ("$A=\nx ${A}y", &["x y"], &[]),
        ("a {\n$A=1\n}\nx $A", &["a {", "}", "x 1"], &[]),
        ("$A=$B\n$B=3\nx $A", &["x 3"], &[]),
        ("$A=B\n$B=4\nx ${${A}}", &["x 4"], &[]),
        ("$A=B\n$B=4\nx $${A}", &["x 4"], &[]),
        ("x ${NO}\ny $NO", &["x ${NO}", "y $NO"], &["undefined-name"]),
        ("x \"${NO}\"", &["x \"${NO}\""], &[]),
        ("x ${_HASH}y\nz a${_BANG}b\nq \"${_HASH}\"", &["x", "z a", "q \"#\""], &[]),
        ("x ${_PWD} ${_INSTANCE}", &["x /etc/k lb1"], &[]),
        ("x ${_ENV HOME} a${_ENV NOPE}b", &["x /root ab"], &["unset-variable"]),
        ("x ${_RANDOM 5 5} ${_RANDOM 7 7}", &["x 5 7"], &[]),
        ("x ${_RANDOM a}", &["x ${_RANDOM a}"], &["undefined-name"]),
        ("x ${_HASH 1}", &["x ${_HASH 1}"], &["undefined-name"]),
        ("$_HASH=5\nx ${_HASH}", &["x 5"], &["reserved-name"]),
        ("$C= \\\n  a 1 \\\n  # no\n  b 2\nx {\n$C\n}", &["x {", "a 1", "b 2", "}"], &[]),
        ("$C= \\\n  a 1 \\\n\nx\n$C", &["x", "a 1"], &[]),
        ("$C=\\\na\\\nb\nx ${C} y", &["x ${C} y"], &["undefined-name"]),
        ("$C=\\\na\\\nb\nx $C", &["x a", "b"], &[]),
        ("$C=\\\na\\\nb\n$D=\\\n1\\\n$C\\\n2\n$D", &["1", "a", "b", "2"], &[]),
        ("$C=\\\na\\\nb", &[], &[]),
        ("@lb1 a 1\n@lb2 b 1\n@^lb1 c 1\n@^lb2 d 1", &["a 1", "d 1"], &[]),
        ("@lb1\n@ a\n@^ b\n@lb1x c", &["b"], &[]),
        ("@lb1 x {\n@lb1 $P=1\n@lb2 $P=2\ny $P\n@lb1 }", &["x {", "y 1", "}"], &[]),
        ("$W=@lb1\n$N=@lb2\n$W a\n$N b", &["a"], &[]),
        ("~SEQ(N, 1, 3) 203.0.113.${N}/32", &["203.0.113.1/32", "203.0.113.2/32", "203.0.113.3/32"], &[]),
        ("~SEQx(N, 9, 11) ::$N", &["::9", "::a", "::b"], &[]),
        ("~SEQ(A,2) ~LST(B, 7, 9) $A.$B ${A}.$B", &["$A.7 1.7", "$A.9 1.9", "$A.7 2.7", "$A.9 2.9"], &[]),
        ("~LST({A, B}, {a,1}, {b}) ${A}x${B}y", &["ax1y", "bxy"], &[]),
        ("$L=3\n~SEQ(N, 2, $L) v${N}", &["v2", "v3"], &[]),
        ("$S=~SEQ(N, 2) v${N}\n$N=0\n$S", &["v1", "v2"], &[]),
        ("$C=\\\na$N\\\nb ${N}\n~SEQ(N, 2) $C", &["a1", "b 1", "a2", "b 2"], &[]),
        ("x ~SEQ(N, 2) y", &["x ~SEQ(N, 2) y"], &[]),
        ("~SEQ(X, 1 3) x", &[], &["bad-repetition"]),
        ("~LST(X) x\n~SEQ(X, 2", &[], &["bad-repetition", "bad-repetition"]),
        ("~FOO x", &["~FOO x"], &[]),
        ("a { @lb2 b\n@lb1 c { $A=5\nx ${A} }", &["a {", "c {", "x 5 }"], &[]),
        ("a { ~SEQ(N, 2) b$N }", &["a {", "b1 }", "b2 }"], &[]),
        ("$A=1 }\na { b ${A}\nc", &["a { b 1 }", "c"], &[]),
        ("include_check read\nincluded x\ninclude", &["include_check read", "included x", "include"], &[]),
        ("a b@c.d\nx ~y", &["a b@c.d", "x ~y"], &[]),
        ("a\n\n\n   \nb", &["a", "b"], &[]),
    ];
    for (text, expected, problems) in rows {
        let (expanded, sources, found) = expand_text(text);
        assert_eq!(lines(&expanded, &sources), expected, "{text}");
        assert_eq!(codes(&found), problems, "{text}");
    }
}

#[test]
fn files_are_included_where_they_are_named() {
    let files = [
        (
            "/etc/k/main.conf",
            "first\ninclude conf.d/*.conf\n  include sub/{n,s}.conf # both\nx {\ninclude in.conf\n}\ny ${_PWD}\n",
        ),
        ("/etc/k/conf.d/b.conf", "b ${_PWD}"),
        ("/etc/k/conf.d/a.conf", "a\ninclude more.conf"),
        ("/etc/k/conf.d/more.conf", "more\n"),
        ("/etc/k/sub/n.conf", "n\n"),
        ("/etc/k/sub/s.conf", "s\ninclude /etc/k/in.conf\n"),
        ("/etc/k/in.conf", "in\n"),
    ];
    let (expanded, sources, problems) = expand_files(&files);
    assert_eq!(
        lines(&expanded, &sources),
        ["first", "a", "more", "b /etc/k/conf.d", "more", "n", "s", "in", "x {", "in", "}", "y /etc/k"]
    );
    assert_eq!(codes(&problems), Vec::<&str>::new());
    let (_, mut places) = expanded.parts(&sources).find(|(text, _)| *text == "n\n").unwrap();
    let span = places.span(0, 1);
    assert_eq!((sources.name(span.source), span.start), ("/etc/k/sub/n.conf", 0));
}

#[test]
fn what_is_missing_is_as_bad_as_the_keyword_says() {
    let rows = [
        ("include no.conf", 0),
        ("include *.no", 0),
        ("include gone/*.no", 0),
        ("include dir", 0),
        ("includer no.conf", 0),
        ("includer dir", 4),
        ("includem no.conf", 4),
        ("includem gone/*.no", 4),
        ("includem *.no", 0),
        ("includew *.no", 4),
        ("includeb {main,no}.conf2", 4),
        ("includea *.no", 4),
        ("include_check wildcard_match\ninclude *.no", 4),
        ("include_check\ninclude no.conf", 4),
        ("include_check\ninclude_check read\ninclude no.conf", 0),
        ("include check.conf\ninclude no.conf", 0),
        ("global_defs { include_check match }\ninclude no.conf", 4),
    ];
    for (text, exit) in rows {
        let (_, _, problems) = expand_files(&[("/k/main.conf", text), ("/k/check.conf", "include_check match\n")]);
        assert_eq!(exit_code(&problems), exit, "{text}: {problems:?}");
        assert_eq!(problems.iter().filter(|problem| problem.code == "include-failed").count(), {
            if text.contains('{') && text.starts_with("includeb") { 2 } else { 1 }
        });
    }
    let (_, _, problems) = expand_files(&[("/k/main.conf", "include \"x\ninclude \"y\"")]);
    assert_eq!(codes(&problems), ["unclosed-quote", "include-failed", "include-failed"]);
    let (_, _, problems) = expand_files(&[("/k/dir", "")]);
    assert_eq!((codes(&problems), exit_code(&problems)), (vec!["config-unreadable"], 4));
    assert_eq!(problems[0].message, "the configuration /k/dir cannot be read: it is a directory");
}

#[test]
fn everything_that_can_grow_ends_at_a_limit() {
    let many: String = "include a.conf\n".repeat(FILES_MAX + 1);
    let rows: [(&str, &str, &str, &str); 14] = [
        ("a file includes itself", "include main.conf\nx", "", "include-loop"),
        ("two files include each other", "include a.conf\nx", "include main.conf", "include-loop"),
        ("many files", &many, "", "too-many-files"),
        ("a definition is itself", "$A=${A}\nx ${A}\ny", "", "endless-definition"),
        ("a definition grows fast", "$A=${A} and more\nx ${A}\ny", "", "endless-definition"),
        ("a definition grows", "$A=${A}b\nx ${A}\ny", "", "endless-definition"),
        ("a definition doubles", "$A=${A}${A}xxxxxxxxxx\nx ${A}\ny", "", "endless-definition"),
        ("two definitions are each other", "$A=${B}\n$B=${A}\nx $A", "", "endless-definition"),
        ("lines of a definition are itself", "$A=\\\nb\\\n$A\nx $A", "", "nested-too-deep"),
        ("a billion turns", "~SEQ(N, 1, 1000000000) a", "", "too-many-turns"),
        ("a billion turns in turns", "~SEQ(N, 60000) ~SEQ(M, 60000) @no a", "", "too-many-turns"),
        ("turns without a statement", "$B=\n~SEQ(N, 1, 1000000000) $B", "", "too-many-turns"),
        ("a condition in turns", "~SEQ(N, 1000000000) @no x", "", "too-many-turns"),
        ("repetitions in one line", &"~SEQ(N, 2)".repeat(90), "", "too-many-turns"),
    ];
    for (name, main, other, code) in rows {
        let (expanded, sources, problems) = expand_files(&[("/k/main.conf", main), ("/k/a.conf", other)]);
        assert!(codes(&problems).contains(&code), "{name}: {:?}", codes(&problems));
        assert!(text_of(&expanded, &sources).len() < 64 << 20, "{name}");
    }
    let files: Vec<(String, String)> =
        (0..300).map(|n| (format!("/k/{n}.conf"), format!("a{n}\ninclude {}.conf\n", n + 1))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert!(codes(&expand_files(&files).2).contains(&"nested-too-deep"));
    let rest = expand_files(&files[300 - DEPTH_MAX..]);
    assert_eq!(
        (lines_of(rest).len(), codes(&expand_files(&files[301 - DEPTH_MAX..]).2)),
        (DEPTH_MAX, vec!["include-failed"])
    );
    let long = format!("a {}\nb", "x".repeat(LINE_BYTES_MAX - 2));
    assert_eq!(lines_of(expand_text(&long)).len(), 2);
    assert_eq!(codes(&expand_text(&format!("a{long}")).2), ["line-too-long"]);
    assert_eq!(lines_of(expand_text(&format!("a{long}"))), ["b"]);
}

#[test]
fn a_random_number_is_in_its_range_and_follows_its_seed() {
    let text = "random_seed 7\n".to_owned() + &"x ${_RANDOM 1 6}\ny $_RANDOM\n".repeat(200);
    let first = lines_of(expand_text(&text));
    let second = lines_of(expand_text(&format!("$A=1\nz ${{_RANDOM}}\n{text}")));
    assert_eq!(first, second[1..]);
    let mut seen = std::collections::BTreeSet::new();
    for line in first {
        if let Some(value) = line.strip_prefix("x ") {
            seen.insert(value.to_owned());
        } else if let Some(value) = line.strip_prefix("y ") {
            assert!(value.parse::<u32>().unwrap() <= 32_767);
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["1", "2", "3", "4", "5", "6"]);
}

#[test]
fn what_repetitions_make_is_bounded() {
    let line = Line::substituted(Span::default(), &"x".repeat(1 << 20));
    let mut expanded = Expanded::default();
    let mut lines = 0;
    while !expanded.is_full_for(&line, true) {
        expanded.push_line(&line, true);
        lines += 1;
    }
    assert_eq!(lines, (REPEATED_BYTES_MAX >> 20) - 1);
    assert!(!expanded.is_full_for(&line, false));
    let text = format!("$L=\\\na\\\nb\\\n\n~SEQ(N, 1, {}) $L", REPEATED_LINES_MAX / 2 + 1);
    assert_eq!(codes(&expand_text(&text).2), ["too-long"]);
}
