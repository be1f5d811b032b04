//! Trees of texts, and laws that hold for any text.

use super::*;
use crate::config::expand::tests::{expand_text, text_of};
use crate::config::source::Sources;
use proptest::prelude::*;

/// All statements.
pub(in crate::config) fn tree<'a>(expanded: &'a Expanded, sources: &'a Sources, problems: &mut Problems) -> Block<'a> {
    let mut statements = vec![];
    parse(expanded, sources, problems, &mut |statement| statements.push(statement));
    Block { statements, unbraced: false }
}

/// The tree in one line, blocks without their braces in round ones, and the codes of the problems.
pub(super) fn read(text: &str) -> (String, Vec<&'static str>) {
    let (expanded, sources, mut found) = expand_text(text);
    let mut problems = Problems::default();
    let tree = tree(&expanded, &sources, &mut problems);
    found.extend(problems.finish());
    (shown(&tree), found.iter().map(|problem| problem.code).collect())
}

fn shown(block: &Block) -> String {
    let statements = block.statements.iter().map(|statement| {
        let words = std::iter::once(&statement.keyword).chain(statement.args.iter());
        let words: Vec<_> =
            words.map(|word| if word.quoted { format!("<{}>", word.text) } else { word.text.into() }).collect();
        let inner = statement.block.as_ref().map_or_else(String::new, |block| {
            let (open, close) = if block.unbraced { ('(', ')') } else { ('[', ']') };
            format!("{open}{}{close}", shown(block))
        });
        words.join(" ") + &inner
    });
    statements.collect::<Vec<_>>().join("; ")
}

#[test]
fn statements_and_blocks() {
    let rows: [(&str, &str, &[&str]); 27] = [
        ("a 1 2\nb\n", "a 1 2; b", &[]),
        ("a 1 ; b\n", "a 1 ; b", &[]),
        ("v A{ b 1\n}", "v A[b 1]", &[]),
        ("v A {\n b {\n c }\n}\nd", "v A[b[c]]; d", &[]),
        ("v A\n\n# c\n{\nb\n}", "v A[b]", &[]),
        ("v { 192.0.2.1/24 }", "v[192.0.2.1/24]", &[]),
        ("v { a 1 b 2 }", "v[a 1 b 2]", &[]),
        ("v{a{b}c}d", "v[a[b]; c]; d", &[]),
        ("v {}", "v[]", &[]),
        ("v \"A B\" {\n}", "v <A B>[]", &[]),
        ("state MAS\"TER\"", "state MAS <TER>", &[]),
        ("a 'b c'", "a 'b c'", &[]),
        ("a \"{}\" b", "a <{}> b", &[]),
        ("a /bin/x{1,2}", "a /bin/x[1,2]", &[]),
        ("a 1 \"b c", "a 1", &["unclosed-quote"]),
        ("script 'a \" b'", "script 'a < b'>", &["unclosed-quote"]),
        ("script \"a", "script <a>", &["unclosed-quote"]),
        ("regex a\\\"b", "regex a\\ <b>", &["unclosed-quote"]),
        ("a }\nb", "a; b", &["surplus-brace"]),
        ("}\n}\na", "a", &["surplus-brace", "surplus-brace"]),
        ("a {\nb {", "a[b[]]", &["missing-brace"]),
        ("{\na\n}\nb", "a; b", &["stray-brace", "surplus-brace"]),
        ("a {\n} {\nb\n}\nc", "a[]; b; c", &["stray-brace", "surplus-brace"]),
        ("a {\n{\nb\n}\n}", "a[b]", &["stray-brace", "surplus-brace"]),
        ("{\n  \"v\": {\"name\": \"A\"}\n}", "<v> :[<name> : <A>]", &["stray-brace", "surplus-brace"]),
        ("a ${B}\nc", "a ${B}; c", &["undefined-name"]),
        ("a <<<\nb", "a <<<; b", &[]),
    ];
    for (text, tree, problems) in rows {
        let (found, codes) = read(text);
        assert_eq!(found, tree, "{text}");
        assert_eq!(codes, problems, "{text}");
    }
}

#[test]
fn the_rest_of_the_line_is_kept_as_it_was_written() {
    let rows = [
        ("script \"/opt/chk.sh 'a b' c\" # d", "\"/opt/chk.sh 'a b' c\""),
        ("notify 'a  b'\tc  d", "'a  b'\tc  d"),
        ("\"notify\"  a b", "a b"),
        ("script a b { c", "a b"),
        ("script", ""),
    ];
    for (text, rest) in rows {
        let (expanded, sources, _) = expand_text(text);
        assert_eq!(tree(&expanded, &sources, &mut Problems::default()).statements[0].rest, rest, "{text}");
    }
}

