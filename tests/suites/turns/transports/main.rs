//! A turn over app-server reports what it reports over `codex exec`, but for the differences that
//! `host-shim/docs/app-server.md` states; and it reports it earlier.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

mod canonical;
mod case;
mod known;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plexum_openai_provider::config::Transport;
use plexum_openai_provider::{Event, FailureKind, Request, StopReason, ToolStatus, Usage};
use plexum_openai_provider_tests::mock_model::Scenario;
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::real_codex::RealCodex;
use plexum_openai_provider_tests::transcript::difference;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use canonical::{kind, lines};
use case::{Case, Talk, had};
use known::{Both, Cases, KNOWN, without_ends_of_commands};

/// How many conversations are had at once.
const AT_ONCE: usize = 4;

#[tokio::test]
async fn every_scenario_is_the_same_over_both_transports() {
    let cases: Vec<Case> = Scenario::ALL.iter().copied().map(Case::scenario).collect();
    assert!(cases.len() >= 50, "{} scenarios", cases.len());
    for codex in real_codex!() {
        let shown = check(&codex, &cases).await;
        // What all turns show is looked for among so many of them.
        for known in KNOWN {
            let is_general = matches!(known.cases, Cases::Any);
            assert!(
                !is_general || shown.contains(known.what),
                "{}: no turn shows it any more: {}",
                codex.version,
                known.what
            );
        }
    }
}

#[tokio::test]
async fn later_turns_are_too() {
    let cases = [
        Case::turns("plain text", &["one", "two", "mock:history"]),
        Case::turns("plain text, in a new process", &["one", "mock:history"]).in_a_new_process(),
        Case::turns(
            "commands",
            &[
                "mock:shell=echo said",
                "mock:shell=echo bad; exit 3",
                "mock:tokens=900,90,9,1",
            ],
        ),
        Case::turns(
            "a command that takes its time",
            &[
                "mock:shell=for i in 1 2 3; do echo $i; sleep 0.5; done",
                "mock:tokens=900,90,9,1",
            ],
        ),
        Case::turns(
            "after a failure",
            &[
                "mock:tokens=1000,100,50,5",
                "mock:e400plain",
                "mock:tokens=2000,200,60,6",
            ],
        ),
        Case::turns(
            "after a command and a failure",
            &[
                "mock:tokens=1000,100,50,5",
                "mock:failtool=echo said",
                "mock:tokens=2000,200,60,6",
                "mock:tokens=3000,300,70,7",
            ],
        ),
        Case::turns(
            "after a command and a failure, in a new process",
            &[
                "mock:tokens=1000,100,50,5",
                "mock:failtool=echo said",
                "mock:tokens=2000,200,60,6",
                "mock:tokens=3000,300,70,7",
            ],
        )
        .in_a_new_process(),
        Case::turns(
            "after an overflow",
            &[
                "mock:tokens=1000,100,50,5",
                "mock:ctx",
                "mock:tokens=400,40,30,3",
                "mock:tokens=500,50,40,4",
            ],
        ),
        Case::turns(
            "after a command and an overflow",
            &[
                "mock:ctxtool=echo said",
                "mock:tokens=400,40,30,3",
                "mock:tokens=500,50,40,4",
            ],
        ),
        Case::turns(
            "after an incomplete answer",
            &[
                "mock:tokens=1000,100,50,5",
                "mock:incomplete",
                "mock:tokens=2000,200,60,6",
                "mock:tokens=3000,300,70,7",
            ],
        ),
        Case::turns(
            "after an answer without usage",
            &[
                "mock:tokens=1000,100,50,5",
                "mock:nousage",
                "mock:tokens=2000,200,60,6",
            ],
        ),
    ];
    for codex in real_codex!() {
        check(&codex, &cases).await;
    }
}

#[tokio::test]
async fn another_model_is_a_change_of_the_model() {
    let case = Case::turns("another model", &["one", "two", "three"])
        .with_models(&["gpt-5.5", "gpt-5.2", "gpt-5.5"]);
    for codex in real_codex!() {
        let turns = had(&codex, Transport::AppServer, &case).await;
        let changes: Vec<Vec<&Value>> = turns
            .iter()
            .map(|turn| {
                let changes = turn.iter().filter(|event| kind(event) == "model_change");
                changes.map(|change| &change["model"]).collect()
            })
            .collect();
        assert_eq!(
            changes,
            [vec![], vec!["gpt-5.2"], vec!["gpt-5.5"]],
            "{}: {turns:?}",
            codex.version
        );
        check(&codex, std::slice::from_ref(&case)).await;
    }
}

