//! The way through the lines on which nothing is to be expanded: they are copied in one piece.

/// Bytes of a line without its end, at most: what keepalived's buffer holds. It also holds after substitution.
pub const LINE_BYTES_MAX: usize = 1023;

/// The next line that needs work, and what stands before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Where the lines end that are copied as they stand.
    pub(super) plain_end: usize,
    /// The line that needs work: from `plain_end` to here, with its line feed; equal at the end of the text.
    pub(super) line_end: usize,
}

const END: u8 = 1;
/// `# ! $ \` and NUL: a comment, a substitution, a continuation, a fault.
const WORK: u8 = 2;
const BRACE: u8 = 4;
/// `@ ~`: a condition or a repetition, where they begin a line or follow a brace.
const PREFIX: u8 = 8;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    classes[0x0a] = END;
    classes[0x23] = WORK;
    classes[0x21] = WORK;
    classes[0x24] = WORK;
    classes[0x5c] = WORK;
    classes[0x00] = WORK;
    classes[0x7b] = BRACE;
    classes[0x7d] = BRACE;
    classes[0x40] = PREFIX;
    classes[0x7e] = PREFIX;
    classes
};

/// Keywords that mean something while the text is expanded.
const KEYWORDS: [&[u8]; 2] = [b"include", b"random_seed"];

/// Walk over plain lines from `from`, which begins a line.
pub(super) fn run(text: &str, from: usize) -> Run {
    let mut start = from;
    loop {
        let rest = text.as_bytes().get(start..).unwrap_or_default();
        if rest.is_empty() {
            return Run { plain_end: start, line_end: start };
        }
        let mut seen = 0;
        let length = rest.iter().position(|&byte| {
            let class = CLASSES.get(usize::from(byte)).copied().unwrap_or(0);
            seen |= class;
            class == END
        });
        let line = rest.get(..length.unwrap_or(rest.len())).unwrap_or_default();
        let end = start + length.map_or(rest.len(), |length| length + 1);
        if needs_work(line, seen) {
            return Run { plain_end: start, line_end: end };
        }
        start = end;
    }
}

/// The next line alone.
pub(super) fn one(text: &str, from: usize) -> Run {
    let rest = text.get(from..).unwrap_or_default();
    Run { plain_end: from, line_end: from + rest.find('\n').map_or(rest.len(), |end| end + 1) }
}

fn needs_work(line: &[u8], seen: u8) -> bool {
    let begins = |line: &[u8]| KEYWORDS.iter().any(|keyword| line.starts_with(keyword));
    seen & (WORK | PREFIX) != 0
        || line.len() > LINE_BYTES_MAX
        || begins(line.trim_ascii_start())
        || (seen & BRACE != 0
            && line.split(|byte| matches!(byte, b'{' | b'}')).any(|part| begins(part.trim_ascii_start())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_are_walked_over() {
        let long = format!("{}\n", "x".repeat(LINE_BYTES_MAX + 1));
        let rows: [(&str, bool); 16] = [
            ("vrrp_instance A {", false),
            ("}", false),
            ("", false),
            ("script \"a b\"\r", false),
            ("notification_email_from a", false),
            ("interface x # c", true),
            ("a!b", true),
            ("a $b", true),
            ("a \\", true),
            ("  @a b", true),
            ("~SEQ(N, 2) x", true),
            ("include a", true),
            ("\tincludew a", true),
            ("group { include a", true),
            ("random_seed 5", true),
            ("a\0b", true),
        ];
        for (line, works) in rows {
            let text = format!("first\n{line}\nlast\n");
            let Run { plain_end, line_end } = run(&text, 0);
            assert_eq!(plain_end != text.len(), works, "{line}");
            let expected = if works { format!("{line}\n") } else { String::new() };
            assert_eq!(text.get(plain_end..line_end), Some(expected.as_str()), "{line}");
        }
        assert_eq!(run(&long, 0), Run { plain_end: 0, line_end: long.len() });
        let longest = "x".repeat(LINE_BYTES_MAX);
        assert_eq!(run(&longest, 0).plain_end, LINE_BYTES_MAX);
        assert_eq!(run("a\nb # c", 0), Run { plain_end: 2, line_end: 7 });
    }
}
