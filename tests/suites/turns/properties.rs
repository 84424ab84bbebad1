//! Whatever codex prints, a turn ends once, last, and without a panic: recorded transcripts with their
//! bytes changed, their ends cut off and their lines in another order.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;

use plexum_openai_provider::framing::{Framer, Lines};
use plexum_openai_provider_guest::bindings::codex::{Awaited, Exit, ExitStatus, Output, Refusal};
use plexum_openai_provider_guest::bindings::log::Level;
use plexum_openai_provider_guest::bindings::session::{Entry, Error, Loaded};
use plexum_openai_provider_guest::bindings::settings::{
    ChangedInstructions, Instructions, LostSession, Model, PromptTransport, Sandbox, Settings,
};
use plexum_openai_provider_guest::bindings::turns::{
    Content, Event, Message, Options, Request, Role, StopReason,
};
use plexum_openai_provider_guest::capability::{Capabilities, Child};
use plexum_openai_provider_guest::turn::Turn;
use proptest::prelude::*;
use serde_json::Value;

/// A codex that prints these bytes each time it is started.
#[derive(Clone)]
struct Printing {
    batches: Rc<Vec<Output>>,
    exit: Exit,
    stored: Rc<RefCell<Option<Entry>>>,
}

struct Printed {
    batches: Rc<Vec<Output>>,
    next: Cell<usize>,
    exit: Exit,
}

impl Capabilities for Printing {
    type Child = Printed;

    fn spawn(&self, _: &[String], _: Option<&str>) -> Result<Printed, Refusal> {
        Ok(Printed {
            batches: self.batches.clone(),
            next: Cell::new(0),
            exit: self.exit.clone(),
        })
    }

    fn back_off(&self) -> bool {
        false
    }

    fn load_session(&self) -> Result<Loaded, Error> {
        Ok(Loaded {
            entry: self.stored.borrow().clone(),
            foreign: None,
            notices: Vec::new(),
        })
    }

    fn save_session(&self, entry: &Entry) -> Result<Vec<String>, Error> {
        self.stored.replace(Some(entry.clone()));
        Ok(Vec::new())
    }

    fn set_session_aside(&self) -> Result<(), Error> {
        self.stored.replace(None);
        Ok(())
    }

    fn log(&self, _: Level, _: &str) {}
}

impl Child for Printed {
    fn lines(&self, _: u32, _: Awaited) -> Output {
        let nth = self.next.replace(self.next.get() + 1);
        self.batches.get(nth).cloned().unwrap_or(Output {
            text: String::new(),
            skipped: Vec::new(),
        })
    }

    fn wait(&self) -> Exit {
        self.exit.clone()
    }

    fn terminate(&self) {}
}

/// The real host's framing, in batches of about this size.
fn batches(bytes: &[u8], size: usize) -> Vec<Output> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut framer = Framer::new(bytes, 64 * 1024);
        let mut batches = Vec::new();
        loop {
            let Lines { text, skipped } = framer.lines(size).await.unwrap();
            if text.is_empty() && skipped.is_empty() {
                return batches;
            }
            batches.push(Output { text, skipped });
        }
    })
}

/// All events of a turn over this output.
fn turn(bytes: &[u8], size: usize, resumed: bool, exit: Exit) -> Vec<Event> {
    let entry = Entry {
        thread_id: "01a20000-0000-7000-8000-000000000001".into(),
        totals: None,
        instructions: None,
    };
    let host = Printing {
        batches: Rc::new(batches(bytes, size)),
        exit,
        stored: Rc::new(RefCell::new(resumed.then_some(entry))),
    };
    let settings = Settings {
        models: vec![Model {
            id: "codex".into(),
            args: vec![],
            display_name: None,
            context_window: None,
            images: true,
            efforts: vec![],
        }],
        extra_args: vec![],
        sandbox: Sandbox::DangerFullAccess,
        prompt: PromptTransport::Automatic,
        lost_session: LostSession::Replay,
        instructions: Instructions::Developer,
        changed_instructions: ChangedInstructions::Keep,
    };
    let messages = vec![Message {
        role: Role::User,
        content: vec![Content::Text("hello".into())],
    }];
    let mut turn = Turn::start(
        host,
        settings,
        Request {
            model: None,
            session: None,
            instructions: None,
            messages,
            options: Options {
                effort: None,
                output_schema: None,
            },
        },
    )
    .unwrap();
    let mut events = Vec::new();
    loop {
        let more = turn.next_events();
        if more.is_empty() {
            return events;
        }
        events.extend(more);
    }
}

/// What holds for every turn.
fn check(events: &[Event]) {
    let ends = events
        .iter()
        .filter(|event| matches!(event, Event::MessageEnd(_)))
        .count();
    assert_eq!(ends, 1, "{events:?}");
    let Some(Event::MessageEnd(end)) = events.last() else {
        panic!("something follows the end: {events:?}")
    };
    let failed = matches!(end.stop_reason, StopReason::Error | StopReason::Aborted);
    assert_eq!(end.failure.is_some(), failed, "{end:?}");
    let mut open = Vec::new();
    for event in events {
        match event {
            Event::ToolStart(tool) => open.push(&tool.id),
            Event::ToolUpdate(tool) => assert!(open.contains(&&tool.id), "{events:?}"),
            Event::ToolEnd(tool) => {
                let position = open
                    .iter()
                    .position(|id| **id == tool.id)
                    .expect("a tool ends that never began");
                open.swap_remove(position);
            }
            _ => {}
        }
    }
    assert!(open.is_empty(), "tools never end: {open:?}");
}

