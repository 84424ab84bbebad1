//! Whether the table of faults is whole, and the tests that it names exist.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use regex_lite::Regex;

use super::ROOT;
use super::links::files;
use super::text::{outside_blocks, read};

/// The table.
const TEXT: &str = "tests/faults.md";

/// The letters of its rows, and how many there are of each.
const ROWS: [(char, usize); 6] = [
    ('F', 31),
    ('B', 19),
    ('U', 21),
    ('D', 28),
    ('H', 11),
    ('E', 10),
];

/// What a row without a test says, and why there is none.
const WITHOUT: &str = "No test:";

/// What is wrong with the table.
pub fn problems() -> Vec<String> {
    let text = read(TEXT);
    let name = Regex::new(r"`([^`]+)::([a-z0-9_]+)`").unwrap();
    let tests = Tests::new();
    let mut rows: Vec<String> = Vec::new();
    let mut problems = Vec::new();
    for (number, line) in outside_blocks(&text) {
        let Some(row) = line.strip_prefix("| ") else {
            continue;
        };
        let row_name = row.split(' ').next().unwrap_or_default();
        if row_name.len() < 2 || !row_name[1..].bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        rows.push(row_name.to_owned());
        let named: Vec<_> = name.captures_iter(row).collect();
        if named.is_empty() && !row.contains(WITHOUT) {
            problems.push(format!("{TEXT}:{number}: {row_name} names no test"));
        }
        for found in named {
            let (place, test) = (&found[1], &found[2]);
            if !tests.has(place, test) {
                problems.push(format!(
                    "{TEXT}:{number}: there is no test {test} in {place}"
                ));
            }
        }
    }
    let expected: Vec<String> = ROWS
        .iter()
        .flat_map(|(letter, count)| (1..=*count).map(move |number| format!("{letter}{number}")))
        .collect();
    if rows != expected {
        problems.push(format!("{TEXT}: its rows are {rows:?}"));
    }
    problems
}

/// The tests in the sources.
struct Tests {
    /// The source of each suite: a file, or the folder that its `main.rs` is in.
    suites: BTreeMap<String, String>,
}

impl Tests {
    fn new() -> Self {
        let manifest = read("tests/Cargo.toml");
        let target = Regex::new(r#"\[\[test\]\]\s+name = "([^"]+)"\s+path = "([^"]+)""#).unwrap();
        let suites = target.captures_iter(&manifest).map(|found| {
            let path = found[2].strip_suffix("main.rs").unwrap_or(&found[2]);
            (found[1].to_owned(), format!("tests/{path}"))
        });
        Tests {
            suites: suites.collect(),
        }
    }

    /// Whether a suite, or a file by its path from the root, has this test.
    fn has(&self, place: &str, test: &str) -> bool {
        let sources = self.suites.get(place).map_or(place, String::as_str);
        let function = format!("fn {test}(");
        files()
            .iter()
            .filter(|file| file.ends_with(".rs") && file.starts_with(sources))
            .any(|file| {
                let source = fs::read_to_string(Path::new(ROOT).join(file)).unwrap();
                let mut marked = false;
                source.lines().any(|line| {
                    let line = line.trim_start();
                    let found = marked && line.contains(&function);
                    // Between the attribute and the function stand at most other attributes and comments.
                    marked = line.starts_with("#[test]")
                        || line.starts_with("#[tokio::test")
                        || (marked && (line.starts_with('#') || line.starts_with("//")));
                    found
                })
            })
    }
}
