//! A whole turn in a host that stays, of a codex that answers at once: `tests/bench/fake-codex.c`. Beside that codex alone,
//! and with parts left out, which shows what they cost.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::Criterion;
use plexum_openai_provider::{COMPONENT, Cache, Config, Event, Provider, Request, StopReason};
use tempfile::TempDir;

use crate::in_memory::{Forgetful, Printed};
use crate::material;
use crate::native;

pub fn bench(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let codex = build_codex();
    let config = Config {
        binary: Some(codex.clone()),
        ..Config::default()
    };
    let provider = Provider::load(config, COMPONENT, &Cache::none()).unwrap();
    let printed: Arc<str> = material::output(200, 0).text.into();
    let without_process = provider.clone().with_spawner(Printed(Arc::clone(&printed)));
    let without_disk = without_process.clone().with_session_store(Forgetful);

    // On the disk that is measured, and not perhaps in memory.
    let workspaces = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut group = criterion.benchmark_group("turn");
    group.bench_function("bare codex", |bencher| {
        bencher.iter_custom(|turns| (0..turns).map(|_| bare(&codex, workspaces.path())).sum());
    });
    group.bench_function("first of a conversation", |bencher| {
        bencher.iter_custom(|turns| {
            let turn = |_| {
                let workspace = TempDir::new_in(workspaces.path()).unwrap();
                runtime.block_on(take(&provider, workspace.path()))
            };
            (0..turns).map(turn).sum()
        });
    });
    for (name, provider) in [
        ("next of a conversation", &provider),
        ("next, without the process", &without_process),
        ("next, without process and disk", &without_disk),
    ] {
        let workspace = TempDir::new_in(workspaces.path()).unwrap();
        runtime.block_on(take(provider, workspace.path()));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|turns| {
                (0..turns)
                    .map(|_| runtime.block_on(take(provider, workspace.path())))
                    .sum()
            });
        });
    }
    // What the component's code takes of that: the rest is the sandbox and the host around it.
    group.bench_function("next, without process, disk and sandbox", |bencher| {
        bencher.iter_custom(|turns| (0..turns).map(|_| native::translate(&printed).0).sum());
    });
    group.finish();
}

fn build_codex() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/bench/fake-codex.c");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fake-codex");
    let built = Command::new("cc")
        .args(["-O2", "-static", "-o"])
        .args([&program, &source])
        .status()
        .expect("a C compiler");
    assert!(built.success(), "{} could not be built", source.display());
    program
}

/// What any wrapper must do: start codex, read its output to the end, wait for it.
fn bare(codex: &Path, workspace: &Path) -> Duration {
    let began = Instant::now();
    let mut process = Command::new(codex)
        .args(["exec", "--json", "hello"])
        .current_dir(workspace)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = Vec::new();
    process
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut output)
        .unwrap();
    assert!(process.wait().unwrap().success() && !output.is_empty());
    began.elapsed()
}

/// A turn from its beginning until its end has come; how long that took.
pub async fn take(provider: &Provider, workspace: &Path) -> Duration {
    let began = Instant::now();
    let mut turn = provider.turn(workspace, Request::prompt("hello"));
    while let Some(event) = turn.next().await {
        if let Event::MessageEnd {
            stop_reason,
            failure,
            ..
        } = event
        {
            assert_eq!(stop_reason, StopReason::EndTurn, "{failure:?}");
        }
    }
    began.elapsed()
}
