//! One case: everything that codex needs for it, and the run that is kept.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use plexum_openai_provider_tests::codex_home::CodexHome;
use plexum_openai_provider_tests::mock_model::{MockModel, Options};
use plexum_openai_provider_tests::real_codex::{RealCodex, TURN_FLAGS};
use plexum_openai_provider_tests::transcript::{Before, Case, Exit, Flags, Home, Plain, Prompt};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::app_server;
use crate::process::{Output, Process};
use crate::recording::Recording;
use crate::rollout;

/// A thread that no codex has, in the form of the ids that the recordings show.
const UNKNOWN_THREAD: &str = "01a20000-0000-7000-8000-000000000001";

/// The address of a model that nobody serves: no program listens on port 1.
const NOBODY: &str = "http://127.0.0.1:1/v1";

/// More tokens than the turn after it has, so that a count that goes on can be distinguished from a new one.
const MANY_TOKENS: &str = "mock:tokens=50000,10,500,3";

/// What one case runs in. Each has its own, because a thread, a home and the number of earlier
/// requests all change what codex and the model do.
struct Lab<'a> {
    codex: &'a RealCodex,
    case: &'a Case,
    model: MockModel,
    home: CodexHome,
    /// Where codex works. Not below the target folder: that is inside a git repository, which
    /// codex would trust.
    workspace: TempDir,
    /// Where the output goes, out of codex's sight.
    outputs: TempDir,
    mcp_server: String,
}

/// A thread as the earlier turns left it.
#[derive(Default)]
struct Thread {
    id: Option<String>,
    totals: Option<Value>,
}

/// Runs one case and returns what is to be kept of it, free of what differs from run to run.
pub(crate) fn run(codex: &RealCodex, case: &Case) -> anyhow::Result<Recording> {
    let lab = Lab::new(codex, case)?;
    let thread = lab.prepare()?;
    let (holder, output) = match &thread.id {
        Some(id) if case.before == Before::Busy => {
            let holder = lab.hold(id)?;
            (Some(holder), lab.turn(thread.id.as_deref())?)
        }
        id => (None, lab.turn(id.as_deref())?),
    };
    drop(holder);
    lab.recording(&thread, &output)
}

impl<'a> Lab<'a> {
    fn new(codex: &'a RealCodex, case: &'a Case) -> anyhow::Result<Self> {
        let model = MockModel::start_with(Options::default())?;
        let home = match case.home {
            Home::WithoutNetwork => CodexHome::new(NOBODY)?,
            _ => CodexHome::new(&model.base_url())?,
        };
        let mcp_server = std::env::current_exe()?
            .with_file_name("mcp-server")
            .to_str()
            .context("the path of the MCP server is not UTF-8")?
            .to_owned();
        match case.home {
            Home::With(toml) => home.append_config(toml)?,
            Home::WithMcpServer => {
                ensure!(
                    Path::new(&mcp_server).is_file(),
                    "the MCP server is not built; run scripts/record-transcripts.sh, which builds it"
                );
                // Debug formatting of a path is also a valid TOML string.
                home.append_config(&format!("[mcp_servers.lab]\ncommand = {mcp_server:?}"))?;
            }
            Home::Usual | Home::WithoutNetwork | Home::Missing => {}
        }
        Ok(Self {
            codex,
            case,
            model,
            home,
            workspace: tempfile::tempdir()?,
            outputs: tempfile::tempdir()?,
            mcp_server,
        })
    }

    /// Brings the thread into the state that the case wants.
    fn prepare(&self) -> anyhow::Result<Thread> {
        let first = match self.case.before {
            Before::Nothing => return Ok(Thread::default()),
            Before::Unknown => {
                return Ok(Thread {
                    id: Some(UNKNOWN_THREAD.to_owned()),
                    totals: None,
                });
            }
            Before::Turn(prompt) => prompt,
            Before::Overflowed => MANY_TOKENS,
            Before::Archived | Before::Emptied | Before::Garbled | Before::Busy => "first",
        };
        let command = self.exec(None, &TURN_FLAGS, &[], first);
        let output = self.start(command, None, "first")?.finish()?;
        let id = text_in(&output, "thread.started", "thread_id")
            .with_context(|| format!("the first turn began no thread: {}", output.stderr))?;
        let mut totals =
            event(&output, "turn.completed").and_then(|event| event.get("usage").cloned());
        let home = self.home.path();
        match self.case.before {
            Before::Overflowed => {
                let command = self.exec(Some(&id), &TURN_FLAGS, &[], "mock:ctx");
                self.start(command, None, "second")?.finish()?;
                // What the provider keeps then: codex forgets what it has counted.
                totals = totals.map(zeroed);
            }
            Before::Archived => {
                let command = self.codex.command(&self.home, self.workspace.path());
                app_server::archive(command, &id)?;
            }
            Before::Emptied => rollout::overwrite(home, &id, b"")?,
            Before::Garbled => rollout::overwrite(home, &id, rollout::GARBAGE)?,
            _ => {}
        }
        Ok(Thread {
            id: Some(id),
            totals,
        })
    }

