//! The words by which a component asks that a part of the request is handed to codex.
//!
//! The component writes a word that stands for the part, and the host puts the part in its place. So whatever the
//! component makes of a request, codex gets what the request holds or nothing.

use toml_writer::{ToTomlValue, TomlStringBuilder};

use super::argument::MAX_ARGUMENT_BYTES;

/// A part of the request that a call may hand over, besides its images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestWord {
    /// Its instructions and system messages, as a setting of codex.
    Instructions,
    /// Its effort, as a setting of codex.
    Effort,
    /// Its output schema, as a file.
    OutputSchema,
}

/// Which of these parts a turn's request holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestWords {
    /// Whether it holds instructions that codex may be given.
    pub instructions: bool,
    /// Whether it holds an effort.
    pub effort: bool,
    /// Whether it holds an output schema.
    pub output_schema: bool,
}

impl RequestWords {
    /// All of them.
    pub const ALL: RequestWords = RequestWords {
        instructions: true,
        effort: true,
        output_schema: true,
    };

    /// Whether the request holds this part.
    #[must_use]
    pub fn holds(self, word: RequestWord) -> bool {
        match word {
            RequestWord::Instructions => self.instructions,
            RequestWord::Effort => self.effort,
            RequestWord::OutputSchema => self.output_schema,
        }
    }
}

impl RequestWord {
    /// All of them, in the order in which they stand in a call.
    pub const ALL: [RequestWord; 3] = [
        RequestWord::Instructions,
        RequestWord::Effort,
        RequestWord::OutputSchema,
    ];

    /// What the component writes: a flag, and the word that stands for the part.
    #[must_use]
    pub fn words(self) -> [&'static str; 2] {
        match self {
            RequestWord::Instructions => ["-c", "developer_instructions=request:instructions"],
            RequestWord::Effort => ["-c", "model_reasoning_effort=request:effort"],
            RequestWord::OutputSchema => ["--output-schema", "request:output-schema"],
        }
    }

    /// What codex gets in place of that word; for a schema, `value` is the path of its file.
    ///
    /// # Errors
    /// If it is longer than a program can be given.
    pub fn argument(self, value: &str) -> Result<String, TooLong> {
        let setting = |key: &str| {
            let quoted = TomlStringBuilder::new(value).as_ml_basic().to_toml_value();
            format!("{key}={quoted}")
        };
        let argument = match self {
            RequestWord::Instructions => setting("developer_instructions"),
            RequestWord::Effort => setting("model_reasoning_effort"),
            RequestWord::OutputSchema => value.to_owned(),
        };
        if argument.len() > MAX_ARGUMENT_BYTES {
            return Err(TooLong(argument.len()));
        }
        Ok(argument)
    }
}

/// A part of the request is longer than a program can be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a part of the request takes {0} bytes as an argument, and a program can be given {MAX_ARGUMENT_BYTES}"
)]
pub struct TooLong(usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_program_can_be_given_is_refused() {
        let quoted = "developer_instructions=\"\"\"\"\"\"";
        let fits = "x".repeat(MAX_ARGUMENT_BYTES - quoted.len());
        assert!(RequestWord::Instructions.argument(&fits).is_ok());
        assert!(RequestWord::Instructions.argument(&(fits + "x")).is_err());
    }

    #[test]
    #[cfg(feature = "doctor")]
    fn a_setting_is_one_toml_string_whatever_it_holds() {
        for text in [
            "",
            "be kind",
            "line\nline\r\n\ttab\r",
            "\"quoted\" \"\"\"\"",
            "back\\slash \\u0041 \\",
            "\u{0}\u{1}\u{1b}\u{7f}\u{85}\u{2028}é",
            "\n\nbegins and ends\n",
            "'''",
            "request:effort",
        ] {
            let argument = RequestWord::Instructions.argument(text).unwrap();
            let read: toml::Table = argument.parse().unwrap();
            assert_eq!(read["developer_instructions"].as_str(), Some(text));
            assert_eq!(read.len(), 1);
        }
    }
}
