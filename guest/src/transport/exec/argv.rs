//! The arguments of one call of codex.
//!
//! The host compiles a grammar from the operator's configuration and refuses anything
//! else, so this must produce exactly
//!
//! ```text
//! exec [resume <thread id>] <fixed flags> <args of the model> <extra args>
//!     [-c developer_instructions=request:instructions] [-c model_reasoning_effort=request:effort]
//!     [--output-schema request:output-schema] [-i image:<n>]… -- <prompt or ->
//! ```
//!
//! The words with `request:` and `image:` stand for parts of the request; the host puts those in their place.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use crate::bindings::settings::{Model, PromptTransport, Sandbox, Settings};

/// The longest single argument that Linux takes: 128 KiB less the closing NUL (`MAX_ARG_STRLEN`).
///
/// The host has the same limit in `host-shim/src/grant/argument.rs`, written twice on purpose: the host checks what the
/// component hands over, and neither relies on the other.
const MAX_ARGUMENT_BYTES: usize = 131_071;

/// One call of codex.
#[derive(Debug, PartialEq)]
pub struct Call<'a> {
    /// The arguments.
    pub args: Vec<String>,
    /// The prompt, if it travels on standard input rather than as the last argument.
    pub prompt_on_stdin: Option<&'a str>,
}

impl<'a> Call<'a> {
    /// The same call with this prompt on standard input.
    pub fn with_prompt_on_stdin(mut self, prompt: &'a str) -> Self {
        self.args.pop();
        self.args.push(ON_STDIN.to_string());
        Call {
            prompt_on_stdin: Some(prompt),
            ..self
        }
    }
}

/// What codex reads as "the prompt is on standard input", even after `--`.
const ON_STDIN: &str = "-";

/// What a call is to hold besides what the settings put into each.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// The conversation to resume; it must be a UUID, because codex takes anything else for a name and silently begins
    /// a new conversation.
    pub thread_id: Option<&'a str>,
    /// Whether the request's instructions are handed over.
    pub instructions: bool,
    /// Whether its effort is.
    pub effort: bool,
    /// Whether its output schema is.
    pub output_schema: bool,
    /// The numbers of the images that are handed over.
    pub images: &'a [u32],
}

/// Plans a call.
pub fn plan<'a>(
    settings: &Settings,
    model: &Model,
    wanted: Wanted<'_>,
    prompt: &'a str,
) -> Call<'a> {
    let mut args = vec!["exec".to_string()];
    if let Some(thread_id) = wanted.thread_id {
        args.extend(["resume".to_string(), thread_id.to_string()]);
    }
    args.push("--skip-git-repo-check".to_string());
    args.extend(
        sandbox_flags(settings.sandbox)
            .iter()
            .map(ToString::to_string),
    );
    args.push("--json".to_string());
    args.extend_from_slice(&model.args);
    args.extend_from_slice(&settings.extra_args);
    let words = |words: [&str; 2]| words.map(ToString::to_string);
    if wanted.instructions {
        args.extend(words(["-c", "developer_instructions=request:instructions"]));
    }
    if wanted.effort {
        args.extend(words(["-c", "model_reasoning_effort=request:effort"]));
    }
    if wanted.output_schema {
        args.extend(words(["--output-schema", "request:output-schema"]));
    }
    // After `resume` and its id: before them, codex takes those for images as well.
    for image in wanted.images {
        args.extend(["-i".to_string(), format!("image:{image}")]);
    }
    // Without `--`, a prompt like `help`, `review` or `-c x=y` is a command or a flag.
    args.push("--".to_string());
    let on_stdin = goes_on_stdin(prompt, settings.prompt);
    args.push(if on_stdin { ON_STDIN } else { prompt }.to_string());
    Call {
        args,
        prompt_on_stdin: on_stdin.then_some(prompt),
    }
}

/// Whether a prompt travels on standard input rather than as the last argument.
fn goes_on_stdin(text: &str, transport: PromptTransport) -> bool {
    match transport {
        PromptTransport::Stdin => true,
        PromptTransport::Automatic => {
            text.len() > MAX_ARGUMENT_BYTES || text.contains('\0') || text == ON_STDIN
        }
    }
}

