//! The configuration in force, kept for those who ask for it: packed text, a fiftieth of what the model takes.

use std::sync::Arc;

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec;

use super::loader::{LoadOptions, load_text};
use crate::config::model::Config;
use crate::config::show::show;

/// Of 0 to 10: 4 is three times as fast as 6, and a tenth larger.
const LEVEL: u8 = 4;

/// Canonical text, deflated. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Packed(Arc<[u8]>);

impl Packed {
    pub fn of(config: &Config) -> Self {
        Self(compress_to_vec(show(config).as_bytes(), LEVEL).into())
    }

    /// As `vipd config show` has it, with its passwords.
    pub fn text(&self) -> String {
        // What we packed is whole, and text.
        let text = decompress_to_vec(&self.0).unwrap_or_default();
        String::from_utf8(text).unwrap_or_default()
    }

    /// The model again: canonical text reads back as what was shown.
    pub fn config(&self) -> Config {
        let options = LoadOptions { system: false, ..LoadOptions::default() };
        load_text("configuration in force", &self.text(), &options).config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_comes_out_again_and_takes_little_room() {
        let block = |number: u16| {
            format!(
                "vrrp_instance VI_{number} {{\n    interface eth0\n    virtual_router_id {number}\n    virtual_ipaddress {{\n        \
                 192.0.2.{number}/24\n    }}\n}}\n"
            )
        };
        let text: String = (1..=100).map(block).collect();
        let options = LoadOptions { system: false, ..LoadOptions::default() };
        let config = load_text("a.conf", &text, &options).config;
        assert_eq!(config.instances.len(), 100);
        let packed = Packed::of(&config);
        assert_eq!(packed.config(), config);
        assert_eq!(packed.text(), show(&config));
        assert!(packed.0.len() * 4 < text.len(), "{} bytes of {}", packed.0.len(), text.len());
    }
}
