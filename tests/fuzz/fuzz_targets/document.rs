//! A document that is read in one pass is the one that serde_json reads. An input is the document.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plexum_openai_provider_guest::json::{Rule, document, reader};

fuzz_target!(|text: &str| {
    for rule in [Rule::DOCUMENT, Rule::NESTED, Rule::SMALL] {
        if let Some(read) = reader::read(text, rule) {
            assert_eq!(document::read(text, rule).ok(), Some(read));
        }
    }
});
