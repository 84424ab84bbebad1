//! A long stream of lines from a process, all the way to the consumer of the events: beside a loop that reads the same
//! lines from the same process and has serde_json parse each.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use plexum_openai_provider::{COMPONENT, Cache, Config, GuestLimits, Provider};
use tempfile::TempDir;

use crate::material;
use crate::turn::take;

/// How long the stream is.
const BYTES: usize = 1024 * 1024 * 1024;

/// How much of it is in a file, which is printed again and again.
const FILE_BYTES: usize = 8 * 1024 * 1024;

const LINE_BYTES: usize = 2000;

pub fn bench(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let printer = Printer::new();
    let provider = Provider::load(
        Config {
            binary: Some(printer.program.clone()),
            guest: GuestLimits {
                events: u32::MAX,
                event_mib: 4096,
                ..GuestLimits::default()
            },
            ..Config::default()
        },
        COMPONENT,
        &Cache::none(),
    )
    .unwrap();
    let mut group = criterion.benchmark_group("stream");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(printer.bytes));
    group.bench_function("serde_json", |bencher| {
        bencher.iter_custom(|times| (0..times).map(|_| parse(&printer)).sum());
    });
    group.bench_function("turn", |bencher| {
        bencher.iter_custom(|times| {
            let turn = || runtime.block_on(take(&provider, printer.folder.path()));
            (0..times).map(|_| turn()).sum()
        });
    });
    group.finish();
}

/// A codex that prints one long turn.
struct Printer {
    program: PathBuf,
    bytes: u64,
    folder: TempDir,
}

impl Printer {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = material::output(LINE_BYTES, FILE_BYTES);
        let (head, rest) = output.text.split_at(output.items_at);
        let (items, tail) = rest.split_at(output.items_end - output.items_at);
        for (name, text) in [("head", head), ("items", items), ("tail", tail)] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let times = BYTES.div_ceil(items.len());
        let words = vec!["items"; times].join(" ");
        let program = folder.path().join("codex");
        fs::write(&program, format!("#!/bin/sh\nexec cat head {words} tail\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Printer {
            program,
            bytes: (head.len() + times * items.len() + tail.len()) as u64,
            folder,
        }
    }
}

fn parse(printer: &Printer) -> Duration {
    let began = Instant::now();
    let mut process = Command::new(&printer.program)
        .current_dir(printer.folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::with_capacity(64 * 1024, process.stdout.take().unwrap());
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).unwrap() > 0 {
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        std::hint::black_box(value);
        line.clear();
    }
    process.wait().unwrap();
    began.elapsed()
}
