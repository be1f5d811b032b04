//! The long text of each problem code: what it means, an example, the way out. The texts are in `explain/text.txt`.

use super::near::nearest;

const TEXTS: &str = include_str!("explain/text.txt");

/// The long text of a problem code, in lines; `None`: there is no such code.
pub fn explain(code: &str) -> Option<&'static str> {
    all().find_map(|(known, text)| (known == code).then_some(text))
}

/// The code that was meant by one that does not exist.
pub fn meant(code: &str) -> Option<&'static str> {
    nearest(code, all().map(|(known, _)| known))
}

/// Codes and texts.
fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    TEXTS.split("\n== ").skip(1).filter_map(|entry| entry.split_once('\n'))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the test reads the sources of the room")]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::config::keyword;

    /// Words with a hyphen in the sources that are neither codes nor keywords: a protocol of a rule.
    const OTHERS: [&str; 2] = ["ttl-propagate", "ipv6-icmp"];

    /// The code of the room without its tests and its keyword table.
    fn sources() -> Vec<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        // The one place outside that finds problems.
        let mut found = vec![fs::read_to_string(root.join("src/daemon/loading.rs")).unwrap()];
        let mut waiting: Vec<PathBuf> = vec![root.join("src/config")];
        while let Some(dir) = waiting.pop() {
            for path in fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()) {
                let name = path.file_name().unwrap().to_str().unwrap();
                if path.is_dir() {
                    if name != "tests" && name != "keyword" {
                        waiting.push(path);
                    }
                } else if path.extension().is_some_and(|end| end == "rs") && name != "tests.rs" && name != "explain.rs"
                {
                    let text = fs::read_to_string(&path).unwrap();
                    found.push(text.split("\nmod tests {").next().unwrap().to_owned());
                }
            }
        }
        found
    }

    /// `abc-def` in double quotes.
    fn codes(source: &str) -> impl Iterator<Item = &str> {
        source.split('"').filter(|word| {
            let parts: Vec<&str> = word.split('-').collect();
            let plain = |part: &&str| {
                !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            };
            parts.len() > 1 && parts.iter().all(plain) && !word.starts_with(|c: char| c.is_ascii_digit())
        })
    }

    #[test]
    fn every_code_of_the_room_has_a_text_and_every_text_a_code() {
        let sources = sources();
        let keywords: BTreeSet<&str> = keyword::all().map(|known| known.word).collect();
        let used: BTreeSet<&str> = sources
            .iter()
            .flat_map(|source| codes(source))
            .filter(|code| !keywords.contains(code) && !OTHERS.contains(code))
            .collect();
        let explained: Vec<&str> = all().map(|(code, _)| code).collect();
        let unique: BTreeSet<&str> = explained.iter().copied().collect();
        assert_eq!(unique.len(), explained.len(), "a code is explained twice");
        assert!(used.len() > 100, "the sources were not found");
        assert_eq!(used, unique);
    }

    #[test]
    fn a_text_is_found_and_a_slip_is_seen() {
        assert!(explain("duplicate-vrid").is_some_and(|text| text.contains("cannot be told apart")));
        assert!(all().all(|(_, text)| text.len() > 60 && text.lines().all(|line| line.chars().count() <= 132)));
        assert_eq!(explain("duplicate-vird"), None);
        assert_eq!(meant("duplicate-vird"), Some("duplicate-vrid"));
        assert_eq!(explain(""), None);
    }
}
