//! `say`: one turn.

use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use plexum_openai_provider::{Event, Message, Request, StopReason, Transport, Turn};
use plexum_openai_provider_supervisor::is_in_session_of_parent;
use rustix::process::{Signal as Sent, getpid, kill_process};
use serde_json::value::RawValue;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::event_writer::EventWriter;
use super::ignored_signals;
use super::provider_args::ProviderArgs;
use super::screen::Screen;
use super::surrogates;

/// Say something to codex and show its answer.
///
/// The next `say` in the same workspace continues the same conversation.
#[derive(Args)]
#[command(after_help = "\
Examples:
  plexum-openai-provider say 'What is in this folder?'
  plexum-openai-provider say --workspace ~/agents/scribe --json 'Summarise notes.md'
  git diff | plexum-openai-provider say -
  plexum-openai-provider say --session review --instructions 'Be brief.' --effort low 'Is notes.md any good?'
  plexum-openai-provider say -- '--help is the text of this message'

Exit codes: 0 the turn completed, 1 it failed, 2 it could not begin, 129, 130 or 143 a signal
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
    /// Instructions for the model (a system prompt); codex keeps the ones that a conversation began with
    #[arg(long, value_name = "TEXT")]
    instructions: Option<String>,
    /// How hard the model should think, such as `low` or `high`
    #[arg(long, value_name = "LEVEL")]
    effort: Option<String>,
    /// A file with a JSON Schema; the answer is then one JSON text that follows it
    #[arg(long, value_name = "FILE")]
    output_schema: Option<PathBuf>,
    /// Continue the conversation of this name instead of the workspace's own
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    /// Print the canonical events, one JSON object a line
    #[arg(long)]
    json: bool,
    /// A file with a JSON array of messages; the last user message is the prompt
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
        super::keep_private();
        super::open_more_files();
        let workspace = super::absolute(&self.workspace)?;
        let provider = self.provider.provider(Some(&workspace))?;
        let mut request = Request::new(messages(self.messages.as_deref(), self.prompt)?);
        request.model = self.model;
        request.session = self.session;
        request.instructions = self.instructions;
        request.options.effort = self.effort;
        request.options.output_schema = self.output_schema.as_deref().map(schema).transpose()?;
        let json = self.json;
        let streams = provider.config().transport() == Transport::AppServer;
        let runtime = super::runtime_with(1 + EventWriter::THREADS, MOST_THREADS)?;
        let followed = runtime.block_on(async {
            let writer = if json {
                EventWriter::start(print_json)
            } else {
                let mut screen = Screen::new(streams);
                EventWriter::start(move |event| screen.show(event))
            };
            let followed = follow(provider.turn(workspace, request), writer).await;
            provider.close().await;
            followed
        });
        // A write that the reader does not take cannot be cancelled; waiting for it would mean waiting for the reader.
        runtime.shutdown_background();
        followed
    }
}

/// The schema in a file, as it is written.
fn schema(path: &Path) -> Result<Box<RawValue>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the output schema {} cannot be read", path.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("the output schema {} is not JSON", path.display()))
}

/// How much is read of a prompt: far more than codex takes, and little enough for the component, which says how
/// much that is.
const MAX_PROMPT_BYTES: u64 = 16 << 20;

fn messages(file: Option<&Path>, prompt: Option<String>) -> Result<Vec<Message>> {
    if let Some(path) = file {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("the messages in {} cannot be read", path.display()))?;
        let text = surrogates::replaced(&text).unwrap_or(text);
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
                .take(MAX_PROMPT_BYTES + 1)
                .read_to_end(&mut bytes)
                .context("the prompt cannot be read from standard input")?;
            ensure!(
                bytes.len() as u64 <= MAX_PROMPT_BYTES,
                "the prompt on standard input has more than {} MiB: put it into a file in the workspace, and name the file",
                MAX_PROMPT_BYTES >> 20
            );
            match String::from_utf8(bytes) {
                Ok(text) => text,
                Err(error) => bail!(
                    "the prompt on standard input is not UTF-8 ({}): convert it first, for example with `iconv -f latin1 -t utf-8`",
                    error.utf8_error()
                ),
            }
        }
    };
    Ok(vec![Message::user(text)])
}

