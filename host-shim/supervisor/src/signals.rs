//! The signals that this process gets, as a descriptor to wait for.

use std::fs::File;
use std::io::{self, Read};
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd};

/// Signals that must not end this process. Their sender, for example a service manager that stops the service, wants
/// codex stopped.
const WATCHED: [libc::c_int; 5] = [
    libc::SIGCHLD,
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGHUP,
    libc::SIGQUIT,
];

/// Gives every signal its default action again. A process inherits what its parent ignores, and codex would inherit it
/// from this one: without SIGCHLD nothing learns that it has ended, and without SIGINT it cannot be stopped. A shell
/// starts `command &` with SIGINT ignored, and Rust's start-up ignores SIGPIPE.
pub fn reset() {
    for signal in 1..=LAST_STANDARD {
        // The two that cannot be changed, SIGKILL and SIGSTOP, are refused, which is fine.
        // SAFETY: installs no handler; this process has one thread, and none of its own that would be lost.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// The last of the standard signals, before the real-time ones.
const LAST_STANDARD: libc::c_int = 31;

/// A descriptor that is readable when a signal has arrived.
pub struct Signals {
    descriptor: File,
}

impl Signals {
    /// Blocks the signals, so that they wait to be read.
    pub fn block() -> io::Result<Self> {
        // SAFETY: `sigset_t` is plain data that the calls below fill in; they touch nothing else.
        let descriptor = unsafe {
            let mut set: libc::sigset_t = mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for signal in WATCHED {
                libc::sigaddset(&raw mut set, signal);
            }
            if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) == -1 {
                return Err(io::Error::last_os_error());
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
