//! The operator's configuration, whatever its file holds.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use plexum_openai_provider::grant::environment::EnvironmentRule;
use plexum_openai_provider::grant::{Call, Grant};
use plexum_openai_provider::{Config, ConfigError};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let path = Path::new("/etc/plexum/config.json");
    match Config::parse(path, &text) {
        Ok(config) => {
            let written = serde_json::to_string_pretty(&config).expect("text");
            let read = Config::parse(path, &written);
            assert_eq!(read.as_ref().ok(), Some(&config), "{read:?} of {written}");
            // What is accepted can be used: no argument of any model is one that codex cannot be given.
            let grant = Grant::new(&config);
            assert_eq!(grant.models().len(), config.supported_models.len());
            assert!(grant.check(&[], &Call::default()).is_err());
            let environment = EnvironmentRule::new(&config.env);
            assert!(environment.allows("PATH") || !environment.denied().is_empty());
        }
        Err(error) => {
            let said = error.to_string();
            assert!(
                said.starts_with("/etc/plexum/config.json:"),
                "no path in {said:?}"
            );
            let ConfigError::Invalid { mistakes, .. } = error else {
                panic!("nothing was read from a file: {said}");
            };
            assert!(!mistakes.is_empty());
            let lines: Vec<&str> = text.split('\n').collect();
            let mut before = (0, 0);
            for mistake in mistakes {
                let place = (mistake.line, mistake.column);
                assert!(before <= place, "{place:?} is told after {before:?}");
                before = place;
                assert!(!mistake.problem.message.is_empty());
                let line = lines.get(mistake.line.wrapping_sub(1));
                let line = line.unwrap_or_else(|| panic!("line {place:?} of {}", lines.len()));
                assert!(
                    (1..=line.chars().count() + 1).contains(&mistake.column),
                    "{place:?}: {line:?}"
                );
            }
        }
    }
});
