//! A side's process that stays, and the turns that it is asked for.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bench_peers::processes;
use bench_peers::side::{Order, Report};

use crate::sides::PROMPT;

/// A running side. Dropping it ends it.
pub struct Live {
    process: Child,
    orders: Option<ChildStdin>,
    reports: BufReader<ChildStdout>,
}

impl Live {
    /// Starts a side and waits until it is loaded.
    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let orders = process.stdin.take();
        let reports = BufReader::new(process.stdout.take().context("no pipe")?);
        let mut live = Live {
            process,
            orders,
            reports,
        };
        let ready = live.line()?;
        ensure!(ready == "ready\n", "{command:?} said {ready:?}");
        Ok(live)
    }

    /// Has it carry out turns, one in each folder, all at once.
    pub fn turns(&mut self, folders: Vec<PathBuf>) -> anyhow::Result<Report> {
        let prompt = PROMPT.to_owned();
        let mut order = serde_json::to_string(&Order { folders, prompt })?;
        order.push('\n');
        let orders = self.orders.as_mut().context("no pipe")?;
        orders.write_all(order.as_bytes())?;
        let report = self.line()?;
        serde_json::from_str(&report).with_context(|| format!("a side reported {report:?}"))
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The CPU time that it has used up to now, and that of the processes that it has waited for.
    pub fn cpu(&self) -> anyhow::Result<(Duration, Duration)> {
        let pid = self.pid();
        Ok((processes::own_cpu(pid)?, processes::children_cpu(pid)?))
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.reports.read_line(&mut line)?;
        Ok(line)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // The end of its orders is its end.
        drop(self.orders.take());
        let _ = self.process.wait();
    }
}
