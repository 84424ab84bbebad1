//! A real turn.

use std::time::{Duration, Instant};

use super::Check;
use crate::config::Config;
use crate::contract::event::{Event, StopReason};
use crate::contract::request::Request;
use crate::provider::Provider;

const ID: &str = "turn";

/// A question with a short answer.
const PROMPT: &str = "Answer with the one word ok, and use no tool.";

/// How long the answer may take. Without a network, the turn takes 45 seconds to fail.
const PATIENCE: Duration = Duration::from_secs(120);

/// Makes a turn in a folder of its own, and says how long it took and what it cost.
pub async fn check(config: &Config) -> Check {
    let workspace = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => {
            let said = format!("no folder for the turn could be created: {error}");
            return Check::problem(ID, said, "make room in the temporary folder");
        }
    };
    let provider = match Provider::new(config.clone()) {
        Ok(provider) => provider,
        Err(error) => return Check::problem(ID, error.to_string(), "see the other checks"),
    };
    let began = Instant::now();
    let mut turn = provider.turn(workspace.path(), Request::prompt(PROMPT));
    let mut patience = std::pin::pin!(tokio::time::sleep(PATIENCE));
    let mut waiting = true;
    let mut end = None;
    loop {
        tokio::select! {
            event = turn.next() => match event {
                Some(event @ Event::MessageEnd { .. }) => end = Some(event),
                Some(_) => {}
                None => break,
            },
            () = &mut patience, if waiting => {
                waiting = false;
                turn.cancel();
            }
        }
    }
    let took = format!("{:.1} s", began.elapsed().as_secs_f64());
    match end {
        Some(Event::MessageEnd {
            stop_reason: StopReason::EndTurn,
            usage,
            ..
        }) => {
            let usage = usage.map_or_else(
                || "tokens unknown".to_owned(),
                |usage| {
                    format!(
                        "{} tokens read and {} written",
                        usage.input_tokens, usage.output_tokens
                    )
                },
            );
            Check::ok(ID, format!("completed in {took}, {usage}"))
        }
        Some(Event::MessageEnd {
            failure: Some(failure),
            ..
        }) => {
            let kind = serde_json::to_value(failure.kind).unwrap_or_default();
            let kind = kind.as_str().unwrap_or_default();
            Check::problem(
                ID,
                format!("failed after {took} as {kind}: {}", failure.message),
                "do what it says; `plexum-openai-provider say --verbose hello` shows more",
            )
        }
        _ => Check::problem(
            ID,
            format!("ended after {took} without saying how"),
            "report this, with the version of this program",
        ),
    }
}
