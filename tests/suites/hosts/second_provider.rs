//! A provider that knows nothing of codex (`tests/echo-provider`) in every host: what `wit/provider` promises is not a
//! promise about codex. It reports every kind of event, so this is also where the JSON of each is compared.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use plexum_openai_provider::embed::{self, CodexView};
use plexum_openai_provider::{
    CodexCtx, Config, Event, GrantedCodex, Message, Provider, Request, Role,
};
use plexum_openai_provider::{SessionFiles, bindings::CodexProvider};
use plexum_openai_provider_tests::echo_provider;
use plexum_openai_provider_tests::jco_host::{JcoHost, succeed};
use plexum_openai_provider_tests::python_host::PythonHost;
use plexum_openai_provider_tests::transcript::difference;
use plexum_openai_provider_tests::workspace::{Said, Workspace};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tempfile::TempDir;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

/// The JSON of every kind of event.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/events.jsonl");

/// A codex that does not exist.
const NO_CODEX: &str = "/nowhere/codex";

fn component() -> Vec<u8> {
    fs::read(echo_provider::component()).unwrap()
}

fn config() -> Config {
    Config {
        binary: Some(NO_CODEX.into()),
        ..Config::default()
    }
}

fn provider() -> Provider {
    Provider::with_component(config(), &component())
        .unwrap()
        .with_session_store(SessionFiles::default().without_state())
}

/// The events of a turn in the Rust host, one JSON object a line.
async fn turn(request: Request) -> String {
    let workspace = TempDir::new().unwrap();
    let mut turn = provider().turn(workspace.path(), request);
    let mut lines = String::new();
    while let Some(event) = turn.next().await {
        lines += &serde_json::to_string(&event).unwrap();
        lines.push('\n');
    }
    // It keeps no conversation.
    assert_eq!(fs::read_dir(workspace.path()).unwrap().count(), 0);
    lines
}

fn events(lines: &str) -> Vec<Value> {
    let lines = lines.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The text of the answer.
fn text(events: &[Value]) -> String {
    let deltas = events.iter().filter(|event| event["type"] == "text_delta");
    deltas
        .map(|delta| delta["text"].as_str().unwrap())
        .collect()
}

#[test]
fn it_asks_nothing_of_its_host() {
    let engine = Engine::default();
    let component = Component::new(&engine, component()).unwrap();
    let kind = component.component_type();
    assert_eq!(kind.imports(&engine).count(), 0);
    let exports: Vec<_> = kind
        .exports(&engine)
        .map(|(name, _)| name.to_owned())
        .collect();
    assert_eq!(exports, ["plexum:provider/turns@0.1.0"]);
}

#[tokio::test]
async fn it_says_what_it_can_do() {
    let description = provider().describe().await.unwrap();
    assert_eq!(
        serde_json::to_value(description).unwrap(),
        json!({
            "id": "plexum-echo-provider",
            "version": env!("CARGO_PKG_VERSION"),
            "models": [
                {
                    "id": "echo",
                    "display_name": "Echo",
                    "context_window": 4096,
                    "images": false,
                    "efforts": ["once", "twice"],
                },
                { "id": "echo-small", "images": false, "efforts": ["once", "twice"] },
            ],
            "capabilities": ["streaming_deltas", "tool_updates", "instructions", "effort"],
        })
    );
}

#[tokio::test]
async fn every_kind_of_event_has_its_json() {
    let lines = turn(Request::prompt("everything")).await;
    if std::env::var_os("BLESS").is_some() {
        fs::write(GOLDEN, &lines).unwrap();
    }
    let golden = fs::read_to_string(GOLDEN).unwrap();
    assert!(
        lines == golden,
        "if this is what is wanted, run the test again with BLESS=1\n{}",
        difference(&golden, &lines)
    );
    for line in lines.lines() {
        let event: Event = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&event).unwrap(), line);
    }
    let mut types: Vec<String> = events(&lines)
        .iter()
        .map(|event| event["type"].as_str().unwrap().to_owned())
        .collect();
    types.sort();
    types.dedup();
    assert_eq!(types.len(), 12, "{types:?}");
}

