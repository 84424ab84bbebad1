//! Which tools made a component, according to itself.

use std::collections::BTreeMap;

use serde::Serialize;
use wasmparser::{KnownCustom, Parser, Payload};

/// An entry of a producers section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Producer {
    /// `component`, or which of the modules and components in it, in order, such as `module 1`.
    pub part: String,
    /// `language`, `processed-by` or `sdk`.
    pub field: String,
    /// Of the language or program.
    pub name: String,
    /// Its version, which may be empty.
    pub version: String,
}

/// What the producers sections say, each thing once.
pub fn producers(bytes: &[u8]) -> wasmparser::Result<Vec<Producer>> {
    let mut producers: Vec<Producer> = Vec::new();
    // The parts that are being read, the innermost last.
    let mut parts = vec!["component".to_owned()];
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    let mut nested = None;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } => nested = Some("module"),
            Payload::ComponentSection { .. } => nested = Some("component"),
            Payload::Version { .. } => {
                if let Some(kind) = nested.take() {
                    let count = counts.entry(kind).or_default();
                    *count += 1;
                    parts.push(format!("{kind} {count}"));
                }
            }
            Payload::End(_) => {
                parts.pop();
            }
            Payload::CustomSection(section) => {
                let KnownCustom::Producers(fields) = section.as_known() else {
                    continue;
                };
                let part = parts.last().cloned().unwrap_or_default();
                for field in fields {
                    let field = field?;
                    for value in field.values {
                        let value = value?;
                        producers.push(Producer {
                            part: part.clone(),
                            field: field.name.to_owned(),
                            name: value.name.to_owned(),
                            version: value.version.to_owned(),
                        });
                    }
                }
            }
            _ => {}
        }
    }
    Ok(producers)
}