    /// Starts a codex that uses the thread until it is dropped.
    fn hold(&self, thread: &str) -> anyhow::Result<Process> {
        let command = self.exec(Some(thread), &TURN_FLAGS, &[], "mock:hang");
        let mut holder = self.start(command, None, "holder")?;
        holder.wait_for("turn.started")?;
        Ok(holder)
    }

    /// The turn that is kept.
    fn turn(&self, thread: Option<&str>) -> anyhow::Result<Output> {
        let flags: &[&str] = match self.case.flags {
            Flags::All => &TURN_FLAGS,
            Flags::JsonOnly => &["--json"],
        };
        let (word, stdin) = match self.case.prompt {
            Prompt::Argument(text) => (text, None),
            Prompt::Stdin(characters) => ("-", Some("x".repeat(characters))),
        };
        let mut command = self.exec(thread, flags, self.case.args, word);
        if self.case.home == Home::Missing {
            command.env("CODEX_HOME", self.home.path().join("missing"));
        }
        let mut process = self.start(command, stdin.as_deref(), "turn")?;
        if let Some(signal) = self.case.signal {
            process.wait_for("item.started")?;
            process.signal(signal)?;
        }
        process.finish()
    }

    fn exec(&self, thread: Option<&str>, flags: &[&str], args: &[&str], word: &str) -> Command {
        let mut command = self.codex.command(&self.home, self.workspace.path());
        // A host may have it set, and then codex's last words are followed by a backtrace.
        command.env("RUST_BACKTRACE", "1").arg("exec");
        if let Some(thread) = thread {
            command.args(["resume", thread]);
        }
        command.args(flags).args(args).args(["--", word]);
        command
    }

    fn start(&self, command: Command, stdin: Option<&str>, name: &str) -> anyhow::Result<Process> {
        Process::start(command, stdin, self.outputs.path(), name)
    }

    fn recording(&self, thread: &Thread, output: &Output) -> anyhow::Result<Recording> {
        if output.stdout.is_empty() && output.exit == Exit::Code(0) {
            bail!(
                "codex printed nothing and claims success: {}",
                output.stderr
            );
        }
        let mut plain = Plain::default();
        for (path, name) in [
            (self.home.path(), "/codex-home"),
            (self.workspace.path(), "/workspace"),
            (Path::new(&self.mcp_server), "/mcp-server"),
            (self.codex.path.as_path(), "/codex"),
        ] {
            plain.path(path, name)?;
        }
        let address = self.model.base_url().replace("/v1", "");
        plain.word(&address, "http://127.0.0.1:1");
        // First, so that the thread is always number 1.
        let session = thread.id.as_deref().map(|id| plain.thread_id(id));
        let usage = thread
            .totals
            .as_ref()
            .map(|totals| json!({ "thread_id": session, "totals": totals }).to_string());
        Ok(Recording {
            about: self.case.about.to_owned(),
            stdout: plain.stdout(&output.stdout),
            stderr: plain.stderr(&output.stderr),
            exit: output.exit,
            session,
            usage,
        })
    }
}

/// The first event of this type.
fn event(output: &Output, kind: &str) -> Option<Value> {
    let events = output.stdout.split_terminator('\n');
    events
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|event| event.get("type").and_then(Value::as_str) == Some(kind))
}

fn text_in(output: &Output, kind: &str, member: &str) -> Option<String> {
    Some(event(output, kind)?.get(member)?.as_str()?.to_owned())
}

/// The same counts, all of them 0.
fn zeroed(usage: Value) -> Value {
    match usage {
        Value::Object(counts) => counts
            .into_iter()
            .map(|(name, _)| (name, json!(0)))
            .collect(),
        other => other,
    }
}
