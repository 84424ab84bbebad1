//! What a fleet adds to a whole turn, and what a restore takes: with a codex that answers at once and is no process, so that
//! nothing but the host is measured.

use std::fs::{File, OpenOptions};
use std::io::{self, Cursor, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use plexum_openai_provider::fleet::postgres::{PostgresStore, Settings};
use plexum_openai_provider::fleet::{Fleet, FleetSettings};
use plexum_openai_provider::spawner::{Child, Command, Gone, SpawnFuture, Spawned, Spawner};
use plexum_openai_provider::{Config, Event, Provider, Request, SessionFiles};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::median_ms;

const THREAD: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4b";

/// How many turns of each kind.
const TURNS: usize = 400;

/// How much of the record a turn writes.
const LINE_BYTES: usize = 6000;

/// Answers at once, and writes a record.
struct Instantly {
    home: PathBuf,
}

impl Instantly {
    fn record(home: &Path) -> PathBuf {
        home.join(format!(
            "sessions/2026/11/26/rollout-2026-11-26T00-00-00-{THREAD}.jsonl"
        ))
    }

    fn append(home: &Path, bytes: &[u8]) -> io::Result<()> {
        let path = Self::record(home);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(bytes)
    }
}

impl Spawner for Instantly {
    fn spawn<'a>(&'a self, _: Command<'a>) -> SpawnFuture<'a, Spawned> {
        Box::pin(async {
            let mut line = vec![b'x'; LINE_BYTES];
            line.push(b'\n');
            Self::append(&self.home, &line)?;
            let said = [
                json!({ "type": "thread.started", "thread_id": THREAD }),
                json!({ "type": "turn.started" }),
                json!({ "type": "item.completed", "item": { "id": "item_0", "type": "agent_message", "text": "hi" } }),
                json!({ "type": "turn.completed", "usage": { "input_tokens": 1, "cached_input_tokens": 0, "output_tokens": 1 } }),
            ];
            let said: String = said.iter().map(|line| format!("{line}\n")).collect();
            Ok(Spawned {
                id: 0,
                stdin: None,
                stdout: Box::new(Cursor::new(said.into_bytes())),
                stderr: Box::new(Cursor::new([])),
                child: Box::new(Ended),
            })
        })
    }
}

struct Ended;

impl Child for Ended {
    fn stop(&mut self) {}

    fn ended(&mut self) -> SpawnFuture<'_, ExitStatus> {
        Box::pin(std::future::ready(Ok(ExitStatus::from_raw(0))))
    }

    fn gone(&mut self) -> SpawnFuture<'_, Gone> {
        Box::pin(std::future::ready(Ok(Gone::All { ended: 0 })))
    }
}

/// A host's folders.
struct Place(TempDir);

impl Place {
    fn new() -> Result<Self> {
        let place = Place(TempDir::new()?);
        std::fs::create_dir(place.workspace())?;
        // It is asked for its version, and nothing else.
        let codex = place.codex();
        let mut file = File::create(&codex)?;
        file.write_all(b"#!/bin/sh\necho codex-cli 0.169.0\n")?;
        file.set_permissions(PermissionsExt::from_mode(0o755))?;
        Ok(place)
    }

    fn workspace(&self) -> PathBuf {
        self.0.path().join("workspace")
    }

    fn home(&self) -> PathBuf {
        self.0.path().join("home")
    }

    fn codex(&self) -> PathBuf {
        self.0.path().join("codex")
    }

    fn provider(&self) -> Result<Provider> {
        let config = Config {
            binary: Some(self.codex()),
            ..Config::default()
        };
        let provider = Provider::new(config)?;
        Ok(provider.with_spawner(Instantly { home: self.home() }))
    }

    fn with_files(&self) -> Result<Provider> {
        let files = SessionFiles::default()
            .with_state_folder(self.0.path().join("state"))
            .with_codex_home(self.home());
        Ok(self.provider()?.with_session_store(files))
    }

    async fn with_fleet(&self, host: &str, settings: &Settings) -> Result<Provider> {
        let provider = self.provider()?;
        let mut part = FleetSettings::of(provider.config())?;
        part.host = host.to_owned();
        part.codex_home = Some(self.home());
        part.locks = self.0.path().join("locks");
        let store = PostgresStore::connect(settings).await?;
        let fleet = Fleet::new(store, part, provider.config())?;
        Ok(provider.with_session_store(fleet))
    }
}

async fn turn(provider: &Provider, workspace: &Path) -> Result<Duration> {
    let began = Instant::now();
    let mut request = Request::prompt("hello");
    request.session = Some("whole turns".to_owned());
    let mut turn = provider.turn(workspace, request);
    let mut last = None;
    while let Some(event) = turn.next().await {
        last = Some(event);
    }
    let took = began.elapsed();
    ensure!(
        matches!(last, Some(Event::MessageEnd { failure: None, .. })),
        "a turn failed: {last:?}"
    );
    Ok(took)
}

/// Measures both, and prints it.
pub async fn measure(settings: &Settings) -> Result<Value> {
    let (files, fleet) = (Place::new()?, Place::new()?);
    let with_files = files.with_files()?;
    let with_fleet = fleet.with_fleet("a", settings).await?;
    let (mut took_files, mut took_fleet) = (Vec::new(), Vec::new());
    for number in 0..TURNS + 20 {
        let of_files = turn(&with_files, &files.workspace()).await?;
        let of_fleet = turn(&with_fleet, &fleet.workspace()).await?;
        // The first ones fill caches.
        if number >= 20 {
            took_files.push(of_files);
            took_fleet.push(of_fleet);
        }
    }
    let [files_ms, fleet_ms] = [took_files, took_fleet].map(median_ms);
    let added = fleet_ms - files_ms;
    println!(
        "\na whole turn, median of {TURNS}: {files_ms:.2} ms with files, {fleet_ms:.2} ms with the fleet, {added:.2} ms more"
    );
    let before = resident_kib()?;
    for _ in 0..TURNS {
        turn(&with_fleet, &fleet.workspace()).await?;
    }
    let after = resident_kib()?;
    println!("memory before and after {TURNS} more turns: {before} KiB, {after} KiB");

    let ten = b"0123456789abcdef".repeat(64 * 1024 * 10 - 1);
    let mut lines = ten.clone();
    for end in (4096..lines.len()).step_by(4096) {
        if let Some(byte) = lines.get_mut(end) {
            *byte = b'\n';
        }
    }
    lines.push(b'\n');
    Instantly::append(&fleet.home(), &lines)?;
    turn(&with_fleet, &fleet.workspace()).await?;
    let other = Place::new()?;
    let with_other = other.with_fleet("b", settings).await?;
    turn(&with_other, &other.workspace()).await?;
    let restores = with_other.metrics().fleet;
    let bytes = restores.bytes_fetched;
    let restore_ms = restores.restores.longest_seconds * 1e3;
    println!("a restore of {bytes} bytes on another host: {restore_ms:.0} ms");
    Ok(json!({
        "files_p50_ms": files_ms,
        "fleet_p50_ms": fleet_ms,
        "added_p50_ms": added,
        "memory_kib": [before, after],
        "restore_bytes": bytes,
        "restore_ms": restore_ms,
    }))
}

fn resident_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number
        .and_then(|number| number.trim().parse().ok())
        .context("the memory is not known")
}
