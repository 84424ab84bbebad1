//! What criterion has written down.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

#[derive(Deserialize)]
struct Benchmark {
    full_id: String,
    throughput: Option<Throughput>,
}

#[derive(Deserialize)]
enum Throughput {
    Elements(u64),
    Bytes(u64),
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

/// Nanoseconds in the middle, by the benchmark's name: of one element, or of one byte, where it has many.
///
/// # Errors
/// When something there cannot be read.
pub fn medians(folder: &Path) -> anyhow::Result<BTreeMap<String, f64>> {
    let mut medians = BTreeMap::new();
    visit(folder, &mut medians)?;
    Ok(medians)
}

fn visit(folder: &Path, medians: &mut BTreeMap<String, f64>) -> anyhow::Result<()> {
    let entries = fs::read_dir(folder)
        .with_context(|| format!("cannot read {}; has `cargo bench` run?", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name == "new") {
            let benchmark: Benchmark = read(&path.join("benchmark.json"))?;
            let estimates: Estimates = read(&path.join("estimates.json"))?;
            let parts = match benchmark.throughput {
                Some(Throughput::Elements(parts) | Throughput::Bytes(parts)) => parts as f64,
                None => 1.0,
            };
            medians.insert(benchmark.full_id, estimates.median.point_estimate / parts);
        } else if path.is_dir() {
            visit(&path, medians)?;
        }
    }
    Ok(())
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> anyhow::Result<T> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not what it was", path.display()))
}
