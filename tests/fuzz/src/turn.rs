//! A turn of the component: what it is given, by the letters in an input, and what has to hold for its events.

use std::collections::HashSet;

use plexum_openai_provider::grant::RequestWords;
use plexum_openai_provider_guest::bindings::session::{Entry, Totals};
use plexum_openai_provider_guest::bindings::settings::{
    ChangedInstructions, Instructions, LostSession, Model, PromptTransport, Sandbox, Settings,
    Transport,
};
use plexum_openai_provider_guest::bindings::turns::{
    BlockEnd, BlockKind, Content, Delta, Event, Message, Options, Request, Role, StopReason,
};
use plexum_openai_provider_guest::turn::Turn;
use serde_json::value::RawValue;

use crate::codex::{Answers, Host, Printed, Server, exit};
use crate::fields::{FIELD, RECORD, number, split};

/// Runs the turn that an input describes: a record for each process that is started, or turn of one that stays, with the
/// fields standard output, standard error and exit (see [`exit`]). The first record has two more: the answers of the
/// host, as letters (see [`answers`]), and the prompt. So what the real codex prints is an input as it is.
///
/// # Panics
/// When the component does not keep its promises.
pub fn run(data: &[u8], transport: Transport) {
    let records = data.split(|byte| *byte == RECORD);
    let records: Vec<[&[u8]; 5]> = records.map(|record| split(record, FIELD)).collect();
    let processes = records.iter().map(|[stdout, stderr, end, ..]| Printed {
        stdout,
        exit: exit(end, stderr),
    });
    let [_, _, _, letters, prompt] = records[0];
    let host = Host::new(processes.collect(), answers(letters));
    let settings = settings(letters, transport);
    let Ok(turn) = Turn::start(host.clone(), settings, request(letters, prompt)) else {
        return;
    };
    check(turn, &host, letters.contains(&b'q'));
}

/// The thread that is stored, if one is, and the one that a codex that stays opens.
pub const STORED: &str = "01a20000-0000-7000-8000-000000000001";

/// `r` a thread is stored, `t` and its totals too, `k` and a digest of other instructions, `x` something else is
/// stored, `l` `s` `a` the store cannot be loaded, saved, set aside, `d` nothing can be started, `b` the thread may be
/// busy some times, and a number of bytes at a time. Of a codex that stays: `u` there is none, `w` it does not open the
/// conversation, `z` it ends instead, `j` it does not take the prompt. What the request holds: see [`request`].
pub fn answers(letters: &[u8]) -> Answers {
    let has = |letter| letters.contains(&letter);
    let thread_id = match (has(b'r'), has(b'x')) {
        (true, _) => Some(STORED),
        (_, true) => Some("--last"),
        _ => None,
    };
    Answers {
        stored: thread_id.map(|thread_id| Entry {
            thread_id: thread_id.into(),
            totals: has(b't').then_some(Totals {
                input_tokens: 1200,
                cached_input_tokens: Some(1000),
                cache_write_input_tokens: Some(0),
                output_tokens: 34,
                reasoning_output_tokens: Some(7),
            }),
            instructions: has(b'k').then(|| "digest".into()),
        }),
        loads: !has(b'l'),
        saves: !has(b's'),
        sets_aside: !has(b'a'),
        request: RequestWords {
            instructions: (has(b'y') || has(b'v')) && !has(b'g'),
            effort: has(b'h'),
            output_schema: has(b'o'),
        },
        starts: if has(b'd') { 0 } else { usize::MAX },
        back_offs: if has(b'b') { 3 } else { 0 },
        server: match (has(b'u'), has(b'w'), has(b'z')) {
            (true, ..) => Server::Unavailable,
            (_, true, _) => Server::Refuses,
            (.., true) => Server::Ends,
            _ => Server::Opens,
        },
        takes_prompt: !has(b'j'),
        batch: number(letters, usize::MAX),
    }
}

/// `n` a lost conversation is begun again, `f` it is a failure, `i` the prompt goes on standard input, `g` codex gets no
/// instructions, `c` other ones begin a new conversation.
pub fn settings(letters: &[u8], transport: Transport) -> Settings {
    let has = |letter| letters.contains(&letter);
    Settings {
        models: vec![Model {
            id: "codex".into(),
            args: Vec::new(),
            display_name: None,
            context_window: None,
            images: true,
            efforts: Vec::new(),
        }],
        extra_args: Vec::new(),
        sandbox: Sandbox::DangerFullAccess,
        transport,
        prompt: if has(b'i') {
            PromptTransport::Stdin
        } else {
            PromptTransport::Automatic
        },
        lost_session: match (has(b'n'), has(b'f')) {
            (true, _) => LostSession::Fresh,
            (_, true) => LostSession::Fail,
            _ => LostSession::Replay,
        },
        instructions: if has(b'g') {
            Instructions::Ignore
        } else {
            Instructions::Developer
        },
        changed_instructions: if has(b'c') {
            ChangedInstructions::Restart
        } else {
            ChangedInstructions::Keep
        },
    }
}

