//! What an operator asks of the store while hosts are at work.

use std::process::Output;

use plexum_openai_provider_tests::fleet_database::FleetDatabase;
use plexum_openai_provider_tests::fleet_process::{FleetProcess, LEASE};
use plexum_openai_provider_tests::mock_model::{MockModel, Options};
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::tool::current_test;
use plexum_openai_provider_tests::wait::wait_until;
use serde_json::{Value, json};

#[test]
fn an_operator_sees_who_has_what_and_takes_nothing_from_a_turn() {
    let all = real_codex!();
    let Some(codex) = all.last() else {
        return;
    };
    let Some(database) = FleetDatabase::start(&current_test(), &["a", "b"]) else {
        return;
    };
    let model = MockModel::start_with(Options::default()).unwrap();
    let host =
        |name| FleetProcess::new(name, codex, &model, &database.url(name), &json!({})).unwrap();
    let (a, b) = (host("a"), host("b"));
    assert_eq!(b.turn("idle", "hello").text(), "echo: hello");
    let turn = a
        .begin(
            "held",
            "mock:shell=touch begun; until [ -e go-on ]; do sleep 0.05; done",
        )
        .unwrap();
    let begun = a.workspace.path().join("begun");
    wait_until("the tool runs", || begun.exists());
    // Since when, in whole seconds.
    wait_until("it has lasted for a second", || {
        shown(&b, "held").pointer("/holder/for_seconds") != Some(&json!(0))
    });

    // Another host is asked, of course.
    let listed = printed(&b.run(&["session", "list"]));
    let listed: Vec<Value> = listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [held, idle] = listed.as_slice() else {
        panic!("{listed:?}");
    };
    assert_eq!(held["key"], "session:held");
    assert_eq!(held["holder"]["host"], "a", "{held}");
    let ends_in = held["holder"]["lease_ends_in_seconds"].as_u64().unwrap();
    assert!(ends_in <= LEASE.as_secs(), "{held}");
    assert_eq!(
        (&idle["key"], &idle["holder"]),
        (&json!("session:idle"), &Value::Null)
    );
    assert_eq!(idle["last_host"], "b", "{idle}");
    let kept = database.record("idle").unwrap().len();
    assert_eq!(idle["record_bytes"], kept, "{idle}");
    assert_eq!(shown(&a, "idle"), *idle);

    // A sweep takes what nobody has used, which a turn has.
    wait_until("only the turn is in use", || {
        database
            .server
            .psql("select clock_timestamp() > updated + interval '1 second' from plexum.conversation where key = 'session:idle'")
            == "t"
    });
    let swept = printed(&b.run(&["fleet", "sweep", "--unused-for", "1s"]));
    assert!(
        swept.starts_with("1 conversations and 1 records"),
        "{swept}"
    );
    assert!(database.find("idle").unwrap().is_none());

    // A reset waits for the end of the turn, and says so.
    let mut reset = b.command("session");
    reset.args(["reset", "--session", "held"]);
    let reset = reset
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let asks = "select count(*) from pg_stat_activity where usename = 'host_b' and query like '%plexum.acquire%'";
    wait_until("it asks for the lease", || {
        database.server.psql(asks) != "0"
    });
    assert_eq!(shown(&b, "held")["holder"]["host"], "a");
    std::fs::write(a.workspace.path().join("go-on"), "").unwrap();
    let said = turn.rest();
    assert_eq!(said.text(), "done", "{said:?}");
    let thread = said.start().unwrap().0.to_owned();
    let reset = printed(&reset.wait_with_output().unwrap());
    assert!(reset.contains(&thread), "{reset}");
    let said = a.turn("held", "mock:history");
    assert_eq!(said.text(), r#"["mock:history"]"#, "{said:?}");

    let doctor = b.run(&["doctor", "--json"]);
    let report: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let store = checks
        .iter()
        .find(|check| check["id"] == "fleet-store")
        .unwrap_or_else(|| panic!("{report}"));
    assert_eq!(store["status"], "ok", "{store}");
    database.check_notes().unwrap();
}

/// What `session show` prints.
fn shown(host: &FleetProcess, session: &str) -> Value {
    let output = host.run(&["session", "show", "--session", session]);
    serde_json::from_str(&printed(&output)).unwrap()
}

/// What a command printed that has succeeded.
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}
