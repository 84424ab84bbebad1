//! The rules of a configuration that types cannot express.

use std::collections::BTreeSet;

use super::key_path::KeyPath;
use super::nearest::did_you_mean;
use super::{Config, DEFAULT_MODEL, Problem, ServerArguments, Transport};
use crate::contract::effort::is_effort;

/// A rule that a setting breaks.
pub struct BrokenRule {
    /// The key.
    pub path: KeyPath,
    /// Whether it is about the key's name, and not about its value.
    pub about_key: bool,
    /// The other setting that it follows from: if that is wrong itself, this says nothing.
    pub follows_from: Option<KeyPath>,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl BrokenRule {
    fn new(path: KeyPath, message: impl Into<String>) -> Self {
        BrokenRule {
            path,
            about_key: false,
            follows_from: None,
            message: message.into(),
        }
    }
}

impl From<BrokenRule> for Problem {
    fn from(broken: BrokenRule) -> Self {
        Problem {
            key: broken.path.to_string(),
            message: broken.message,
        }
    }
}

/// Every rule that a configuration breaks.
pub fn broken(config: &Config) -> Vec<BrokenRule> {
    let mut found = Vec::new();
    binary(config, &mut found);
    models(config, &mut found);
    model_args(config, &mut found);
    let extra_args = top("extra_args");
    arguments(&extra_args, &config.extra_args, &mut found);
    for (index, entry) in config.env.iter().enumerate() {
        if let Err(problem) = super::variable::check(entry) {
            found.push(BrokenRule::new(top("env").index(index), problem));
        }
    }
    if let Some(digest) = &config.component_sha256
        && (digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()))
    {
        let message = "is not a SHA-256 of 64 hexadecimal digits: copy what `plexum-openai-provider audit` prints";
        found.push(BrokenRule::new(top("component_sha256"), message));
    }
    if config.transport() == Transport::AppServer {
        server_arguments(&extra_args, &config.extra_args, &mut found);
        for (model, args) in &config.model_args {
            server_arguments(&top("model_args").key(model), args, &mut found);
        }
    }
    let server = config.server.out_of_range();
    found.extend(server.map(|(key, message)| BrokenRule::new(top("server").key(key), message)));
    let limits = config.limits.out_of_range();
    found.extend(limits.map(|(key, message)| BrokenRule::new(top("limits").key(key), message)));
    if let Some(postgres) = &config.sessions.postgres {
        let path = top("sessions").key("postgres");
        let broken = postgres.broken(config);
        found.extend(
            broken
                .into_iter()
                .map(|(key, message)| BrokenRule::new(path.key(key), message)),
        );
    }
    let guest = config.guest.out_of_range();
    found.extend(guest.map(|(key, message)| BrokenRule::new(top("guest").key(key), message)));
    found
}

fn top(key: &str) -> KeyPath {
    KeyPath::default().key(key)
}

fn binary(config: &Config, found: &mut Vec<BrokenRule>) {
    let Some(binary) = &config.binary else { return };
    if !binary.is_absolute() {
        let message = format!(
            "{:?} is not an absolute path; under systemd there is no shell to complete it: write what `command -v codex` prints",
            binary.display().to_string()
        );
        found.push(BrokenRule::new(top("binary"), message));
    } else if binary.as_os_str().as_encoded_bytes().contains(&0) {
        found.push(BrokenRule::new(
            top("binary"),
            "a path cannot hold NUL: remove it",
        ));
    }
}

fn models(config: &Config, found: &mut Vec<BrokenRule>) {
    let path = top("supported_models");
    if config.supported_models.is_empty() {
        let message =
            format!("is empty: name at least one model, or leave it out for [\"{DEFAULT_MODEL}\"]");
        found.push(BrokenRule {
            follows_from: Some(path.clone()),
            ..BrokenRule::new(path.clone(), message)
        });
    }
    let mut seen = BTreeSet::new();
    for (index, model) in config.supported_models.iter().enumerate() {
        for (place, effort) in model.efforts.iter().enumerate() {
            if !is_effort(effort) {
                let message = format!(
                    "{effort:?} cannot be an effort: write at most 32 letters, digits, `-` and `_`"
                );
                let path = path.index(index).key("efforts").index(place);
                found.push(BrokenRule::new(path, message));
            }
        }
        let model = &model.id;
        let message = if model.trim().is_empty() {
            format!("{model:?} is not a valid model name: write one, or remove it")
        } else if !seen.insert(model) {
            format!("{model:?} is named before: name each model once")
        } else if !config.model_args.contains_key(model)
            && (model.starts_with('-') || model.contains('\0'))
        {
            format!(
                "{model:?} cannot be given to codex as `--model {}`: add its arguments to `model_args`",
                model.escape_debug()
            )
        } else {
            continue;
        };
        found.push(BrokenRule::new(path.index(index), message));
    }
}

fn model_args(config: &Config, found: &mut Vec<BrokenRule>) {
    let path = top("model_args");
    for (model, args) in &config.model_args {
        let path = path.key(model);
        let mut names = config
            .supported_models
            .iter()
            .map(|model| model.id.as_str());
        if !names.any(|name| name == model) {
            let names = config
                .supported_models
                .iter()
                .map(|model| model.id.as_str());
            let nearest = did_you_mean(model, names);
            let message = format!(
                "{model:?} is not in `supported_models`, so it can never be selected: add it there, or remove it here{nearest}"
            );
            found.push(BrokenRule {
                about_key: true,
                follows_from: Some(top("supported_models")),
                ..BrokenRule::new(path.clone(), message)
            });
        }
        arguments(&path, args, found);
    }
}

fn arguments(path: &KeyPath, args: &[String], found: &mut Vec<BrokenRule>) {
    for (index, arg) in args.iter().enumerate() {
        let message = if arg == "--" {
            "`--` cannot be an argument here: it ends the options, and the host already puts it before the prompt"
        } else if arg.contains('\0') {
            "an argument cannot hold NUL: remove it"
        } else {
            continue;
        };
        found.push(BrokenRule::new(path.index(index), message));
    }
}

fn server_arguments(path: &KeyPath, args: &[String], found: &mut Vec<BrokenRule>) {
    if let Err(index) = ServerArguments::of(args) {
        let message = "is not taken by `codex app-server`: write it as a setting (`-c key=value`, `--enable`, `--disable` and `--model` are taken), or set `transport` to \"exec\"";
        let arg = args.get(index).map(String::as_str).unwrap_or_default();
        let message = format!("{arg:?} {message}");
        found.push(BrokenRule::new(path.index(index), message));
    }
}
