//! What it tries with a codex that stays: a prompt is a list of steps, each on a line, as `open-new MODEL`, `prompt TEXT`,
//! `lines` or `lines-until TEXT`. What came of each is reported as a text on a line.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

use plexum_openai_provider_guest::bindings::codex::Awaited;
use plexum_openai_provider_guest::bindings::codex_server::{
    self, Conversation, NotOpened, PromptOptions, Turn, Wanted,
};
use plexum_openai_provider_guest::bindings::session::{self, Entry};

/// Takes the steps and reports what came of them.
pub fn steps(steps: &str) -> String {
    let mut turn = None;
    let mut report = String::new();
    for step in steps.lines() {
        let (what, with) = step.split_once(' ').unwrap_or((step, ""));
        let said = take(&mut turn, what, with);
        report.push_str(&format!("{what}: {said}\n"));
    }
    report
}

fn take(turn: &mut Option<Turn>, what: &str, with: &str) -> String {
    let no_options = PromptOptions {
        effort: false,
        output_schema: false,
    };
    let open = |turn: &mut Option<Turn>, conversation, instructions| {
        let wanted = Wanted {
            conversation,
            model: with.to_owned(),
            instructions,
        };
        match codex_server::open(&wanted) {
            Ok(opened) => {
                *turn = Some(opened.turn);
                format!("opened {}", opened.thread_id)
            }
            Err(why) => not_opened(why),
        }
    };
    match (what, &*turn) {
        ("open-new", _) => open(turn, Conversation::New, false),
        ("open-stored", _) => open(turn, Conversation::Stored, false),
        ("open-new-with-instructions", _) => open(turn, Conversation::New, true),
        ("open-stored-with-instructions", _) => open(turn, Conversation::Stored, true),
        ("save", _) => saved(with),
        ("prompt", Some(turn)) => prompted(turn.prompt(with, &[], no_options)),
        ("prompt-with-image", Some(turn)) => {
            prompted(turn.prompt("look", &[with.parse().unwrap_or(0)], no_options))
        }
        ("prompt-with-effort", Some(turn)) => prompted(turn.prompt(
            with,
            &[],
            PromptOptions {
                effort: true,
                ..no_options
            },
        )),
        ("prompt-with-schema", Some(turn)) => prompted(turn.prompt(
            with,
            &[],
            PromptOptions {
                output_schema: true,
                ..no_options
            },
        )),
        ("lines", Some(turn)) => lines(turn, |_| false),
        ("lines-until", Some(turn)) => lines(turn, |all| all.contains(with)),
        ("interrupt", Some(turn)) => {
            turn.interrupt();
            "asked".to_owned()
        }
        ("finish", Some(turn)) => {
            let finished = turn.finish();
            format!("{:?} {:?}", finished.status, finished.stopped)
        }
        ("drop", Some(_)) => {
            *turn = None;
            "dropped".to_owned()
        }
        (_, None) => "no turn".to_owned(),
        _ => panic!("no such step: {what}"),
    }
}

/// What codex says until this is enough, or until it is over.
fn lines(turn: &Turn, is_enough: impl Fn(&str) -> bool) -> String {
    let mut all = String::new();
    while !is_enough(&all) {
        let output = turn.lines(64 * 1024, Awaited::Model);
        if output.text.is_empty() && output.skipped.is_empty() {
            break;
        }
        all.push_str(&output.text);
    }
    all.replace('\n', " ")
}

fn prompted(result: Result<(), NotOpened>) -> String {
    match result {
        Ok(()) => "begun".to_owned(),
        Err(why) => not_opened(why),
    }
}

fn not_opened(why: NotOpened) -> String {
    match why {
        NotOpened::Refused(refusal) => format!("refused {:?}: {}", refusal.reason, refusal.message),
        NotOpened::Failed(words) => format!("failed: {words}"),
        NotOpened::Ended(exit) => format!("ended: {:?}", exit.status),
        NotOpened::Unavailable(why) => format!("unavailable: {why:?}"),
    }
}

fn saved(thread_id: &str) -> String {
    let entry = Entry {
        thread_id: thread_id.to_owned(),
        totals: None,
        instructions: None,
    };
    match session::save(&entry) {
        Ok(_) => "saved".to_owned(),
        Err(error) => format!("not saved: {error:?}"),
    }
}
