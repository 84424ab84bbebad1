//! Turns on one host after another, and a host that dies.

use plexum_openai_provider_tests::fleet_database::FleetDatabase;
use plexum_openai_provider_tests::fleet_process::FleetProcess;
use plexum_openai_provider_tests::mock_model::{MockModel, Options};
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::side_by_side::side_by_side;
use plexum_openai_provider_tests::tool::current_test;
use plexum_openai_provider_tests::wait::wait_until;
use serde_json::json;

use crate::{TRANSPORTS, at_work, history, wait_for_words};

#[test]
fn a_conversation_goes_on_where_a_host_was_killed_in_a_tool() {
    let all = real_codex!();
    let Some(database) = FleetDatabase::start(&current_test(), &["a", "b", "c"]) else {
        return;
    };
    let cases = all
        .iter()
        .flat_map(|codex| TRANSPORTS.map(|transport| (codex, transport)));
    let cases: Vec<_> = cases.collect();
    side_by_side(cases, |(codex, transport)| {
        let case = format!("{} {transport}", codex.version);
        let session = case.replace([' ', '.'], "-");
        let model = MockModel::start_with(Options::default()).unwrap();
        let host = |name| {
            let keys = json!({ "transport": transport });
            FleetProcess::new(name, codex, &model, &database.url(name), &keys).unwrap()
        };
        let (a, b, c) = (host("a"), host("b"), host("c"));
        let mut threads = Vec::new();
        for (at, prompt) in [(&a, "one"), (&b, "two"), (&c, "three")] {
            let said = at.turn(&session, prompt);
            assert_eq!(said.text(), format!("echo: {prompt}"), "{case}: {said:?}");
            threads.push(said.start().unwrap().0.to_owned());
        }
        threads.dedup();
        assert_eq!(threads.len(), 1, "{case}: {threads:?}");

        let killed = "mock:shell=touch begun; sleep 1000";
        let turn = a.begin(&session, killed).unwrap();
        let begun = a.workspace.path().join("begun");
        wait_until("the tool runs", || begun.exists());
        wait_for_words(&database, &session, killed);
        assert!(!at_work(&a).is_empty(), "{case}: codex runs");
        a.kill();
        turn.is_cut_off();

        // It waits for the lease.
        let said = c.turn(&session, "mock:history");
        let expected = ["one", "two", "three", killed, "mock:history"];
        assert_eq!(history(&said.text()), expected, "{case}: {said:?}");
        assert_eq!(said.start().unwrap().0, threads[0], "{case}");
        // Its supervisor has seen to that long before the lease was over.
        assert_eq!(at_work(&a), Vec::<i32>::new(), "{case}");

        a.start().unwrap();
        let said = a.turn(&session, "mock:history");
        assert_eq!(history(&said.text()).len(), 6, "{case}: {said:?}");
        assert_eq!(
            database.holders(&session),
            ["a", "b", "c", "a", "c", "a"],
            "{case}"
        );
        for host in [a, b, c] {
            let ended = host.close().unwrap();
            assert!(ended.success(), "{case}: {ended}");
        }
    });
    database.check_notes().unwrap();
}
