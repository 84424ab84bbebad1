//! Plays the steps of one call.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use plexum_openai_provider_tests::fake_codex::{
    CHILDREN_FILE, ChildGroup, EXIT_STDOUT_CLOSED, State, Step, Usage,
};
use serde_json::Value;

use crate::{event, signal};

/// How often a file is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The shortest line of a flood: enough for an agent message with any number.
const SHORTEST_LINE: u64 = 128;

/// One call, half played.
pub(crate) struct Player<'a> {
    workspace: &'a Path,
    thread: String,
    prompt: String,
    items: u64,
}

impl<'a> Player<'a> {
    pub(crate) fn new(workspace: &'a Path, thread: String, prompt: String) -> Self {
        Self {
            workspace,
            thread,
            prompt,
            items: 0,
        }
    }

    /// Plays the steps in order and returns the exit code.
    pub(crate) fn play(self, steps: &[Step]) -> anyhow::Result<i32> {
        Ok(self.play_some(steps)?.unwrap_or(0))
    }

    /// Plays the steps in order. Returns the exit code if one of them ends the process.
    pub(crate) fn play_some(mut self, steps: &[Step]) -> anyhow::Result<Option<i32>> {
        for step in steps {
            if let Step::Exit { code } = step {
                return Ok(Some(*code));
            }
            match self.play_step(step) {
                Err(error) if is_broken_pipe(&error) => {
                    eprintln!("failed printing to stdout: {error:#}");
                    return Ok(Some(EXIT_STDOUT_CLOSED));
                }
                played => played.with_context(|| format!("cannot play {step:?}"))?,
            }
        }
        Ok(None)
    }

    fn play_step(&mut self, step: &Step) -> anyhow::Result<()> {
        match step {
            Step::Emit { line } => emit(line)?,
            Step::Repeat { line, times } => {
                let mut out = BufWriter::new(io::stdout().lock());
                for _ in 0..*times {
                    writeln!(out, "{line}")?;
                }
                out.flush()?;
            }
            Step::EmitRaw { hex } => write_out(&bytes_of(hex)?)?,
            Step::EmitFile { path, own_thread } => {
                let bytes = fs::read(self.workspace.join(path))?;
                if *own_thread {
                    write_out(self.with_own_thread(String::from_utf8(bytes)?)?.as_bytes())?;
                } else {
                    write_out(&bytes)?;
                }
            }
            Step::ThreadStarted => emit(&event::thread_started(&self.thread))?,
            Step::ThreadStartedAs { id } => {
                self.thread.clone_from(id);
                emit(&event::thread_started(id))?;
            }
            Step::TurnStarted => emit(event::TURN_STARTED)?,
            Step::Message { text } => self.message(text)?,
            Step::Echo => self.message(&format!("echo: {}", self.prompt))?,
            Step::TurnCompleted => self.turn_completed(None)?,
            Step::TurnCompletedWith { usage } => self.turn_completed(Some(*usage))?,
            Step::TurnFailed { message } => emit(&event::turn_failed(message))?,
            Step::Error { message } => emit(&event::error(message))?,
            Step::Stderr { text } => io::stderr().write_all(text.as_bytes())?,
            Step::Flood { bytes, line_len } => self.flood(*bytes, *line_len)?,
            Step::Pause { millis } => thread::sleep(Duration::from_millis(*millis)),
            Step::WaitForFile { path } => {
                let path = self.workspace.join(path);
                while !path.try_exists()? {
                    thread::sleep(LOOK_EVERY);
                }
            }
            Step::Touch { path } => drop(File::create(self.workspace.join(path))?),
            Step::Exit { .. } => bail!("play ends there"),
            Step::KillSelf { signal } => signal::kill_self(*signal)?,
            Step::IgnoreSignals { signals } => {
                signals
                    .iter()
                    .try_for_each(|signal| signal::ignore(*signal))?;
            }
            Step::ExitOnSignal { signal, code } => signal::exit_on(*signal, *code)?,
            Step::LeaveChild {
                millis,
                hold_stdout,
                group,
            } => self.leave_child(*millis, *hold_stdout, *group)?,
            Step::CloseStdout => close_stdout()?,
            Step::Forever => signal::wait_forever(),
        }
        Ok(())
    }

