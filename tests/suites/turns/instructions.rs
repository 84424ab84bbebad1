//! Instructions and system messages: what of them the model gets, and what is said when it gets others.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use plexum_openai_provider::{Event, FailureKind, NoticeKind, ReplacementReason, RequestPart};
use plexum_openai_provider_tests::agent::Agent;
use plexum_openai_provider_tests::random::Random;
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::workspace::Said;
use serde_json::{Value, json};

/// A turn with these options.
fn say(agent: &Agent, options: &[&str], prompt: &str) -> Said {
    let output = agent.say(options).args(["--", prompt]).output().unwrap();
    Said::by(&output).unwrap()
}

/// A turn whose request holds these messages.
fn say_messages(agent: &Agent, options: &[&str], messages: &Value) -> Said {
    let file = agent.workspace.outside("messages.json");
    std::fs::write(&file, messages.to_string()).unwrap();
    let mut say = agent.say(options);
    Said::by(&say.arg("--messages").arg(file).output().unwrap()).unwrap()
}

/// Which of these texts the model has just got as developer messages.
fn got<'a>(agent: &Agent, texts: &[&'a str]) -> Vec<&'a str> {
    let request = agent.model.requests().pop().unwrap();
    let developer: Vec<&str> = request.developer_texts().collect();
    let texts = texts.iter().copied();
    texts.filter(|text| developer.contains(text)).collect()
}

fn replaced(said: &Said) -> Option<ReplacementReason> {
    said.events.iter().find_map(|event| match event {
        Event::Notice {
            kind: NoticeKind::SessionReplaced { reason, .. },
            ..
        } => Some(*reason),
        _ => None,
    })
}

#[test]
fn the_model_gets_those_that_the_conversation_began_with_and_a_change_is_said() {
    for codex in real_codex!() {
        let agent = Agent::new(&codex).unwrap();
        let all = ["Be kind.", "Be just."];
        let one = say(&agent, &["--instructions", "Be kind."], "one");
        assert_eq!((one.code, one.unsupported()), (Some(0), vec![]), "{one:?}");
        assert_eq!(got(&agent, &all), ["Be kind."]);
        let thread = one.start().unwrap().0;

        // The same, none, and others.
        let two = say(&agent, &["--instructions", "Be kind."], "two");
        assert_eq!(two.unsupported(), [], "{two:?}");
        assert_eq!(got(&agent, &all), ["Be kind."]);
        let three = say(&agent, &[], "three");
        assert_eq!(three.unsupported(), [], "{three:?}");
        assert_eq!(got(&agent, &all), ["Be kind."]);
        let four = say(&agent, &["--instructions", "Be just."], "four");
        assert_eq!(four.unsupported(), [RequestPart::Instructions], "{four:?}");
        assert_eq!(four.start(), Some((thread, true)));
        assert_eq!(got(&agent, &all), ["Be kind."], "codex keeps the first");
        assert_eq!(say(&agent, &[], "five").start(), Some((thread, true)));
    }
}

#[test]
fn changed_instructions_begin_a_new_conversation_where_the_operator_wants_that() {
    let earlier = json!([
        { "role": "system", "content": "Be just." },
        { "role": "user", "content": "one" },
        { "role": "assistant", "content": "echo: one" },
        { "role": "user", "content": "two" },
    ]);
    for codex in real_codex!() {
        let agent = Agent::new(&codex).unwrap();
        agent
            .configure(&json!({ "changed_instructions": "restart" }))
            .unwrap();
        let one = say(&agent, &["--instructions", "Be kind."], "one");
        let two = say_messages(&agent, &[], &earlier);
        assert_eq!(
            (replaced(&two), two.unsupported()),
            (Some(ReplacementReason::InstructionsChanged), vec![]),
            "{two:?}"
        );
        assert_ne!(one.start().unwrap().0, two.start().unwrap().0);
        assert_eq!(got(&agent, &["Be kind.", "Be just."]), ["Be just."]);
        let prompt = agent.model.requests().pop().unwrap().prompt().unwrap();
        assert!(
            prompt.contains("User: one\n\nAssistant: echo: one") && prompt.ends_with("two"),
            "{prompt}"
        );
        assert!(!prompt.contains("Be just."), "told once: {prompt}");
        let three = say_messages(&agent, &[], &earlier);
        assert_eq!(three.start(), two.start().map(|(id, _)| (id, true)));
        assert_eq!((replaced(&three), three.unsupported()), (None, vec![]));
    }
}

