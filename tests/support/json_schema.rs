//! As much of JSON Schema as the published schemas use, and that of the Agent Client Protocol, and nothing else.
//!
//! `jsonschema` would bring thirty crates more, for a dozen keywords that are a page. The suite `json_schema` compares this
//! with ajv, where Node.js is there.

use regex_lite::Regex;
use serde_json::Value;

/// Where `value` is not what `schema` says, and how.
///
/// # Panics
/// When the schema uses a keyword that is not known here, or is broken.
#[must_use]
pub fn violations(value: &Value, schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = Check {
        root: schema,
        found: &mut found,
    };
    check.value(value, schema, "the value");
    found
}

struct Check<'a> {
    root: &'a Value,
    found: &'a mut Vec<String>,
}

impl Check<'_> {
    fn value(&mut self, value: &Value, schema: &Value, place: &str) {
        if let Some(allowed) = schema.as_bool() {
            self.require(allowed, place, "is not allowed here");
            return;
        }
        let keywords = schema.as_object().expect("a schema is an object");
        for (keyword, wanted) in keywords {
            match keyword.as_str() {
                "$ref" => {
                    let pointer = wanted.as_str().expect("a reference is a string");
                    let target = self.root.pointer(pointer.trim_start_matches('#'));
                    self.value(value, target.expect("a reference leads somewhere"), place);
                }
                "anyOf" | "oneOf" => {
                    let branches = wanted.as_array().expect("branches are an array");
                    let fitting = branches.iter().filter(|branch| self.fits(value, branch));
                    let fitting = fitting.count();
                    let right = fitting == 1 || (keyword == "anyOf" && fitting > 1);
                    let said = format!("fits {fitting} branches of {keyword}");
                    self.require(right, place, &said);
                }
                "allOf" => {
                    for schema in wanted.as_array().expect("schemas are an array") {
                        self.value(value, schema, place);
                    }
                }
                "not" => {
                    let fits = self.fits(value, wanted);
                    self.require(!fits, place, &format!("is {value}, and not {wanted}"));
                }
                "properties" => {
                    for (key, schema) in wanted.as_object().expect("properties are an object") {
                        if let Some(value) = value.get(key) {
                            self.value(value, schema, &format!("{place}.{key}"));
                        }
                    }
                }
                "additionalProperties" => {
                    let known = keywords.get("properties").and_then(Value::as_object);
                    for (key, value) in value.as_object().into_iter().flatten() {
                        if known.is_none_or(|known| !known.contains_key(key)) {
                            self.value(value, wanted, &format!("{place}.{key}"));
                        }
                    }
                }
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.value(item, wanted, &format!("{place}[{index}]"));
                    }
                }
                // Text for people, and the definitions that references lead to.
                "$schema" | "$id" | "$defs" | "title" | "description" | "default" | "format" => {}
                // Hints for programs that make code of it.
                "discriminator" => {}
                hint if hint.starts_with("x-") => {}
                _ => {
                    let fits = fits_keyword(value, keyword, wanted);
                    self.require(
                        fits,
                        place,
                        &format!("is {value}, against {keyword} {wanted}"),
                    );
                }
            }
        }
    }

    fn require(&mut self, right: bool, place: &str, otherwise: &str) {
        if !right {
            self.found.push(format!("{place} {otherwise}"));
        }
    }

    fn fits(&self, value: &Value, schema: &Value) -> bool {
        let mut found = Vec::new();
        let mut check = Check {
            root: self.root,
            found: &mut found,
        };
        check.value(value, schema, "");
        found.is_empty()
    }
}

