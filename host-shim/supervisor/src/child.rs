//! The one child that this process starts: codex.

use std::ffi::{c_char, c_int, c_void};
use std::fs::File;
use std::io::{self, Read as _};
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr;

use plexum_openai_provider_supervisor::{Mark, Orders};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, getppid, kill_process, set_parent_process_death_signal,
    setpgid, waitpid,
};

/// What codex reads and writes.
pub struct Stdio {
    /// Nothing, without one.
    pub stdin: Option<OwnedFd>,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

/// A started codex.
pub struct Child {
    pid: Pid,
    /// Once it has been waited for, its number may be another process's.
    reaped: bool,
}

impl Child {
    /// Starts it, in a process group of its own, and in its cgroup if it can be; returns whether it is. It has this
    /// process's working folder, and what it is given is its alone: its output ends when codex and its tools close it.
    ///
    /// It takes the last byte of the orders out of `control` itself, so that a host which finds that byte unread knows that
    /// there was no codex.
    ///
    /// Not through `std::process::Command`: that passes a file that is not a program to a shell, and cannot say what
    /// codex gets when this process is killed without doing so.
    pub fn start(
        orders: &Orders,
        control: BorrowedFd<'_>,
        stdio: Stdio,
        cgroup: Option<OwnedFd>,
    ) -> io::Result<(Self, bool)> {
        let stdin = stdio
            .stdin
            .map_or_else(|| File::open("/dev/null").map(OwnedFd::from), Ok)?;
        let argv = orders.command.pointers();
        let environment = orders.environment.pointers();
        // The pipe closes when the program begins.
        let (mut reader, writer) = io::pipe()?;
        let start = Start {
            argv: argv.as_ptr(),
            environment: environment.as_ptr(),
            stdio: [&stdin, &stdio.stdout, &stdio.stderr].map(AsRawFd::as_raw_fd),
            parent: getpid(),
            control: control.as_raw_fd(),
            mark: orders.mark,
            failure: writer.as_raw_fd(),
        };
        let inside = cgroup.and_then(|cgroup| start.inside(&cgroup));
        let is_inside = inside.is_some();
        let pid = match inside {
            Some(pid) => pid,
            None => start.anywhere()?,
        };
        drop(writer);
        // The kernel holds this process until the child is codex. qemu does not: there the child is a copy, and this process
        // goes on at once. But it must not read the socket before the child has taken the orders' last byte.
        let mut error = [0; 4];
        if reader.read_exact(&mut error).is_ok() {
            waitpid(Some(pid), WaitOptions::empty())?;
            return Err(io::Error::from_raw_os_error(c_int::from_ne_bytes(error)));
        }
        Ok((Child { pid, reaped: false }, is_inside))
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

/// What the child needs.
struct Start {
    /// Ends with a null pointer, as does the next.
    argv: *const *const c_char,
    environment: *const *const c_char,
    /// Its standard input, output and error, under numbers that are none of theirs: those are this process's own.
    stdio: [RawFd; 3],
    /// The supervisor's process id.
    parent: Pid,
    /// The socket to the host, in which the last byte of the orders waits.
    control: RawFd,
    mark: Mark,
    /// Takes the number of the error if it cannot become codex.
    failure: RawFd,
}

impl Start {
    /// Starts it in this cgroup; `None` if that cannot be done.
    ///
    /// It is born there: to move a process can take ten milliseconds, because the kernel waits until no other one is
    /// being moved or started.
    fn inside(&self, cgroup: &OwnedFd) -> Option<Pid> {
        let arguments = CloneArguments {
            flags: CLONE_INTO_CGROUP | u64::from(libc::CLONE_VFORK.cast_unsigned()),
            exit_signal: u64::from(libc::SIGCHLD.cast_unsigned()),
            cgroup: u64::from(cgroup.as_raw_fd().cast_unsigned()),
            ..CloneArguments::default()
        };
        // SAFETY: like `fork`, in a process with one thread: the child has a copy of its memory.
        let pid = unsafe {
            libc::syscall(
                libc::SYS_clone3,
                &raw const arguments,
                mem::size_of_val(&arguments),
            )
        };
        if pid == 0 {
            self.become_codex();
        }
        // An older kernel, a sandbox without this call, or a cgroup that takes no processes.
        Pid::from_raw(i32::try_from(pid).ok().filter(|pid| *pid > 0)?)
    }

    /// Starts it where this process is.
    fn anywhere(&self) -> io::Result<Pid> {
        let mut stack = Box::new(Stack([0; STACK_SIZE]));
        // Not `fork`, which would copy the page tables only for `exec` to throw them away.
        // SAFETY: the child uses memory of this process, with a stack of its own, while this one stands still: until
        // the child has become another program or has ended. The stack grows down from its aligned end.
        let pid = unsafe {
            libc::clone(
                run,
                stack.0.as_mut_ptr_range().end.cast(),
                libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
                ptr::from_ref(self).cast_mut().cast(),
            )
        };
        let pid = (pid > 0).then(|| Pid::from_raw(pid)).flatten();
        pid.ok_or_else(io::Error::last_os_error)
    }

    /// In the child: becomes the program, or says why it cannot and ends. Allocates nothing.
    fn become_codex(&self) -> ! {
        let error = match self.prepare() {
            Ok(()) => {
                // SAFETY: the words are strings that outlive the call, and the last of each is a null pointer.
                unsafe { libc::execve(*self.argv, self.argv, self.environment) };
                io::Error::last_os_error()
            }
            Err(error) => error,
        };
        let error = error.raw_os_error().unwrap_or(libc::EIO).to_ne_bytes();
        // SAFETY: the bytes are on this stack. If the supervisor is gone, nothing reads them. The second call ends this
        // process only, and runs none of the parent's destructors.
        unsafe {
            libc::write(self.failure, error.as_ptr().cast(), error.len());
            libc::_exit(127)
        }
    }

    /// Sets this process up for codex. Allocates nothing: the memory is the parent's.
    fn prepare(&self) -> io::Result<()> {
        setpgid(None, None)?;
        // Where that is forbidden, the host knows less of what is left if this process is killed, and says so.
        let _ = self.mark.put_on();
        // No signal is ignored here but SIGHUP under `nohup`, because the supervisor ignores no other. If the supervisor is
        // killed, codex still ends, and its tools with it.
        set_parent_process_death_signal(Some(Signal::INT))?;
        // The supervisor was killed before that call. Nothing reads this error.
        if getppid() != Some(self.parent) {
            return Err(Errno::SRCH.into());
        }
        // Before the socket gives its number to codex's standard input.
        let mut last = 0_u8;
        // SAFETY: the byte is on this stack.
        match unsafe { libc::read(self.control, (&raw mut last).cast(), 1) } {
            1 => {}
            // The host died before it had said all. Nothing reads this error.
            0 => return Err(Errno::CANCELED.into()),
            _ => return Err(io::Error::last_os_error()),
        }
        // SAFETY: all take what is on this stack, or numbers.
        let done = unsafe {
            let mut none: libc::sigset_t = mem::zeroed();
            libc::sigemptyset(&raw mut none);
            let [stdin, stdout, stderr] = self.stdio;
            libc::dup2(stdin, 0) == 0
                && libc::dup2(stdout, 1) == 1
                && libc::dup2(stderr, 2) == 2
                && libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut()) == 0
        };
        match done {
            true => Ok(()),
            false => Err(io::Error::last_os_error()),
        }
    }
}

/// In the child that shares this process's memory.
extern "C" fn run(start: *mut c_void) -> c_int {
    // SAFETY: the parent hands over its `Start`, and stands still until this is codex or has ended. (In
    // qemu, it is a copy.)
    let start = unsafe { &*start.cast::<Start>() };
    start.become_codex()
}

/// `CLONE_INTO_CGROUP` of `linux/sched.h`.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// `struct clone_args` of `linux/sched.h`.
#[derive(Default)]
#[repr(C)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}
