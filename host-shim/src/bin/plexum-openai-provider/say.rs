//! `say`: one turn.

use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use plexum_openai_provider::{Event, Message, Request, StopReason, Turn};
use tokio::signal::unix::{SignalKind, signal};

use super::provider_args::ProviderArgs;
use super::screen::Screen;

/// Say something to codex and show its answer.
///
/// The next `say` in the same workspace continues the same conversation.
#[derive(Args)]
#[command(after_help = "\
Examples:
  plexum-openai-provider say 'What is in this folder?'
  plexum-openai-provider say --workspace ~/agents/scribe --json 'Summarise notes.md'
  git diff | plexum-openai-provider say -
  plexum-openai-provider say -- '--help is the text of this message'

Exit codes: 0 the turn completed, 1 it failed, 2 it could not begin, 130 or 143 a signal
stopped it, 141 the reader of its output went away.")]
pub struct Say {
    /// The folder that codex works in, and that remembers the conversation
    #[arg(long, value_name = "DIR", default_value = ".")]
    workspace: PathBuf,
    #[command(flatten)]
    provider: ProviderArgs,
    /// The model, one of `supported_models` in the configuration [default: the first one]
    #[arg(long, value_name = "ID")]
    model: Option<String>,
    /// Print the canonical events, one JSON object a line
    #[arg(long)]
    json: bool,
    /// A JSON array of messages, of which the last user message is the prompt
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "prompt",
        required_unless_present = "prompt"
    )]
    messages: Option<PathBuf>,
    /// What to say; `-` reads it from standard input
    #[arg(value_name = "PROMPT")]
    prompt: Option<String>,
}

impl Say {
    pub fn run(self) -> Result<ExitCode> {
        let provider = self.provider.provider()?;
        let mut request = Request::new(messages(self.messages.as_deref(), self.prompt)?);
        request.model = self.model;
        let workspace = super::absolute(&self.workspace)?;
        let mut screen = (!self.json).then(Screen::new);
        let show = |event: &Event| match &mut screen {
            Some(screen) => screen.show(event),
            None => print_json(event),
        };
        super::runtime()?.block_on(async { follow(provider.turn(workspace, request), show).await })
    }
}

fn messages(file: Option<&Path>, prompt: Option<String>) -> Result<Vec<Message>> {
    if let Some(path) = file {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("the messages in {} cannot be read", path.display()))?;
        return serde_json::from_str(&text).with_context(|| {
            format!(
                "{} is not an array of messages such as [{{\"role\": \"user\", \"content\": \"hello\"}}]",
                path.display()
            )
        });
    }
    let text = match prompt {
        Some(prompt) if prompt != "-" => prompt,
        _ => {
            let mut bytes = Vec::new();
            io::stdin()
                .lock()
                .read_to_end(&mut bytes)
                .context("the prompt cannot be read from standard input")?;
            match String::from_utf8(bytes) {
                Ok(text) => text,
                Err(error) => bail!(
                    "the prompt on standard input is not UTF-8 ({})",
                    error.utf8_error()
                ),
            }
        }
    };
    Ok(vec![Message::user(text)])
}

/// Shows a turn until its end. Ctrl-C and SIGTERM stop it, and its end is still shown.
async fn follow(
    mut turn: Turn,
    mut show: impl FnMut(&Event) -> io::Result<()>,
) -> Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt()).context("Ctrl-C cannot be watched")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be watched")?;
    let mut stopped_by = None;
    loop {
        let event = tokio::select! {
            event = turn.next() => event,
            _ = interrupt.recv() => { stopped_by = Some(130); turn.cancel(); continue }
            _ = terminate.recv() => { stopped_by = Some(143); turn.cancel(); continue }
        };
        let Some(event) = event else {
            bail!("the turn ended without saying how")
        };
        match show(&event) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                // The reader has seen enough: exit as a program that SIGPIPE ended.
                stopped_by.get_or_insert(141);
                turn.cancel();
            }
            shown => shown.context("the answer cannot be written to standard output")?,
        }
        if let Event::MessageEnd { stop_reason, .. } = event {
            return Ok(ExitCode::from(match (stop_reason, stopped_by) {
                (StopReason::EndTurn, None) => 0,
                (_, Some(code)) => code,
                (_, None) => 1,
            }));
        }
    }
}

/// One event as one line of JSON.
fn print_json(event: &Event) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    serde_json::to_writer(&mut stdout, event)?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}