/// The keywords that look at one value and at nothing else. One that is about another type is met.
fn fits_keyword(value: &Value, keyword: &str, wanted: &Value) -> bool {
    let count = || {
        let count = wanted.as_u64().expect("a count is a whole number");
        usize::try_from(count).expect("a count is small")
    };
    let bound = || wanted.as_f64().expect("a bound is a number");
    match keyword {
        "type" => {
            let found = match value {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::Number(number) if number.is_f64() => "number",
                Value::Number(_) => "integer",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
            };
            // A whole number is a number too.
            let is = |name: &Value| name == found || (found == "integer" && name == "number");
            wanted
                .as_array()
                .map_or_else(|| is(wanted), |types| types.iter().any(is))
        }
        "enum" => wanted
            .as_array()
            .expect("an enum is an array")
            .contains(value),
        "const" => value == wanted,
        "required" => {
            let keys = wanted.as_array().expect("the required keys are an array");
            let has = |key: &Value| {
                value
                    .get(key.as_str().expect("a key is a string"))
                    .is_some()
            };
            !value.is_object() || keys.iter().all(has)
        }
        "minimum" => value.as_f64().is_none_or(|number| number >= bound()),
        "maximum" => value.as_f64().is_none_or(|number| number <= bound()),
        "minLength" => value
            .as_str()
            .is_none_or(|text| text.chars().count() >= count()),
        "minItems" => value.as_array().is_none_or(|items| items.len() >= count()),
        "uniqueItems" => value.as_array().is_none_or(|items| {
            let mut earlier = items.iter().enumerate();
            !earlier.any(|(position, item)| items.iter().take(position).any(|other| other == item))
        }),
        "pattern" => {
            let pattern = wanted.as_str().expect("a pattern is a string");
            let pattern = Regex::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            value.as_str().is_none_or(|text| pattern.is_match(text))
        }
        _ => panic!("the keyword {keyword} is not known here"),
    }
}

/// Every keyword that is known here: a schema with it, a value that follows it, and one that does not. The suite
/// `json_schema` asks another validator about them.
pub const KEYWORDS: &[(&str, &str, &str)] = &[
    (r#"{"type": "integer"}"#, "1", "1.5"),
    (r#"{"type": ["null", "string"]}"#, "null", "1"),
    (r#"{"enum": ["a"]}"#, r#""a""#, r#""b""#),
    (r#"{"const": 1}"#, "1", "2"),
    (
        r#"{"type": "object", "required": ["a"]}"#,
        r#"{"a": 1}"#,
        "{}",
    ),
    (r#"{"type": "number", "minimum": 1}"#, "1", "0"),
    (r#"{"type": "number", "maximum": 1}"#, "1", "2"),
    (r#"{"type": "string", "minLength": 1}"#, r#""a""#, r#""""#),
    (r#"{"type": "array", "minItems": 1}"#, "[1]", "[]"),
    (
        r#"{"type": "array", "uniqueItems": true}"#,
        "[1, 2]",
        "[1, 1]",
    ),
    (
        r#"{"type": "string", "pattern": "^a+$"}"#,
        r#""aa""#,
        r#""ab""#,
    ),
    (
        r#"{"type": "array", "items": {"type": "string"}}"#,
        r#"["a"]"#,
        "[1]",
    ),
    (
        r#"{"type": "object", "properties": {"a": {"type": "string"}}}"#,
        r#"{"a": "", "b": 1}"#,
        r#"{"a": 1}"#,
    ),
    (
        r#"{"type": "object", "properties": {"a": {}}, "additionalProperties": false}"#,
        r#"{"a": 1}"#,
        r#"{"b": 1}"#,
    ),
    (
        r#"{"anyOf": [{"type": "null"}, {"type": "integer"}]}"#,
        "1",
        r#""1""#,
    ),
    (
        r#"{"allOf": [{"type": "integer"}, {"type": "integer", "minimum": 1}]}"#,
        "1",
        "0",
    ),
    (r#"{"not": {"const": 1}}"#, "2", "1"),
    (
        r#"{"oneOf": [{"type": "number", "minimum": 1}, {"type": "number", "minimum": 2}]}"#,
        "1",
        "2",
    ),
    (
        r##"{"$ref": "#/$defs/a", "$defs": {"a": {"const": 1}}}"##,
        "1",
        "2",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_keyword_refuses_something() {
        for (schema, right, wrong) in KEYWORDS {
            let [schema, right, wrong]: [Value; 3] =
                [schema, right, wrong].map(|text| serde_json::from_str(text).unwrap());
            assert_eq!(violations(&right, &schema), [] as [String; 0], "{schema}");
            assert_eq!(violations(&wrong, &schema).len(), 1, "{schema}");
        }
    }
}