/// The flags of a sandbox mode. They are in every call, because a resumed conversation does not inherit the mode it
/// began with; and as `-c`, because codex refuses `--sandbox` after `resume`.
///
/// The host has the same table in `host-shim/src/grant/argv.rs`, written twice on purpose: see [`MAX_ARGUMENT_BYTES`].
fn sandbox_flags(sandbox: Sandbox) -> &'static [&'static str] {
    match sandbox {
        Sandbox::DangerFullAccess => &["--dangerously-bypass-approvals-and-sandbox"],
        Sandbox::WorkspaceWrite => &["-c", "sandbox_mode=\"workspace-write\""],
        Sandbox::ReadOnly => &["-c", "sandbox_mode=\"read-only\""],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::settings::{ChangedInstructions, Instructions, LostSession, Transport};

    fn settings(sandbox: Sandbox, extra: &[&str]) -> Settings {
        Settings {
            models: vec![],
            extra_args: extra.iter().map(ToString::to_string).collect(),
            sandbox,
            transport: Transport::Exec,
            prompt: PromptTransport::Automatic,
            lost_session: LostSession::Replay,
            instructions: Instructions::Developer,
            changed_instructions: ChangedInstructions::Keep,
        }
    }

    fn model(args: &[&str]) -> Model {
        Model {
            id: "m".into(),
            args: args.iter().map(ToString::to_string).collect(),
            display_name: None,
            context_window: None,
            images: true,
            efforts: vec![],
        }
    }

    #[test]
    fn a_fresh_call_is_the_contract_and_two_dashes() {
        let call = plan(
            &settings(Sandbox::DangerFullAccess, &[]),
            &model(&[]),
            Wanted::default(),
            "--help",
        );
        assert_eq!(
            call.args,
            [
                "exec",
                "--skip-git-repo-check",
                "--dangerously-bypass-approvals-and-sandbox",
                "--json",
                "--",
                "--help"
            ]
        );
    }

    #[test]
    fn a_resumed_call_names_the_thread_then_model_then_extra_arguments() {
        let id = "01a203e6-c71a-7d50-bfec-754792f3dc4b";
        let call = plan(
            &settings(Sandbox::ReadOnly, &["-c", "a=1"]),
            &model(&["--model", "m"]),
            Wanted {
                thread_id: Some(id),
                instructions: true,
                effort: true,
                output_schema: true,
                images: &[0, 1],
            },
            "-",
        );
        assert_eq!(
            call.args,
            [
                "exec",
                "resume",
                id,
                "--skip-git-repo-check",
                "-c",
                "sandbox_mode=\"read-only\"",
                "--json",
                "--model",
                "m",
                "-c",
                "a=1",
                "-c",
                "developer_instructions=request:instructions",
                "-c",
                "model_reasoning_effort=request:effort",
                "--output-schema",
                "request:output-schema",
                "-i",
                "image:0",
                "-i",
                "image:1",
                "--",
                "-"
            ]
        );
    }

    #[test]
    fn a_call_that_is_too_long_is_the_same_with_the_prompt_on_stdin() {
        let wanted = Wanted::default();
        let plan = |transport| {
            let settings = Settings {
                prompt: transport,
                ..settings(Sandbox::ReadOnly, &["-c", "a=1"])
            };
            plan(&settings, &model(&["--model", "m"]), wanted, "hello")
        };
        let call = plan(PromptTransport::Automatic);
        assert_eq!(call.args.last().map(String::as_str), Some("hello"));
        let again = call.with_prompt_on_stdin("hello");
        assert_eq!(again, plan(PromptTransport::Stdin));
    }

    #[test]
    fn what_does_not_fit_an_argument_goes_through_stdin() {
        let fits = "x".repeat(MAX_ARGUMENT_BYTES);
        for (text, on_stdin) in [
            (&fits, false),
            (&"--help".into(), false),
            (&(fits.clone() + "x"), true),
            (&"a\0b".into(), true),
            (&"-".into(), true),
        ] {
            assert_eq!(goes_on_stdin(text, PromptTransport::Automatic), on_stdin);
            assert!(goes_on_stdin(text, PromptTransport::Stdin));
        }
    }
}
