//! The published schemas in the eyes of ajv, a validator that others wrote; and whether the tests' own, which is a page
//! long, judges as it does.
#![allow(
    clippy::unwrap_used,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use plexum_openai_provider_tests::json_schema::{KEYWORDS, violations};
use plexum_openai_provider_tests::tool::serve_client;
use serde_json::{Value, json};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/suites/contract/ajv.js");
const SCHEMAS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../host-shim/schemas");

/// Whether each value follows its schema. None where the validator is missing, so that the test `name` is to be skipped.
fn ajv(name: &str, cases: &[(Value, Value)]) -> Option<Vec<bool>> {
    let mut node = serve_client(name)?;
    let mut child = node
        .arg(SCRIPT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It reads everything before it writes.
    let mut stdin = child.stdin.take().unwrap();
    for (schema, value) in cases {
        writeln!(stdin, "{}", json!({ "schema": schema, "value": value })).unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    Some(stdout.lines().map(|line| line.parse().unwrap()).collect())
}

#[test]
fn every_published_schema_is_strictly_right_and_refuses_null() {
    let cases: Vec<(Value, Value)> = fs::read_dir(Path::new(SCHEMAS))
        .unwrap()
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
        .map(|text| serde_json::from_str(&text).unwrap())
        .map(|schema| (schema, Value::Null))
        .collect();
    assert!(cases.len() > 3, "{}", cases.len());
    let name = "every_published_schema_is_strictly_right_and_refuses_null";
    let Some(fits) = ajv(name, &cases) else {
        return;
    };
    assert_eq!(fits, vec![false; cases.len()]);
}

#[test]
fn the_checker_of_the_tests_judges_as_ajv_does() {
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let mut cases = Vec::new();
    for (schema, right, wrong) in KEYWORDS {
        cases.push((parse(schema), parse(right)));
        cases.push((parse(schema), parse(wrong)));
    }
    let Some(fits) = ajv("the_checker_of_the_tests_judges_as_ajv_does", &cases) else {
        return;
    };
    assert_eq!(fits.len(), cases.len());
    for ((schema, value), fits) in cases.iter().zip(fits) {
        assert_eq!(
            violations(value, schema).is_empty(),
            fits,
            "{schema} {value}"
        );
    }
}
