//! `explain`: what the grant says about a call of codex.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use plexum_openai_provider::audit::MessageExplanation;
use plexum_openai_provider::config::Instructions;
use plexum_openai_provider::grant::{Call, Explanation, RequestWords};
use plexum_openai_provider::{SessionFiles, SessionKey};

use super::audit::print;

/// Show what the grant says about each argument of a call of codex, without running anything.
#[derive(Args)]
#[command(after_help = r#"Examples:
  plexum-openai-provider explain -- exec --skip-git-repo-check --dangerously-bypass-approvals-and-sandbox --json -- hello
  plexum-openai-provider explain -- exec -C / -- hello
  plexum-openai-provider explain --effort -- exec --skip-git-repo-check --dangerously-bypass-approvals-and-sandbox \
    --json -c model_reasoning_effort=request:effort -- hello
  plexum-openai-provider explain --message '{"id":4,"method":"turn/interrupt","params":{"threadId":"T","turnId":""}}'

A word with `request:` or `image:` stands for a part of the request. The host puts that part in its place.
A last argument `-` stands for a prompt on standard input.

Exit codes: 0 allowed, 1 refused, 2 the configuration or the session cannot be read."#)]
pub struct Explain {
    /// The configuration [default: ~/.plexum/plugins/plexum-openai-provider/config.json, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder whose stored conversation may be resumed
    #[arg(long, value_name = "DIR", default_value = ".")]
    workspace: PathBuf,
    /// Check against the conversation of this name instead of the workspace's own
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    /// How many images the request has
    #[arg(long, value_name = "N", default_value_t = 0)]
    images: usize,
    /// Assume that the request has instructions
    #[arg(long)]
    instructions: bool,
    /// Assume that the request has an effort
    #[arg(long)]
    effort: bool,
    /// Assume that the request has an output schema
    #[arg(long)]
    output_schema: bool,
    /// Explain this message to `codex app-server`, a line of JSON, instead of a call
    #[arg(long, value_name = "JSON", conflicts_with = "args")]
    message: Option<String>,
    /// The arguments, without the name of the program
    #[arg(last = true, required_unless_present = "message", value_name = "ARGS")]
    args: Vec<String>,
}

impl Explain {
    pub fn run(self) -> Result<ExitCode> {
        let config = super::config(self.config.as_deref())?;
        if let Some(message) = &self.message {
            let explanation = MessageExplanation::of(&config, message);
            print(&explanation.to_string())?;
            return Ok(match explanation.outcome {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            });
        }
        let key = SessionKey::new(&self.workspace, self.session);
        let loaded = super::runtime(1)?.block_on(SessionFiles::default().peek(&key))?;
        let stored = loaded.entry.map(|entry| entry.thread_id);
        let call = Call {
            prompt_on_stdin: self.args.last().is_some_and(|last| last == "-"),
            stored: stored.as_deref(),
            images: 0..self.images,
            request: RequestWords {
                // The configuration may leave them out.
                instructions: self.instructions && config.instructions == Instructions::Developer,
                effort: self.effort,
                output_schema: self.output_schema,
            },
        };
        let explanation = Explanation::of(&config, &self.args, &call);
        print(&text(&self.args, &explanation))?;
        Ok(match explanation.outcome {
            Ok(_) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        })
    }
}

fn text(args: &[String], explanation: &Explanation) -> String {
    let words: Vec<String> = args.iter().map(|arg| shown(arg)).collect();
    let width = words.iter().map(|word| word.chars().count()).max();
    let width = width.unwrap_or(0);
    let refused = explanation.outcome.as_ref().err();
    let mut lines = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let position = index + 1;
        let said = match (explanation.roles.get(index), refused) {
            (Some(role), _) => format!("ok: {role}"),
            (None, Some(refused)) if refused.position == position => {
                format!("refused: {}", refused.reason)
            }
            (None, _) => "not looked at".to_owned(),
        };
        lines.push(format!("{position:>2}  {word:<width$}  {said}"));
    }
    match refused {
        None => lines.push("allowed".into()),
        Some(refused) => {
            lines.push(format!(
                "refused at argument {}: {}",
                refused.position, refused.reason
            ));
            for lack in &explanation.lacks {
                lines.push(format!("the request must hold {lack}"));
            }
            for change in &explanation.changes {
                lines.push(format!(
                    "would be allowed with this in config.json: {change}"
                ));
            }
        }
    }
    lines.join("\n")
}

/// An argument on one line, and not too long.
fn shown(arg: &str) -> String {
    const LONGEST: usize = 48;
    if arg.is_empty() {
        return "''".into();
    }
    let mut shown = String::new();
    for char in arg.chars().take(LONGEST) {
        if char.is_control() {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    if arg.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}
