//! Which thread ids the host keeps for the component, whatever codex prints.
//!
//! An input is a first line with the id that is asked for, a second one with the id that the store held, and
//! a record for each process, with how many lines of it come at a time in front.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plexum_openai_provider::grant::known_threads::{KnownThreads, Opening};
use plexum_openai_provider_fuzz::fields::{RECORD, number, split};

fuzz_target!(|data: &[u8]| {
    let [asked, held, processes] = split(data, b'\n');
    let asked = String::from_utf8_lossy(asked);
    let held = String::from_utf8_lossy(held);

    let mut known = KnownThreads::new(Some(held.clone().into_owned()));
    let mut was_printed = false;
    for process in processes.split(|byte| *byte == RECORD) {
        let [at_a_time, output] = split(process, b' ');
        let output = String::from_utf8_lossy(output);
        let lines: Vec<&str> = output.split_inclusive('\n').collect();
        let mut opening = Opening::default();
        for batch in lines.chunks(number(at_a_time, 1).max(1)) {
            known.hear(opening.of(&batch.concat()));
        }
        // The first line that says one of these; if it is the second, no thread was named before the turn began.
        let mut lines = lines.iter();
        let first = lines.find(|line| {
            ["thread.started", "turn.started"]
                .iter()
                .any(|word| line.contains(word))
        });
        let naming = first.filter(|line| line.contains("thread.started"));
        if let Some(line) = naming.filter(|line| line.contains(&*asked)) {
            was_printed = true;
            // Codex's own line is short, and is always heard.
            if line.len() <= 1000 && is_uuid(&asked) {
                assert_eq!(known.check(&asked), Ok(()), "it was printed");
            }
        }
    }
    if known.check(&asked).is_ok() {
        assert!(is_uuid(&asked), "{asked:?} is not a thread id");
        assert!(asked == held || was_printed, "{asked:?} comes from nowhere");
    } else {
        assert!(
            asked != held || !is_uuid(&asked),
            "what was held is refused"
        );
    }
});

/// Written again, independently of the code that decides.
fn is_uuid(text: &str) -> bool {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    groups == [8, 4, 4, 4, 12] && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}
