//! The component in your own wasmtime store, for a runtime that hosts other components too: `add_to_linker`, and a view
//! of the store's data.
//!
//! ```sh
//! cargo run --example own_store -- WORKSPACE PROMPT
//! ```

use std::time::Duration;

use plexum_openai_provider::bindings::CodexProvider;
use plexum_openai_provider::embed::{self, CodexView};
use plexum_openai_provider::{COMPONENT, CodexCtx, Config, Event, GrantedCodex, Request};
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

/// What this runtime keeps for each component that it runs.
struct State {
    codex: CodexCtx,
    events: usize,
}

impl CodexView for State {
    fn codex(&mut self) -> &mut CodexCtx {
        &mut self.codex
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let workspace = args.next().ok_or("usage: own_store WORKSPACE PROMPT")?;
    let prompt = args.next().ok_or("usage: own_store WORKSPACE PROMPT")?;

    // The runtime's own.
    let mut settings = wasmtime::Config::new();
    settings.epoch_interruption(true);
    let engine = Engine::new(&settings)?;
    let component = Component::new(&engine, COMPONENT)?;
    let mut linker = Linker::<State>::new(&engine);
    embed::add_to_linker(&mut linker)?;
    // Without this `guest.cpu_seconds` does not hold.
    let clock = engine.clone();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(10));
            clock.increment_epoch();
        }
    });

    // What the operator grants, and a turn of it.
    let codex = GrantedCodex::new(Config::read_default()?, COMPONENT)?;
    let turn = match codex.open(workspace, Request::prompt(prompt)).await {
        Ok(turn) => turn,
        // The end of a turn that cannot begin.
        Err(end) => return Err(serde_json::to_string(&end)?.into()),
    };
    let state = State {
        codex: turn.ctx,
        events: 0,
    };
    let mut store = Store::new(&engine, state);
    embed::limit(&mut store);
    let world = CodexProvider::instantiate_async(&mut store, &component, &linker).await?;
    let turns = world.plexum_provider_turns().turn();
    let started = turns.call_start(&mut store, &turn.request).await?;
    let handle = started.map_err(|failure| failure.message)?;
    loop {
        let events = turns.call_next(&mut store, handle).await?;
        if events.is_empty() {
            break;
        }
        for event in events {
            let event = Event::from(event);
            let all = if let Event::MessageEnd { .. } = event {
                // When its end is handed out, nothing of the turn runs, and the conversation is kept.
                store.data_mut().codex.close(event).await
            } else {
                vec![event]
            };
            for event in all {
                // For the metrics.
                store.data().codex.note(&event);
                store.data_mut().events += 1;
                println!("{}", serde_json::to_string(&event)?);
            }
        }
    }
    let events = store.data().events;
    // The turn is over when its context is gone.
    drop(store);
    let completed = codex.metrics().turns_completed;
    eprintln!("{events} events, turns completed: {completed}");
    Ok(())
}