/// What the model says in this output until codex says how the turn ended, message by message. Once each: what codex
/// repeats after a broken connection is not reported again.
fn said(bytes: &[u8]) -> Vec<String> {
    let lines = bytes.split(|byte| *byte == b'\n');
    let events = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let open = |event: &Value| {
        !matches!(
            event["type"].as_str(),
            Some("turn.completed" | "turn.failed")
        )
    };
    let text = |event: Value| {
        let item = &event["item"];
        let is_message = event["type"] == "item.completed" && item["type"] == "agent_message";
        is_message.then(|| item["text"].as_str().map(str::to_owned))?
    };
    let texts = events.take_while(open).filter_map(text);
    let mut said = Vec::new();
    for text in texts.filter(|text| !text.is_empty()) {
        if !said.contains(&text) {
            said.push(text);
        }
    }
    said
}

/// No text is lost: what the model says is what the caller gets, in that order.
fn check_text(events: &[Event], said: &[String]) {
    let mut told = events.iter().filter_map(|event| match event {
        Event::TextDelta(delta) => Some(&delta.text),
        _ => None,
    });
    for text in said {
        assert!(
            told.any(|told| told == text),
            "{text:?} is lost: {events:?}"
        );
    }
}

/// The recorded outputs of the real codex.
fn transcripts() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    let folders = |path: &Path| {
        std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
    };
    let cases = folders(&root)
        .filter(|path| path.is_dir())
        .flat_map(|version| folders(&version).collect::<Vec<_>>());
    let mut outputs: Vec<_> = cases
        .map(|case| std::fs::read(case.join("stdout.jsonl")).unwrap())
        .collect();
    // Large ones only make this slow: a mutation of one line is as good as that of another.
    outputs.retain(|output| !output.is_empty() && output.len() < 16 * 1024);
    outputs.sort();
    outputs
}

#[derive(Debug, Clone)]
enum Mutation {
    /// Another byte at this place.
    Byte(prop::sample::Index, u8),
    /// Nothing from here on.
    Cut(prop::sample::Index),
    /// These two lines change places.
    Swap(prop::sample::Index, prop::sample::Index),
    /// This line comes once more, there.
    Repeat(prop::sample::Index, prop::sample::Index),
    /// This line is missing.
    Drop(prop::sample::Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    use prop::sample::Index;
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Byte(at, byte)),
        1 => any::<Index>().prop_map(Mutation::Cut),
        2 => any::<(Index, Index)>().prop_map(|(one, other)| Mutation::Swap(one, other)),
        1 => any::<(Index, Index)>().prop_map(|(line, at)| Mutation::Repeat(line, at)),
        1 => any::<Index>().prop_map(Mutation::Drop),
    ]
}

fn mutate(mut bytes: Vec<u8>, mutation: &Mutation) -> Vec<u8> {
    if bytes.is_empty() {
        return bytes;
    }
    let mut lines: Vec<Vec<u8>> = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    match mutation {
        Mutation::Byte(at, byte) => {
            *at.get_mut(&mut bytes) = *byte;
            return bytes;
        }
        Mutation::Cut(at) => {
            bytes.truncate(at.index(bytes.len()));
            return bytes;
        }
        Mutation::Swap(one, other) => {
            let count = lines.len();
            lines.swap(one.index(count), other.index(count));
        }
        Mutation::Repeat(line, at) => {
            let line = line.get(&lines).clone();
            lines.insert(at.index(lines.len()), line);
        }
        Mutation::Drop(line) => {
            lines.remove(line.index(lines.len()));
        }
    }
    lines.concat()
}

#[test]
fn the_text_of_every_transcript_arrives() {
    let mut texts = 0;
    for bytes in transcripts() {
        let said = said(&bytes);
        for size in [1, 100, 20_000] {
            let exit = Exit {
                status: ExitStatus::Code(0),
                stopped: None,
                stderr: String::new(),
                left_behind: 0,
                output_cut: false,
            };
            check_text(&turn(&bytes, size, false, exit), &said);
        }
        texts += said.len();
    }
    assert!(texts > 50, "{texts}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_turn_over_a_damaged_transcript_ends_once(
        transcript in prop::sample::select(transcripts()),
        mutations in prop::collection::vec(mutation(), 0..6),
        size in 1_usize..20_000,
        resumed: bool,
        code in prop_oneof![Just(0), Just(1), Just(2), Just(101)],
        stderr in prop_oneof![Just(String::new()), Just("Error: no rollout found for thread id x\n".to_owned()), ".{0,80}"],
    ) {
        let bytes = mutations.iter().fold(transcript, mutate);
        check(&turn(&bytes, size, resumed, Exit { status: ExitStatus::Code(code), stopped: None, stderr, left_behind: 0, output_cut: false }));
    }

    #[test]
    fn a_turn_over_any_bytes_ends_once(bytes in prop::collection::vec(any::<u8>(), 0..2000), size in 1_usize..3000) {
        check(&turn(&bytes, size, false, Exit { status: ExitStatus::Signal(9), stopped: None, stderr: String::new(), left_behind: 0, output_cut: false }));
    }
}
