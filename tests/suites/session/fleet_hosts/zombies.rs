//! Hosts that are stopped for longer than their lease, and go on after another one has taken the conversation.

use std::time::{Duration, Instant};

use plexum_openai_provider::FailureKind;
use plexum_openai_provider_tests::fleet_database::FleetDatabase;
use plexum_openai_provider_tests::fleet_process::{FleetProcess, GRACE};
use plexum_openai_provider_tests::mock_model::{MockModel, Options};
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::real_codex::RealCodex;
use plexum_openai_provider_tests::side_by_side::side_by_side;
use plexum_openai_provider_tests::tool::current_test;
use plexum_openai_provider_tests::wait::{processes_with, wait_until};
use serde_json::json;

use crate::{TRANSPORTS, at_work, history, wait_for_words};

/// How much longer than its clock something may take on a machine that has much else to do.
const SLACK: Duration = Duration::from_secs(6);

/// How a host is stopped.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// Its process alone, while codex runs a tool.
    InTool,
    /// With all that it has started, while codex runs a tool.
    AllInTool,
    /// Its process alone, while codex is being answered: codex completes the turn meanwhile.
    InAnswer,
}

const WAYS: [Way; 3] = [Way::InTool, Way::AllInTool, Way::InAnswer];

#[test]
fn a_host_that_was_stopped_for_longer_than_its_lease_writes_nothing_and_says_that_it_has_lost() {
    let all = real_codex!();
    let Some(database) = FleetDatabase::start(&current_test(), &["a", "b"]) else {
        return;
    };
    let cases = all.iter().flat_map(|codex| {
        TRANSPORTS
            .iter()
            .flat_map(move |transport| WAYS.map(|way| (codex, *transport, way)))
    });
    let cases: Vec<_> = cases.enumerate().collect();
    side_by_side(cases, |(number, (codex, transport, way))| {
        // Unlike anything that runs beside this.
        let mark = format!("{}{number:02}", 79_000_000 + std::process::id());
        zombie(&database, codex, transport, way, &mark);
    });
    database.check_notes().unwrap();
}

fn zombie(database: &FleetDatabase, codex: &RealCodex, transport: &str, way: Way, mark: &str) {
    let case = format!("{} {transport} {way:?}", codex.version);
    let session = case.replace([' ', '.'], "-");
    let model = MockModel::start_with(Options::default()).unwrap();
    let host = |name| {
        let keys = json!({ "transport": transport });
        FleetProcess::new(name, codex, &model, &database.url(name), &keys).unwrap()
    };
    let (a, b) = (host("a"), host("b"));
    assert_eq!(a.turn(&session, "one").text(), "echo: one", "{case}");

    let prompt = match way {
        Way::InAnswer => "mock:slow=15,100".to_owned(),
        _ => format!("mock:shell=touch begun; sleep {mark}"),
    };
    let asked = model.requests().len();
    let turn = a.begin(&session, &prompt).unwrap();
    match way {
        Way::InAnswer => wait_until("the model answers", || model.requests().len() > asked),
        _ => {
            let begun = a.workspace.path().join("begun");
            wait_until("the tool runs", || begun.exists());
        }
    }
    wait_for_words(database, &session, &prompt);
    match way {
        Way::AllInTool => a.stop_all(),
        _ => a.stop(),
    }

    let said = b.turn(&session, "two");
    assert_eq!(said.text(), "echo: two", "{case}: {said:?}");
    let record = database.record(&session).unwrap();
    a.go_on();
    let woken = Instant::now();
    let lost = turn.rest();
    let failure = lost.failure().unwrap_or_else(|| panic!("{case}: {lost:?}"));
    assert_eq!(
        failure.kind,
        FailureKind::SessionMoved,
        "{case}: {failure:?}"
    );
    assert!(failure.retryable, "{case}: {failure:?}");
    assert!(
        woken.elapsed() < GRACE + SLACK,
        "{case}: {:?}",
        woken.elapsed()
    );
    assert_eq!(processes_with(mark), Vec::<i32>::new(), "{case}");
    assert_eq!(at_work(&a), Vec::<i32>::new(), "{case}");
    assert_eq!(database.record(&session).unwrap(), record, "{case}");

    let expected = ["one", &*prompt, "two", "mock:history"];
    let said = a.turn(&session, "mock:history");
    assert_eq!(history(&said.text()), expected, "{case}: {said:?}");
    let said = b.turn(&session, "mock:history");
    assert_eq!(history(&said.text()).len(), 5, "{case}: {said:?}");
    assert_eq!(
        database.holders(&session),
        ["a", "a", "b", "a", "b"],
        "{case}"
    );
    for host in [a, b] {
        assert!(host.close().unwrap().success(), "{case}");
    }
}
