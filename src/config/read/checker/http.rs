//! `HTTP_GET`, `SSL_GET` and their `url` blocks.

mod pattern;

use super::{RETRY_MAX, empty, incomplete, shared};
use crate::base::{PatternOptions, PatternPlace};
use crate::config::model::{Checker, CheckerKind, Header, HttpCheck, HttpVersion, HttpsCheck, Sni, Url};
use crate::config::problem::{Problem, Severity};
use crate::config::read::value::{choice, error, flag, number, set};
use crate::config::tree::{Statement, Word};

/// keepalived's limits of `status_code`.
const STATUS: std::ops::RangeInclusive<u16> = 100..=599;

/// `HTTP_GET`; `None` where no url is left.
pub fn read(block: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<Checker> {
    let Draft { checker, http, .. } = draft(block, problems)?;
    Some(Checker { kind: CheckerKind::Http(Box::new(http)), ..checker })
}

/// `SSL_GET`; `None` where no url is left.
pub fn read_tls(block: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<Checker> {
    let Draft { checker, http, sni_enabled, sni_name, compliant, reuse } = draft(block, problems)?;
    let sni = match sni_name {
        Some(name) => Sni::Name(name),
        None if sni_enabled => Sni::Virtualhost,
        None => Sni::Off,
    };
    Some(Checker { kind: CheckerKind::Https(Box::new(HttpsCheck { http, sni, compliant, reuse })), ..checker })
}

/// What both kinds may say; keepalived reads the words of TLS in `HTTP_GET` too.
struct Draft {
    checker: Checker,
    http: HttpCheck,
    sni_enabled: bool,
    sni_name: Option<String>,
    compliant: bool,
    reuse: bool,
}

fn draft(block: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<Draft> {
    let mut checker = empty(block, CheckerKind::Tcp);
    let mut http = HttpCheck::default();
    let (mut sni_enabled, mut sni_name, mut compliant, mut reuse) = (false, None, false, false);
    for inner in block.statements() {
        match inner.keyword.text {
            "url" => http.urls.extend(url(inner, problems)),
            "nb_get_retry" => checker.check.retry = number(problems, inner, 0, 0..=RETRY_MAX, ""),
            "virtualhost" => http.virtualhost = inner.arg(0).map(|word| word.text.to_owned()),
            "http_protocol" => set(&mut http.version, version(inner, problems)),
            "fast_recovery" => set(&mut http.fast_recovery, flag(problems, inner)),
            "enable_sni" => set(&mut sni_enabled, flag(problems, inner)),
            "sni_name" => {
                sni_enabled = true;
                sni_name = inner.arg(0).map(|word| word.text.to_owned());
            }
            "tls_compliant" => set(&mut compliant, flag(problems, inner)),
            "tls_session_reuse" => set(&mut reuse, flag(problems, inner)),
            "header" => http.headers.extend(header(inner, problems)),
            _ => {
                shared(inner, &mut checker, problems);
            }
        }
    }
    if http.urls.is_empty() {
        problems.push(incomplete(block, "url").help("add: url { path / }"));
        return None;
    }
    Some(Draft { checker, http, sni_enabled, sni_name, compliant, reuse })
}

fn version(inner: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<HttpVersion> {
    const VERSIONS: [(&str, HttpVersion); 6] = [
        ("1.0", HttpVersion::V1_0),
        ("1.0C", HttpVersion::V1_0WithHost),
        ("1.0c", HttpVersion::V1_0WithHost),
        ("1.1", HttpVersion::V1_1),
        ("1.1C", HttpVersion::V1_1),
        ("2", HttpVersion::V2),
    ];
    choice(problems, inner, 0, &VERSIONS)
}

fn url(block: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<Url> {
    let mut url = Url::default();
    let (mut regex, mut options, mut place) = (None, PatternOptions::default(), PatternPlace::default());
    for inner in block.statements() {
        match inner.keyword.text {
            "path" => {
                if let Some(path) = inner.arg(0) {
                    path.text.clone_into(&mut url.path);
                }
            }
            "digest" if url.digest.is_some() => {
                let problem = Problem::new("given-twice", Severity::Error, inner.at(), "there is a `digest` already");
                problems.push(problem.label("passed over").help("remove one of the two: the first one counts"));
            }
            "digest" => url.digest = inner.arg(0).and_then(|word| digest(word, problems)),
            "status_code" => url.status.extend(inner.args.iter().filter_map(|word| status(*word, problems))),
            "virtualhost" => url.virtualhost = inner.arg(0).map(|word| word.text.to_owned()),
            "tls_compliant" => url.compliant = flag(problems, inner),
            "header" => url.headers.extend(header(inner, problems)),
            "regex" => regex = pattern::regex(inner, problems),
            keyword => pattern::around(keyword, inner, &mut options, &mut place, problems),
        }
    }
    url.pattern = regex.and_then(|regex| regex.compile(options, place, problems));
    if url.path.is_empty() {
        let message = "the url has no path, and is left out";
        problems.push(
            Problem::new("url-without-path", Severity::Error, block.keyword.at, message)
                .label("left out")
                .help("add: path /"),
        );
        return None;
    }
    Some(url)
}

/// A name of RFC 9110's letters, and a value without control characters.
fn header(inner: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<Header> {
    let (name, value) = (inner.arg(0)?, inner.arg(1)?);
    let is_token = |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter);
    let wrong = if name.text.is_empty() || !name.text.chars().all(is_token) {
        Some((name, "the name of a header field is letters, digits and hyphens"))
    } else if value.text.chars().any(|letter| !matches!(letter, ' '..='~')) {
        Some((value, "the value of a header field is printable ASCII"))
    } else {
        None
    };
    if let Some((word, message)) = wrong {
        problems.push(error("bad-header", word, message).label("left out").help("as: header X-Probe yes"));
        return None;
    }
    Some(Header { name: name.text.to_owned(), value: value.text.to_owned() })
}

/// 32 hexadecimal digits.
fn digest(word: Word<'_>, problems: &mut Vec<Problem>) -> Option<[u8; 16]> {
    let nibble = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = [0; 16];
    let (pairs, odd) = word.text.as_bytes().as_chunks::<2>();
    let fits = pairs.len() == bytes.len() && odd.is_empty();
    let good = fits
        && bytes.iter_mut().zip(pairs).all(|(byte, [high, low])| match (nibble(high), nibble(low)) {
            (Some(high), Some(low)) => {
                *byte = high << 4 | low;
                true
            }
            _ => false,
        });
    if good {
        return Some(bytes);
    }
    let message =
        format!("the digest `{}` has {} characters, and it is 32 hexadecimal digits", word.text, word.text.len());
    problems.push(
        error("bad-digest", word, message)
            .label("not a digest")
            .help("it is the MD5 of the body: `curl -s URL | md5sum` tells it"),
    );
    None
}

/// `CODE` or `FIRST-LAST`.
fn status(word: Word<'_>, problems: &mut Vec<Problem>) -> Option<(u16, u16)> {
    let (first, last) = word.text.split_once('-').unwrap_or((word.text, word.text));
    let code = |text: &str| text.parse::<u16>().ok().filter(|code| STATUS.contains(code));
    if let (Some(first), Some(last)) = (code(first), code(last))
        && first <= last
    {
        return Some((first, last));
    }
    let message =
        format!("`{}` is no status code from {} to {}, and no range of them", word.text, STATUS.start(), STATUS.end());
    problems.push(error("bad-status-code", word, message).label("left out").help("as 200 or 200-299"));
    None
}
