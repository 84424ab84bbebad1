//! A child that begins with the dispositions of signals that a child of a shell has.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::ptr;

/// The highest number of a signal on Linux.
const LAST_SIGNAL: libc::c_int = 64;

/// Has a command start its child with every signal at its default, and none blocked.
///
/// A test that sends a signal to its child needs this: who ran `nohup scripts/test.sh &` started all of this with SIGINT
/// and SIGHUP ignored, a child inherits that, and a shell script cannot trap what was ignored when it began. The
/// standard library resets SIGPIPE alone.
pub trait DefaultSignals {
    /// Asks for it. The command can be completed further.
    fn default_signals(&mut self) -> &mut Self;
}

impl DefaultSignals for Command {
    fn default_signals(&mut self) -> &mut Self {
        // SAFETY: `reset` calls async-signal-safe functions only, which is all that may run between fork and exec.
        unsafe { self.pre_exec(reset) }
    }
}

fn reset() -> io::Result<()> {
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: SIG_DFL runs no code of ours. SIGKILL, SIGSTOP and those of the C library itself cannot be set,
        // and need not be.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let mut none = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set that it is given, and sigprocmask only reads it.
    let failed = unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut())
    };
    if failed == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    /// What a shell does that sends itself a signal, started by one that ignores it.
    fn ended_by(signal: &str, prepare: impl FnOnce(&mut Command)) -> Option<i32> {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("kill -{signal} $$; exit 7")]);
        // SAFETY: signal is async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGINT, libc::SIG_IGN);
                libc::signal(libc::SIGHUP, libc::SIG_IGN);
                Ok(())
            })
        };
        prepare(&mut command);
        command.status().unwrap().signal()
    }

    #[test]
    fn a_signal_that_was_ignored_ends_the_child() {
        for (name, number) in [("INT", libc::SIGINT), ("HUP", libc::SIGHUP)] {
            assert_eq!(ended_by(name, |_| ()), None);
            let prepare = |command: &mut Command| {
                command.default_signals();
            };
            assert_eq!(ended_by(name, prepare), Some(number));
        }
    }
}
