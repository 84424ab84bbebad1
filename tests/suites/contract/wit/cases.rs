//! `golden/contract-items.txt`: for each case that a provider may be given or may report, a test that has it, or the
//! output that one expects. Codex does not have all of them: those, a second provider shows.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use regex_lite::Regex;

use super::ROOT;
use super::packages::{Features, cases, packages};

const GOLDEN: &str = "tests/golden/contract-items.txt";

/// What stands before the test of a case that this component neither takes nor reports.
const UNUSED: &str = "codex does not use it: ";

/// A case, by the names of its type and of itself.
fn expected() -> Vec<(String, String)> {
    let (resolve, packages) = packages(Features::All);
    let package = &resolve.packages[packages["provider"]];
    let types = package
        .interfaces
        .values()
        .flat_map(|interface| &resolve.interfaces[*interface].types);
    types
        .flat_map(|(name, id)| {
            let cases = cases(&resolve.types[*id].kind).into_iter();
            cases.map(|(case, _)| (name.clone(), case.to_owned()))
        })
        .collect()
}

fn camel_case(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let (first, rest) = word.split_at(1);
        format!("{}{rest}", first.to_uppercase())
    });
    words.collect()
}

/// A case as Rust has it (`StopReason::EndTurn`, `Capabilities::TOOL_UPDATES`), or as a text has it, in quotes that may
/// be quoted themselves.
fn mentioned(type_name: &str, case: &str) -> Regex {
    let type_name = match type_name {
        // The host has a list of them.
        "capabilities" => "Capabilit(ies|y)".to_owned(),
        _ => camel_case(type_name),
    };
    let snake_case = case.replace('-', "_");
    let constant = snake_case.to_uppercase();
    let camel_case = camel_case(case);
    let rust = format!(r"\b{type_name}::({camel_case}|{constant})\b");
    let text = format!(r#"["'`]({case}|{snake_case}|{camel_case})\\?["'`]"#);
    Regex::new(&format!("{rust}|{text}")).unwrap()
}

#[test]
fn every_case_of_the_contract_has_a_test() {
    let golden = fs::read_to_string(Path::new(ROOT).join(GOLDEN)).unwrap();
    let lines = golden.lines().map(|line| line.split_once(": ").unwrap());
    let mut tests: BTreeMap<&str, &str> = lines.collect();
    assert_eq!(tests.len(), golden.lines().count(), "a case is there twice");
    let expected = expected();
    assert!(expected.len() > 80, "only {}", expected.len());

    let mut problems = Vec::new();
    for (type_name, case) in expected {
        let item = format!("{type_name}.{case}");
        let Some(test) = tests.remove(item.as_str()) else {
            problems.push(format!("{item} has no line"));
            continue;
        };
        let file = test.strip_prefix(UNUSED).unwrap_or(test);
        match fs::read_to_string(Path::new(ROOT).join(file)) {
            Err(error) => problems.push(format!("{item}: {file}: {error}")),
            Ok(text) if !mentioned(&type_name, &case).is_match(&text) => {
                problems.push(format!("{item}: {file} does not mention it"));
            }
            Ok(_) => {}
        }
    }
    let gone = tests.into_keys();
    problems.extend(gone.map(|item| format!("{item} is not in the contract")));
    assert!(problems.is_empty(), "{GOLDEN}:\n{}", problems.join("\n"));
}

#[test]
fn a_case_is_mentioned_as_rust_or_json_has_it() {
    for (text, found) in [
        ("Event::TextDelta { .. }", true),
        (r#"{"type":"text_delta"}"#, true),
        (r#""{\"type\":\"text_delta\"}""#, true),
        ("type: 'text-delta'", true),
        ("Other::TextDelta", false),
        ("Event::TextDeltas", false),
        ("let text_delta = 1;", false),
    ] {
        assert_eq!(
            mentioned("event", "text-delta").is_match(text),
            found,
            "{text}"
        );
    }
    assert!(mentioned("input-kinds", "image").is_match("InputKinds::IMAGE"));
}
