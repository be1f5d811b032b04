//! Names that iproute2 gives to numbers: of routing tables, protocols, realms and types of service. What stands in its
//! files is read by `io/names.rs`; here is their format, and the names that need no file.

use std::collections::BTreeMap;

use crate::base::TABLE_MAIN;

/// Names that one file may hold; what comes later is not looked at.
const NAMES_MAX: usize = 4096;

const TABLES: [(&str, u32); 3] = [("main", TABLE_MAIN), ("local", 255), ("default", 253)];
/// `RTPROT_*` (`linux/rtnetlink.h`).
const PROTOCOLS: [(&str, u32); 17] = [
    ("redirect", 1),
    ("kernel", 2),
    ("boot", 3),
    ("static", 4),
    ("gated", 8),
    ("ra", 9),
    ("mrt", 10),
    ("zebra", 11),
    ("bird", 12),
    ("dhcp", 16),
    ("keepalived", 18),
    ("babel", 42),
    ("bgp", 186),
    ("isis", 187),
    ("ospf", 188),
    ("rip", 189),
    ("eigrp", 192),
];

/// What is known by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    pub tables: BTreeMap<String, u32>,
    pub protocols: BTreeMap<String, u32>,
    pub realms: BTreeMap<String, u32>,
    /// Types of service.
    pub services: BTreeMap<String, u32>,
}

impl Default for Names {
    /// What needs no file.
    fn default() -> Self {
        let known = |names: &[(&str, u32)]| names.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();
        Self {
            tables: known(&TABLES),
            protocols: known(&PROTOCOLS),
            realms: BTreeMap::new(),
            services: BTreeMap::new(),
        }
    }
}

/// Add the lines of a file: `NUMBER NAME`, the number decimal or hexadecimal with `0x`; comments begin with `#`. Other
/// lines are passed over, as ip(8) does. What was known by a name stays.
pub fn add(names: &mut BTreeMap<String, u32>, text: &str) {
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let (Some(number), Some(name)) = (words.next(), words.next()) else { continue };
        let number = match number.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => number.parse(),
        };
        if let Ok(number) = number
            && names.len() < NAMES_MAX
        {
            names.entry(name.to_owned()).or_insert(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_names_is_read_as_ip_reads_it() {
        let mut tables = Names::default().tables;
        add(&mut tables, "#\n# reserved\n255\tlocal\n  100 blue # the customer\n0x65\tred\n7\nx green\n9 main\n");
        let wanted = [("blue", 100), ("default", 253), ("local", 255), ("main", 254), ("red", 101)];
        assert_eq!(tables, wanted.map(|(name, number)| (name.to_owned(), number)).into());
    }
}
