//! What else a request may hold: a history, an output schema, an effort, a session, images. Nothing of it is dropped
//! without a word.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::path::Path;

use plexum_openai_provider::{Event, FailureKind, NoticeKind, RequestPart, StopReason};
use plexum_openai_provider_tests::agent::Agent;
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::whole_request;
use plexum_openai_provider_tests::workspace::{Said, Workspace};
use serde_json::{Value, json};

fn fake_codex() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_fake-codex"))
}

#[test]
fn everything_reaches_the_model_of_a_real_codex() {
    for codex in real_codex!() {
        let agent = Agent::new(&codex).unwrap();
        whole_request::check(&agent, |options, prompt| {
            let mut say = agent.say(options);
            say.args(["--", prompt]);
            say
        })
        .unwrap();
    }
}

#[test]
fn an_effort_and_a_schema_are_of_one_turn() {
    for codex in real_codex!() {
        let agent = Agent::new(&codex).unwrap();
        let schema = json!({ "type": "object", "properties": {}, "additionalProperties": false, "required": [] });
        let file = agent.workspace.outside("schema.json");
        std::fs::write(&file, schema.to_string()).unwrap();
        let turn = |options: &[&str], prompt: &str| {
            let output = agent.say(options).args(["--", prompt]).output().unwrap();
            let said = Said::by(&output).unwrap();
            assert_eq!(
                (said.code, said.unsupported()),
                (Some(0), vec![]),
                "{said:?}"
            );
            let body = agent.model.requests().pop().unwrap().body;
            (
                body["reasoning"]["effort"].clone(),
                body["text"]["format"]["schema"].clone(),
            )
        };
        let (default, none) = turn(&[], "one");
        assert_eq!(none, Value::Null);
        assert_ne!(default, "low");
        let options = ["--effort", "low", "--output-schema", file.to_str().unwrap()];
        // Of a conversation that is resumed.
        assert_eq!(turn(&options, "mock:text={}"), (json!("low"), schema));
        assert_eq!(turn(&[], "three"), (default, Value::Null));
    }
}

#[test]
fn a_new_conversation_is_told_the_history_of_the_request() {
    let messages = json!([
        { "role": "user", "content": "my name is Ada" },
        { "role": "assistant", "content": "noted" },
        { "role": "user", "content": "who am I?" },
    ]);
    for codex in real_codex!() {
        let agent = Agent::new(&codex).unwrap();
        let file = agent.workspace.outside("messages.json");
        std::fs::write(&file, messages.to_string()).unwrap();
        for (resumed, prompt) in [
            (
                false,
                "This is what was said before in this conversation.\n\nUser: my name is Ada\n\nAssistant: noted\n\nThe next message, to be answered now:\n\nwho am I?",
            ),
            // Codex knows it now.
            (true, "who am I?"),
        ] {
            let mut say = agent.say(["--messages"]);
            let said = Said::by(&say.arg(&file).output().unwrap()).unwrap();
            assert_eq!(said.start().unwrap().1, resumed, "{said:?}");
            assert_eq!(said.unsupported(), []);
            let got = agent.model.requests().pop().unwrap().last_user_text();
            assert_eq!(got.as_deref(), Some(prompt));
        }
    }
}

/// A request by the name of the field that is set, and what becomes of that field.
enum Fate {
    /// These words are among the arguments.
    Argument(&'static str),
    /// A notice says that this part is not honoured.
    Notice(RequestPart),
    /// The request is refused.
    Refused(FailureKind),
}

/// One request, with messages and options of `say`.
struct Case {
    field: &'static str,
    config: Value,
    options: &'static [&'static str],
    messages: Value,
    fate: Fate,
}

