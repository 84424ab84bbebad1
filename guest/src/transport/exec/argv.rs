//! The arguments of one call of codex.
//!
//! The host compiles a grammar from the operator's configuration and refuses anything
//! else, so this must produce exactly
//!
//! ```text
//! exec [resume <thread id>] <fixed flags> <args of the model> <extra args> [-i image:<n>]… -- <prompt or ->
//! ```

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use crate::bindings::settings::{ModelArgs, Sandbox, Settings};

/// Plans the arguments. `thread_id` is the conversation to go on with; it must be a UUID,
/// because codex takes anything else for a name and silently begins a new conversation.
/// `prompt` is the last word: the prompt itself, or `-` when it travels on standard input.
pub fn plan(
    settings: &Settings,
    model: &ModelArgs,
    thread_id: Option<&str>,
    images: &[u32],
    prompt: &str,
) -> Vec<String> {
    let mut args = vec!["exec".to_string()];
    if let Some(thread_id) = thread_id {
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
    // Behind `resume` and its id: in front of them, codex takes those for images as well.
    for image in images {
        args.extend(["-i".to_string(), format!("image:{image}")]);
    }
    // Without `--`, a prompt like `help`, `review` or `-c x=y` is a command or a flag.
    args.push("--".to_string());
    args.push(prompt.to_string());
    args
}

/// The flags of a sandbox mode. They stand on every call, because a resumed conversation
/// does not inherit the mode it began with; and as `-c`, because codex refuses
/// `--sandbox` after `resume`.
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
    use crate::bindings::settings::{LostSession, PromptTransport};

    fn settings(sandbox: Sandbox, extra: &[&str]) -> Settings {
        Settings {
            models: vec![],
            extra_args: extra.iter().map(ToString::to_string).collect(),
            sandbox,
            prompt: PromptTransport::Automatic,
            lost_session: LostSession::Replay,
        }
    }

    fn model(args: &[&str]) -> ModelArgs {
        ModelArgs {
            id: "m".into(),
            args: args.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn a_fresh_call_is_the_contract_and_two_dashes() {
        let args = plan(
            &settings(Sandbox::DangerFullAccess, &[]),
            &model(&[]),
            None,
            &[],
            "--help",
        );
        assert_eq!(
            args,
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
        let args = plan(
            &settings(Sandbox::ReadOnly, &["-c", "a=1"]),
            &model(&["--model", "m"]),
            Some(id),
            &[0, 1],
            "-",
        );
        assert_eq!(
            args,
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
                "-i",
                "image:0",
                "-i",
                "image:1",
                "--",
                "-"
            ]
        );
    }
}
