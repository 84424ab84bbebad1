//! What a hostile component can make the host hold: a small multiple of what it hands over.

use std::process::Command;

use plexum_openai_provider::{
    Config, Event, FailureKind, GuestLimits, Provider, Recorder, Request,
};
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::hostile::component as component_file;
use serde_json::Value;

use crate::bench::{Bench, allowed, component, deed, fake_codex, finish, scripted, workspace};

const MIB: u64 = 1024 * 1024;

/// What a process of its own measured in a hostile turn.
fn measure(pause: &str, prompt: &str) -> Value {
    let figures = tempfile::NamedTempFile::new().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_memory"))
        .arg("hostile")
        .args([fake_codex().as_os_str(), pause.as_ref()])
        .args([component_file().as_os_str(), prompt.as_ref()])
        .arg(format!("--json={}", figures.path().display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{prompt}: {output:?}");
    serde_json::from_str(&std::fs::read_to_string(figures.path()).unwrap()).unwrap()
}

/// The process, with the component's own memory, may take four times what was handed over.
fn takes_at_most_four_times(handed_over: u64, figures: &Value) {
    let kib = |name: &str| figures[name].as_u64().unwrap();
    let taken = (kib("peak_kib") - kib("before_kib")) * 1024;
    assert!(
        taken <= 4 * handed_over,
        "{} MiB for {} MiB: {figures}",
        taken / MIB,
        handed_over / MIB
    );
}

#[test]
fn a_tools_input_takes_a_small_multiple_of_its_size() {
    // As much as is passed on, and as much as a call can hand over, which is not.
    let figures = measure("0", "input:8388608");
    assert!(figures["failure"].is_null(), "{figures}");
    assert_eq!(figures["events"], 2, "{figures}");
    takes_at_most_four_times(8 * MIB, &figures);
    let figures = measure("0", "input:67000000");
    let failure = figures["failure"].as_str().unwrap();
    assert!(failure.contains("the input of a tool had"), "{failure}");
    takes_at_most_four_times(64 * MIB, &figures);
}

#[test]
fn a_long_plan_is_refused_and_shorter_ones_wait_one_at_a_time() {
    let figures = measure("0", "plans:2000000");
    let failure = figures["failure"].as_str().unwrap();
    assert!(failure.contains("a plan had 2000000 steps"), "{failure}");
    takes_at_most_four_times(64 * MIB, &figures);
    // Each takes 2 MiB of the host. If only text counted, 64 of them would wait.
    let figures = measure("1000", "plans:65536");
    assert!(figures["failure"].is_null(), "{figures}");
    takes_at_most_four_times(4 * MIB, &figures);
}

#[tokio::test]
async fn an_input_that_is_not_one_line_of_json_is_made_so() {
    let bench = Bench::new(GuestLimits::default());
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    let forged = "{\"z\":1e400,\n\"a\":18446744073709551616,\"z\":1.10}";
    for (input, shown) in [
        (forged, forged.replace('\n', " ")),
        ("{\"z\":", "\"{\\\"z\\\":\"".to_owned()),
        (&deep, format!("\"{deep}\"")),
    ] {
        let (told, _) = bench
            .try_out(&workspace(), &format!("raw-input:{input}"))
            .await;
        let [Event::ToolStart { input, .. }] = &told.events[..] else {
            panic!("{told:?}")
        };
        assert_eq!(input.get(), shown);
    }
}

#[tokio::test]
async fn the_end_of_codex_is_recorded_once_however_often_it_is_waited_for() {
    let codex = scripted([Step::turn("hello").to_vec()]);
    let record = codex.outside("record.jsonl");
    let config = Config {
        binary: Some(fake_codex().into()),
        guest: GuestLimits {
            cpu_seconds: 1,
            ..GuestLimits::default()
        },
        ..Config::default()
    };
    let provider = Provider::with_component(config, component())
        .unwrap()
        .with_recorder(Recorder::append_to(&record).unwrap());
    let turn = provider.turn(codex.path(), Request::prompt(deed("waits", &allowed())));
    let told = finish(turn).await;
    assert_eq!(told.kind, Some(FailureKind::Internal), "{told:?}");
    assert!(told.message.contains("`guest.cpu_seconds`"), "{told:?}");
    let record = std::fs::read_to_string(record).unwrap();
    assert_eq!(record.matches("\"ended\"").count(), 1, "{record}");
}
