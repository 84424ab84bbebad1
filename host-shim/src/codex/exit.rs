//! How a process ended.

use std::process::ExitStatus;
use std::time::Duration;

use super::stop::StopCause;

/// How a process ended.
#[derive(Debug, Clone)]
pub struct Exit {
    /// Its status, from the operating system.
    pub status: ExitStatus,
    /// Set when the host stopped it.
    pub stopped: Option<StopCause>,
    /// The last part of standard error.
    pub stderr: String,
    /// How many bytes of its output were read.
    pub output_bytes: u64,
    /// Whether reading its output stopped before the end, because another process still held it open.
    pub output_cut: bool,
    /// How many processes codex left behind, which were then ended.
    pub left_behind: u32,
    /// What may still run, or why codex was ended in another way than usual, in words for a person.
    pub warning: Option<String>,
    /// From its start until its end.
    pub duration: Duration,
}
