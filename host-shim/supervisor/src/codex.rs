//! Codex, the one child that this process starts.

use std::ffi::{CString, c_char, c_int};
use std::fs::File;
use std::io::{self, PipeWriter, Read};
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr;

/// A started codex.
pub struct Codex {
    pid: libc::pid_t,
}

impl Codex {
    /// Starts it, in a process group of its own. It has this process's environment and working
    /// folder, and takes over its standard output and error: they end when codex's do.
    ///
    /// Not through `std::process::Command`: that hands a file that is no program to a shell, and cannot
    /// say what codex gets when this process is killed without doing so.
    pub fn start(command: &[CString], stdin: Option<OwnedFd>) -> io::Result<Self> {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let stdin = stdin.as_ref().map_or(null.as_raw_fd(), AsRawFd::as_raw_fd);
        let argv: Vec<*const c_char> = command
            .iter()
            .map(|word| word.as_ptr())
            .chain([ptr::null()])
            .collect();
        let (mut errors, report) = io::pipe()?;
        // SAFETY: this process has one thread, so the child may do whatever this one may.
        let pid = match unsafe { libc::fork() } {
            -1 => return Err(io::Error::last_os_error()),
            0 => become_codex(&argv, stdin, &report),
            pid => pid,
        };
        drop(report);
        // The pipe ends without a word when the program runs.
        let mut error = [0; 4];
        if errors.read(&mut error)? == error.len() {
            // SAFETY: waits for the child above, which is about to end.
            unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
            return Err(io::Error::from_raw_os_error(c_int::from_ne_bytes(error)));
        }
        for taken_over in [1, 2] {
            // SAFETY: both are open; the number is codex's now, and here only kept from being used again.
            if unsafe { libc::dup2(null.as_raw_fd(), taken_over) } == -1 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Codex { pid })
    }

    /// Its process id.
    pub fn id(&self) -> libc::pid_t {
        self.pid
    }

    /// Asks it to end and to end its tools: this is the only signal on which it does.
    pub fn interrupt(&self) {
        // SAFETY: sends a signal to a child that has not been waited for, so that the number is still its own.
        unsafe { libc::kill(self.pid, libc::SIGINT) };
    }

    /// Ends it at once. Only while it has not been waited for.
    pub fn kill(&self) {
        // SAFETY: as above.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
    }
}

/// In the child: becomes the program, or says why it cannot.
fn become_codex(argv: &[*const c_char], stdin: RawFd, report: &PipeWriter) -> ! {
    // SAFETY: the pointers are to strings that outlive the call and end with a null pointer; the
    // rest takes numbers only. This is the only thread.
    unsafe {
        let mut none: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut none);
        let ready = libc::setpgid(0, 0) == 0
            && libc::dup2(stdin, 0) == 0
            // Rust's start-up ignores it, and a program inherits that.
            && libc::signal(libc::SIGPIPE, libc::SIG_DFL) != libc::SIG_ERR
            && libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut()) == 0
            // Should somebody kill the supervisor, codex still ends, and its tools with it.
            && libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGINT) == 0;
        if ready && let Some(program) = argv.first() {
            libc::execv(*program, argv.as_ptr());
        }
        let error = io::Error::last_os_error()
            .raw_os_error()
            .unwrap_or(libc::EIO);
        let bytes = error.to_ne_bytes();
        libc::write(report.as_raw_fd(), bytes.as_ptr().cast(), bytes.len());
        libc::_exit(127)
    }
}