#[test]
fn blocks_are_nested_no_deeper_than_the_limit() {
    let deep = "a {\n".repeat(100_000) + &"}\n".repeat(100_000) + "b";
    let (tree, codes) = read(&deep);
    assert_eq!(codes, ["nested-too-deep"]);
    assert_eq!(tree.matches('[').count(), BLOCK_DEPTH_MAX);
    assert!(tree.ends_with("; b"));
    assert_eq!(read(&"a {\n".repeat(500)).1, ["nested-too-deep", "missing-brace"]);
}

fn words<'a>(block: &Block<'a>) -> Vec<Word<'a>> {
    let inner = |statement: &Statement<'a>| {
        let own = std::iter::once(statement.keyword).chain(statement.args.iter().copied());
        own.chain(statement.block.as_ref().map(words).unwrap_or_default()).collect::<Vec<_>>()
    };
    block.statements.iter().flat_map(inner).collect()
}

fn at<'a>(sources: &'a Sources, word: &Word) -> &'a str {
    sources.text(word.at.source).get(Sources::range(word.at)).unwrap()
}

#[test]
fn a_word_of_a_substitution_has_the_place_of_the_use() {
    let text = "$N=192.0\n$M=\\\nx 1\\\ny\n@lb1 a ${N}.2.1/24 b # c\n$M\n~SEQ(I, 1) z$I w\n";
    let (expanded, sources, _) = expand_text(text);
    let tree = tree(&expanded, &sources, &mut Problems::default());
    let places: Vec<_> = words(&tree).iter().map(|word| (word.text, at(&sources, word))).collect();
    let expected = [
        ("a", "a"),
        ("192.0.2.1/24", "${N}.2.1/24"),
        ("b", "b"),
        ("x", "$M"),
        ("1", "$M"),
        ("y", "$M"),
        ("z1", "z$I"),
        ("w", "w"),
    ];
    assert_eq!(places, expected);
}

fn soup() -> impl Strategy<Value = String> {
    let words = vec![
        "{",
        "}",
        "\"",
        "'",
        "\n",
        "\n",
        "\n",
        " ",
        " ",
        "#",
        "!",
        "\\",
        "$",
        "$A",
        "${A}",
        "$A=",
        "${B}",
        "$B=",
        "@lb1 ",
        "@^lb1 ",
        "~SEQ(A, 1, 3) ",
        "~SEQx(B, 9) ",
        "~LST({A, B}, {a,b}, c) ",
        "include main.conf",
        "include *.x",
        "vrrp_instance",
        "virtual_ipaddress",
        "priority 100",
        "192.0.2.1/24",
        "é",
        "\u{feff}",
        "\0",
        "\r\n",
        "\t",
        "=",
        ",",
        "${_RANDOM 1 9}",
        "${_HASH}",
        "\\\n",
        "include_check ",
        "random_seed 3",
    ];
    proptest::collection::vec(proptest::sample::select(words), 0..60).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read(text in prop_oneof![soup(), any::<Vec<u8>>().prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())]) {
        let (expanded, sources, found) = expand_text(&text);
        let mut problems = Problems::default();
        let tree = tree(&expanded, &sources, &mut problems);
        prop_assert!(text_of(&expanded, &sources).len() <= (text.len() + 100) * 5000);
        for word in words(&tree) {
            prop_assert!(sources.text(word.at.source).get(Sources::range(word.at)).is_some(), "{word:?}");
        }
        for problem in found.iter().chain(&problems.finish()) {
            prop_assert!(problem.render(&sources, false).contains(problem.code));
        }
    }

    #[test]
    fn words_that_were_copied_stand_where_their_place_says(
        lines in proptest::collection::vec("[ \t]{0,2}[a-zé\"{}]{1,6}([ \t]{1,2}[a-zé0-9/.\"{}]{1,8}){0,3}( #[a-z\"]{0,4})?", 0..12)
    ) {
        let (expanded, sources, _) = expand_text(&lines.join("\n"));
        for word in words(&tree(&expanded, &sources, &mut Problems::default())) {
            let text = at(&sources, &word);
            prop_assert_eq!(text.trim_start_matches('"').trim(), word.text.trim());
        }
    }
}

#[test]
fn a_block_ends_at_its_limit_and_the_next_is_read() {
    for line in ["a\n".to_owned(), format!("a{}\n", " b".repeat(400))] {
        let text = format!("v {{\nw {{\n{}}}\n}}\nc {{\nd\n}}", line.repeat(WORDS_MAX / (line.len() / 2) + 1));
        let (expanded, sources, _) = expand_text(&text);
        let mut problems = Problems::default();
        let tree = tree(&expanded, &sources, &mut problems);
        let codes: Vec<_> = problems.finish().iter().map(|problem| (problem.code, problem.severity)).collect();
        assert_eq!(codes, [("block-too-long", Severity::Fatal)]);
        let [long, next] = &tree.statements[..] else { panic!("{} statements", tree.statements.len()) };
        assert!(words(&Block { statements: vec![long.clone()], unbraced: false }).len() <= WORDS_MAX);
        assert_eq!(shown(&Block { statements: vec![next.clone()], unbraced: false }), "c[d]");
    }
}