#[tokio::test]
async fn what_a_request_holds_is_honoured_or_named() {
    let system = |text: &str| {
        let user = Message::user(text);
        Message::new(Role::System, user.content)
    };
    let mut request = Request::new(vec![
        Message::user("earlier"),
        system("be brief"),
        Message::user("hello there"),
    ]);
    request.model = Some("echo-small".into());
    request.instructions = Some("be kind".into());
    request.session = Some("another".into());
    request.options.effort = Some("twice".into());
    request.options.output_schema = Some(RawValue::from_string("{}".into()).unwrap());
    let events = events(&turn(request).await);
    let start = json!({ "type": "message_start", "thread_id": "echo-1", "resumed": false, "model": "echo-small" });
    assert_eq!(events[0], start);
    assert_eq!(
        text(&events),
        "be kind\n\nbe brief: hello there hello there"
    );
    let notices = events.iter().filter(|event| event["type"] == "notice");
    let parts: Vec<_> = notices
        .map(|notice| (&notice["kind"], &notice["part"]))
        .map(|(kind, part)| (kind.as_str().unwrap(), part.as_str().unwrap()))
        .collect();
    let unsupported = ["messages", "output_schema", "session"].map(|part| ("unsupported", part));
    assert_eq!(parts, unsupported);
    assert_eq!(events.last().unwrap()["stop_reason"], "end_turn");

    let mut request = Request::prompt("hello");
    request.model = Some("gpt-5.5".into());
    let end = turn(request).await;
    assert!(end.contains(r#""kind":"model_unsupported""#), "{end}");
}

#[tokio::test]
async fn a_turn_ends_for_the_reason_that_it_has() {
    for prompt in ["max-tokens", "refusal"] {
        let events = events(&turn(Request::prompt(prompt)).await);
        let reason = prompt.replace('-', "_");
        let end = json!({ "type": "message_end", "stop_reason": reason });
        assert_eq!(*events.last().unwrap(), end);
    }
    let events = events(&turn(Request::prompt("failure")).await);
    let failure = &events.last().unwrap()["failure"];
    assert_eq!(failure["kind"], "rate_limited");
    assert_eq!(failure["retry_after_ms"], 1500);
}

#[tokio::test]
async fn an_endless_turn_that_is_cancelled_ends() {
    let workspace = TempDir::new().unwrap();
    let mut turn = provider().turn(workspace.path(), Request::prompt("endless"));
    let mut last = None;
    while let Some(event) = turn.next().await {
        if matches!(event, Event::TextDelta { .. }) {
            turn.cancel();
        }
        last = Some(event);
    }
    let end = serde_json::to_value(last.unwrap()).unwrap();
    assert_eq!(end["stop_reason"], "aborted", "{end}");
    assert_eq!(end["failure"]["kind"], "killed", "{end}");
    assert_eq!(
        end["failure"]["message"], "The echo was cancelled.",
        "{end}"
    );
}

/// The data of a store of one's own.
struct State(CodexCtx);

impl CodexView for State {
    fn codex(&mut self) -> &mut CodexCtx {
        &mut self.0
    }
}

#[tokio::test]
async fn a_turn_that_is_told_to_end_ends_in_its_own_words() {
    let component = component();
    let mut settings = wasmtime::Config::new();
    settings.epoch_interruption(true);
    let engine = Engine::new(&settings).unwrap();
    let compiled = Component::new(&engine, &component).unwrap();
    let mut linker = Linker::<State>::new(&engine);
    embed::add_to_linker(&mut linker).unwrap();
    let codex = GrantedCodex::new(config(), &component)
        .unwrap()
        .with_session_store(SessionFiles::default().without_state());
    for (events_before, reason) in [(0, "aborted"), (2, "aborted"), (usize::MAX, "end_turn")] {
        let workspace = TempDir::new().unwrap();
        let request = Request::prompt("hello");
        let opened = codex.open(workspace.path(), request).await.unwrap();
        let mut store = Store::new(&engine, State(opened.ctx));
        embed::limit(&mut store);
        let world = CodexProvider::instantiate_async(&mut store, &compiled, &linker);
        let world = world.await.unwrap();
        let turns = world.plexum_provider_turns().turn();
        let started = turns.call_start(&mut store, &opened.request).await;
        let turn = started.unwrap().unwrap();
        let mut events = Vec::new();
        let mut told = false;
        loop {
            if events.len() >= events_before && !told {
                turns.call_cancel(&mut store, turn).await.unwrap();
                told = true;
            }
            let batch = turns.call_next(&mut store, turn).await.unwrap();
            if batch.is_empty() {
                break;
            }
            events.extend(batch.into_iter().map(Event::from));
        }
        // To a turn that is over it does nothing.
        turns.call_cancel(&mut store, turn).await.unwrap();
        let batch = turns.call_next(&mut store, turn).await.unwrap();
        assert!(batch.is_empty());
        let end = serde_json::to_value(events.last().unwrap()).unwrap();
        assert_eq!(end["stop_reason"], reason);
        if told {
            assert_eq!(events.len(), events_before + 1);
            assert_eq!(end["failure"]["message"], "The echo was cancelled.");
        }
    }
}

/// What is said to the provider in each host, with options of `say`.
const CASES: [(&[&str], &str); 7] = [
    (&[], "hello \u{1f980}"),
    (&[], "everything"),
    (&[], "max-tokens"),
    (&[], "refusal"),
    (&[], "failure"),
    (&["--instructions", "be kind", "--effort", "twice"], "hello"),
    (&["--session", "another", "--effort", "thrice"], "hello"),
];

/// Compares the lines that another host prints with those of the Rust host.
async fn check(say: impl Fn(&Workspace, &[&str], &str) -> Command) {
    let workspace = Workspace::new(Path::new(NO_CODEX)).unwrap();
    for (options, prompt) in CASES {
        let mut request = Request::prompt(prompt);
        for pair in options.chunks(2) {
            let value = Some(pair[1].to_owned());
            match pair[0] {
                "--instructions" => request.instructions = value,
                "--effort" => request.options.effort = value,
                _ => request.session = value,
            }
        }
        let ours = turn(request).await;
        let Output { stdout, status, .. } = say(&workspace, options, prompt).output().unwrap();
        let theirs = String::from_utf8(stdout).unwrap();
        assert!(ours == theirs, "{prompt}\n{}", difference(&ours, &theirs));
        let completed = ours.contains(r#""stop_reason":"end_turn""#);
        assert_eq!(status.code(), Some(i32::from(!completed)), "{prompt}");
    }
}

#[tokio::test]
async fn node_js_prints_the_same_events() {
    let name = "node_js_prints_the_same_events";
    let Some(host) = JcoHost::with_component(name, "jco-echo", &component()) else {
        return;
    };
    check(|workspace, options, prompt| host.say(workspace, options, prompt)).await;
}

#[tokio::test]
async fn python_prints_the_same_events() {
    let name = "python_prints_the_same_events";
    let Some(host) = PythonHost::with_component(name, &component()) else {
        return;
    };
    check(|workspace, options, prompt| host.say(workspace, options, prompt)).await;
}

#[test]
fn node_js_cancels_between_two_events() {
    let name = "node_js_cancels_between_two_events";
    let Some(host) = JcoHost::with_component(name, "jco-echo", &component()) else {
        return;
    };
    let workspace = Workspace::new(Path::new(NO_CODEX)).unwrap();
    let mut cancel = host.test("cancel.mjs");
    cancel.arg(host.component()).arg(workspace.config());
    let said = Said::by(&succeed(cancel.arg(workspace.path()).arg("endless"))).unwrap();
    assert_eq!(said.text(), "and so on ");
    assert_eq!(said.failure().unwrap().message, "The echo was cancelled.");
}
