//! The operator's `config.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::guest_limits::GuestLimits;

/// The model that is on offer when nothing else is configured. It leaves the choice to
/// codex: a ChatGPT account takes no other.
pub const DEFAULT_MODEL: &str = "codex";

/// The operator's settings. Every field may be left out of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where editors find the schema of this file; has no effect.
    #[serde(rename = "$schema", skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The codex program, an absolute path. Without it, `codex` is looked for on PATH.
    pub binary: Option<PathBuf>,
    /// Arguments given to codex on every call, after those of the model.
    pub extra_args: Vec<String>,
    /// The models on offer, the default one first.
    pub supported_models: Vec<String>,
    /// How codex is told to use a model. A model without an entry gets `--model <its name>`; the
    /// model `codex` gets nothing.
    pub model_args: BTreeMap<String, Vec<String>>,
    /// How the prompt reaches codex.
    pub prompt: PromptTransport,
    /// What codex's own sandbox lets the model's tools do.
    pub sandbox: Sandbox,
    /// What to do when codex has lost the stored conversation.
    pub lost_session: LostSession,
    /// How long things may take.
    pub limits: Limits,
    /// How much the component may use up and hand back.
    pub guest: GuestLimits,
    /// Environment variables that codex gets besides the usual ones: names, patterns with one star at an
    /// end, `*` for all, and `!` in front of what it must not get.
    pub env: Vec<String>,
    /// The SHA-256 of the only component to be run, in hexadecimal.
    pub component_sha256: Option<String>,
}

/// How long things may take, each in whole seconds, 1 to a year.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Until codex prints its first line.
    pub start_seconds: u32,
    /// Without a line while the model works. It prints nothing while it thinks, so this is long.
    pub idle_seconds: u32,
    /// Without a line while a tool runs.
    pub tool_idle_seconds: u32,
    /// The whole turn.
    pub turn_seconds: u32,
    /// Until a turn gives up waiting for another one in the same workspace.
    pub busy_seconds: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            start_seconds: 60,
            idle_seconds: 30 * 60,
            tool_idle_seconds: 2 * 60 * 60,
            turn_seconds: 6 * 60 * 60,
            busy_seconds: 30,
        }
    }
}

const YEAR_SECONDS: u32 = 365 * 24 * 60 * 60;

impl Limits {
    pub(crate) fn start(&self) -> Duration {
        Duration::from_secs(self.start_seconds.into())
    }

    pub(crate) fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_seconds.into())
    }

    pub(crate) fn tool_idle(&self) -> Duration {
        Duration::from_secs(self.tool_idle_seconds.into())
    }

    pub(crate) fn turn(&self) -> Duration {
        Duration::from_secs(self.turn_seconds.into())
    }

    pub(crate) fn busy(&self) -> Duration {
        Duration::from_secs(self.busy_seconds.into())
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            schema: None,
            binary: None,
            extra_args: Vec::new(),
            supported_models: vec![DEFAULT_MODEL.to_owned()],
            model_args: BTreeMap::new(),
            prompt: PromptTransport::default(),
            sandbox: Sandbox::default(),
            lost_session: LostSession::default(),
            limits: Limits::default(),
            guest: GuestLimits::default(),
            env: Vec::new(),
            component_sha256: None,
        }
    }
}

/// How the prompt reaches codex.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptTransport {
    /// As an argument where it fits one, else on standard input.
    #[default]
    Automatic,
    /// Always on standard input: arguments can be read by every user of the machine.
    Stdin,
}

/// What codex's own sandbox lets the model's tools do, by codex's names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sandbox {
    /// No sandbox: tools may do what the user may.
    #[default]
    DangerFullAccess,
    /// Tools may write inside the workspace.
    WorkspaceWrite,
    /// Tools may only read.
    ReadOnly,
}

/// What to do when codex has lost the stored conversation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostSession {
    /// Begin a new one and tell it the earlier messages of the request.
    #[default]
    Replay,
    /// Begin a new one.
    Fresh,
    /// End the turn with a failure.
    Fail,
}

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

