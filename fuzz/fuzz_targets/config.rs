//! Bytes to a model: no panic, no hang, no memory without end, whatever stands in a keepalived.conf. Every problem can be
//! shown. Nothing is read from the disk but what the text includes, and the name of the text lies in an empty place.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vipd::config::io::loader::{LoadOptions, load_text};

/// The text of more problems is not made: it would take most of the time, and its parts are the same.
const SHOWN_MAX: usize = 1;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    // No line may open a file: what follows would depend on the machine.
    if text.contains("include") {
        return;
    }
    let options =
        LoadOptions { system: false, config_id: Some("lb1".to_owned()), seed: Some(1), ..LoadOptions::default() };
    let loaded = load_text("/nonexistent/keepalived.conf", &text, &options);
    for problem in loaded.problems.iter().take(SHOWN_MAX) {
        assert!(problem.render(&loaded.sources, false).contains(problem.code));
    }
});
