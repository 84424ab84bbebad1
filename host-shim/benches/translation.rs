//! Lines become events: in the sandbox, in the same code without one, and beside what others do with the same lines.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use serde::de::DeserializeOwned;

use crate::material;
use crate::native;
use crate::peers::WrapperEvent;
use crate::sandbox::Sandbox;

/// So much is translated in one turn: enough that its beginning and its end do not count.
const TURN_BYTES: usize = 8 * 1024 * 1024;

pub fn bench(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut group = criterion.benchmark_group("translation");
    for (name, length) in [("200 B", 200), ("2 KB", 2000), ("64 KB", 64_000)] {
        let output = material::output(length, TURN_BYTES);
        let text: Arc<str> = output.text.into();
        group.throughput(Throughput::Elements(output.items as u64));
        let sandbox = Sandbox::new(&text);
        let clock = Clock::start(sandbox.engine().clone());
        let (_, native_events) = native::translate(&text);
        let (_, events) = runtime.block_on(sandbox.translate());
        assert_eq!(native_events, events, "both translate the same");
        group.bench_function(BenchmarkId::new("native", name), |bencher| {
            bencher.iter_custom(|turns| (0..turns).map(|_| native::translate(&text).0).sum());
        });
        group.bench_function(BenchmarkId::new("sandbox", name), |bencher| {
            bencher.iter_custom(|turns| {
                (0..turns)
                    .map(|_| runtime.block_on(sandbox.translate()).0)
                    .sum()
            });
        });
        drop(clock);
        group.bench_function(BenchmarkId::new("serde_json", name), |bencher| {
            bencher
                .iter_custom(|turns| (0..turns).map(|_| parsed::<serde_json::Value>(&text)).sum());
        });
        group.bench_function(BenchmarkId::new("codex-wrapper", name), |bencher| {
            bencher.iter_custom(|turns| (0..turns).map(|_| parsed::<WrapperEvent>(&text)).sum());
        });
    }
    group.finish();
}

/// How long it takes to parse each line, as text that is in memory. No events are made of what comes out.
fn parsed<T: DeserializeOwned>(text: &str) -> Duration {
    let began = Instant::now();
    for line in text.lines() {
        black_box(serde_json::from_str::<T>(line).unwrap());
    }
    began.elapsed()
}

/// Moves the engine's epoch on, as a host does while turns run.
struct Clock(Arc<AtomicBool>);

impl Clock {
    fn start(engine: wasmtime::Engine) -> Self {
        let stopped = Arc::<AtomicBool>::default();
        let clock = Arc::clone(&stopped);
        std::thread::spawn(move || {
            while !clock.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(10));
                engine.increment_epoch();
            }
        });
        Clock(stopped)
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
