//! A store that fails, and leases that others take.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use plexum_openai_provider::fleet::MemoryStore;
use plexum_openai_provider::{Event, FailureKind, Transport};
use plexum_openai_provider_tests::faulty_fleet::{Fault, FaultyFleet};
use plexum_openai_provider_tests::fleet_host::FleetHost;
use plexum_openai_provider_tests::mock_model::{MockModel, Options};
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::side_by_side::side_by_side;
use plexum_openai_provider_tests::wait::{processes_with, wait_until};

use super::{kept_bytes, record, stored};

/// Both transports.
const TRANSPORTS: [Transport; 2] = [Transport::Exec, Transport::AppServer];

#[test]
fn a_host_whose_lease_was_taken_stops_codex_and_writes_nothing() {
    for codex in real_codex!() {
        for transport in TRANSPORTS {
            let model = MockModel::start_with(Options::default()).unwrap();
            let store = MemoryStore::default();
            let of_a = FaultyFleet::new(store.clone());
            let a = FleetHost::new("a", &codex, &model, of_a.clone(), |config, _| {
                config.transport = Some(transport);
            })
            .unwrap();
            let b = FleetHost::new("b", &codex, &model, store.clone(), |_, _| {}).unwrap();
            assert_eq!(a.turn("one").text(), "echo: one");
            of_a.set(Fault::ShortLeases(Duration::ZERO));
            let mark = format!("{}", 77_000_000 + std::process::id());
            let mut turn = a.begin(&format!("mock:shell=touch begun; sleep {mark}"));
            let begun = a.workspace.path().join("begun");
            wait_until("the tool runs", || begun.exists());
            assert_eq!(b.turn("two").text(), "echo: two");
            let taken = Instant::now();
            let lost = a.rest(&mut turn);
            // At the latest with the next renewal; and the grace period is 1 s.
            assert!(
                taken.elapsed() < Duration::from_secs(5),
                "{:?}",
                taken.elapsed()
            );
            let failure = lost.failure().expect("it has failed");
            assert_eq!(failure.kind, FailureKind::SessionMoved, "{failure:?}");
            assert!(failure.retryable, "{failure:?}");
            assert_eq!(processes_with(&mark), Vec::<i32>::new());
            of_a.set(Fault::None);
            let kept = stored(&store);
            let of_b = record(&b, &kept);
            assert_eq!(kept_bytes(&kept), of_b.len() as u64);
            // What it wrote meanwhile is kept beside the record.
            let said = a.turn("mock:history").text();
            let history: Vec<String> = serde_json::from_str(&said).unwrap();
            assert_eq!((&*history[0], &*history[history.len() - 2]), ("one", "two"));
            assert!(record(&a, &stored(&store)).starts_with(&of_b));
            assert_eq!(a.metrics().fleet.leases_lost, 1);
            a.close();
        }
    }
}

