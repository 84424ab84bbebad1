//! What is wrong with a configuration: where it stands, and what would be right.

use std::path::PathBuf;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file can be read and is not a configuration.
    #[error("{}:{line}:{column}: {}{message}", path.display(), field_prefix(field))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// The field, such as `model_args.codex[1]`; empty when the document itself is broken.
        field: String,
        /// What is wrong, and what would be right.
        message: String,
    },
}

fn field_prefix(field: &str) -> String {
    if field.is_empty() {
        String::new()
    } else {
        format!("`{field}`: ")
    }
}

/// Serde's "unknown field `x`, expected one of `a`, `b`" with the nearest of those named.
pub(super) fn with_nearest_name(said: &str) -> String {
    let Some((head, expected)) = said.split_once(", expected ") else {
        return said.to_owned();
    };
    let quoted = |text: &str| -> Vec<String> {
        text.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    };
    if !head.starts_with("unknown ") {
        return said.to_owned();
    }
    let Some(unknown) = quoted(head).into_iter().next() else {
        return said.to_owned();
    };
    let distance = |name: &String| strsim::damerau_levenshtein(&unknown.to_lowercase(), name);
    match quoted(expected).into_iter().min_by_key(distance) {
        // Beyond half its letters a name is not a misspelling.
        Some(nearest) if distance(&nearest) * 2 <= nearest.chars().count() => {
            format!("{head}; did you mean `{nearest}`? (expected {expected})")
        }
        _ => said.to_owned(),
    }
}

/// Line and column of a top-level key, counted from 1.
pub(super) fn position_of(text: &str, key: &str) -> (usize, usize) {
    let before = text
        .find(&format!("\"{key}\""))
        .and_then(|offset| text.get(..offset))
        .unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}
