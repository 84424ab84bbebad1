//! A document is read in two ways, and either says the same.

use plexum_openai_provider_guest::json::{Rule, document, reader};
use proptest::prelude::*;

const SPACE: [&str; 5] = ["", "", "", " ", "\r\n\t "];

const LITERALS: [&str; 24] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "7",
    "-7",
    "999999999999999999",
    "-999999999999999999",
    "1000000000000000000",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "1.10",
    "-0.0",
    "1e400",
    "1E-2",
    "2e+2",
    "0.1e1",
    "[]",
    "{}",
    "01",
];

/// What strings are made of, as it is written.
const PIECES: [&str; 27] = [
    "a",
    "plain words, longer than sixteen bytes",
    "é",
    "\u{fe0f}",
    "🦀",
    "\u{2028}",
    "\u{7f}",
    "\\n",
    "\\\"",
    "\\\\",
    "\\/",
    "\\b\\f\\r\\t",
    "\\u0041",
    "\\u00E9",
    "\\u0000",
    "\\ud83e\\udd80",
    "\\uD83E\\uDD80",
    "\\ud83e",
    "\\udd80",
    "\\ud83e\\ud83e",
    "\\ud83e\\n",
    "\\u12",
    "\\u+123",
    "\\x",
    "\u{1f}",
    "\n",
    "{\"type\":\"x\"}",
];

/// Names that matter to a rule, and others.
const NAMES: [&str; 12] = [
    "arguments",
    "changes",
    "result",
    "items",
    "item",
    "params",
    "turn",
    "id",
    "type",
    "text",
    "ar\\u0067uments",
    "",
];

/// How often each is chosen: rarely what makes the whole no document.
fn piece() -> impl Strategy<Value = &'static str> + Clone {
    prop_oneof![
        20 => prop::sample::select(&PIECES[..17]),
        1 => prop::sample::select(&PIECES[..]),
    ]
}

fn string() -> impl Strategy<Value = String> + Clone {
    prop::collection::vec(piece(), 0..6).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn name() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        4 => prop::sample::select(&NAMES[..]).prop_map(|name| format!("\"{name}\"")),
        1 => string(),
    ]
}

fn space() -> impl Strategy<Value = &'static str> + Clone {
    prop::sample::select(&SPACE[..])
}

/// A document as text: nearly always one, with space anywhere, and with doubled names.
fn text() -> impl Strategy<Value = String> + Clone {
    let leaf = prop_oneof![
        3 => string(),
        20 => prop::sample::select(&LITERALS[..17]).prop_map(str::to_owned),
        1 => prop::sample::select(&LITERALS[..]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        let item = (space(), inner.clone(), space())
            .prop_map(|(before, item, after)| format!("{before}{item}{after}"));
        let member = (space(), name(), space(), item.clone())
            .prop_map(|(before, name, after, item)| format!("{before}{name}{after}:{item}"));
        prop_oneof![
            1 => prop::collection::vec(item, 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            2 => prop::collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

/// What one character may become.
const MARKS: [&str; 14] = [
    "", "\"", "\\", "{", "}", "[", "]", ",", ":", " ", "0", "-", ".", "u",
];

/// Puts marks in place of characters, or before them.
fn damaged(text: &str, damages: &[(prop::sample::Index, &str, bool)]) -> String {
    let mut characters: Vec<String> = text.chars().map(String::from).collect();
    for (at, mark, behind) in damages {
        if characters.is_empty() {
            break;
        }
        let at = at.get_mut(&mut characters);
        *at = if *behind {
            format!("{mark}{at}")
        } else {
            (*mark).to_owned()
        };
    }
    characters.concat()
}

/// What the one pass takes, serde_json takes, and makes the same of it. Returns whether it was taken.
fn agree(text: &str) -> bool {
    let mut taken = true;
    for rule in [Rule::DOCUMENT, Rule::NESTED, Rule::SMALL] {
        match reader::read(text, rule) {
            Some(read) => assert_eq!(document::read(text, rule).ok(), Some(read), "{text}"),
            None => taken = false,
        }
    }
    taken
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_document_that_is_read_in_one_pass_is_what_serde_json_makes_of_it(
        text in text(),
        damages in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::sample::select(&MARKS[..]), any::<bool>()),
            0..4,
        ),
    ) {
        agree(&text);
        agree(&damaged(&text, &damages));
    }

    #[test]
    fn a_text_is_written_as_serde_json_writes_it(text in string()) {
        if let Ok(said) = serde_json::from_str::<String>(&text) {
            let read = reader::read(&text, Rule::SMALL).unwrap();
            assert_eq!(read.to_json(), serde_json::to_string(&said).unwrap());
        }
    }

    #[test]
    fn a_document_that_is_written_is_read_as_the_same(text in text()) {
        if let Ok(read) = document::read(&text, Rule::SMALL) {
            assert_eq!(document::read(&read.to_json(), Rule::SMALL).unwrap(), read, "{text}");
        }
    }
}

#[test]
fn what_codex_prints_is_read_in_one_pass() {
    let outputs = super::transcripts()
        .into_iter()
        .chain(super::notifications());
    let mut lines = 0;
    for output in outputs {
        let output = String::from_utf8_lossy(&output).into_owned();
        for line in output.lines() {
            // What is no document is read again, and what is half a pair of surrogates too.
            if document::read(line, Rule::NESTED).is_ok() {
                assert!(agree(line), "{line}");
                lines += 1;
            }
        }
    }
    assert!(lines > 100, "{lines}");
}
