//! What is shown reads back as the same model.

pub mod random;

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use super::*;
use crate::config::io::loader::{LoadOptions, Loaded, load, load_text};
use crate::config::model::{CheckerKind, Global, VirtualServerId};
use crate::config::problem::{Problem, Severity};

fn options() -> LoadOptions {
    LoadOptions { system: false, config_id: Some("lb1".into()), ..LoadOptions::default() }
}

fn read(text: &str) -> Loaded {
    load_text("shown.conf", text, &options())
}

fn bad(loaded: &Loaded) -> Vec<&Problem> {
    let wrong = |problem: &&Problem| matches!(problem.severity, Severity::Fatal | Severity::Error);
    loaded.problems.iter().filter(wrong).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn a_random_model_reads_back_as_it_is(config in random::any_config()) {
        let text = show(&config);
        let back = read(&text);
        prop_assert!(bad(&back).is_empty(), "{:?}\n{text}", bad(&back));
        prop_assert!(back.config == config, "read back as:\n{}\nand it is:\n{text}", show(&back.config));
    }
}

#[test]
fn examples_and_the_corpus_read_back_as_they_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for dir in ["conf", "tests/corpus"] {
        for entry in fs::read_dir(root.join(dir)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "conf") {
                let first = load(&path, &options());
                let text = show(&first.config);
                assert_eq!(read(&text).config, first.config, "{}\n{text}", path.display());
                count += 1;
            }
        }
    }
    assert!(count >= 8, "{count} files");
}

#[test]
fn a_configuration_is_shown_expanded() {
    let text = "
$NET=192.0.2
global_defs { 
  vrrp_garp_master_refresh 60
}
vrrp_script chk { 
  script \"/bin/sh -c 'test -e \\\"/run/x y\\\"'\"
}
vrrp_instance VI_1 { 
  interface eth0
  virtual_router_id 51
  @lb1 priority 150
  @^lb1 priority 100
  virtual_ipaddress { 
    ~SEQ(N, 1, 3) ${NET}.${N}/24 dev eth1
  }
  track_script { 
    chk
  }
}
virtual_server_group web { 
  192.0.2.10-12 80
}
virtual_server group web { 
  lb_algo wrr
  lb_kind NAT
  protocol TCP
  real_server 10.0.0.1 8080 { 
    TCP_CHECK { 
    }
  }
}
";
    insta::assert_snapshot!(show(&read(text).config));
}

#[test]
fn random_models_have_everything() {
    let mut seen = [0_usize; 9];
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..300 {
        let config = random::any_config().new_tree(&mut runner).unwrap().current();
        let kinds =
            config.virtual_servers.iter().flat_map(|server| &server.real_servers).flat_map(|real| &real.checkers);
        let kinds: Vec<&CheckerKind> = kinds.map(|checker| &checker.kind).collect();
        let found = [
            config.global != Global::default(),
            !config.scripts.is_empty(),
            !config.sync_groups.is_empty(),
            config.instances.len() > 2,
            !config.virtual_server_groups.is_empty(),
            config.virtual_servers.iter().any(|server| matches!(server.id, VirtualServerId::Fwmark { .. })),
            config.virtual_servers.iter().any(|server| matches!(server.id, VirtualServerId::Group { .. })),
            kinds.iter().any(|kind| matches!(kind, CheckerKind::Http(_))),
            kinds.iter().any(|kind| matches!(kind, CheckerKind::Misc(_))),
        ];
        for (count, found) in seen.iter_mut().zip(found) {
            *count += usize::from(found);
        }
    }
    assert!(seen.iter().all(|count| *count > 15), "{seen:?}");
}
