//! The name of a network interface.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Name of a network interface: 1 to 15 bytes, no `/`, no blank (`dev_valid_name`, `net/core/dev.c`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IfName(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{got}` is not an interface name: 1 to 15 bytes without `/`, `:` and blanks")]
pub struct IfNameError {
    pub got: String,
}

impl IfName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IfName {
    type Err = IfNameError;
    fn from_str(name: &str) -> Result<Self, IfNameError> {
        let fits = (1..=15).contains(&name.len());
        let odd = name == "." || name == ".." || name.chars().any(|c| c == '/' || c == ':' || c.is_whitespace());
        if fits && !odd { Ok(Self(name.to_owned())) } else { Err(IfNameError { got: name.to_owned() }) }
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
        name.0
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
