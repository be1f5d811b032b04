//! Numbers of things in words.

use std::fmt;

/// So many of something, as "1 error" or "2 errors"; the noun takes an `s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub usize, pub &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, noun) = self;
        write!(f, "{count} {noun}{}", if *count == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::Count;

    #[test]
    fn one_is_singular() {
        let told = [0, 1, 2].map(|count| Count(count, "virtual router").to_string());
        assert_eq!(told, ["0 virtual routers", "1 virtual router", "2 virtual routers"]);
    }
}
