//! The arguments that the grant allows, as the operator's configuration fills them in.

use serde::Serialize;

use super::sandbox_name;
use crate::config::{Config, DEFAULT_MODEL, Instructions, PromptTransport};
use crate::grant::{Grant, RequestWord, Role};

/// A part of the argument list.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Argument {
    /// The arguments, empty if there are none; free parts are in angle brackets.
    pub words: Vec<String>,
    /// Whether they may be left out.
    pub optional: bool,
    /// What they are, and which setting decides.
    pub meaning: String,
}

/// The argument list, in order, with the alternatives for the models.
pub fn arguments(grant: &Grant, config: &Config) -> Vec<Argument> {
    let part = |words: &[&str], meaning: String| Argument {
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        optional: false,
        meaning,
    };
    let optional = |argument| Argument {
        optional: true,
        ..argument
    };
    let mut parts = vec![
        part(&["exec"], "the only command".into()),
        optional(part(
            &["resume", "<thread id>"],
            "the thread that this workspace's session file holds".into(),
        )),
    ];
    // The flags of the sandbox belong together.
    for chunk in grant.fixed().chunk_by(|left, right| left.1 == right.1) {
        let words: Vec<&str> = chunk.iter().map(|(word, _)| word.as_str()).collect();
        let meaning = match chunk.first() {
            Some((_, Role::Sandbox)) => format!("`sandbox` is {}", sandbox_name(config.sandbox)),
            _ => "fixed".to_owned(),
        };
        parts.push(part(&words, meaning));
    }
    for (index, model) in config.supported_models.iter().enumerate() {
        let model = &model.id;
        let words = config.args_of(model);
        let which = match index {
            0 => "the default",
            _ => "or",
        };
        let meaning = if model == DEFAULT_MODEL && words.is_empty() {
            format!("{which} model {model}: codex chooses")
        } else {
            format!("{which} model {model}")
        };
        parts.push(Argument {
            words,
            optional: false,
            meaning,
        });
    }
    parts.push(Argument {
        words: config.extra_args.clone(),
        optional: false,
        meaning: "`extra_args`, on every call".into(),
    });
    for word in RequestWord::ALL {
        let [flag, placeholder] = word.words();
        let setting = placeholder.split_once('=').map(|(setting, _)| setting);
        let (value, meaning) = match word {
            RequestWord::Instructions if config.instructions == Instructions::Ignore => continue,
            RequestWord::Instructions => (
                "<instructions>",
                "the request's instructions and system messages",
            ),
            RequestWord::Effort => ("<effort>", "the request's effort"),
            RequestWord::OutputSchema => (
                "<schema>",
                "the host's own copy of the request's output schema",
            ),
        };
        let value = setting.map_or(value.to_owned(), |setting| format!("{setting}={value}"));
        parts.push(optional(part(&[flag, &value], meaning.into())));
    }
    parts.push(optional(part(
        &["-i", "<image>"],
        "for each image of the request, the host's own copy".into(),
    )));
    parts.push(match config.prompt {
        PromptTransport::Automatic => part(
            &["--", "<prompt>"],
            "free; or `-`, with the prompt on standard input".into(),
        ),
        PromptTransport::Stdin => part(
            &["--", "<prompt>"],
            "free; always `-`, with the prompt on standard input (`prompt` is stdin)".into(),
        ),
    });
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sandbox, SupportedModel};

    #[test]
    fn the_configuration_is_filled_in() {
        let config = Config {
            sandbox: Sandbox::ReadOnly,
            supported_models: ["codex", "m"].map(SupportedModel::new).into(),
            extra_args: vec!["-c".into(), "a=1".into()],
            ..Config::default()
        };
        let parts = arguments(&Grant::new(&config), &config);
        let words: Vec<String> = parts.iter().map(|part| part.words.join(" ")).collect();
        assert_eq!(
            words,
            [
                "exec",
                "resume <thread id>",
                "--skip-git-repo-check",
                "-c sandbox_mode=\"read-only\"",
                "--json",
                "",
                "--model m",
                "-c a=1",
                "-c developer_instructions=<instructions>",
                "-c model_reasoning_effort=<effort>",
                "--output-schema <schema>",
                "-i <image>",
                "-- <prompt>",
            ]
        );
    }
}
