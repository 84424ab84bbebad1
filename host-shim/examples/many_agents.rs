//! Many agents at once: one provider, a workspace each, and what came of all of them.
//!
//! ```sh
//! cargo run --example many_agents -- "Write a haiku into haiku.txt." WORKSPACE...
//! ```

use plexum_openai_provider::{Config, Event, Provider, Request};
use tokio::task::JoinSet;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let prompt = args
        .next()
        .ok_or("usage: many_agents PROMPT WORKSPACE...")?;
    // One for all: it has one engine, one copy of the component's code, and runs at most `limits.turns` at once.
    let provider = Provider::new(Config::read_default()?)?;
    let mut agents = JoinSet::new();
    for workspace in args {
        let turn = provider.turn(&workspace, Request::prompt(prompt.as_str()));
        agents.spawn(async move { (workspace, outcome(turn).await) });
    }
    while let Some(finished) = agents.join_next().await {
        let (workspace, outcome) = finished?;
        match outcome {
            Ok(answer) => println!("{workspace}: {answer}"),
            Err(failure) => println!("{workspace}: failed: {failure}"),
        }
    }
    println!("{}", serde_json::to_string_pretty(&provider.metrics())?);
    Ok(())
}

/// The answer, or why there is none.
async fn outcome(mut turn: plexum_openai_provider::Turn) -> Result<String, String> {
    let mut answer = String::new();
    while let Some(event) = turn.next().await {
        match event {
            Event::TextDelta { text, .. } => answer.push_str(&text),
            Event::MessageEnd {
                failure: Some(failure),
                ..
            } => return Err(failure.message),
            _ => {}
        }
    }
    Ok(answer)
}