impl Config {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &text)
    }

    /// Reads the operator's file at its usual place, `~/.plexum/plugins/plexum-openai-provider/config.json`,
    /// or takes the defaults where there is none.
    pub fn read_default() -> Result<Self, ConfigError> {
        match default_path() {
            Some(path) if path.exists() => Self::read(&path),
            _ => Ok(Config::default()),
        }
    }

    /// Reads and checks the text of a file; `path` is only for the errors.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let invalid = |line, column, field: String, message| ConfigError::Invalid {
            path: path.to_owned(),
            line,
            column,
            field,
            message,
        };
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let config: Config =
            serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
                let field = error.path().to_string();
                let error = error.into_inner();
                let (line, column) = (error.line(), error.column());
                let said = error.to_string();
                let said = said
                    .strip_suffix(&format!(" at line {line} column {column}"))
                    .unwrap_or(&said);
                // How the library says that it was at no field.
                let field = if matches!(field.as_str(), "." | "?") {
                    String::new()
                } else {
                    field
                };
                invalid(line, column, field, with_nearest_name(said))
            })?;
        deserializer.end().map_err(|error| {
            invalid(
                error.line(),
                error.column(),
                String::new(),
                "there is text behind the end of the document: remove it".into(),
            )
        })?;
        config.check().map_err(|(field, message)| {
            let (line, column) = position_of(text, field);
            invalid(line, column, field.to_owned(), message)
        })?;
        Ok(config)
    }

    /// What a type cannot say: the field and what is wrong with it.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        if let Some(binary) = &self.binary
            && !binary.is_absolute()
        {
            return Err((
                "binary",
                format!(
                    "`{}` is not an absolute path; under systemd there is no shell to complete it: write what `command -v codex` prints",
                    binary.display()
                ),
            ));
        }
        if self.supported_models.is_empty() {
            return Err((
                "supported_models",
                format!(
                    "is empty: name at least one model, or leave it out for [\"{DEFAULT_MODEL}\"]"
                ),
            ));
        }
        let mut seen = std::collections::BTreeSet::new();
        for model in &self.supported_models {
            if model.trim().is_empty() || !seen.insert(model) {
                return Err((
                    "supported_models",
                    format!("`{model}` is empty or there twice: name each model once"),
                ));
            }
        }
        if let Some(model) = self
            .model_args
            .keys()
            .find(|model| !self.supported_models.contains(model))
        {
            return Err((
                "model_args",
                format!(
                    "`{model}` is not in `supported_models`, so nobody could select it: add it there, or remove it here"
                ),
            ));
        }
        let all_args = self.extra_args.iter().map(|arg| ("extra_args", arg));
        let all_args = all_args.chain(
            self.model_args
                .values()
                .flatten()
                .map(|arg| ("model_args", arg)),
        );
        for (field, arg) in all_args {
            if arg == "--" || arg.contains('\0') {
                return Err((
                    field,
                    format!(
                        "{arg:?} cannot be an argument here: `--` ends the options and stands before the prompt already, and NUL cannot be passed"
                    ),
                ));
            }
        }
        for entry in &self.env {
            crate::environment::check(entry).map_err(|problem| ("env", problem))?;
        }
        if let Some(digest) = &self.component_sha256
            && (digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()))
        {
            return Err(("component_sha256", "is no SHA-256 of 64 hexadecimal digits: write what `plexum-openai-provider audit` prints".into()));
        }
        self.guest.check().map_err(|problem| ("guest", problem))?;
        let limits = &self.limits;
        let seconds = [
            limits.start_seconds,
            limits.idle_seconds,
            limits.tool_idle_seconds,
            limits.turn_seconds,
            limits.busy_seconds,
        ];
        if seconds
            .iter()
            .any(|seconds| !(1..=YEAR_SECONDS).contains(seconds))
        {
            return Err((
                "limits",
                format!("each limit is a number of seconds from 1 to {YEAR_SECONDS}"),
            ));
        }
        Ok(())
    }

    /// The arguments that select a configured model.
    pub(crate) fn args_of(&self, model: &str) -> Vec<String> {
        match self.model_args.get(model) {
            Some(args) => args.clone(),
            None if model == DEFAULT_MODEL => Vec::new(),
            None => vec!["--model".to_owned(), model.to_owned()],
        }
    }
}

/// The operator's file, if there is a home folder to have it in.
pub fn default_path() -> Option<PathBuf> {
    let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty())?;
    Some(home.join(".plexum/plugins/plexum-openai-provider/config.json"))
}

/// Serde's "unknown field `x`, expected one of `a`, `b`" with the nearest of those named.
fn with_nearest_name(said: &str) -> String {
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
fn position_of(text: &str, key: &str) -> (usize, usize) {
    let before = text
        .find(&format!("\"{key}\""))
        .and_then(|offset| text.get(..offset))
        .unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("/c.json"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_document_is_the_default() {
        assert_eq!(parse("{}").unwrap(), Config::default());
    }

    #[test]
    fn mistakes_are_named_with_file_line_and_field() {
        for (text, expected) in [
            ("", "/c.json:1:0: EOF while parsing a value"),
            ("{", "/c.json:1:1: EOF while parsing an object"),
            (
                "{\n  \"binary\": 7\n}",
                "/c.json:2:13: `binary`: invalid type: integer `7`, expected path string",
            ),
            (
                "{\n \"binery\": \"/x\"}",
                "unknown field `binery`; did you mean `binary`?",
            ),
            (
                "{\"zzz\": 1}",
                "unknown field `zzz`, expected one of `$schema`, `binary`",
            ),
            (
                "{\"prompt\": \"stdn\"}",
                "unknown variant `stdn`; did you mean `stdin`?",
            ),
            (
                "{\"extra_args\": [\"a\", 7]}",
                "`extra_args[1]`: invalid type: integer `7`",
            ),
            (
                "{\n\n  \"binary\": \"codex\"}",
                "/c.json:3:3: `binary`: `codex` is not an absolute path",
            ),
            ("{\"supported_models\": []}", "`supported_models`: is empty"),
            (
                "{\"supported_models\": [\"a\", \"a\"]}",
                "`a` is empty or there twice",
            ),
            (
                "{\"model_args\": {\"x\": []}}",
                "`x` is not in `supported_models`",
            ),
            (
                "{\"extra_args\": [\"--\"]}",
                "`extra_args`: \"--\" cannot be an argument",
            ),
            (
                "{\"binary\": null, \"binary\": null}",
                "duplicate field `binary`",
            ),
            ("{} {}", "/c.json:1:4: there is text behind the end"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(
                error.contains(expected) && error.starts_with("/c.json:"),
                "{text}\n  {error}\n  {expected}"
            );
        }
    }

    #[test]
    fn a_declared_model_is_selected_by_its_name_unless_told_otherwise() {
        let config =
            parse(r#"{"supported_models":["codex","a","b"],"model_args":{"b":["-m","c"]}}"#)
                .unwrap();
        assert!(config.args_of("codex").is_empty());
        assert_eq!(config.args_of("a"), ["--model", "a"]);
        assert_eq!(config.args_of("b"), ["-m", "c"]);
    }

    #[test]
    fn what_is_written_is_read() {
        let config = Config {
            binary: Some("/bin/codex".into()),
            sandbox: Sandbox::ReadOnly,
            ..Config::default()
        };
        assert_eq!(
            parse(&serde_json::to_string(&config).unwrap()).unwrap(),
            config
        );
    }
}
