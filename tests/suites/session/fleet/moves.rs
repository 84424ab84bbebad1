//! Turns on one host after another.

use plexum_openai_provider::fleet::MemoryStore;
use plexum_openai_provider::{FailureKind, Transport};
use plexum_openai_provider_tests::fleet_host::FleetHost;
use plexum_openai_provider_tests::mock_model::{MockModel, Options};
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::wait::wait_until;
use sha2::{Digest as _, Sha256};

use super::{kept_bytes, record, stored};

#[test]
fn a_conversation_goes_from_host_to_host_and_back_with_all_that_was_said_and_spent() {
    for codex in real_codex!() {
        for transport in [Transport::Exec, Transport::AppServer] {
            let model = MockModel::start_with(Options::default()).unwrap();
            let store = MemoryStore::default();
            let host = |name| {
                FleetHost::new(name, &codex, &model, store.clone(), |config, _| {
                    config.transport = Some(transport);
                })
                .unwrap()
            };
            let (a, b, c) = (host("a"), host("b"), host("c"));
            let mut threads = Vec::new();
            for (number, at) in [&a, &b, &c, &a, &a].into_iter().enumerate() {
                let input = 100 * (number as u64 + 1);
                let turned = at.turn(&format!("mock:tokens={input},10,20,5"));
                let case = format!("{} {transport:?} turn {number}", codex.version);
                let (of_turn, of_thread) = turned.usage();
                assert_eq!(of_turn.unwrap().input_tokens, input, "{case}: {turned:?}");
                let all: u64 = (1..=number as u64 + 1).map(|turn| 100 * turn).sum();
                assert_eq!(of_thread.unwrap().input_tokens, all, "{case}: {turned:?}");
                let (thread, resumed) = turned.start().unwrap();
                threads.push(thread.to_owned());
                assert_eq!(resumed, number > 0, "{case}");
                let stored = stored(&store);
                assert_eq!(stored.holder, None, "{case}: the lease is held");
                let record = record(at, &stored);
                let kept = usize::try_from(kept_bytes(&stored)).unwrap();
                let mark = stored.thread.unwrap().record.unwrap();
                assert_eq!(
                    Sha256::digest(&record[..kept]).as_slice(),
                    mark.digest,
                    "{case}"
                );
                if transport == Transport::Exec {
                    assert_eq!(
                        kept,
                        record.len(),
                        "{case}: the end of the record is missing"
                    );
                }
            }
            threads.dedup();
            assert_eq!(threads.len(), 1, "{threads:?}");
            let said = c.turn("mock:history");
            let history: Vec<String> = serde_json::from_str(&said.text()).unwrap();
            let expected: Vec<String> = (1..=5)
                .map(|turn| format!("mock:tokens={},10,20,5", 100 * turn))
                .chain(["mock:history".to_owned()])
                .collect();
            assert_eq!(history, expected, "{} {transport:?}", codex.version);
            let metrics = a.metrics().fleet;
            assert_eq!((metrics.leases.count, metrics.leases_lost), (3, 0));
            assert_eq!(metrics.restores.count, 1, "{metrics:?}");
            if transport == Transport::AppServer {
                // The last of the three began where the one before it had ended, and nobody had been there meanwhile.
                let servers = a.metrics().servers;
                assert_eq!(
                    (servers.cold_turns, servers.warm_turns),
                    (2, 1),
                    "{servers:?}"
                );
            }
            for host in [a, b, c] {
                host.close();
            }
        }
    }
}

