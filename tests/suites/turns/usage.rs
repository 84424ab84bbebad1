//! Each turn's usage is its own, on the real codex, which reports the thread's totals.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy does not know a test's helpers as tests"
)]

use plexum_openai_provider::{FailureKind, Usage};
use plexum_openai_provider_tests::agent::Agent;
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::wait::wait_until;
use plexum_openai_provider_tests::workspace::Said;

/// A turn for which the model counts these tokens: it must report just those.
fn counts(agent: &Agent, counts: [u64; 4]) {
    let [input, cached, output, reasoning] = counts;
    let said = turn(
        agent,
        &format!("mock:tokens={input},{cached},{output},{reasoning}"),
    );
    let usage = said.usage().0.unwrap_or_else(|| panic!("{said:?}"));
    assert_eq!(of(usage), counts, "{said:?}");
}

fn turn(agent: &Agent, prompt: &str) -> Said {
    agent.turn(prompt).unwrap()
}

fn of(usage: Usage) -> [u64; 4] {
    [
        usage.input_tokens,
        usage.cached_input_tokens.unwrap(),
        usage.output_tokens,
        usage.reasoning_output_tokens.unwrap(),
    ]
}

#[test]
fn turns_report_their_own_tokens_around_a_failed_a_killed_and_an_overflowed_one() {
    for codex in real_codex!() {
        let agent = Agent::new(&codex).unwrap();
        counts(&agent, [1000, 100, 50, 5]);

        let failed = turn(&agent, "mock:e400plain");
        assert_eq!(
            failed.failure_kind(),
            Some(FailureKind::InvalidRequest),
            "{failed:?}"
        );
        assert_eq!(failed.usage(), (None, None));
        counts(&agent, [2000, 200, 60, 6]);

        // Killed while the model is silent.
        let asked = agent.model.requests().len();
        let say = agent.say(["mock:hang"]).spawn().unwrap();
        wait_until("the model is asked", || {
            agent.model.requests().len() > asked
        });
        // SAFETY: `kill` takes plain numbers and touches no memory; the test started this process.
        unsafe { libc::kill(say.id().cast_signed(), libc::SIGINT) };
        let killed = Said::by(&say.wait_with_output().unwrap()).unwrap();
        assert_eq!(
            killed.failure_kind(),
            Some(FailureKind::Killed),
            "{killed:?}"
        );
        // Whether the silent model has counted something, nobody knows.
        let said = turn(&agent, "hello");
        assert!(matches!(said.usage(), (None, Some(_))), "{said:?}");
        counts(&agent, [3000, 300, 70, 7]);

        let overflowed = turn(&agent, "mock:ctx");
        assert_eq!(
            overflowed.failure_kind(),
            Some(FailureKind::ContextOverflow),
            "{overflowed:?}"
        );
        // Codex compacts the thread first, a request of its own, which the mock counts as an echo.
        let said = turn(&agent, "mock:tokens=400,40,30,3");
        assert_eq!(
            said.usage().0.map(of),
            Some([400 + 1200, 40 + 1000, 30 + 34, 3 + 7]),
            "{said:?}"
        );
        counts(&agent, [500, 50, 40, 4]);
    }
}

#[test]
fn lost_totals_make_the_turn_unknown_and_the_next_one_known_again() {
    for codex in real_codex!() {
        let agent = Agent::new(&codex).unwrap();
        counts(&agent, [1000, 100, 50, 5]);
        let id = agent.workspace.session().unwrap().unwrap();
        let file = agent.workspace.thread_file(&id);
        for content in [None, Some("{"), Some("{}")] {
            match content {
                None => std::fs::remove_file(&file).unwrap(),
                Some(content) => std::fs::write(&file, content).unwrap(),
            }
            let said = turn(&agent, "hello");
            assert!(
                matches!(said.usage(), (None, Some(_))),
                "{} {content:?}: {said:?}",
                codex.version
            );
            counts(&agent, [2000, 200, 60, 6]);
        }
    }
}

#[test]
fn a_killed_turn_that_had_spent_tokens_leaves_the_next_one_unknown_not_wrong() {
    for codex in real_codex!() {
        let agent = Agent::new(&codex).unwrap();
        counts(&agent, [1000, 100, 50, 5]);
        let say = agent
            .say(["mock:shell=touch started; sleep 100"])
            .spawn()
            .unwrap();
        // Codex may not have reported the tool yet; that makes no difference.
        wait_until("the tool runs", || {
            agent.workspace.path().join("started").exists()
        });
        // SAFETY: `kill` takes plain numbers and touches no memory; the test started this process.
        unsafe { libc::kill(say.id().cast_signed(), libc::SIGINT) };
        Said::by(&say.wait_with_output().unwrap()).unwrap();
        let said = turn(&agent, "hello");
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(
            matches!(said.usage(), (None, Some(_))),
            "{}: {said:?}",
            codex.version
        );
        counts(&agent, [2000, 200, 60, 6]);
    }
}