    fn message(&mut self, text: &str) -> io::Result<()> {
        emit(&event::message(self.next_item(), text))
    }

    fn next_item(&mut self) -> u64 {
        let item = self.items;
        self.items += 1;
        item
    }

    /// Reports `exactly`, or one more turn than the thread had, and remembers it for the next call.
    fn turn_completed(&self, exactly: Option<Usage>) -> anyhow::Result<()> {
        let mut state = State::read_from(self.workspace)?;
        let total = state.totals.entry(self.thread.clone()).or_default();
        *total = exactly.unwrap_or_else(|| total.plus(Usage::TURN));
        let line = event::turn_completed(total)?;
        state.write_to(self.workspace)?;
        Ok(emit(&line)?)
    }

    /// Writes numbered messages, so that no line is a repetition of another.
    fn flood(&mut self, bytes: u64, line_len: u64) -> anyhow::Result<()> {
        ensure!(
            line_len >= SHORTEST_LINE,
            "a line has at least {SHORTEST_LINE} bytes"
        );
        let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        let mut written = 0;
        while written < bytes {
            let item = self.next_item();
            let bare = event::message(item, &format!("flood {item} "));
            let (head, tail) = bare.rsplit_once('"').context("a message has no text")?;
            // A line may be longer than what should be in memory at once.
            let padding = line_len.saturating_sub(u64::try_from(bare.len() + 1)?);
            out.write_all(head.as_bytes())?;
            io::copy(&mut io::repeat(b'x').take(padding), &mut out)?;
            writeln!(out, "\"{tail}")?;
            written += line_len;
        }
        Ok(out.flush()?)
    }

    /// A transcript with this call's thread id in place of its own.
    fn with_own_thread(&self, transcript: String) -> anyhow::Result<String> {
        let recorded = transcript
            .split('\n')
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|event| event.get("type").and_then(Value::as_str) == Some("thread.started"))
            .and_then(|event| Some(event.get("thread_id")?.as_str()?.to_owned()))
            .context("the transcript starts no thread")?;
        Ok(transcript.replace(&recorded, &self.thread))
    }

    fn leave_child(&self, millis: u64, hold_stdout: bool, group: ChildGroup) -> anyhow::Result<()> {
        let mut sleep = Command::new("sleep");
        sleep
            .arg(Duration::from_millis(millis).as_secs_f64().to_string())
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        if !hold_stdout {
            sleep.stdout(Stdio::null());
        }
        match group {
            ChildGroup::Inherited => {}
            ChildGroup::Own => {
                sleep.process_group(0);
            }
            ChildGroup::Session => signal::begin_session(&mut sleep),
        }
        let child = sleep.spawn().context("cannot start sleep")?;
        let mut list = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.workspace.join(CHILDREN_FILE))?;
        Ok(writeln!(list, "{}", child.id())?)
    }
}

fn emit(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

fn write_out(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

fn bytes_of(hex: &str) -> anyhow::Result<Vec<u8>> {
    ensure!(hex.len().is_multiple_of(2), "half a byte");
    (0..hex.len())
        .step_by(2)
        .map(|at| {
            let pair = hex.get(at..at + 2).context("not hexadecimal")?;
            Ok(u8::from_str_radix(pair, 16)?)
        })
        .collect()
}

/// Puts `/dev/null` in the place of standard output. Were the descriptor only closed, the next
/// file to be opened would get its number.
fn close_stdout() -> io::Result<()> {
    let null = OpenOptions::new().write(true).open("/dev/null")?;
    // SAFETY: both are open descriptors of this process, and nothing owns number 1.
    if unsafe { libc::dup2(null.as_raw_fd(), 1) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