#[test]
fn nothing_that_a_request_holds_is_dropped_in_silence() {
    let hi = || json!([{ "role": "user", "content": "hi" }]);
    // A GIF of one point.
    let data = "R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs=";
    let image = || json!({ "type": "image", "source": { "type": "base64", "data": data } });
    let case = |field, options, messages, fate| Case {
        field,
        config: json!({}),
        options,
        messages,
        fate,
    };
    let cases = [
        case(
            "model",
            &["--model", "m"],
            hi(),
            Fate::Argument("--model m"),
        ),
        case(
            "model that is not offered",
            &["--model", "x"],
            hi(),
            Fate::Refused(FailureKind::ModelUnsupported),
        ),
        case(
            "instructions",
            &["--instructions", "Be kind."],
            hi(),
            Fate::Argument("-c developer_instructions=\"\"\"Be kind.\"\"\""),
        ),
        Case {
            config: json!({ "instructions": "ignore" }),
            ..case(
                "instructions",
                &["--instructions", "Be kind."],
                hi(),
                Fate::Notice(RequestPart::Instructions),
            )
        },
        case(
            "effort",
            &["--effort", "low"],
            hi(),
            Fate::Argument("-c model_reasoning_effort=\"\"\"low\"\"\""),
        ),
        case(
            "effort that cannot be one",
            &["--effort", "l\"o"],
            hi(),
            Fate::Refused(FailureKind::InvalidRequest),
        ),
        case(
            "effort that the model does not take",
            &["--model", "o", "--effort", "high"],
            hi(),
            Fate::Refused(FailureKind::InvalidRequest),
        ),
        case(
            "output schema",
            &["--output-schema", "SCHEMA"],
            hi(),
            Fate::Argument("--output-schema /"),
        ),
        case(
            "output schema that is none",
            &["--output-schema", "LIST"],
            hi(),
            Fate::Refused(FailureKind::InvalidRequest),
        ),
        case("prompt", &[], hi(), Fate::Argument("-- hi")),
        case(
            "system message",
            &[],
            json!([{ "role": "system", "content": "Be kind." }, { "role": "user", "content": "hi" }]),
            Fate::Argument("-c developer_instructions=\"\"\"Be kind.\"\"\""),
        ),
        case(
            "image in a system message",
            &[],
            json!([{ "role": "system", "content": [image()] }, { "role": "user", "content": "hi" }]),
            Fate::Notice(RequestPart::Images),
        ),
        case(
            "earlier messages",
            &[],
            json!([{ "role": "user", "content": "one" }, { "role": "assistant", "content": "two" }, { "role": "user", "content": "hi" }]),
            Fate::Argument("User: one\n\nAssistant: two"),
        ),
        case(
            "image in an earlier message",
            &[],
            json!([{ "role": "user", "content": [{ "type": "text", "text": "look" }, image()] }, { "role": "user", "content": "hi" }]),
            Fate::Notice(RequestPart::Images),
        ),
        case(
            "more earlier messages than are told",
            &[],
            json!([{ "role": "user", "content": "x".repeat(100_001) }, { "role": "user", "content": "hi" }]),
            Fate::Notice(RequestPart::Messages),
        ),
        case(
            "message after the prompt",
            &[],
            json!([{ "role": "user", "content": "hi" }, { "role": "assistant", "content": "a prefill" }]),
            Fate::Notice(RequestPart::Messages),
        ),
        case(
            "image",
            &[],
            json!([{ "role": "user", "content": [{ "type": "text", "text": "hi" }, image()] }]),
            Fate::Argument("-i /"),
        ),
        case(
            "image for a model that takes none",
            &["--model", "blind"],
            json!([{ "role": "user", "content": [{ "type": "text", "text": "hi" }, image()] }]),
            Fate::Notice(RequestPart::Images),
        ),
    ];
    for Case {
        field,
        config,
        options,
        messages,
        fate,
    } in cases
    {
        let workspace = Workspace::scripted(fake_codex(), [Step::turn("hi").to_vec()]).unwrap();
        let mut all = json!({
            "binary": fake_codex(),
            "supported_models": ["codex", "m", { "id": "o", "efforts": ["low"] }, { "id": "blind", "images": false }],
        });
        all.as_object_mut()
            .unwrap()
            .extend(config.as_object().unwrap().clone());
        workspace.configure(&all).unwrap();
        for (name, text) in [
            ("SCHEMA", "{}"),
            ("LIST", "[]"),
            ("MESSAGES", &messages.to_string()),
        ] {
            std::fs::write(workspace.outside(name), text).unwrap();
        }
        let outside = |word: &str| match word {
            "SCHEMA" | "LIST" => workspace.outside(word).display().to_string(),
            word => word.to_owned(),
        };
        let mut say = workspace.say(["--json"]);
        say.args(options.iter().map(|word| outside(word)));
        say.arg("--messages").arg(workspace.outside("MESSAGES"));
        let said = Said::by(&say.output().unwrap()).unwrap();
        let calls = workspace.calls().unwrap();
        let argv = calls
            .first()
            .map(|call| call.argv.join(" "))
            .unwrap_or_default();
        match fate {
            Fate::Argument(words) => {
                assert!(argv.contains(words), "{field}: {argv}");
                assert_eq!(said.unsupported(), [], "{field}: {said:?}");
            }
            Fate::Notice(part) => assert_eq!(said.unsupported(), [part], "{field}: {said:?}"),
            Fate::Refused(kind) => {
                assert_eq!(said.failure_kind(), Some(kind), "{field}: {said:?}");
                assert!(calls.is_empty(), "{field}");
            }
        }
    }
}

