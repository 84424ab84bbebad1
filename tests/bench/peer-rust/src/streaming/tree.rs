//! What the processes of a side use, codex apart from the rest.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bench_peers::processes;

use crate::memory;

/// The processes of a side.
#[derive(Debug)]
pub struct Tree {
    /// None where the client in here is the adapter.
    adapter: Vec<u32>,
    codex: Vec<u32>,
}

/// Something that the adapter and all processes together use.
#[derive(Debug, Clone, Copy, Default)]
pub struct Used<T> {
    pub adapter: T,
    pub all: T,
}

/// Memory in KiB. Pages that processes share count once in the PSS, divided among them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    pub rss: u64,
    pub pss: u64,
}

impl Tree {
    /// These processes and all below them. Codex's are those that run the program, and all below.
    pub fn of(roots: &[u32], codex: &Path) -> Self {
        let children = memory::children();
        let mut tree = Tree {
            adapter: Vec::new(),
            codex: Vec::new(),
        };
        let mut pending: Vec<(u32, bool)> = roots.iter().map(|&root| (root, false)).collect();
        while let Some((pid, below_codex)) = pending.pop() {
            let is_codex = below_codex || memory::program(pid).as_deref() == Some(codex);
            let kind = if is_codex {
                &mut tree.codex
            } else {
                &mut tree.adapter
            };
            kind.push(pid);
            let below = children.get(&pid).into_iter().flatten();
            pending.extend(below.map(|&child| (child, is_codex)));
        }
        tree
    }

    /// The processor's time up to now. That of the adapter is without the processes that it has waited for.
    pub fn cpu(&self) -> Used<Duration> {
        // One that has ended meanwhile is counted by the one that has waited for it.
        let own = |pid: &u32| processes::own_cpu(*pid).unwrap_or_default();
        let waited_for = |pid: &u32| processes::children_cpu(*pid).unwrap_or_default();
        let adapter = self.adapter.iter().map(own).sum();
        let codex: Duration = self.codex.iter().map(own).sum();
        let ended: Duration = self.adapter.iter().chain(&self.codex).map(waited_for).sum();
        Used {
            adapter,
            all: adapter + codex + ended,
        }
    }

    /// What they hold now.
    pub fn memory(&self) -> Used<Memory> {
        let sum = |pids: &[u32]| {
            let mut sum = Memory::default();
            for pid in pids {
                let held =
                    fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
                sum.rss += memory::kib_after(&held, "Rss:").unwrap_or_default();
                sum.pss += memory::kib_after(&held, "Pss:").unwrap_or_default();
            }
            sum
        };
        let (adapter, codex) = (sum(&self.adapter), sum(&self.codex));
        Used {
            adapter,
            all: Memory {
                rss: adapter.rss + codex.rss,
                pss: adapter.pss + codex.pss,
            },
        }
    }
}
