//! `servers`: the codex processes that stay.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use plexum_openai_provider_supervisor::{NAME, Stat, runs_codex};
use rustix::param::clock_ticks_per_second;
use rustix::process::Pid;
use serde::Serialize;

use super::audit::print;
use super::harmless::one_line;

/// Show which codex processes stay between turns (`"transport": "app-server"`), of all programs on this machine.
#[derive(Args)]
#[command(after_help = "\
A codex that stays belongs to one conversation. It ends when its program ends, and after `server.idle_seconds` without a
turn. MEMORY is what would be free without it (PSS), with all that it has started, such as MCP servers.

Exit codes: 0 shown, 2 /proc cannot be read.")]
pub struct Servers {
    /// One line of JSON for each
    #[arg(long)]
    json: bool,
}

/// A codex that stays.
#[derive(Debug, PartialEq, Serialize)]
struct Server {
    /// Its process.
    pid: i32,
    /// Since when it runs.
    seconds: u64,
    /// What it takes of the memory, with all that it has started; absent where that may not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u64>,
    /// The folder that it works in; absent where that may not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace: Option<PathBuf>,
    /// The program that has started it.
    host_pid: i32,
    /// Its name.
    host: String,
}

impl Servers {
    pub fn run(self) -> Result<ExitCode> {
        let servers = servers().context("the processes of /proc cannot be read")?;
        if self.json {
            for server in &servers {
                print(&serde_json::to_string(server)?)?;
            }
        } else if servers.is_empty() {
            print("no codex stays")?;
        } else {
            print(&format!(
                "{:>8} {:>8} {:>9}  {:<26} WORKSPACE",
                "PID", "AGE", "MEMORY", "STARTED BY"
            ))?;
            for server in &servers {
                print(&server.line())?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Server {
    fn line(&self) -> String {
        let age = Duration::from_secs(match self.seconds {
            seconds @ ..60 => seconds,
            seconds @ ..3600 => seconds / 60 * 60,
            seconds => seconds / 3600 * 3600,
        });
        let memory = match self.memory_bytes {
            Some(bytes) => format!("{} MB", bytes / 1_000_000),
            None => "?".to_owned(),
        };
        let workspace = match &self.workspace {
            Some(workspace) => one_line(&workspace.to_string_lossy()).into_owned(),
            None => "?".to_owned(),
        };
        let host = format!("{} ({})", one_line(&self.host), self.host_pid);
        let age = humantime::format_duration(age).to_string();
        format!(
            "{:>8} {age:>8} {memory:>9}  {host:<26} {workspace}",
            self.pid
        )
    }
}

/// Those that stay, the oldest first.
fn servers() -> io::Result<Vec<Server>> {
    let mut processes = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok());
        // One may end meanwhile.
        if let Some(pid) = pid.and_then(Pid::from_raw)
            && let Some(process) = Stat::read(pid)
        {
            processes.insert(pid, process);
        }
    }
    let uptime = fs::read_to_string("/proc/uptime")?;
    let uptime: u64 = uptime
        .split('.')
        .next()
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or_default();
    let mut found: Vec<(u64, Server)> = processes
        .iter()
        .filter(|(pid, process)| {
            name_of(process.parent()).as_deref() == NAME.to_str().ok() && runs_codex(**pid)
        })
        .map(|(pid, process)| {
            let host = processes.get(&process.parent());
            let host = host.map(|supervisor| supervisor.parent());
            let server = Server {
                pid: pid.as_raw_nonzero().get(),
                seconds: uptime.saturating_sub(process.started() / clock_ticks_per_second()),
                memory_bytes: memory_of(*pid, &processes),
                workspace: fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero())).ok(),
                host_pid: host.map_or(0, |host| host.as_raw_nonzero().get()),
                host: host.and_then(name_of).unwrap_or_default(),
            };
            (process.started(), server)
        })
        .collect();
    found.sort_by_key(|(started, server)| (*started, server.pid));
    Ok(found.into_iter().map(|(_, server)| server).collect())
}

/// The name that a process has given itself.
fn name_of(pid: Pid) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero())).ok()?;
    Some(name.trim_end_matches('\n').to_owned())
}

/// What it takes with all that it has started, in bytes.
fn memory_of(pid: Pid, processes: &HashMap<Pid, Stat>) -> Option<u64> {
    let own = fs::read_to_string(format!("/proc/{}/smaps_rollup", pid.as_raw_nonzero())).ok()?;
    let kilobytes = own
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok())?;
    let children = processes
        .iter()
        .filter(|(_, process)| process.parent() == pid);
    let others: u64 = children
        .filter_map(|(child, _)| memory_of(*child, processes))
        .sum();
    Some(kilobytes * 1024 + others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_known() {
        let mut server = Server {
            pid: 7,
            seconds: 3725,
            memory_bytes: Some(33_400_000),
            workspace: Some("/w\n".into()),
            host_pid: 5,
            host: "runtime".into(),
        };
        let line = server.line();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words, ["7", "1h", "33", "MB", "runtime", "(5)", "/w\\n"]);
        (server.memory_bytes, server.workspace) = (None, None);
        assert!(server.line().contains("? ") && server.line().ends_with('?'));
    }
}
