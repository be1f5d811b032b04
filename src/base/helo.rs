//! The name that a client gives in SMTP's HELO.

use std::str::FromStr;

use serde::Serialize;

/// `helo_name`: one word of visible characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct HeloName(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{got}` is not a name for HELO: 1 to 255 visible ASCII characters")]
pub struct HeloNameError {
    pub got: String,
}

impl HeloName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HeloName {
    type Err = HeloNameError;
    fn from_str(text: &str) -> Result<Self, HeloNameError> {
        let good = (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if good { Ok(Self(text.to_owned())) } else { Err(HeloNameError { got: text.to_owned() }) }
    }
}

impl Default for HeloName {
    /// keepalived's.
    fn default() -> Self {
        Self("smtpchecker.keepalived.org".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helo_name_cannot_smuggle_a_command() {
        for text in ["", "a b", "a\r\nRSET", "\u{e4}"] {
            assert_eq!(text.parse::<HeloName>(), Err(HeloNameError { got: text.to_owned() }));
        }
    }
}