#[test]
fn the_image_that_is_meant_is_handed_over() {
    let gif = |name: &str| json!({ "type": "image", "source": { "type": "path", "path": name } });
    let workspace = Workspace::scripted(fake_codex(), [Step::turn("hi").to_vec()]).unwrap();
    // One point each.
    let picture = b"GIF89a\x01\0\x01\0\0\0\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b";
    for name in ["one.gif", "two.gif"] {
        std::fs::write(workspace.path().join(name), picture).unwrap();
    }
    let messages = json!([
        { "role": "user", "content": [{ "type": "text", "text": "earlier" }, gif("gone.gif")] },
        { "role": "user", "content": [{ "type": "text", "text": "hi" }, gif("one.gif"), gif("two.gif")] },
    ]);
    let file = workspace.outside("messages.json");
    std::fs::write(&file, messages.to_string()).unwrap();
    let mut say = workspace.say(["--json"]);
    let said = Said::by(&say.arg("--messages").arg(&file).output().unwrap()).unwrap();
    assert_eq!(said.code, Some(0), "{said:?}");
    let argv = workspace.calls().unwrap().remove(0).argv;
    let images: Vec<&String> = argv
        .windows(2)
        .filter(|words| words[0] == "-i")
        .map(|words| &words[1])
        .collect();
    assert_eq!(images.len(), 2, "{argv:?}");
    // Those of the prompt, in their order; they are gone by now.
    assert!(images[0].ends_with("image-0.gif") && images[1].ends_with("image-1.gif"));
}

#[test]
fn an_answer_that_is_cut_off_is_not_a_failure() {
    for (reason, expected) in [
        ("max_output_tokens", StopReason::MaxTokens),
        ("content_filter", StopReason::Refusal),
    ] {
        let message = format!("Incomplete response returned, reason: {reason}");
        let steps = vec![
            Step::ThreadStarted,
            Step::TurnStarted,
            Step::message("half an"),
            Step::emit(json!({ "type": "error", "message": message }).to_string()),
            Step::emit(
                json!({ "type": "turn.failed", "error": { "message": message } }).to_string(),
            ),
            Step::Exit { code: 1 },
        ];
        let workspace = Workspace::scripted(fake_codex(), [steps]).unwrap();
        let said = workspace.turn(None, "hello").unwrap();
        let Some(Event::MessageEnd {
            stop_reason,
            failure,
            ..
        }) = said.events.last()
        else {
            panic!("{said:?}")
        };
        assert_eq!((*stop_reason, failure), (expected, &None), "{said:?}");
        assert_eq!((said.code, said.text().as_str()), (Some(1), "half an"));
        assert!(said.events.iter().any(|event| matches!(event,
            Event::Notice { kind: NoticeKind::Warning, message, .. } if message.contains(reason))));
    }
}
