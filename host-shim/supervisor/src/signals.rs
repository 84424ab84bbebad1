//! The signals that this process gets, as a descriptor to wait for.

use std::fs::File;
use std::io::{self, Read};
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd};

/// The signals that ask to stop codex: a service manager sends one of them, for example, when it stops the service.
const STOPS: [libc::c_int; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT];

/// Gives every signal its default action again. A process inherits what its parent ignores, and codex would inherit it
/// from this one: without SIGCHLD nothing learns that it has ended, and without SIGINT it cannot be stopped. A shell
/// starts `command &` with SIGINT ignored, and Rust's start-up ignores SIGPIPE.
///
/// SIGHUP is the exception: `nohup` has it ignored on purpose, for whatever it starts.
pub fn reset() {
    for signal in 1..=LAST_STANDARD {
        // The two that cannot be changed, SIGKILL and SIGSTOP, are refused, which is fine.
        // SAFETY: installs no handler; this process has one thread, and none of its own that would be lost.
        let before = unsafe { libc::signal(signal, libc::SIG_DFL) };
        if signal == libc::SIGHUP && before == libc::SIG_IGN {
            // SAFETY: as above.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
    }
}

/// Whether this process ignores the signal.
fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: `sigaction` is plain data that the call fills in; nothing is changed.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

/// The last of the standard signals, before the real-time ones.
const LAST_STANDARD: libc::c_int = 31;

/// A descriptor that is readable when a signal has arrived.
pub struct Signals {
    descriptor: File,
}

impl Signals {
    /// Blocks all signals that can be blocked, so that none ends or stops this process: a tool may send any of them.
    /// Those that mean something here wait to be read.
    pub fn block() -> io::Result<Self> {
        // SAFETY: `sigset_t` is plain data that the calls below fill in; they touch nothing else.
        let descriptor = unsafe {
            // Not by `sigfillset`: C libraries leave out the ones that they use for threads, of which there are none here.
            let all = u64::MAX;
            let size = mem::size_of_val(&all);
            let none: *const u64 = std::ptr::null();
            let (call, how) = (libc::SYS_rt_sigprocmask, libc::SIG_BLOCK);
            if libc::syscall(call, how, &raw const all, none, size) == -1 {
                return Err(io::Error::last_os_error());
            }
            let mut set: libc::sigset_t = mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for signal in STOPS.into_iter().chain([libc::SIGCHLD]) {
                // One that is blocked waits even if it is ignored.
                if !is_ignored(signal) {
                    libc::sigaddset(&raw mut set, signal);
                }
            }
            libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        if descriptor == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nothing else owns.
        let descriptor = unsafe { File::from_raw_fd(descriptor) };
        Ok(Signals { descriptor })
    }

    /// Takes the signals that have arrived, and returns whether one of them asks to stop.
    pub fn take(&self) -> bool {
        const SIZE: usize = mem::size_of::<libc::signalfd_siginfo>();
        let mut stop = false;
        let mut arrived = [0; SIZE];
        while let Ok(SIZE) = (&self.descriptor).read(&mut arrived) {
            // The number is the first field.
            let [a, b, c, d, ..] = arrived;
            stop |= u32::from_ne_bytes([a, b, c, d]).cast_signed() != libc::SIGCHLD;
        }
        stop
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
