//! The one child that this process starts: codex.

use std::ffi::{CString, c_char, c_int, c_void};
use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr;

use plexum_openai_provider_supervisor::Mark;
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, getppid, kill_process, set_parent_process_death_signal,
    setpgid, waitpid,
};

/// A started codex.
pub struct Child {
    pid: Pid,
    /// Once it has been waited for, its number may be another process's.
    reaped: bool,
}

impl Child {
    /// Starts it, in a process group of its own. It has this process's environment and working
    /// folder, and takes over its standard output and error: they end when codex's do.
    ///
    /// Not through `std::process::Command`: that passes a file that is not a program to a shell, and cannot say what
    /// codex gets when this process is killed without doing so.
    pub fn start(command: &[CString], stdin: Option<OwnedFd>, mark: Mark) -> io::Result<Self> {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let argv: Vec<*const c_char> = command
            .iter()
            .map(|word| word.as_ptr())
            .chain([ptr::null()])
            .collect();
        let mut start = Start {
            argv: argv.as_ptr(),
            stdin: stdin.as_ref().map_or(null.as_raw_fd(), AsRawFd::as_raw_fd),
            parent: getpid(),
            mark,
            error: 0,
        };
        let mut stack = Box::new(Stack([0; STACK_SIZE]));
        // Not `fork`, which would copy the page tables only for `exec` to throw them away.
        // SAFETY: the child uses memory of this process, with a stack of its own, while this one stands still: until
        // the child has become another program or has ended. The stack grows down from its aligned end.
        let pid = unsafe {
            libc::clone(
                become_codex,
                stack.0.as_mut_ptr_range().end.cast(),
                libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
                (&raw mut start).cast(),
            )
        };
        let Some(pid) = (pid > 0).then(|| Pid::from_raw(pid)).flatten() else {
            return Err(io::Error::last_os_error());
        };
        if start.error != 0 {
            // It has ended.
            waitpid(Some(pid), WaitOptions::empty())?;
            return Err(io::Error::from_raw_os_error(start.error));
        }
        for taken_over in [1, 2] {
            // SAFETY: both are open; the number is codex's now, and here only kept from being used again.
            if unsafe { libc::dup2(null.as_raw_fd(), taken_over) } == -1 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Child { pid, reaped: false })
    }

    /// A child that does not exist, like one that something else has waited for.
    #[cfg(test)]
    pub fn of_nobody() -> Self {
        // More than the kernel gives out.
        let pid = Pid::from_raw(i32::MAX).unwrap();
        Child { pid, reaped: false }
    }

    /// Its process id.
    pub fn id(&self) -> Pid {
        self.pid
    }

    /// Whether it runs, or has ended and not been waited for.
    pub fn is_there(&self) -> bool {
        !self.reaped
    }

    /// Notes that it has been waited for; from here on it gets no signal.
    pub fn note_reaped(&mut self) {
        self.reaped = true;
    }

    /// Asks it to end and to end its tools: this is the only signal on which it does.
    pub fn interrupt(&self) {
        if self.is_there() {
            // It may be about to end, which is what is wanted.
            let _ = kill_process(self.pid, Signal::INT);
        }
    }
}

/// Enough for a few system calls.
const STACK_SIZE: usize = 16 * 1024;

/// The stack of the child until it is codex.
#[repr(align(16))]
struct Stack([u8; STACK_SIZE]);

/// What the child needs, and what it reports.
struct Start {
    /// Ends with a null pointer.
    argv: *const *const c_char,
    stdin: RawFd,
    /// The supervisor's process id.
    parent: Pid,
    mark: Mark,
    /// Why it has not become codex, an error number; 0 when it has.
    error: c_int,
}

/// In the child: becomes the program, or reports why it cannot.
extern "C" fn become_codex(start: *mut c_void) -> c_int {
    // SAFETY: the parent hands over its `Start`, which nothing else uses until this has ended.
    let start = unsafe { &mut *start.cast::<Start>() };
    let error = match prepare(start.stdin, start.mark) {
        Ok(()) if getppid() == Some(start.parent) => {
            // SAFETY: the words are strings that outlive the call, and the last is a null pointer.
            unsafe { libc::execv(*start.argv, start.argv) };
            io::Error::last_os_error()
        }
        // The supervisor was killed before the call that asks for a signal on its death. Nothing reads this error.
        Ok(()) => Errno::SRCH.into(),
        Err(error) => error,
    };
    start.error = error.raw_os_error().unwrap_or(libc::EIO);
    // SAFETY: ends this process only, and runs none of the parent's destructors.
    unsafe { libc::_exit(127) }
}

/// Sets this process up for codex. Allocates nothing: the memory is the parent's.
fn prepare(stdin: RawFd, mark: Mark) -> io::Result<()> {
    setpgid(None, None)?;
    // Where that is forbidden, the host knows less of what is left if this process is killed, and says so.
    let _ = mark.put_on();
    // SAFETY: both take what is on this stack, or numbers.
    let done = unsafe {
        let mut none: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::dup2(stdin, 0) == 0
            && libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut()) == 0
    };
    if !done {
        return Err(io::Error::last_os_error());
    }
    // No signal is ignored here but SIGHUP under `nohup`, because the supervisor ignores no other. If the supervisor is killed, codex still ends,
    // and its tools with it.
    Ok(set_parent_process_death_signal(Some(Signal::INT))?)
}
