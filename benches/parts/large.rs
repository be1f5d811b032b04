//! A large configuration: virtual servers of 4 real servers each, with a `TCP_CHECK`.

use std::fmt::Write as _;

pub fn generate(services: usize) -> String {
    let mut text = String::from("global_defs {\n    router_id bench\n}\n\n");
    for n in 0..services {
        let (high, low) = (n / 250, n % 250 + 1);
        writeln!(text, "virtual_server 10.1.{high}.{low} 80 {{\n    delay_loop 6\n    lb_algo wlc\n    lb_kind NAT")
            .unwrap();
        writeln!(text, "    protocol TCP\n    quorum 1\n").unwrap();
        for real in 1..=4 {
            writeln!(text, "    real_server 10.2.{high}.{real} 8080 {{\n        weight 1\n        TCP_CHECK {{")
                .unwrap();
            writeln!(text, "            connect_timeout 3\n            retry 2").unwrap();
            writeln!(text, "            delay_before_retry 1\n        }}\n    }}\n").unwrap();
        }
        text.push_str("}\n\n");
    }
    text
}
