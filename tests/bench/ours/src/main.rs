//! The side `ours`, in a live process: `live CODEX`, and `unsupervised` after that to do without the supervisor. As a
//! program, it is `plexum-openai-provider say --json`.

mod unsupervised;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, bail};
use bench_peers::side::{self, Clock, Mode, Timing};
use plexum_openai_provider::{Config, Event, Provider, Request, StopReason};

use unsupervised::Unsupervised;

fn main() -> anyhow::Result<()> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let unsupervised = words.pop_if(|last| last == "unsupervised").is_some();
    let (codex, Mode::Live) = side::read(words)? else {
        bail!("as a program, the side `ours` is plexum-openai-provider");
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let mut provider = Provider::new(Config {
        binary: Some(codex),
        ..Config::default()
    })?;
    if unsupervised {
        provider = provider.with_spawner(Unsupervised);
    }
    side::serve(|order, began| {
        let turns: Vec<_> = order
            .folders
            .into_iter()
            .map(|folder| {
                let turn = timed(provider.clone(), folder, order.prompt.clone(), began);
                runtime.spawn(turn)
            })
            .collect();
        turns
            .into_iter()
            .map(|turn| runtime.block_on(turn).context("a turn panicked")?)
            .collect()
    })
}

async fn timed(
    provider: Provider,
    folder: PathBuf,
    prompt: String,
    began: Instant,
) -> anyhow::Result<Timing> {
    let mut clock = Clock::since(began);
    let mut turn = provider.turn(folder, Request::prompt(&prompt));
    while let Some(event) = turn.next().await {
        match event {
            Event::TextDelta { text, .. } => clock.saw(Some(text)),
            Event::MessageEnd {
                stop_reason: StopReason::EndTurn,
                ..
            } => clock.saw(None),
            Event::MessageEnd { failure, .. } => bail!("the turn failed: {failure:?}"),
            _ => clock.saw(None),
        }
    }
    clock.end(&prompt)
}
