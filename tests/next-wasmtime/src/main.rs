//! Turns of the component in the newest wasmtime, with the least that a host can be: codex is a recording
//! (`tests/transcripts`), and nothing is kept.
//!
//! Arguments: the component, and the folders of recordings. It prints a line for each, a JSON array of the turn's events. It
//! knows the kinds of event that the recordings in `tests/suites/hosts/next_wasmtime.rs` lead to.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wasmtime::component::{Component, HasSelf, Linker, Resource};
use wasmtime::{Engine, Store};

use bindings::exports::plexum::provider::turns::{
    Content, Event, Failure, Message, NoticeKind, Options, Request, Role, Usage,
};
use bindings::plexum::codex::codex::{self, Child, Exit, ExitStatus, Output, Refusal};
use bindings::plexum::codex::codex_server::{
    self, Finished, NotOpened, Opened, PromptOptions, Turn, Wanted,
};
use bindings::plexum::codex::log;
use bindings::plexum::codex::session::{self, Entry, Loaded};
use bindings::plexum::codex::settings::{self, Settings};

#[allow(clippy::all, clippy::pedantic)]
mod bindings {
    wasmtime::component::bindgen!({
        path: ["../../wit/provider", "../../wit/codex"],
        world: "plexum:codex/codex-provider",
    });
}

/// A codex that says what was recorded.
struct Recording {
    lines: VecDeque<String>,
    exit: ExitStatus,
    stderr: String,
    /// What was kept of the conversation.
    saved: Option<Entry>,
}

impl Recording {
    fn read(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let text = |name: &str| fs::read_to_string(folder.join(name));
        let exit = text("exit.txt")?;
        let exit = match exit.trim().split_once(' ') {
            Some(("code", number)) => ExitStatus::Code(number.parse()?),
            Some(("signal", number)) => ExitStatus::Signal(number.parse()?),
            _ => return Err(format!("{exit:?} is no exit").into()),
        };
        Ok(Recording {
            lines: text("stdout.jsonl")?
                .lines()
                .map(|line| format!("{line}\n"))
                .collect(),
            exit,
            stderr: text("stderr.txt")?,
            saved: None,
        })
    }
}

impl codex::Host for Recording {
    fn spawn(
        &mut self,
        args: Vec<String>,
        _prompt: Option<String>,
    ) -> Result<Resource<Child>, Refusal> {
        assert_eq!(args.first().map(String::as_str), Some("exec"), "{args:?}");
        Ok(Resource::new_own(0))
    }

    /// There is nothing to wait for.
    fn back_off(&mut self) -> bool {
        false
    }
}

impl codex::HostChild for Recording {
    fn lines(&mut self, _: Resource<Child>, _max_bytes: u32, _awaiting: codex::Awaited) -> Output {
        Output {
            text: self.lines.pop_front().unwrap_or_default(),
            skipped: Vec::new(),
        }
    }

    fn wait(&mut self, _: Resource<Child>) -> Exit {
        Exit {
            status: self.exit,
            stopped: None,
            stderr: self.stderr.clone(),
            left_behind: 0,
            output_cut: false,
        }
    }

    fn terminate(&mut self, _: Resource<Child>) {}

    fn drop(&mut self, _: Resource<Child>) -> wasmtime::Result<()> {
        Ok(())
    }
}

/// There is no codex that stays.
impl codex_server::Host for Recording {
    fn open(&mut self, _: Wanted) -> Result<Opened, NotOpened> {
        Err(NotOpened::Unavailable(None))
    }
}

impl codex_server::HostTurn for Recording {
    fn prompt(
        &mut self,
        _: Resource<Turn>,
        _: String,
        _: Vec<u32>,
        _: PromptOptions,
    ) -> Result<(), NotOpened> {
        unreachable!("no turn was opened")
    }

    fn lines(&mut self, _: Resource<Turn>, _: u32, _: codex::Awaited) -> Output {
        unreachable!("no turn was opened")
    }

    fn interrupt(&mut self, _: Resource<Turn>) {
        unreachable!("no turn was opened")
    }

    fn finish(&mut self, _: Resource<Turn>) -> Finished {
        unreachable!("no turn was opened")
    }

    fn drop(&mut self, _: Resource<Turn>) -> wasmtime::Result<()> {
        unreachable!("no turn was opened")
    }
}

impl session::Host for Recording {
    fn load(&mut self) -> Result<Loaded, session::Error> {
        Ok(Loaded {
            entry: None,
            foreign: None,
            notices: Vec::new(),
        })
    }

    fn save(&mut self, entry: Entry) -> Result<Vec<String>, session::Error> {
        self.saved = Some(entry);
        Ok(Vec::new())
    }

    fn set_aside(&mut self) -> Result<(), session::Error> {
        Ok(())
    }
}

