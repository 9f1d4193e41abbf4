//! Any text as a definition: refused with a sentence, or understood.
#![no_main]

use assay_features::Definition;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(refusal) = Definition::parse(text, "fuzzed.sql") {
        assert!(!refusal.to_string().is_empty());
    }
});
