//! The side `codex-wrapper`: the crate of that name.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use bench_peers::side::{self, Clock, Mode, Timing};
use codex_wrapper::{Codex, ExecCommand, JsonLineEvent};

fn main() -> anyhow::Result<()> {
    let (codex, mode) = side::arguments()?;
    let codex = Codex::builder().binary(codex).build()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match mode {
        Mode::Program { folder, prompt } => {
            runtime.block_on(turn(codex, &folder, &prompt, |event| {
                println!("{}", serde_json::json!(event));
            }))
        }
        Mode::Live => side::serve(|order, began| {
            let turns: Vec<_> = order
                .folders
                .into_iter()
                .map(|folder| {
                    let turn = timed(codex.clone(), folder, order.prompt.clone(), began);
                    runtime.spawn(turn)
                })
                .collect();
            turns
                .into_iter()
                .map(|turn| runtime.block_on(turn).context("a turn panicked")?)
                .collect()
        }),
    }
}

async fn timed(
    codex: Codex,
    folder: PathBuf,
    prompt: String,
    began: Instant,
) -> anyhow::Result<Timing> {
    let mut clock = Clock::since(began);
    turn(codex, &folder, &prompt, |event| {
        clock.saw(event.agent_message_text())
    })
    .await?;
    clock.end(&prompt)
}

async fn turn(
    codex: Codex,
    folder: &Path,
    prompt: &str,
    saw: impl FnMut(JsonLineEvent),
) -> anyhow::Result<()> {
    // Its own method for this flag wants an environment variable besides.
    ExecCommand::new(prompt)
        .skip_git_repo_check()
        .extra_arg("--dangerously-bypass-approvals-and-sandbox")
        .stream(&codex.with_working_dir(folder), saw)
        .await?;
    Ok(())
}
