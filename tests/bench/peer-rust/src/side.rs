//! How the driver asks a side for turns, and what it is told. `node/side.mjs` says the same in JavaScript.

use std::io::{self, BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

/// A line of the side's standard input: a turn in each of these folders, all at once.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    /// The working folders of the turns.
    pub folders: Vec<PathBuf>,
    /// What to ask.
    pub prompt: String,
}

/// The answering line of its standard output. Times are milliseconds since the order.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// Until the last turn had ended.
    pub wall_ms: f64,
    /// One for each folder.
    pub turns: Vec<Timing>,
}

/// When a turn told what.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Timing {
    /// The first event that codex caused.
    pub first_event_ms: f64,
    /// The answer's text.
    pub first_text_ms: f64,
    /// The end, after that of codex.
    pub turn_ms: f64,
}

/// What the driver starts a side with.
#[derive(Debug)]
pub enum Mode {
    /// Carry out orders until standard input ends.
    Live,
    /// One turn, each event as a line of standard output.
    Program {
        /// The working folder.
        folder: PathBuf,
        /// What to ask.
        prompt: String,
    },
}

/// Reads `live CODEX` or `program CODEX FOLDER PROMPT` from the command line.
///
/// # Errors
/// When it says something else.
pub fn arguments() -> anyhow::Result<(PathBuf, Mode)> {
    read(std::env::args().skip(1).collect())
}

/// The same from these words, in which a side has found its own already.
///
/// # Errors
/// When they say something else.
pub fn read(words: Vec<String>) -> anyhow::Result<(PathBuf, Mode)> {
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["live", codex] => Ok((codex.into(), Mode::Live)),
        ["program", codex, folder, prompt] => {
            let (folder, prompt) = (folder.into(), prompt.to_owned());
            Ok((codex.into(), Mode::Program { folder, prompt }))
        }
        _ => bail!("usage: live CODEX | program CODEX FOLDER PROMPT"),
    }
}

/// Carries out orders until standard input ends. `turns` gets the order and the moment that its times count from.
///
/// # Errors
/// When a turn fails, or an order cannot be read.
pub fn serve(
    mut turns: impl FnMut(Order, Instant) -> anyhow::Result<Vec<Timing>>,
) -> anyhow::Result<()> {
    println!("ready");
    for line in io::stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?).context("this is no order")?;
        let began = Instant::now();
        let turns = turns(order, began)?;
        let wall_ms = milliseconds(began.elapsed());
        let mut stdout = io::stdout().lock();
        serde_json::to_writer(&mut stdout, &Report { wall_ms, turns })?;
        writeln!(stdout)?;
    }
    Ok(())
}

/// The clock of one turn.
#[derive(Debug)]
pub struct Clock {
    began: Instant,
    first_event: Option<Duration>,
    first_text: Option<Duration>,
    answer: Option<String>,
}

impl Clock {
    /// One that counts from `began`.
    #[must_use]
    pub fn since(began: Instant) -> Self {
        Clock {
            began,
            first_event: None,
            first_text: None,
            answer: None,
        }
    }

    /// To be called for each event that codex caused, with the answer's text where the event brings it.
    pub fn saw(&mut self, text: Option<String>) {
        let now = self.began.elapsed();
        self.first_event.get_or_insert(now);
        if text.is_some() {
            self.first_text.get_or_insert(now);
            self.answer = text;
        }
    }

    /// To be called when the turn has ended.
    ///
    /// # Errors
    /// When it did not bring the answer to `prompt`: a side that fails fast is not fast.
    pub fn end(self, prompt: &str) -> anyhow::Result<Timing> {
        let turn_ms = milliseconds(self.began.elapsed());
        let answer = self.answer.unwrap_or_default();
        let right = answer.starts_with(ANSWER) && answer.ends_with(prompt);
        ensure!(right, "the answer was {answer:?}");
        Ok(Timing {
            first_event_ms: milliseconds(self.first_event.context("no event")?),
            first_text_ms: milliseconds(self.first_text.context("no text")?),
            turn_ms,
        })
    }
}

/// What the answer begins with, that of the fake codex and that of the model behind the real one. The
/// prompt follows; one of the sides puts "User: " in front of it.
pub const ANSWER: &str = "echo: ";

/// The arguments of codex for one turn, as this project words them.
#[must_use]
pub fn codex_arguments(prompt: &str) -> [&str; 6] {
    let unconfined = "--dangerously-bypass-approvals-and-sandbox";
    [
        "exec",
        "--skip-git-repo-check",
        unconfined,
        "--json",
        "--",
        prompt,
    ]
}

/// A duration in milliseconds.
#[must_use]
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// A path as text, which the arguments of the wrappers are.
///
/// # Errors
/// When it is not UTF-8.
pub fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))
}