#[test]
fn without_its_store_a_turn_ends_before_its_lease_can() {
    let all = real_codex!();
    let faults = [Fault::Down, Fault::Hangs, Fault::AnswersAreLost];
    let cases = all.iter().flat_map(|codex| {
        TRANSPORTS
            .iter()
            .flat_map(move |transport| faults.map(|fault| (codex, *transport, fault)))
    });
    let cases: Vec<_> = cases.enumerate().collect();
    side_by_side(cases, |(number, (codex, transport, fault))| {
        let case = format!("{} {transport:?} {fault:?}", codex.version);
        let model = MockModel::start_with(Options::default()).unwrap();
        let store = FaultyFleet::new(MemoryStore::default());
        let a = FleetHost::new("a", codex, &model, store.clone(), |config, _| {
            config.transport = Some(transport);
        })
        .unwrap();
        assert_eq!(a.turn("one").text(), "echo: one");
        let mark = format!("{}{number:02}", 78_000_000 + std::process::id());
        let mut turn = a.begin(&format!("mock:shell=touch begun; sleep {mark}"));
        let begun = a.workspace.path().join("begun");
        wait_until("the tool runs", || begun.exists());
        store.set(fault);
        let broken = Instant::now();
        while !processes_with(&mark).is_empty() {
            assert!(
                broken.elapsed() < Duration::from_secs(6),
                "{case}: codex outlives the lease"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        let lost = a.rest(&mut turn);
        let failure = lost.failure().expect("it has failed");
        let expected = FailureKind::StoreUnavailable;
        assert_eq!(failure.kind, expected, "{case}: {failure:?}");
        assert!(failure.retryable, "{case}: {failure:?}");
        // None can begin either.
        let refused = a.turn("two");
        let failure = refused.failure().expect("it has failed");
        assert_eq!(failure.kind, expected, "{case}: {failure:?}");
        store.set(Fault::None);
        // What could not be handed over is still here.
        let said = a.turn("mock:history").text();
        let history: Vec<String> = serde_json::from_str(&said).unwrap();
        assert_eq!(history[0], "one", "{case}");
        assert!(history[1].starts_with("mock:shell="), "{case}: {said}");
        a.close();
    });
}

#[test]
fn an_outage_that_is_shorter_than_the_lease_is_not_noticed() {
    let faults = [Fault::Down, Fault::Hangs, Fault::AnswersAreLost];
    for (codex, fault) in real_codex!()
        .iter()
        .flat_map(|codex| faults.map(|fault| (codex, fault)))
    {
        let model = MockModel::start_with(Options::default()).unwrap();
        let memory = MemoryStore::default();
        let store = FaultyFleet::new(memory.clone());
        let a = FleetHost::new("a", codex, &model, store.clone(), |_, _| {}).unwrap();
        let mut turn = a.begin("mock:shell=touch begun; sleep 2");
        let begun = a.workspace.path().join("begun");
        wait_until("the tool runs", || begun.exists());
        store.set(fault);
        // The outage itself.
        std::thread::sleep(Duration::from_millis(1500));
        store.set(Fault::None);
        let said = a.rest(&mut turn);
        assert_eq!(said.text(), "done", "{said:?}");
        assert_eq!(
            kept_bytes(&stored(&memory)),
            record(&a, &stored(&memory)).len() as u64
        );
    }
}

#[test]
fn a_turn_whose_end_could_not_be_kept_does_not_complete() {
    for codex in real_codex!() {
        let model = MockModel::start_with(Options::default()).unwrap();
        let memory = MemoryStore::default();
        let store = FaultyFleet::new(memory.clone());
        let a = FleetHost::new("a", &codex, &model, store.clone(), |_, _| {}).unwrap();
        let mut turn = a.begin("mock:slow=20,50");
        let mut events = Vec::new();
        while let Some(event) = a.event(&mut turn) {
            if let Event::MessageStart { .. } = event {
                store.set(Fault::Down);
            }
            events.push(event);
        }
        let Some(Event::MessageEnd {
            failure: Some(failure),
            usage,
            ..
        }) = events.last()
        else {
            panic!("{events:?}");
        };
        assert_eq!(failure.kind, FailureKind::StoreUnavailable, "{failure:?}");
        // The tokens were spent.
        assert!(usage.is_some(), "{events:?}");
        store.set(Fault::None);
        let said = a.turn("mock:history").text();
        assert_eq!(said, r#"["mock:slow=20,50","mock:history"]"#);
        assert_eq!(
            kept_bytes(&stored(&memory)),
            record(&a, &stored(&memory)).len() as u64
        );
    }
}

#[test]
fn an_end_that_finds_no_store_says_so_when_all_lines_are_kept_already() {
    for codex in real_codex!() {
        let model = MockModel::start_with(Options::default()).unwrap();
        let memory = MemoryStore::default();
        let store = FaultyFleet::new(memory.clone());
        let a = FleetHost::new("a", &codex, &model, store.clone(), |config, _| {
            config.binary = config.binary.take().map(lingering);
        })
        .unwrap();
        store.set(Fault::DownAtTheEnd);
        let ended = a.turn("hello");
        let failure = ended.failure().expect("it has failed");
        assert_eq!(failure.kind, FailureKind::StoreUnavailable, "{failure:?}");
        assert!(failure.retryable, "{failure:?}");
        assert!(failure.message.contains("the shelf"), "{failure:?}");
        // All was kept before, and codex wrote nothing since.
        let kept = stored(&memory);
        assert_eq!(kept_bytes(&kept), record(&a, &kept).len() as u64);
        store.set(Fault::None);
        let said = a.turn("mock:history").text();
        assert_eq!(said, r#"["hello","mock:history"]"#);
    }
}

/// This program, which ends long enough after codex for the host to find all lines of its record.
fn lingering(program: PathBuf) -> PathBuf {
    let path = program.with_file_name("lingering-codex");
    let script = format!(
        "#!/bin/sh\n'{}' \"$@\"\nstatus=$?\nsleep 0.5\nexit $status\n",
        program.display()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_turn_whose_last_answer_is_lost_is_complete_and_not_made_twice() {
    for codex in real_codex!() {
        for lost in [1, 2, 3] {
            let model = MockModel::start_with(Options::default()).unwrap();
            let memory = MemoryStore::default();
            let store = FaultyFleet::new(memory.clone());
            let a = FleetHost::new("a", &codex, &model, store.clone(), |_, _| {}).unwrap();
            let b = FleetHost::new("b", &codex, &model, memory.clone(), |_, _| {}).unwrap();
            let mut turn = a.begin("hello");
            let mut last = None;
            while let Some(event) = a.event(&mut turn) {
                if let Event::TextDelta { .. } = event {
                    store.set(Fault::LosesAnswers(lost));
                }
                last = Some(event);
            }
            let is_complete = matches!(last, Some(Event::MessageEnd { failure: None, .. }));
            assert!(is_complete, "{lost} answers: {last:?}");
            let kept = stored(&memory);
            assert_eq!(kept.holder, None, "the lease is held");
            assert!(kept.thread.as_ref().unwrap().entry.totals.is_some());
            assert_eq!(kept_bytes(&kept), record(&a, &kept).len() as u64);
            let said = b.turn("mock:history").text();
            assert_eq!(said, r#"["hello","mock:history"]"#);
        }
    }
}
