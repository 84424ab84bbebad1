//! What is wrong with a configuration: where, and what would be right.

use std::fmt;
use std::path::PathBuf;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {} cannot be read: {source}{}", path.display(), remedy(source))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file can be read and is not a configuration. Shown as one mistake a line.
    #[error("{}", lines(mistakes.iter().map(|mistake| format!("{}:{mistake}", path.display()))))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong with it, in the order of the file; never empty. A file that is not JSON has one.
        mistakes: Vec<Mistake>,
    },
    /// A configuration that did not come from a file is not valid.
    #[error("the configuration is wrong: {}", lines(problems.iter().map(Problem::to_string)))]
    Unusable {
        /// Everything that is wrong with it; never empty.
        problems: Vec<Problem>,
    },
}

/// A mistake in a file. Shown as `2:13: ` and the problem.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mistake {
    /// The line, counted from 1.
    pub line: usize,
    /// The character in the line, counted from 1.
    pub column: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with one setting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The key, such as `model_args.codex[1]`; empty when the whole document is meant.
    pub key: String,
    /// What is wrong, what would be right, and the nearest key or value if one is near.
    pub message: String,
}

impl Mistake {
    /// A mistake at an offset in bytes.
    pub(super) fn at(text: &str, offset: usize, problem: Problem) -> Self {
        let before = text
            .get(..text.floor_char_boundary(offset))
            .unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.get(line_start..).unwrap_or_default();
        Mistake {
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
            problem,
        }
    }

    /// A mistake that is none of a setting, but of the text.
    pub(super) fn of_document(text: &str, offset: usize, message: String) -> Self {
        let problem = Problem {
            key: String::new(),
            message,
        };
        Self::at(text, offset, problem)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.problem)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "`{}`: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}

fn remedy(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::IsADirectory => ": name a file",
        std::io::ErrorKind::PermissionDenied => {
            ": let this user read it, and every folder on the way to it be entered"
        }
        std::io::ErrorKind::NotFound => ": name a file that exists, or name none for the usual one",
        _ => "",
    }
}
