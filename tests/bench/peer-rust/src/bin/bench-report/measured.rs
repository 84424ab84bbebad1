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

    /// A figure of a side that ran on a codex in a mode, with so many turns at a time; nothing when it did not run.
    pub fn peer(
        &self,
        side: &str,
        codex: &str,
        mode: &str,
        concurrency: u64,
        key: &str,
    ) -> Option<f64> {
        let row = self.peers.iter().find(|row| {
            row["side"] == side
                && row["codex"] == codex
                && row["mode"] == mode
                && row["concurrency"] == concurrency
        })?;
        row[key].as_f64()
    }

    /// In which modes a codex was driven, and with how many turns at a time.
    pub fn settings(&self, codex: &str) -> Vec<(&str, u64)> {
        let of_codex = self.peers.iter().filter(|row| row["codex"] == codex);
        distinct(
            of_codex.filter_map(|row| Some((row["mode"].as_str()?, row["concurrency"].as_u64()?))),
        )
    }

    /// The sides, in their order.
    pub fn sides(&self) -> Vec<&str> {
        distinct(self.peers.iter().filter_map(|row| row["side"].as_str()))
    }
}

/// Each once, in their order.
fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut distinct = Vec::new();
    for one in all {
        if !distinct.contains(&one) {
            distinct.push(one);
        }
    }
    distinct
}

/// A figure of a file of `memory`.
pub fn figure(of: &Value, key: &str) -> anyhow::Result<f64> {
    of[key]
        .as_f64()
        .with_context(|| format!("`{key}` was not measured"))
}
