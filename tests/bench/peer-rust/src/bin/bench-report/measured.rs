//! All figures of a run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use crate::criterion;

/// What was measured.
pub struct Measured {
    /// Of criterion; see [`criterion::medians`].
    pub criterion: BTreeMap<String, f64>,
    /// The rows of `bench-peers`.
    pub peers: Vec<Value>,
    /// Of `memory open`.
    pub open: Value,
    /// Of `memory sequence`.
    pub sequence: Value,
    /// Of `memory stream`.
    pub stream: Value,
}

impl Measured {
    /// Reads what the programs have written.
    pub fn read(folder: &Path, criterion: &Path) -> anyhow::Result<Self> {
        let read = |name: &str| -> anyhow::Result<Value> {
            let path = folder.join(name);
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            Ok(serde_json::from_str(&text)?)
        };
        let Value::Array(peers) = read("peers.json")? else {
            anyhow::bail!("peers.json has no rows");
        };
        Ok(Measured {
            criterion: criterion::medians(criterion)?,
            peers,
            open: read("open.json")?,
            sequence: read("sequence.json")?,
            stream: read("stream.json")?,
        })
    }

    /// Nanoseconds of a benchmark.
    pub fn ns(&self, benchmark: &str) -> anyhow::Result<f64> {
        let ns = self.criterion.get(benchmark);
        ns.copied()
            .with_context(|| format!("`{benchmark}` was not measured"))
    }

    /// A figure of a side that ran on a codex in a mode; nothing when it did not run.
    pub fn peer(&self, side: &str, codex: &str, mode: &str, many: bool, key: &str) -> Option<f64> {
        let row = self.peers.iter().find(|row| {
            row["side"] == side
                && row["codex"] == codex
                && row["mode"] == mode
                && (row["concurrency"] != 1) == many
        })?;
        row[key].as_f64()
    }

    /// The sides, in their order.
    pub fn sides(&self) -> Vec<&str> {
        let mut sides: Vec<&str> = Vec::new();
        for side in self.peers.iter().filter_map(|row| row["side"].as_str()) {
            if !sides.contains(&side) {
                sides.push(side);
            }
        }
        sides
    }
}

/// A figure of a file of `memory`.
pub fn figure(of: &Value, key: &str) -> anyhow::Result<f64> {
    of[key]
        .as_f64()
        .with_context(|| format!("`{key}` was not measured"))
}