/// Shows a turn until its end. Ctrl-C, SIGTERM and the end of the terminal stop it, and its end is still shown.
async fn follow(mut turn: Turn, writer: EventWriter) -> Result<ExitCode> {
    let mut stop = Stop {
        interrupt: signal(SignalKind::interrupt()).context("Ctrl-C cannot be watched")?,
        terminate: signal(SignalKind::terminate()).context("SIGTERM cannot be watched")?,
        hangup: ignored_signals::watch_hangup().context("SIGHUP cannot be watched")?,
        exit_code: None,
    };
    let mut suspend = ignored_signals::watch_suspend().context("Ctrl-Z cannot be watched")?;
    let mut writer = Some(writer);
    let stop_reason = loop {
        let event = tokio::select! {
            event = turn.next() => event.context("the turn ended without saying how")?,
            () = stop.asked() => { turn.cancel(); continue }
            () = ignored_signals::arrives(&mut suspend) => { suspended(&turn).await; continue }
            // Codex may be silent for long after what could not be written.
            () = closed(writer.as_ref()) => {
                if let Some(closed) = writer.take() {
                    stop.note_written(&turn, closed.finish().await)?;
                }
                continue
            }
        };
        let end = match event {
            Event::MessageEnd { stop_reason, .. } => Some(stop_reason),
            _ => None,
        };
        // Without a writer the turn is only followed to its end.
        if let Some(showing) = writer.take() {
            match stop.unless_stalled(&turn, showing.show(event)).await {
                Some(true) => writer = Some(showing),
                Some(false) => stop.note_written(&turn, showing.finish().await)?,
                None => {}
            }
        }
        if let Some(stop_reason) = end {
            break stop_reason;
        }
    };
    if let Some(writer) = writer
        && let Some(written) = stop.unless_stalled(&turn, writer.finish()).await
    {
        stop.note_written(&turn, written)?;
    }
    Ok(ExitCode::from(match (stop_reason, stop.exit_code) {
        (StopReason::EndTurn, None) => 0,
        (_, Some(code)) => code,
        (_, None) => 1,
    }))
}

/// Waits until what is shown can no longer be written.
async fn closed(writer: Option<&EventWriter>) {
    match writer {
        Some(writer) => writer.closed().await,
        None => std::future::pending().await,
    }
}

/// Ctrl-Z reaches this process only, because codex and its tools have process groups of their own: suspends them, then
/// this process, and has them go on when it does.
async fn suspended(turn: &Turn) {
    if !is_in_session_of_parent(getpid()) {
        // No shell of this session could have it go on.
        return;
    }
    if tokio::time::timeout(START, turn.suspend()).await.is_err() {
        tracing::warn!("codex is still being started, and is not suspended");
    }
    // The task that owns codex runs before this one does again.
    tokio::task::yield_now().await;
    if let Err(error) = kill_process(getpid(), Sent::STOP) {
        tracing::warn!(%error, "this process cannot be suspended");
    }
    turn.resume();
}

/// Enough for one turn. A busy machine, where work takes longer, should not need more of them than an idle one: there may be
/// few (`ulimit -u`).
const MOST_THREADS: usize = 4;

/// How long Ctrl-Z waits for a codex that is being started.
const START: Duration = Duration::from_secs(1);

/// How long output is still offered to a reader that takes none, once the turn was stopped.
const PATIENCE: Duration = Duration::from_secs(1);

/// What stops a turn from outside.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
    /// The program's exit code, set when the turn was stopped.
    exit_code: Option<u8>,
}

impl Stop {
    /// Waits until the turn should be stopped.
    async fn asked(&mut self) {
        let code = tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
            () = ignored_signals::arrives(&mut self.hangup) => 129,
        };
        self.exit_code = Some(code);
    }

    /// Waits for `output`, and passes a stop on meanwhile; `None` when the turn was stopped and the reader takes
    /// nothing.
    async fn unless_stalled<T>(
        &mut self,
        turn: &Turn,
        output: impl Future<Output = T>,
    ) -> Option<T> {
        let mut output = pin!(output);
        loop {
            tokio::select! {
                biased;
                done = &mut output => return Some(done),
                () = tokio::time::sleep(PATIENCE), if self.exit_code.is_some() => return None,
                () = self.asked() => turn.cancel(),
            }
        }
    }

    /// What became of the output: a closed pipe stops the turn, and everything else is an error.
    fn note_written(&mut self, turn: &Turn, written: io::Result<()>) -> Result<()> {
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                // The reader has seen enough: exit as a program that SIGPIPE ended.
                self.exit_code.get_or_insert(141);
                turn.cancel();
                Ok(())
            }
            written => written.context("the answer cannot be written to standard output"),
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