/// Has these conversations over both transports and compares the events of each turn. Returns which differences there
/// were.
async fn check(codex: &RealCodex, cases: &[Case]) -> BTreeSet<&'static str> {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let conversations = cases.iter().map(|case| {
        [Transport::Exec, Transport::AppServer].map(|transport| {
            let (codex, case, permits) = (codex.clone(), case.clone(), Arc::clone(&permits));
            tokio::spawn(async move {
                let _permit = permits.acquire().await.unwrap();
                had(&codex, transport, &case).await
            })
        })
    });
    let conversations: Vec<_> = conversations.collect();
    let mut all_shown = BTreeSet::new();
    let mut wrong = String::new();
    for (case, [exec, server]) in cases.iter().zip(conversations) {
        let (exec, server) = (exec.await.unwrap(), server.await.unwrap());
        let mut shown = BTreeSet::new();
        for ((exec, server), prompt) in exec.into_iter().zip(server).zip(&case.prompts) {
            let start = server.iter().find(|event| kind(event) == "message_start");
            assert!(
                start.is_some_and(|start| start["model"].is_string()),
                "{} {}: not over app-server: {server:?}",
                codex.version,
                case.name
            );
            let mut both = Both { exec, server };
            for known in KNOWN {
                if known.may_be_in(&case.name, &codex.version) && (known.settle)(&mut both) {
                    shown.insert(known.what);
                }
            }
            if both.exec != both.server && codex.version.starts_with("0.135.") {
                without_ends_of_commands(&mut both);
            }
            let (exec, server) = (lines(&both.exec), lines(&both.server));
            if exec != server {
                let difference = difference(&exec, &server);
                wrong += &format!("{}: {}: {prompt}\n{difference}", codex.version, case.name);
            }
        }
        for known in KNOWN {
            let is_expected = known.must_be_in(&case.name, &codex.version);
            if is_expected && !shown.contains(known.what) {
                let (version, name) = (&codex.version, &case.name);
                wrong += &format!(
                    "{version}: {name}: does not show it any more: {}\n",
                    known.what
                );
            }
        }
        all_shown.extend(shown);
    }
    assert!(
        wrong.is_empty(),
        "the transports differ (- exec, + app-server), and host-shim/docs/app-server.md does not say so:\n{wrong}"
    );
    all_shown
}

#[test]
fn the_documentation_has_a_row_for_each_difference() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../host-shim/docs/app-server.md"
    );
    let text = std::fs::read_to_string(path).unwrap();
    let (_, section) = text
        .split_once("\n## Differences from `codex exec`\n")
        .unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| "));
    // Without the head and the line below it.
    let rows: Vec<&str> = rows.skip(2).collect();
    let written: Vec<String> = KNOWN
        .iter()
        .map(|known| format!("{} | {} |", known.what, known.why))
        .collect();
    assert_eq!(rows, written);
    let cases: Vec<&str> = Scenario::ALL
        .iter()
        .map(|scenario| scenario.name())
        .collect();
    for known in KNOWN {
        let scenarios = known.named().iter().filter(|case| !case.contains(' '));
        for case in scenarios {
            assert!(cases.contains(case), "no scenario is called {case}");
        }
    }
}

/// Runs `test` with each of these cases at once: mostly it waits.
async fn at_once<T, F>(cases: impl IntoIterator<Item = T>, test: impl Fn(T) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let tests: JoinSet<()> = cases.into_iter().map(test).collect();
    tests.join_all().await;
}

fn talk(codex: &RealCodex) -> Talk {
    Talk::new(codex, Transport::AppServer, &Case::turns("", &[]))
}

#[tokio::test]
async fn text_comes_as_it_is_written() {
    at_once(real_codex!(), |codex| async move {
        let talk = talk(&codex);
        let request = Request::prompt("mock:slow=10");
        let mut turn = talk.provider.turn(talk.agent.workspace.path(), request);
        let mut pieces = Vec::new();
        while let Some(event) = turn.next().await {
            if let Event::TextDelta { index: 0, text } = event {
                pieces.push((Instant::now(), text));
            }
        }
        let texts: Vec<&str> = pieces.iter().map(|(_, text)| text.as_str()).collect();
        let written: Vec<String> = (1..=10).map(|n| format!("part {n} ")).collect();
        assert_eq!(texts, written, "{}", codex.version);
        // The model pauses for a tenth of a second behind each.
        let took = pieces[9].0 - pieces[0].0;
        assert!(
            took >= Duration::from_millis(400),
            "{}: {took:?}",
            codex.version
        );
    })
    .await;
}