#[test]
fn an_older_codex_does_not_touch_what_a_newer_one_has_written() {
    let all = real_codex!();
    let [old, new] = all.as_slice() else {
        panic!("two versions are needed: {all:?}");
    };
    let model = MockModel::start_with(Options::default()).unwrap();
    let store = MemoryStore::default();
    let host = |name, codex| FleetHost::new(name, codex, &model, store.clone(), |_, _| {}).unwrap();
    let (a, b) = (host("a", old), host("b", new));
    assert_eq!(a.turn("one").text(), "echo: one");
    assert_eq!(b.turn("two").text(), "echo: two");
    let asked = model.requests().len();
    let refused = a.turn("three");
    let failure = refused.failure().unwrap();
    assert_eq!(failure.kind, FailureKind::CliIncompatible, "{failure:?}");
    for word in ["0.169.0", "0.135.0", "update codex"] {
        assert!(failure.message.contains(word), "{failure:?}");
    }
    assert_eq!(model.requests().len(), asked);
    assert_eq!(a.metrics().codex_starts, 1);
    let said = b.turn("mock:history").text();
    assert_eq!(said, r#"["one","two","mock:history"]"#);
}

#[test]
fn a_host_waits_for_the_one_that_has_the_conversation_and_names_it() {
    for codex in real_codex!() {
        let model = MockModel::start_with(Options::default()).unwrap();
        let store = MemoryStore::default();
        let host = |name| {
            FleetHost::new(name, &codex, &model, store.clone(), |config, _| {
                config.limits.busy_seconds = 1;
            })
            .unwrap()
        };
        let (a, b) = (host("alpha"), host("b"));
        let go_on = a.workspace.path().join("go-on");
        let mut turn = a.begin("mock:shell=touch begun; until [ -e go-on ]; do sleep 0.05; done");
        let begun = a.workspace.path().join("begun");
        wait_until("the tool runs", || begun.exists());
        let refused = b.turn("hello");
        let failure = refused.failure().unwrap();
        assert_eq!(failure.kind, FailureKind::SessionBusy, "{failure:?}");
        assert!(
            failure.retryable && failure.message.contains("the host alpha has it"),
            "{failure:?}"
        );
        std::fs::write(go_on, "").unwrap();
        assert_eq!(a.rest(&mut turn).text(), "done");
        assert_eq!(b.turn("hello").text(), "echo: hello");
    }
}

#[test]
fn a_turn_that_is_dropped_leaves_the_conversation_free_and_what_it_did_in_it() {
    for codex in real_codex!() {
        let model = MockModel::start_with(Options::default()).unwrap();
        let store = MemoryStore::default();
        let host = |name| FleetHost::new(name, &codex, &model, store.clone(), |_, _| {}).unwrap();
        let (a, b) = (host("a"), host("b"));
        assert_eq!(a.turn("one").text(), "echo: one");
        let begun = a.workspace.path().join("begun");
        let turn = a.begin("mock:shell=touch begun; sleep 1000");
        wait_until("the tool runs", || begun.exists());
        drop(turn);
        let said = b.turn("mock:history").text();
        let history: Vec<String> = serde_json::from_str(&said).unwrap();
        assert_eq!(history[0], "one");
        assert_eq!(history[1], "mock:shell=touch begun; sleep 1000");
    }
}

#[test]
fn a_record_that_is_too_large_ends_the_turn_and_says_what_to_do() {
    for codex in real_codex!() {
        let model = MockModel::start_with(Options::default()).unwrap();
        let store = MemoryStore::default();
        let host = |name| {
            FleetHost::new(name, &codex, &model, store.clone(), |_, settings| {
                settings.max_record_bytes = 300_000;
            })
            .unwrap()
        };
        let (a, b) = (host("a"), host("b"));
        assert_eq!(a.turn("one").text(), "echo: one");
        let large = a.turn("mock:big=200000");
        let failure = large.failure().expect("it is too large");
        assert_eq!(failure.kind, FailureKind::SessionTooLarge, "{failure:?}");
        for word in ["max_record_mib", "session reset"] {
            assert!(failure.message.contains(word), "{failure:?}");
        }
        // What is kept fits, and is what another host goes on with.
        assert!(kept_bytes(&stored(&store)) <= 300_000);
        assert_eq!(b.turn("two").text(), "echo: two");
        let said = b.turn("mock:history").text();
        assert!(said.starts_with(r#"["one","#), "{said}");
    }
}