impl settings::Host for Recording {
    fn get(&mut self) -> Settings {
        Settings {
            models: vec![settings::Model {
                id: "codex".into(),
                args: Vec::new(),
                display_name: None,
                context_window: None,
                images: true,
                efforts: Vec::new(),
            }],
            extra_args: Vec::new(),
            sandbox: settings::Sandbox::ReadOnly,
            transport: settings::Transport::Exec,
            prompt: settings::PromptTransport::Automatic,
            lost_session: settings::LostSession::Replay,
            instructions: settings::Instructions::Developer,
            changed_instructions: settings::ChangedInstructions::Keep,
        }
    }
}

impl log::Host for Recording {
    fn write(&mut self, level: log::Level, message: String) {
        eprintln!("{level:?}: {message}");
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let wasm = arguments
        .next()
        .ok_or("usage: next-wasmtime COMPONENT FOLDER…")?;
    let engine = Engine::default();
    let component = Component::new(&engine, fs::read(wasm)?)?;
    let mut linker = Linker::new(&engine);
    bindings::CodexProvider::add_to_linker::<_, HasSelf<_>>(
        &mut linker,
        // The component wants what is unstable too.
        bindings::LinkOptions::default().back_off(true),
        |recording: &mut Recording| recording,
    )?;
    for folder in arguments {
        let mut store = Store::new(&engine, Recording::read(&folder)?);
        let world = bindings::CodexProvider::instantiate(&mut store, &component, &linker)?;
        println!("{}", Value::from(turn(&mut store, &world)?));
    }
    Ok(())
}

/// The events of a turn.
fn turn(
    store: &mut Store<Recording>,
    world: &bindings::CodexProvider,
) -> Result<Vec<Value>, Box<dyn Error>> {
    let provider = world.plexum_provider_turns();
    let described = provider.call_describe(&mut *store)?;
    assert_eq!(described.id, "plexum-openai-provider");
    let request = Request {
        model: None,
        session: None,
        instructions: None,
        messages: vec![Message {
            role: Role::User,
            content: vec![Content::Text("hello".into())],
        }],
        options: Options {
            effort: None,
            output_schema: None,
        },
    };
    let started = provider.turn().call_start(&mut *store, &request)?;
    let turn = started.map_err(|failure| failure.message)?;
    let mut told = Vec::new();
    loop {
        let events = provider.turn().call_next(&mut *store, turn)?;
        if events.is_empty() {
            break;
        }
        for event in events {
            told.push(to_json(event)?);
        }
    }
    turn.resource_drop(&mut *store)?;
    let saved = store.data().saved.as_ref();
    assert!(saved.is_some(), "the conversation was not kept");
    Ok(told)
}

/// As `say --json` prints it.
fn to_json(event: Event) -> Result<Value, Box<dyn Error>> {
    let mut json = match event {
        Event::MessageStart(start) => {
            json!({"type": "message_start", "thread_id": start.thread_id, "resumed": start.resumed, "model": start.model})
        }
        Event::TextDelta(delta) => {
            json!({"type": "text_delta", "index": delta.index, "text": delta.text})
        }
        Event::ToolStart(tool) => {
            let input: Value = serde_json::from_str(&tool.input)?;
            json!({"type": "tool_start", "id": tool.id, "kind": word(tool.kind), "title": tool.title, "input": input})
        }
        Event::ToolEnd(tool) => {
            json!({"type": "tool_end", "id": tool.id, "status": word(tool.status), "output": tool.output, "exit_code": tool.exit_code})
        }
        Event::Notice(notice) => match notice.kind {
            NoticeKind::Reconnecting(on) => {
                json!({"type": "notice", "kind": "reconnecting", "attempt": on.attempt, "attempts": on.attempts, "message": notice.message})
            }
            other => {
                return Err(
                    format!("a notice of another kind: {other:?}: {}", notice.message).into(),
                );
            }
        },
        Event::MessageEnd(end) => {
            json!({"type": "message_end", "stop_reason": word(end.stop_reason), "usage": end.usage.map(usage),
                "thread_usage": end.thread_usage.map(usage), "failure": end.failure.map(failure)})
        }
        other => return Err(format!("an event of another kind: {other:?}").into()),
    };
    without_nulls(&mut json);
    Ok(json)
}

fn usage(usage: Usage) -> Value {
    json!({"input_tokens": usage.input_tokens, "cached_input_tokens": usage.cached_input_tokens,
        "cache_write_input_tokens": usage.cache_write_input_tokens, "output_tokens": usage.output_tokens,
        "reasoning_output_tokens": usage.reasoning_output_tokens})
}

fn failure(failure: Failure) -> Value {
    json!({"kind": word(failure.kind), "message": failure.message, "retryable": failure.retryable,
        "retry_after_ms": failure.retry_after_ms, "detail": failure.detail})
}

/// What is absent is not written.
fn without_nulls(json: &mut Value) {
    if let Value::Object(members) = json {
        members.retain(|_, member| !member.is_null());
        members.values_mut().for_each(without_nulls);
    }
}

/// The name of a case, as JSON has it: `EndTurn` is `end_turn`.
fn word(case: impl Debug) -> String {
    let name = format!("{case:?}");
    let name = name.rsplit("::").next().unwrap_or_default();
    let mut word = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.extend(letter.to_lowercase());
    }
    word
}
