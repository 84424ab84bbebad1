//! The operator's `config.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::guest_limits::GuestLimits;

mod error;
mod limits;

pub use error::ConfigError;
use error::{position_of, with_nearest_name};
pub use limits::Limits;

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
        let invalid = |line, column: usize, field: String, message| ConfigError::Invalid {
            path: path.to_owned(),
            line,
            // The library counts a line that ends before it has begun as column 0.
            column: column.max(1),
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
        self.limits.check().map_err(|problem| ("limits", problem))?;
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
            ("", "/c.json:1:1: EOF while parsing a value"),
            ("{\n", "/c.json:2:1: EOF while parsing an object"),
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
