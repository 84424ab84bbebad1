//! The least that a runtime needs: a provider, a turn, its events.
//!
//! ```sh
//! cargo run --example embed -- WORKSPACE "What is in this folder?"
//! ```

use std::io::Write as _;

use plexum_openai_provider::{Config, Event, Provider, Request};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let workspace = args.next().ok_or("usage: embed WORKSPACE PROMPT")?;
    let prompt = args.next().ok_or("usage: embed WORKSPACE PROMPT")?;

    // Once a process: this makes the component ready to run. The configuration is the operator's.
    let provider = Provider::new(Config::read_default()?)?;

    // Dropping the turn stops codex; `turn.cancel()` stops it and still reports the turn's end.
    let mut turn = provider.turn(workspace, Request::prompt(prompt));
    while let Some(event) = turn.next().await {
        match event {
            Event::TextDelta { text, .. } => print!("{text}"),
            Event::ToolStart { title, .. } => eprintln!("- {title}"),
            // Exactly one, and the last.
            Event::MessageEnd { failure, usage, .. } => {
                println!();
                if let Some(failure) = failure {
                    // Decide by `failure.kind` and `failure.retryable`; the message is for people.
                    return Err(failure.message.into());
                }
                if let Some(usage) = usage {
                    eprintln!(
                        "{} tokens in, {} out",
                        usage.input_tokens, usage.output_tokens
                    );
                }
            }
            _ => {}
        }
        std::io::stdout().flush()?;
    }
    Ok(())
}
