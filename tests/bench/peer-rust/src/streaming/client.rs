//! The client of a side: it opens conversations, asks for turns, and looks at the clock when a piece comes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::contender::Contender;
use super::dialect::{Dialect, Heard};

/// How long a side may take to end by itself. One of them waits two seconds for nothing.
const GRACE: Duration = Duration::from_secs(1);

/// When a turn said what, since it was asked for.
#[derive(Debug, Clone)]
pub struct Streamed {
    /// At least one.
    pub pieces: Vec<Duration>,
    pub end: Duration,
}

/// The processes of a side that stay, and its conversations. Dropping it ends them.
pub struct Client<'a> {
    contender: &'a Contender,
    /// One for each conversation, or one for all.
    processes: Vec<Process>,
    conversations: Vec<Conversation>,
}

struct Conversation {
    folder: PathBuf,
    name: String,
    process: usize,
}

/// One of many turns at once.
struct Running<'a> {
    id: u64,
    conversation: &'a str,
    name: Option<String>,
    pieces: Vec<Duration>,
    answer: String,
    end: Option<Duration>,
}

struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    last_id: u64,
}

impl<'a> Client<'a> {
    /// One without a process.
    pub fn new(contender: &'a Contender) -> Self {
        Client {
            contender,
            processes: Vec::new(),
            conversations: Vec::new(),
        }
    }

    /// Opens a conversation in a folder that is empty, starting the process that it takes.
    pub fn open(&mut self, folder: PathBuf) -> anyhow::Result<()> {
        let dialect = self.contender.dialect;
        if self.processes.is_empty() || dialect == Dialect::AppServer {
            self.processes
                .push(Process::start(self.contender, &folder)?);
        }
        let process = self.processes.len() - 1;
        let last = &mut self.processes[process];
        last.last_id += 1;
        let name = match dialect.opening(last.last_id, &folder) {
            Some(opening) => {
                last.say(&opening)?;
                dialect.opened(&last.answer(last.last_id)?)?
            }
            None => String::new(),
        };
        self.conversations.push(Conversation {
            folder,
            name,
            process,
        });
        Ok(())
    }

    /// How many conversations are open.
    pub fn conversations(&self) -> usize {
        self.conversations.len()
    }

    /// Carries out a turn of a conversation.
    ///
    /// # Errors
    /// When it fails, or its answer does not end as it should: a side that fails fast is not fast.
    pub fn turn(
        &mut self,
        conversation: usize,
        prompt: &str,
        ending: &str,
    ) -> anyhow::Result<Streamed> {
        let dialect = self.contender.dialect;
        let Conversation {
            folder,
            name,
            process,
        } = &self.conversations[conversation];
        let process = &mut self.processes[*process];
        process.last_id += 1;
        let id = process.last_id;
        let began = Instant::now();
        process.say(&dialect.turn(id, folder, name, prompt))?;
        let (mut pieces, mut answer) = (Vec::new(), String::new());
        loop {
            let line = process.line()?;
            let now = began.elapsed();
            match dialect.heard(id, &line)? {
                Heard::Nothing => {}
                Heard::Piece(piece) => {
                    pieces.push(now);
                    answer.push_str(&piece);
                }
                Heard::End => {
                    ensure!(
                        answer.trim_end().ends_with(ending),
                        "the answer was {answer:?}"
                    );
                    return Ok(Streamed { pieces, end: now });
                }
            }
        }
    }

