//! All figures of a run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use bench_peers::criterion;

/// What was measured.
pub struct Measured {
    /// Of criterion; see [`criterion::medians`].
    pub criterion: BTreeMap<String, f64>,
    /// The rows of `bench-peers`: of whole turns, and of text as it is written.
    pub peers: Vec<Value>,
    pub streaming: Vec<Value>,
    /// Of a first start and the next one.
    pub starts: Vec<Value>,
    /// Of `memory open`.
    pub open: Value,
    /// Of `memory sequence`.
    pub sequence: Value,
    /// Of `memory stream`.
    pub stream: Value,
    /// Of `memory address-space`.
    pub address_space: Value,
    /// Of `fleet-load`, if there is a PostgreSQL.
    pub fleet: Option<Value>,
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
        let mut peers = read("peers.json")?;
        let mut rows = |key: &str| match peers[key].take() {
            Value::Array(rows) => Ok(rows),
            _ => anyhow::bail!("peers.json has no `{key}`"),
        };
        Ok(Measured {
            criterion: criterion::medians(criterion)?,
            peers: rows("turns")?,
            starts: rows("starts")?,
            streaming: rows("streaming")?,
            open: read("open.json")?,
            sequence: read("sequence.json")?,
            stream: read("stream.json")?,
            address_space: read("address-space.json")?,
            fleet: match folder.join("fleet.json").exists() {
                true => Some(read("fleet.json")?),
                false => None,
            },
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

    /// A figure of a side that streamed on a version of codex; nothing when it did not run.
    pub fn streamed(
        &self,
        side: &str,
        codex: &str,
        work: &str,
        folders: u64,
        key: &str,
    ) -> Option<f64> {
        let row = self.streaming.iter().find(|row| {
            row["side"] == side
                && row["codex"] == codex
                && row["work"] == work
                && row["folders"] == folders
        })?;
        row[key].as_f64()
    }

    /// The sides that streamed, each with its version of codex.
    pub fn streaming_sides(&self) -> Vec<(&str, &str)> {
        let rows = self.streaming.iter();
        distinct(rows.filter_map(|row| Some((row["side"].as_str()?, row["codex"].as_str()?))))
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
