//! The name of a network interface.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Name of a network interface: 1 to 15 bytes, no `/`, no blank (`dev_valid_name`, `net/core/dev.c`).
///
/// There are a dozen for each virtual router: they stand in place, with zeros behind.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IfName([u8; LENGTH_MAX]);

/// `IFNAMSIZ` without its end (linux/if.h).
const LENGTH_MAX: usize = 15;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{got}` is not an interface name: 1 to 15 bytes without `/`, `:` and blanks")]
pub struct IfNameError {
    pub got: String,
}

impl IfName {
    pub fn as_str(&self) -> &str {
        let name = self.0.split(|byte| *byte == 0).next();
        name.and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default()
    }
}

impl FromStr for IfName {
    type Err = IfNameError;
    fn from_str(name: &str) -> Result<Self, IfNameError> {
        let refused = |c: char| matches!(c, '/' | ':' | '\0') || c.is_whitespace();
        let odd = name.is_empty() || name == "." || name == ".." || name.contains(refused);
        let mut bytes = [0; LENGTH_MAX];
        match bytes.get_mut(..name.len()) {
            Some(place) if !odd => place.copy_from_slice(name.as_bytes()),
            Some(_) | None => return Err(IfNameError { got: name.to_owned() }),
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for IfName {
    type Error = IfNameError;
    fn try_from(name: String) -> Result<Self, IfNameError> {
        name.parse()
    }
}

impl From<IfName> for String {
    fn from(name: IfName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Debug for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IfName").field(&self.as_str()).finish()
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_takes_for_a_name_is_one() {
        for name in ["lo", "eth0.100", "fifteen-letters", "br-ü"] {
            assert_eq!(name.parse::<IfName>().unwrap().as_str(), name);
        }
        for name in ["", ".", "..", "a/b", "a:1", "a b", "a\0", "sixteen-letters!", "a-name-with-an-ü"] {
            let refused = name.parse::<IfName>().unwrap_err();
            assert_eq!(refused.got, name);
        }
    }

    #[test]
    fn names_stand_in_the_order_of_their_letters() {
        let names = ["a", "a0", "ab", "b", "ü"].map(|name| name.parse::<IfName>().unwrap());
        assert!(names.is_sorted());
    }
}