#[tokio::test]
async fn what_a_command_prints_comes_while_it_runs() {
    at_once(real_codex!(), |codex| async move {
        let talk = talk(&codex);
        let prompt = "mock:shell=for i in 1 2 3 4; do echo $i; sleep 0.5; done";
        let request = Request::prompt(prompt);
        let mut turn = talk.provider.turn(talk.agent.workspace.path(), request);
        let mut printed = String::new();
        let mut times = Vec::new();
        let mut end = None;
        while let Some(event) = turn.next().await {
            match event {
                Event::ToolUpdate { output_delta, .. } => {
                    assert_eq!(end, None, "{}: behind the end", codex.version);
                    printed += &output_delta;
                    times.push(Instant::now());
                }
                Event::ToolEnd { status, output, .. } => end = Some((status, output)),
                _ => {}
            }
        }
        // Codex does not pass on what is printed first.
        let expected = "1\n2\n3\n4\n";
        assert!(
            printed.ends_with("4\n") && expected.ends_with(&printed),
            "{}: {printed:?}",
            codex.version
        );
        let took = *times.last().unwrap() - times[0];
        assert!(
            took >= Duration::from_millis(400),
            "{}: {took:?}",
            codex.version
        );
        let (status, output) = end.unwrap();
        // 0.135 seldom says how such a command ended, and then only a part of what it printed.
        if !codex.version.starts_with("0.135.") {
            assert_eq!(
                (status, output.as_deref()),
                (ToolStatus::Completed, Some(expected))
            );
        }
    })
    .await;
}

/// What a reader sees who appends each piece to its block and takes back what is given up. Checks that nothing is
/// appended to a block that has ended.
fn seen(events: &[Value]) -> Vec<String> {
    let mut blocks: Vec<(Value, String, bool)> = Vec::new();
    for event in events {
        let index = &event["index"];
        match kind(event) {
            "text_delta" => {
                let text = event["text"].as_str().unwrap();
                match blocks.iter_mut().find(|(open, ..)| open == index) {
                    Some((_, block, ended)) => {
                        assert!(!*ended, "{event}");
                        block.push_str(text);
                    }
                    None => blocks.push((index.clone(), text.to_owned(), false)),
                }
            }
            "block_end" if event["kind"] == "text" => {
                let at = blocks.iter().position(|(open, ..)| open == index).unwrap();
                if event["outcome"] == "given_up" {
                    blocks.remove(at);
                } else {
                    blocks[at].2 = true;
                }
            }
            _ => {}
        }
    }
    blocks.into_iter().map(|(_, text, _)| text).collect()
}

#[tokio::test]
async fn a_stream_that_is_cut_and_begins_again_reads_as_one_answer() {
    let cuts = [
        ("mock:dropn=2", &["answered after 2 failures"][..]),
        ("mock:droptool=echo said", &["answered after a cut"]),
        ("mock:dropmsg", &["first answer", "second answer"]),
        ("mock:droprepeat", &["the answer"]),
        ("mock:mismatch", &["what was meant"]),
    ];
    let cases = real_codex!().into_iter();
    let cases = cases.flat_map(|codex| cuts.map(|cut| (codex.clone(), cut)));
    at_once(cases, |(codex, (prompt, answer))| async move {
        let talk = talk(&codex);
        let events = canonical::events(&talk.turn(prompt).await, &talk.agent);
        assert_eq!(
            seen(&events),
            answer,
            "{} {prompt}: {events:?}",
            codex.version
        );
    })
    .await;
}

/// The tokens in the end of a turn: input, cached, output, reasoning; and how the turn ended.
fn counted(events: &[Event]) -> (Option<[u64; 4]>, StopReason) {
    match events.last() {
        Some(Event::MessageEnd {
            usage, stop_reason, ..
        }) => (usage.map(of), *stop_reason),
        other => panic!("{other:?}"),
    }
}

fn of(usage: Usage) -> [u64; 4] {
    [
        usage.input_tokens,
        usage.cached_input_tokens.unwrap(),
        usage.output_tokens,
        usage.reasoning_output_tokens.unwrap(),
    ]
}

