//! A fleet of real processes: the program with `serve` on each host, the real codex, and one PostgreSQL.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy does not know a test's helpers as tests"
)]

mod moves;
mod operator;
mod zombies;

use plexum_openai_provider_tests::census::processes_below;
use plexum_openai_provider_tests::fleet_database::FleetDatabase;
use plexum_openai_provider_tests::fleet_process::FleetProcess;
use plexum_openai_provider_tests::wait::{is_running, wait_until};

/// How a configuration names both transports.
const TRANSPORTS: [&str; 2] = ["exec", "app-server"];

/// The prompts of a conversation, as the model's answer to `mock:history` lists them.
fn history(answer: &str) -> Vec<String> {
    serde_json::from_str(answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// Waits until the store has these words of the conversation.
fn wait_for_words(database: &FleetDatabase, session: &str, words: &str) {
    wait_until("the store has it", || {
        let record = database.record(session).unwrap();
        String::from_utf8_lossy(&record).contains(words)
    });
}

/// The processes that work for this host, but for its own.
fn at_work(host: &FleetProcess) -> Vec<i32> {
    let below = processes_below(&host.workspace.path().canonicalize().unwrap());
    let own = host.is_running().then(|| host.pid());
    let all = below.into_iter().map(|(pid, _)| pid);
    all.filter(|pid| Some(*pid) != own && is_running(*pid))
        .collect()
}
