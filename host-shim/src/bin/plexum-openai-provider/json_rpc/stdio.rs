//! What ends a program that serves another one over standard input and output, and what it exits with then.

use std::io;
use std::process::ExitCode;

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::hangup;
use crate::ignored_signals;

/// The signals that end it, watched from here on, so that none ends the program in another way.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    terminal: Option<Signal>,
}

impl Signals {
    /// Watches them.
    pub fn watch() -> Result<Self> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt()).context("Ctrl-C cannot be watched")?,
            terminate: signal(SignalKind::terminate()).context("SIGTERM cannot be watched")?,
            terminal: ignored_signals::watch_hangup().context("SIGHUP cannot be watched")?,
        })
    }

    /// Waits until the program is to end, and says why.
    pub async fn stopped(mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.terminate.recv() => "SIGTERM",
            () = ignored_signals::arrives(&mut self.terminal) => "SIGHUP",
            () = hangup::hangup() => "nobody reads standard output any more",
        }
    }
}

/// What the program exits with when its client was served.
pub fn exit_code(served: io::Result<()>) -> ExitCode {
    match served {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            tracing::info!("the client was gone before everything was written");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: not everything could be written to standard output: {error}");
            ExitCode::FAILURE
        }
        Ok(()) => ExitCode::SUCCESS,
    }
}