#[test]
fn ignored_instructions_reach_nobody_and_that_is_said() {
    for codex in real_codex!() {
        let agent = Agent::new(&codex).unwrap();
        agent
            .configure(&json!({ "instructions": "ignore" }))
            .unwrap();
        let messages = json!([
            { "role": "system", "content": "Be just." },
            { "role": "user", "content": "one" },
        ]);
        let said = say_messages(&agent, &["--instructions", "Be kind."], &messages);
        assert_eq!(said.unsupported(), [RequestPart::Instructions], "{said:?}");
        let request = agent.model.requests().pop().unwrap().body.to_string();
        assert!(!request.contains("Be kind.") && !request.contains("Be just."));
        assert_eq!(say(&agent, &[], "two").unsupported(), []);
    }
}

#[test]
fn instructions_and_system_messages_arrive_together_and_whole() {
    // Under what one argument can hold, with everything that has to be quoted.
    let long = "\"It's\"\\\n\t\"\"\" é\r\n".repeat(6_100);
    assert!(long.len() > 100 * 1024);
    for codex in real_codex!() {
        let agent = Agent::new(&codex).unwrap();
        let messages = json!([
            { "role": "system", "content": [{ "type": "text", "text": "Be just." }, { "type": "text", "text": "Be brief." }] },
            { "role": "user", "content": "one" },
            { "role": "system", "content": "Be quick." },
            { "role": "user", "content": "two" },
        ]);
        let said = say_messages(&agent, &["--instructions", "Be kind."], &messages);
        let whole = "Be kind.\n\nBe just.\n\nBe brief.\n\nBe quick.";
        assert_eq!(got(&agent, &[whole]), [whole], "{said:?}");

        let said = say(
            &agent,
            &["--session", "long", "--instructions", &long],
            "hi",
        );
        assert_eq!(said.code, Some(0), "{:?}", said.failure());
        assert_eq!(got(&agent, &[&long]).len(), 1, "the text was changed");

        let too_long = "\\".repeat(70_000);
        let asked = agent.model.requests().len();
        let said = say(
            &agent,
            &["--session", "x", "--instructions", &too_long],
            "hi",
        );
        assert_eq!(said.failure_kind(), Some(FailureKind::PromptTooLarge));
        assert_eq!(agent.model.requests().len(), asked);
    }
}

#[test]
fn codex_reads_the_quoted_text_as_it_was_whatever_it_holds() {
    /// Characters that TOML treats in ways of their own, and some that it does not.
    const CHARACTERS: [char; 24] = [
        '"', '"', '\'', '\\', '\n', '\r', '\t', '\u{1}', '\u{8}', '\u{b}', '\u{c}', '\u{1b}',
        '\u{1f}', '\u{7f}', '\u{85}', '\u{2028}', '\u{feff}', '=', '#', '[', 'u', '0', ' ', '🦀',
    ];
    for codex in real_codex!() {
        let agent = Agent::new(&codex).unwrap();
        let mut random = Random(16);
        for round in 0..24 {
            let length = 1 + random.number() % 40;
            let text: String = (0..length)
                .filter_map(|_| random.choose(&CHARACTERS))
                .collect();
            // Codex leaves out what is blank, and trims nothing else.
            let text = format!("<{text}>");
            let session = round.to_string();
            let said = say(
                &agent,
                &["--session", &session, "--instructions", &text],
                "hi",
            );
            assert_eq!(said.code, Some(0), "{text:?}: {said:?}");
            assert_eq!(got(&agent, &[&text]).len(), 1, "{text:?}");
        }
    }
}

#[test]
fn of_a_conversation_whose_beginning_is_unknown_nothing_is_claimed() {
    for codex in real_codex!() {
        let agent = Agent::new(&codex).unwrap();
        let one = say(&agent, &["--instructions", "Be kind."], "one");
        // As a host that does not keep it leaves it.
        let file = agent.workspace.thread_file(one.start().unwrap().0);
        std::fs::remove_file(file).unwrap();
        let two = say(&agent, &["--instructions", "Be kind."], "two");
        assert_eq!(two.unsupported(), [RequestPart::Instructions], "{two:?}");
        assert_eq!(say(&agent, &[], "three").unsupported(), []);
    }
}