    /// Carries out a turn of each conversation, all at once: when each said what.
    ///
    /// # Errors
    /// As those of [`Client::turn`].
    pub fn turns(&mut self, prompt: &str, ending: &str) -> anyhow::Result<Vec<Streamed>> {
        let dialect = self.contender.dialect;
        let began = Instant::now();
        let mut of_processes: Vec<Vec<Running>> = self.processes.iter().map(|_| vec![]).collect();
        for conversation in &self.conversations {
            let process = &mut self.processes[conversation.process];
            process.last_id += 1;
            let id = process.last_id;
            process.say(&dialect.turn(id, &conversation.folder, &conversation.name, prompt))?;
            of_processes[conversation.process].push(Running {
                id,
                conversation: &conversation.name,
                name: None,
                pieces: Vec::new(),
                answer: String::new(),
                end: None,
            });
        }
        let processes = self.processes.iter_mut().zip(of_processes);
        // A reader each: the answers come in any order.
        let read = thread::scope(|scope| {
            let readers: Vec<_> = processes
                .map(|(process, running)| {
                    scope.spawn(move || process.read(dialect, running, began))
                })
                .collect();
            let read = readers.into_iter().map(|reader| reader.join());
            read.map(|read| read.map_err(|_| anyhow::anyhow!("a reader panicked"))?)
                .collect::<anyhow::Result<Vec<_>>>()
        })?;
        let ended = read.into_iter().flatten().map(|turn| {
            let Running {
                pieces,
                answer,
                end,
                ..
            } = turn;
            ensure!(
                answer.trim_end().ends_with(ending),
                "the answer was {answer:?}"
            );
            let end = end.context("a turn has not ended")?;
            Ok(Streamed { pieces, end })
        });
        ended.collect()
    }

    /// The processes that this has started.
    pub fn roots(&self) -> Vec<u32> {
        self.processes
            .iter()
            .map(|process| process.child.id())
            .collect()
    }
}

impl Process {
    fn start(contender: &Contender, folder: &std::path::Path) -> anyhow::Result<Self> {
        let mut command = contender.command(folder);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let mut process = Process {
            stdin: child.stdin.take(),
            stdout: BufReader::new(child.stdout.take().context("no pipe")?),
            child,
            last_id: 1,
        };
        if let Some(greeting) = contender.dialect.greeting() {
            process.say(&greeting)?;
            // Codex itself need not be waited for, and this project does not wait for it.
            if contender.dialect == Dialect::AppServer {
                process.say(&json!({ "method": "initialized" }))?;
            } else {
                process.answer(1)?;
            }
        }
        Ok(process)
    }

    /// Reads until all these turns have ended.
    fn read<'a>(
        &mut self,
        dialect: Dialect,
        mut running: Vec<Running<'a>>,
        began: Instant,
    ) -> anyhow::Result<Vec<Running<'a>>> {
        while running.iter().any(|turn| turn.end.is_none()) {
            let line = self.line()?;
            let now = began.elapsed();
            let concerned = running.iter_mut().find(|turn| {
                dialect.concerns(turn.id, turn.conversation, turn.name.as_deref(), &line)
            });
            let Some(turn) = concerned else { continue };
            if line["id"] == turn.id {
                turn.name = dialect.begun(&line);
            }
            match dialect.heard(turn.id, &line)? {
                Heard::Nothing => {}
                Heard::Piece(piece) => {
                    turn.pieces.push(now);
                    turn.answer.push_str(&piece);
                }
                Heard::End => turn.end = Some(now),
            }
        }
        Ok(running)
    }

    fn say(&mut self, message: &Value) -> anyhow::Result<()> {
        let stdin = self.stdin.as_mut().context("no pipe")?;
        stdin.write_all(format!("{message}\n").as_bytes())?;
        Ok(())
    }

    fn answer(&mut self, id: u64) -> anyhow::Result<Value> {
        loop {
            let line = self.line()?;
            if line["id"] == id && line["method"].is_null() {
                return Ok(line);
            }
        }
    }

    fn line(&mut self) -> anyhow::Result<Value> {
        let mut line = String::new();
        ensure!(self.stdout.read_line(&mut line)? > 0, "a side has ended");
        serde_json::from_str(&line).with_context(|| format!("a side said {line:?}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The end of what it is told is its end.
        drop(self.stdin.take());
        let began = Instant::now();
        while began.elapsed() < GRACE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        // It fails where there is nothing to end, and nobody is left to be told.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
