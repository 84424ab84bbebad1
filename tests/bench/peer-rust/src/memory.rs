//! How much memory the wrappers hold. Nothing is timed while this looks.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// Often enough to see a program that lives for some milliseconds shortly before its end.
const EVERY: Duration = Duration::from_micros(100);
/// Looking at all processes takes some milliseconds.
const HELPERS_EVERY: Duration = Duration::from_millis(20);

/// What the wrapper of a turn holds at most.
#[derive(Debug, Clone, Copy, Default)]
pub struct Peak {
    /// The high-water mark of the wrapper's own process.
    pub process_kib: f64,
    /// Other processes of the wrapper, all together; codex and what codex starts do not count.
    pub helpers_kib: f64,
}

/// The most that a process has held since it was started. `None` when it is gone.
pub fn high_water_mark(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    kib_after(&status, "VmHWM:")
}

/// Runs these programs at once and watches them: the peak of one. They are alike, so the highest mark is the
/// one that was seen nearest to the end.
pub fn of_programs(commands: Vec<Command>, codex: &Path) -> anyhow::Result<Peak> {
    let count = commands.len() as f64;
    let mut running = commands
        .into_iter()
        .map(|mut command| {
            let command = command.stdin(Stdio::null()).stdout(Stdio::null());
            let child = command.spawn().context("cannot start a side")?;
            Ok(child)
        })
        .collect::<anyhow::Result<Vec<Child>>>()?;
    let roots: Vec<u32> = running.iter().map(Child::id).collect();
    let (mut peak, mut helpers) = (0, 0);
    let mut looked_at_helpers = Instant::now();
    while !running.is_empty() {
        let mut still = Vec::with_capacity(running.len());
        for mut child in running {
            peak = high_water_mark(child.id()).unwrap_or(0).max(peak);
            if child.try_wait()?.is_none() {
                still.push(child);
            }
        }
        running = still;
        if looked_at_helpers.elapsed() > HELPERS_EVERY {
            helpers = helpers.max(helpers_of(&roots, codex));
            looked_at_helpers = Instant::now();
        }
        thread::sleep(EVERY);
    }
    Ok(Peak {
        process_kib: peak as f64,
        helpers_kib: helpers as f64 / count,
    })
}

/// The most that other processes of the wrapper hold, in KiB, while `work` is done.
pub fn helpers_during<T>(pid: u32, codex: &Path, work: impl FnOnce() -> T) -> (T, u64) {
    most_during(HELPERS_EVERY, || helpers_of(&[pid], codex), work)
}

/// The highest figure that `look` sees while `work` is done.
pub fn most_during<T>(
    every: Duration,
    look: impl Fn() -> u64 + Sync,
    work: impl FnOnce() -> T,
) -> (T, u64) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                most = most.max(look());
                thread::sleep(every);
            }
            most
        });
        let result = work();
        over.store(true, Ordering::Relaxed);
        (result, watch.join().unwrap_or_default())
    })
}

/// What the descendants of these processes hold, but for codex and its descendants, in KiB. Pages that they share
/// count once, divided among them.
fn helpers_of(roots: &[u32], codex: &Path) -> u64 {
    let children = children();
    let mut sum = 0;
    let mut pending: Vec<(u32, Option<PathBuf>)> = Vec::new();
    let of = |pid: u32| children.get(&pid).into_iter().flatten().copied();
    for &root in roots {
        let program = program(root);
        pending.extend(of(root).map(|pid| (pid, program.clone())));
    }
    while let Some((pid, parents_program)) = pending.pop() {
        let program = program(pid);
        // One that is its parent's still is about to become codex, and shares its parent's memory.
        if program.as_deref() == Some(codex) || program == parents_program {
            continue;
        }
        let memory = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok();
        sum += memory
            .and_then(|memory| kib_after(&memory, "Pss:"))
            .unwrap_or(0);
        pending.extend(of(pid).map(|child| (child, program.clone())));
    }
    sum
}

/// The children of each process that has some.
pub fn children() -> HashMap<u32, Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for pid in all_processes() {
        if let Some(parent) = parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    children
}

fn all_processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields = stat.rsplit_once(')')?.1;
    fields.split_whitespace().nth(1)?.parse().ok()
}

/// What a process runs.
pub fn program(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// The figure of a line of a file of `/proc`.
pub fn kib_after(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
