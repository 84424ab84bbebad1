//! The operator's `config.json`.
//!
//! New versions add fields to [`Config`], [`Limits`] and [`GuestLimits`]: end a literal of one with
//! `..Config::default()` and its like. They are not `#[non_exhaustive]`, which would forbid such literals elsewhere.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::guest_limits::GuestLimits;

pub(crate) mod document;
mod error;
mod fault;
mod file;
pub mod guest_limits;
pub(crate) mod key_path;
mod limits;
mod model;
pub(crate) mod nearest;
pub(crate) mod numbers;
mod reader;
mod rules;
#[cfg(feature = "schema")]
mod schema;
mod server;
mod sessions;
mod variable;

pub use error::{ConfigError, Mistake, Problem};
pub use limits::Limits;
pub use model::SupportedModel;
#[cfg(feature = "schema")]
pub use schema::schema;
pub use server::{ServerArguments, ServerLimits};
pub use sessions::{DatabaseUrl, PostgresSessions, Sessions};

/// The model that is on offer when nothing else is configured. It leaves the choice to
/// codex: a ChatGPT account may refuse any other.
pub const DEFAULT_MODEL: &str = "codex";

/// The operator's settings. Every field may be left out of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(title = "The configuration of plexum-openai-provider")
)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where editors find the schema of this file; has no effect.
    #[serde(rename = "$schema", skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The codex program, an absolute path. Without it, `codex` is looked for on PATH.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = schema::PATH)))]
    pub binary: Option<PathBuf>,
    /// Arguments given to codex on every call, after those of the model.
    #[cfg_attr(feature = "schema", schemars(extend("items" = schema::argument())))]
    pub extra_args: Vec<String>,
    /// The models on offer, the default one first.
    #[cfg_attr(feature = "schema", schemars(length(min = 1), extend("uniqueItems" = true)))]
    pub supported_models: Vec<SupportedModel>,
    /// The arguments that select each model. A model without an entry gets `--model <its name>`; the
    /// model `codex` gets nothing.
    #[cfg_attr(feature = "schema", schemars(extend("additionalProperties" = schema::arguments())))]
    pub model_args: BTreeMap<String, Vec<String>>,
    /// How to talk to codex. Without it, `exec`, and for `acp`, `app-server`.
    #[cfg_attr(feature = "schema", schemars(with = "Transport"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
    /// How long a codex that stays is kept. Only for the transport `app-server`.
    pub server: ServerLimits,
    /// How the prompt reaches `codex exec`.
    pub prompt: PromptTransport,
    /// What codex's own sandbox lets the model's tools do.
    pub sandbox: Sandbox,
    /// What to do when codex has lost the stored conversation.
    pub lost_session: LostSession,
    /// What becomes of a request's instructions and system messages.
    pub instructions: Instructions,
    /// What to do when these are not those that the conversation began with, which codex keeps.
    pub changed_instructions: ChangedInstructions,
    /// Whether codex may be started when the record cannot be written.
    pub record: RecordRule,
    /// Where conversations are kept.
    pub sessions: Sessions,
    /// How long things may take.
    pub limits: Limits,
    /// How much the component may use up and hand back.
    pub guest: GuestLimits,
    /// Environment variables that codex gets besides the usual ones: names, patterns with one star at an
    /// end, `*` for all, and `!` in front of what it must not get.
    #[cfg_attr(feature = "schema", schemars(inner(regex(pattern = schema::VARIABLE))))]
    pub env: Vec<String>,
    /// The SHA-256 of the only component to be run, in hexadecimal.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = schema::SHA256)))]
    pub component_sha256: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            schema: None,
            binary: None,
            extra_args: Vec::new(),
            supported_models: vec![SupportedModel::new(DEFAULT_MODEL)],
            model_args: BTreeMap::new(),
            transport: None,
            server: ServerLimits::default(),
            prompt: PromptTransport::default(),
            sandbox: Sandbox::default(),
            lost_session: LostSession::default(),
            instructions: Instructions::default(),
            changed_instructions: ChangedInstructions::default(),
            record: RecordRule::default(),
            sessions: Sessions::default(),
            limits: Limits::default(),
            guest: GuestLimits::default(),
            env: Vec::new(),
            component_sha256: None,
        }
    }
}

/// How to talk to codex.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Transport {
    /// A process of `codex exec` for each turn.
    #[default]
    Exec,
    /// One `codex app-server` for each conversation, which stays for its next turn and passes text on as it is written.
    AppServer,
}

/// How the prompt reaches `codex exec`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PromptTransport {
    /// As an argument where it fits one, else on standard input.
    #[default]
    Automatic,
    /// Always on standard input: arguments can be read by every user of the machine.
    Stdin,
}

/// What codex's own sandbox lets the model's tools do, by codex's names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LostSession {
    /// Begin a new one and give it the earlier messages of the request.
    #[default]
    Replay,
    /// Begin a new one.
    Fresh,
    /// End the turn with a failure.
    Fail,
}

/// What becomes of a request's instructions and system messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Instructions {
    /// Codex gets them as its developer instructions.
    #[default]
    Developer,
    /// Codex does not get them; a notice says so.
    Ignore,
}

/// What to do when the instructions are not those that the conversation began with. Codex keeps the first ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChangedInstructions {
    /// Go on; a notice says that the old ones still hold.
    #[default]
    Keep,
    /// Begin a new conversation, and give it the earlier messages of the request.
    Restart,
}

/// Whether codex may be started when the record cannot be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RecordRule {
    /// It may; a line that is lost is counted and logged.
    #[default]
    Optional,
    /// It may not, nor when no record is kept at all. Each start is written to the disk before it happens.
    Required,
}

impl Config {
    /// Checks the rules that types cannot express, for a configuration that was not read from a file.
    /// [`Config::parse`] has done this already.
    pub fn check(&self) -> Result<(), ConfigError> {
        let problems: Vec<_> = rules::broken(self).into_iter().map(Problem::from).collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(ConfigError::Unusable { problems })
        }
    }

    /// How to talk to codex.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport.unwrap_or_default()
    }

    /// The arguments that select a configured model.
    #[must_use]
    pub fn args_of(&self, model: &str) -> Vec<String> {
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
    use std::path::Path;

    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("/c.json"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_document_is_the_default() {
        assert_eq!(parse("{}").unwrap(), Config::default());
    }

    #[test]
    fn a_configuration_that_no_file_holds_is_checked_too() {
        let config = Config {
            binary: Some("codex".into()),
            supported_models: Vec::new(),
            ..Config::default()
        };
        let Err(ConfigError::Unusable { problems }) = config.check() else {
            panic!("it was taken");
        };
        let keys: Vec<_> = problems
            .iter()
            .map(|problem| problem.key.as_str())
            .collect();
        assert_eq!(keys, ["binary", "supported_models"]);
        assert_eq!(
            Config::default().check().map_err(|error| error.to_string()),
            Ok(())
        );
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