#[tokio::test]
async fn each_turn_counts_its_own_tokens_whatever_became_of_the_one_before() {
    /// What the model counts where nothing else is asked for.
    const USUAL: [u64; 4] = [1200, 1000, 34, 7];
    let twice = Some(USUAL.map(|tokens| 2 * tokens));
    let cases = real_codex!().into_iter();
    let cases = cases.flat_map(|codex| [false, true].map(|anew| (codex.clone(), anew)));
    at_once(cases, |(codex, starts_anew)| async move {
        let mut talk = talk(&codex);
        for (prompt, tokens, reason) in [
            // The very first turn fails at once.
            ("mock:e400plain", None, StopReason::Error),
            (
                "mock:tokens=1000,100,50,5",
                Some([1000, 100, 50, 5]),
                StopReason::EndTurn,
            ),
            ("mock:shell=echo said", twice, StopReason::EndTurn),
            ("mock:e400plain", None, StopReason::Error),
            (
                "mock:tokens=2000,200,60,6",
                Some([2000, 200, 60, 6]),
                StopReason::EndTurn,
            ),
            ("mock:failtool=echo said", Some(USUAL), StopReason::Error),
            (
                "mock:tokens=3000,300,70,7",
                Some([3000, 300, 70, 7]),
                StopReason::EndTurn,
            ),
            ("mock:nousage", None, StopReason::EndTurn),
            ("mock:dropn=1", Some(USUAL), StopReason::EndTurn),
            ("mock:ctxtool=echo said", Some(USUAL), StopReason::Error),
            // Codex compacts the thread first, which the mock counts as an echo.
            (
                "mock:tokens=400,40,30,3",
                Some([1600, 1040, 64, 10]),
                StopReason::EndTurn,
            ),
            ("mock:ctx", None, StopReason::Error),
            // So soon after that there is nothing to compact.
            (
                "mock:tokens=400,40,30,3",
                Some([400, 40, 30, 3]),
                StopReason::EndTurn,
            ),
            (
                "mock:tokens=500,50,40,4",
                Some([500, 50, 40, 4]),
                StopReason::EndTurn,
            ),
        ] {
            let events = talk.turn(prompt).await;
            let version = &codex.version;
            assert_eq!(
                counted(&events),
                (tokens, reason),
                "{version} anew: {starts_anew} {prompt}: {events:?}"
            );
            if starts_anew {
                talk.go_on(Transport::AppServer);
            }
        }
        if !starts_anew {
            assert_eq!(talk.provider.metrics().codex_starts, 1, "{}", codex.version);
        }
    })
    .await;
}

/// The tool may begin before codex reports what asking for it has cost.
fn runs_a_tool(events: &[Event]) -> bool {
    let mut events = events.iter();
    let started = |event: &Event| matches!(event, Event::ToolStart { .. });
    let counted = |event: &Event| matches!(event, Event::Usage { .. });
    events.clone().any(started) && events.any(counted)
}

fn has_text(events: &[Event]) -> bool {
    let mut events = events.iter();
    events.any(|event| matches!(event, Event::TextDelta { .. }))
}

#[tokio::test]
async fn a_stopped_turn_counts_what_codex_had_counted_and_leaves_nothing_to_the_next() {
    at_once(real_codex!(), |codex| async move {
        let talk = talk(&codex);
        let workspace = talk.agent.workspace.path();
        let first = talk.turn("mock:tokens=1000,100,50,5").await;
        assert_eq!(counted(&first).0, Some([1000, 100, 50, 5]));
        for (prompt, tokens, is_time) in [
            // One answer has come, and no other does: codex 0.135 counts it only when it shows the tool's first output to
            // the model.
            (
                "mock:hangtool=echo begun; sleep 1000",
                Some([1200, 1000, 34, 7]),
                runs_a_tool as fn(&[Event]) -> bool,
            ),
            // A part of one has.
            ("mock:slow=600", None, has_text),
        ] {
            let mut turn = talk.provider.turn(workspace, Request::prompt(prompt));
            let mut events = Vec::new();
            while let Some(event) = turn.next().await {
                events.push(event);
                if is_time(&events) {
                    turn.cancel();
                }
            }
            let version = &codex.version;
            assert_eq!(
                counted(&events),
                (tokens, StopReason::Aborted),
                "{version}: {events:?}"
            );
            assert!(
                matches!(
                    events.last(),
                    Some(Event::MessageEnd { failure: Some(failure), .. }) if failure.kind == FailureKind::Killed
                ),
                "{version}: {events:?}"
            );
            let next = talk.turn("mock:tokens=2000,200,60,6").await;
            assert_eq!(
                counted(&next).0,
                Some([2000, 200, 60, 6]),
                "{version}: {next:?}"
            );
            // The tool that was ended with the stopped turn is reported ended only now.
            let kinds: Vec<bool> = next
                .iter()
                .map(|event| matches!(event, Event::ToolStart { .. } | Event::ToolEnd { .. }))
                .collect();
            assert!(!kinds.contains(&true), "{version}: {next:?}");
        }
        assert_eq!(talk.provider.metrics().codex_starts, 1, "{}", codex.version);
    })
    .await;
}

#[tokio::test]
async fn a_conversation_goes_on_over_the_other_transport_and_keeps_its_counts() {
    at_once(real_codex!(), |codex| async move {
        let mut talk = talk(&codex);
        let mut nth = 0;
        for transport in [Transport::AppServer, Transport::Exec]
            .into_iter()
            .cycle()
            .take(5)
        {
            nth += 1;
            talk.go_on(transport);
            let events = talk.turn(&format!("mock:tokens={nth}000,100,50,5")).await;
            assert_eq!(
                counted(&events).0,
                Some([nth * 1000, 100, 50, 5]),
                "{} {transport:?} {nth}: {events:?}",
                codex.version
            );
        }
    })
    .await;
}
