//! The real codex against a loopback model: what the contract promises.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use plexum_openai_provider_tests::agent::Agent;
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::workspace::Said;
use serde_json::json;

#[test]
fn the_second_turn_remembers_the_first() {
    for codex in real_codex!() {
        let agent = Agent::new(&codex).unwrap();
        let first = agent.turn("my name is Ada").unwrap();
        let second = agent.turn("mock:history").unwrap();
        for (said, resumed) in [(&first, false), (&second, true)] {
            assert_eq!(said.code, Some(0), "{}: {said:?}", codex.version);
            assert_eq!(
                said.start(),
                Some((
                    agent.workspace.session().unwrap().unwrap().as_str(),
                    resumed
                ))
            );
            let (usage, thread_usage) = said.usage();
            assert_eq!(usage.unwrap().input_tokens, 1200);
            assert_eq!(
                thread_usage.unwrap().input_tokens,
                if resumed { 2400 } else { 1200 }
            );
        }
        assert_eq!(first.text(), "echo: my name is Ada");
        assert_eq!(second.text(), r#"["my name is Ada","mock:history"]"#);
    }
}

#[test]
fn every_prompt_reaches_the_model_as_it_is() {
    let long = "0123456789abcdef".repeat(200 * 1024 / 16);
    let prompts = [
        "help",
        "--help",
        "-",
        "--",
        "review",
        "resume",
        "fork",
        "-c x=y",
        "--json",
        "--version",
        &long,
        "two\nlines\r\n\ttabbed  ",
        "it's \"quoted\" \\ `$HOME` $(true)",
        "emoji 👩‍🚀 ünï\u{2028}cödé",
        "NUL \0 inside",
    ];
    for codex in real_codex!() {
        let agent = Agent::new(&codex).unwrap();
        let file = agent.workspace.outside("messages.json");
        for prompt in prompts {
            std::fs::write(
                &file,
                json!([{ "role": "user", "content": prompt }]).to_string(),
            )
            .unwrap();
            let mut say = agent.say(["--messages".as_ref(), file.as_os_str()]);
            let output = say.output().unwrap();
            let said = Said::by(&output).unwrap();
            assert_eq!(
                said.code,
                Some(0),
                "{} {prompt:.20}: {said:?}",
                codex.version
            );
            let got = agent
                .model
                .requests()
                .pop()
                .and_then(|request| request.last_user_text());
            assert!(
                got.as_deref() == Some(prompt),
                "{} {prompt:.20} arrived as {got:.40?}",
                codex.version
            );
        }
        // All in one thread: each was a turn of its own and none a command.
        let requests = agent.model.requests();
        assert_eq!(requests.last().unwrap().prompts(), prompts);
    }
}

#[test]
fn every_flag_that_can_be_emitted_is_one_of_this_version() {
    for codex in real_codex!() {
        let agent = Agent::new(&codex).unwrap();
        let help = |command: &[&str]| {
            let output = codex
                .command(&agent.home, agent.workspace.path())
                .args(command)
                .arg("--help")
                .output()
                .unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        for help in [help(&["exec"]), help(&["exec", "resume"])] {
            let flags = [
                "--skip-git-repo-check",
                "--dangerously-bypass-approvals-and-sandbox",
                "--json",
                "--model",
                "-c,",
                "-i,",
            ];
            for flag in flags {
                assert!(
                    help.contains(flag),
                    "{}: {flag} is not in\n{help}",
                    codex.version
                );
            }
        }
        // The keys given with `-c`, fresh and resumed, by a codex that refuses unknown ones.
        for sandbox in ["workspace-write", "read-only"] {
            agent
                .configure(&json!({ "sandbox": sandbox, "extra_args": ["--strict-config"] }))
                .unwrap();
            let said = agent.turn("hello").unwrap();
            assert_eq!(said.code, Some(0), "{} {sandbox}: {said:?}", codex.version);
        }
        agent
            .configure(&json!({ "extra_args": ["--strict-config", "-c", "no_such_key=1"] }))
            .unwrap();
        let said = agent.turn("hello").unwrap();
        assert_ne!(
            said.code,
            Some(0),
            "{}: this codex does not notice unknown keys",
            codex.version
        );
    }
}

#[test]
fn prompts_on_stdin_work_in_fresh_and_resumed_turns() {
    for codex in real_codex!() {
        let agent = Agent::new(&codex).unwrap();
        agent.configure(&json!({ "prompt": "stdin" })).unwrap();
        for resumed in [false, true] {
            let said = agent.turn("--help").unwrap();
            assert_eq!(
                said.start().map(|(_, resumed)| resumed),
                Some(resumed),
                "{}",
                codex.version
            );
            assert_eq!(said.text(), "echo: --help");
        }
    }
}

#[test]
fn a_lost_thread_is_replaced_and_told_what_was_said() {
    for codex in real_codex!() {
        let agent = Agent::new(&codex).unwrap();
        let first = agent.turn("one").unwrap();
        std::fs::remove_dir_all(agent.home.path().join("sessions")).unwrap();
        let said = agent.turn("two").unwrap();
        assert_eq!(said.code, Some(0), "{}: {said:?}", codex.version);
        let (old, new) = (first.start().unwrap().0, said.start().unwrap().0);
        assert_ne!(old, new);
        assert_eq!(agent.workspace.session().unwrap().as_deref(), Some(new));
    }
}
