//! What one of codex's tools can do to the supervisor of its turn: it has the same user.

use std::io;

use anyhow::{Context as _, Result, bail};
use plexum_openai_provider::{Event, NoticeKind};

use crate::census::parent_of;

/// The name that a supervisor gives itself.
const SUPERVISOR: &str = "plexum-codex-sv\n";

/// What is done to the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// SIGSTOP.
    Stop,
    /// SIGSTOP, again and again, for as long as the attacker lives.
    KeepStopped,
    /// SIGKILL.
    Kill,
    /// It is traced, and stands still, for as long as the thread lives that does this.
    Trace,
    /// Every signal that does not mean a stop and can be caught, a thousand times.
    Flood,
}

impl Attack {
    /// All of them.
    pub const ALL: [Attack; 5] = [
        Attack::Stop,
        Attack::KeepStopped,
        Attack::Kill,
        Attack::Trace,
        Attack::Flood,
    ];

    /// Those that can be made here. Tracing needs a right that only root has: a supervisor cannot be traced by its own user.
    pub fn possible() -> impl Iterator<Item = Self> {
        // SAFETY: takes nothing.
        let is_root = unsafe { libc::geteuid() } == 0;
        let all = Self::ALL.into_iter();
        all.filter(move |attack| *attack != Attack::Trace || is_root)
    }

    /// The attack that [`Attack::name`] names.
    ///
    /// # Errors
    /// When it names none.
    pub fn named(name: &str) -> Result<Self> {
        let mut all = Self::ALL.into_iter();
        let found = all.find(|attack| attack.name() == name);
        found.with_context(|| format!("{name} is no attack"))
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Attack::Stop => "stop",
            Attack::KeepStopped => "keep-stopped",
            Attack::Kill => "kill",
            Attack::Trace => "trace",
            Attack::Flood => "flood",
        }
    }

    /// Whether the supervisor is lost by it, which a warning says; `None` if that depends on who is faster.
    #[must_use]
    pub fn is_noticed(self) -> Option<bool> {
        match self {
            Attack::Stop | Attack::Flood => Some(false),
            Attack::KeepStopped => None,
            Attack::Kill | Attack::Trace => Some(true),
        }
    }

    /// Does it. [`Attack::KeepStopped`] goes on until there is nothing to stop.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn on(self, supervisor: i32) -> Result<()> {
        match self {
            Attack::Stop => send(supervisor, libc::SIGSTOP),
            Attack::KeepStopped => {
                while send(supervisor, libc::SIGSTOP).is_ok() {}
                Ok(())
            }
            Attack::Kill => send(supervisor, libc::SIGKILL),
            Attack::Trace => trace(supervisor),
            Attack::Flood => {
                let spared = [
                    libc::SIGKILL,
                    libc::SIGSTOP,
                    libc::SIGTERM,
                    libc::SIGINT,
                    libc::SIGHUP,
                    libc::SIGQUIT,
                ];
                for _ in 0..1000 {
                    for signal in (1..=64).filter(|signal| !spared.contains(signal)) {
                        // The queue of real-time signals may be full, and the C library keeps two for itself.
                        let _ = send(supervisor, signal);
                    }
                }
                Ok(())
            }
        }
    }
}

/// Whether a warning among these events has these words.
#[must_use]
pub fn warns(events: &[Event], words: &str) -> bool {
    events.iter().any(|event| {
        matches!(event, Event::Notice { kind: NoticeKind::Warning, message, .. } if message.contains(words))
    })
}

/// The supervisor above this process.
///
/// # Errors
/// When there is none.
pub fn supervisor_of(pid: i32) -> Result<i32> {
    let mut pid = pid;
    while pid > 1 {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm"))?;
        if name == SUPERVISOR {
            return Ok(pid);
        }
        pid = parent_of(pid)?;
    }
    bail!("no supervisor is above")
}

fn send(pid: i32, signal: i32) -> Result<()> {
    // SAFETY: takes numbers only.
    match unsafe { libc::kill(pid, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error().into()),
    }
}

/// Traces a process, and waits until it stands still.
fn trace(pid: i32) -> Result<()> {
    let mut status = 0;
    // SAFETY: takes numbers, and a place for one.
    unsafe {
        if libc::ptrace(libc::PTRACE_ATTACH, pid, 0, 0) == -1
            || libc::waitpid(pid, &raw mut status, libc::__WALL) != pid
        {
            return Err(io::Error::last_os_error()).context("it cannot be traced");
        }
    }
    Ok(())
}