/// `e` there are earlier messages, `v` a message of role `system`, `y` instructions, `h` an effort, `o` an output schema.
pub fn request(letters: &[u8], prompt: &[u8]) -> Request {
    let message = |role, text: &str| Message {
        role,
        content: vec![Content::Text(text.into())],
    };
    let has = |letter| letters.contains(&letter);
    let mut messages = Vec::new();
    if has(b'v') {
        messages.push(message(Role::System, "Be just."));
    }
    if has(b'e') {
        messages.push(message(Role::User, "Remember seven."));
        messages.push(message(Role::Assistant, "I will."));
    }
    let prompt = if prompt.is_empty() { b"hello" } else { prompt };
    messages.push(message(Role::User, &String::from_utf8_lossy(prompt)));
    Request {
        model: None,
        session: None,
        instructions: has(b'y').then(|| "Be kind.".into()),
        messages,
        options: Options {
            effort: has(b'h').then(|| "high".into()),
            output_schema: has(b'o').then(|| "{}".into()),
        },
    }
}

/// What the contract in `wit/` says of the events of a turn. It may be cancelled when the first of them have come.
///
/// # Panics
/// When it does not hold.
pub fn check(mut turn: Turn<Host<'_>>, host: &Host<'_>, is_cancelled: bool) {
    let mut open = HashSet::new();
    let mut tools = HashSet::new();
    let (mut text, mut thinking) = (Blocks::default(), Blocks::default());
    let mut began = false;
    loop {
        let events = turn.next_events();
        assert!(!events.is_empty(), "a turn without an end");
        let count = events.len();
        for (nth, event) in events.into_iter().enumerate() {
            match event {
                Event::MessageStart(_) => {
                    assert!(!std::mem::replace(&mut began, true), "begun twice")
                }
                Event::TextDelta(delta) => text.append(&delta),
                Event::ThinkingDelta(delta) => thinking.append(&delta),
                Event::ToolStart(tool) => {
                    assert!(tools.insert(tool.id.clone()), "`{}` is not unique", tool.id);
                    open.insert(tool.id);
                    let input = serde_json::from_str::<&RawValue>(&tool.input);
                    assert!(input.is_ok(), "no JSON: {}", tool.input);
                }
                Event::ToolUpdate(tool) => {
                    assert!(open.contains(&tool.id), "`{}` is not open", tool.id)
                }
                Event::ToolEnd(tool) => assert!(open.remove(&tool.id), "`{}` is not open", tool.id),
                Event::BlockEnd(BlockEnd { kind, index, .. }) => match kind {
                    BlockKind::Text => text.end(index),
                    BlockKind::Thinking => thinking.end(index),
                },
                Event::ModelChange(_) | Event::Plan(_) | Event::Usage(_) | Event::Notice(_) => {}
                Event::MessageEnd(end) => {
                    assert_eq!(nth + 1, count, "something comes behind the end");
                    assert!(open.is_empty(), "tools without an end: {open:?}");
                    assert!(!host.runs(), "the turn is over, and codex is not");
                    let failed = matches!(end.stop_reason, StopReason::Error | StopReason::Aborted);
                    assert_eq!(end.failure.is_some(), failed);
                    if let Some(usage) = end.usage
                        && host.counts_in_totals()
                    {
                        let all = end
                            .thread_usage
                            .expect("a turn's tokens are the thread's, too");
                        assert!(usage.input_tokens <= all.input_tokens);
                        assert!(usage.output_tokens <= all.output_tokens);
                    }
                    assert!(turn.next_events().is_empty(), "the end has an end");
                    return;
                }
            }
        }
        if is_cancelled {
            turn.cancel();
        }
    }
}

/// The blocks of a turn, each of them open or ended. They are counted from 0, and one that has ended is not gone back to.
#[derive(Default)]
struct Blocks(Vec<bool>);

impl Blocks {
    fn append(&mut self, delta: &Delta) {
        let index = delta.index as usize;
        if index == self.0.len() {
            self.0.push(true);
        }
        assert_eq!(self.0.get(index), Some(&true), "appended to block {index}");
    }

    fn end(&mut self, index: u32) {
        let is_open = self.0.get_mut(index as usize);
        let was_open = is_open.map(|is_open| std::mem::replace(is_open, false));
        assert_eq!(was_open, Some(true), "the end of block {index}");
    }
}
