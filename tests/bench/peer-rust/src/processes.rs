//! The least that a host of codex can do: start processes, read their output, wait for them. One
//! thread does it for all of them. It is the side `bare`, and how whole programs are measured.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::side::{ANSWER, Timing, milliseconds};

/// A process that has ended well, and what it cost.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// When it said what, and when it was gone.
    pub timing: Timing,
    /// CPU time of the process itself.
    pub own_cpu: Duration,
    /// CPU time of the process and of those that it has started and waited for.
    pub tree_cpu: Duration,
}

/// Runs all of these at once, each until it has ended. Its first line is its first event.
///
/// # Errors
/// When one cannot be started, fails, or never tells the answer.
pub fn run(commands: Vec<Command>, began: Instant) -> anyhow::Result<Vec<Ended>> {
    let mut running = commands
        .into_iter()
        .map(Running::start)
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut waited = Vec::with_capacity(running.len());
    while running.iter().any(|process| process.ended.is_none()) {
        waited.clear();
        waited.extend(running.iter().filter_map(Running::awaited));
        poll(&mut waited)?;
        let mut ready = waited.iter().map(|waited| waited.revents != 0);
        for process in &mut running {
            if process.ended.is_none() && ready.next() == Some(true) {
                process.go_on(began)?;
            }
        }
    }
    running
        .iter()
        .map(|process| process.ended.context("a process has not ended"))
        .collect()
}

struct Running {
    child: Child,
    process: OwnedFd,
    stdout: Option<ChildStdout>,
    output: Vec<u8>,
    first_event: Option<Duration>,
    first_text: Option<Duration>,
    ended: Option<Ended>,
    waited_for: bool,
}

impl Running {
    fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Running {
            process: process_descriptor(&child)?,
            stdout: child.stdout.take(),
            child,
            output: Vec::new(),
            first_event: None,
            first_text: None,
            ended: None,
            waited_for: false,
        })
    }

    /// What has to happen next: output, and after its end the end of the process.
    fn awaited(&self) -> Option<libc::pollfd> {
        if self.ended.is_some() {
            return None;
        }
        let fd = match &self.stdout {
            Some(stdout) => stdout.as_raw_fd(),
            None => self.process.as_raw_fd(),
        };
        let events = libc::POLLIN;
        Some(libc::pollfd {
            fd,
            events,
            revents: 0,
        })
    }

    fn go_on(&mut self, began: Instant) -> anyhow::Result<()> {
        let Some(stdout) = &mut self.stdout else {
            return self.end(began);
        };
        let mut piece = [0; 4096];
        let length = stdout.read(&mut piece)?;
        let now = began.elapsed();
        if length == 0 {
            self.stdout = None;
        }
        self.output.extend_from_slice(&piece[..length]);
        if self.first_event.is_none() && self.output.contains(&b'\n') {
            self.first_event = Some(now);
        }
        if self.first_text.is_none() && contains(&self.output, ANSWER) {
            self.first_text = Some(now);
        }
        Ok(())
    }

    fn end(&mut self, began: Instant) -> anyhow::Result<()> {
        // As long as it has not been waited for, its own clock can be read.
        let own_cpu = own_cpu(self.child.id())?;
        let (status, tree_cpu) = wait(&self.child)?;
        self.waited_for = true;
        let turn_ms = milliseconds(began.elapsed());
        let output = || String::from_utf8_lossy(&self.output);
        ensure!(
            status == 0,
            "a process ended with {status:#x}: {}",
            output()
        );
        let told = self.first_event.zip(self.first_text);
        let (event, text) = told.with_context(|| format!("no answer in {}", output()))?;
        let (first_event_ms, first_text_ms) = (milliseconds(event), milliseconds(text));
        self.ended = Some(Ended {
            timing: Timing {
                first_event_ms,
                first_text_ms,
                turn_ms,
            },
            own_cpu,
            tree_cpu,
        });
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.waited_for {
            // It fails where there is nothing to end, and nobody is left to be told.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn contains(output: &[u8], text: &str) -> bool {
    output
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

fn poll(waited: &mut [libc::pollfd]) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of the slice.
    let ready = unsafe { libc::poll(waited.as_mut_ptr(), waited.len() as libc::nfds_t, -1) };
    if ready < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A descriptor that becomes readable when the process has ended.
fn process_descriptor(child: &Child) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id() as libc::pid_t, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was opened just now, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// The CPU time that a process has used up to now, all its threads together, its children not. The
/// clock of a process that has ended but was not waited for stands still.
///
/// # Errors
/// When there is no such process.
pub fn own_cpu(pid: u32) -> io::Result<Duration> {
    let mut clock = 0;
    // SAFETY: the pointer is that of a local variable.
    let error = unsafe { libc::clock_getcpuclockid(pid as libc::pid_t, &raw mut clock) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: as above.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// The CPU time of all processes that `pid` has started and waited for, with theirs. The system
/// tells it in hundredths of a second.
///
/// # Errors
/// When there is no such process.
pub fn children_cpu(pid: u32) -> anyhow::Result<Duration> {
    let mut stat = String::new();
    File::open(format!("/proc/{pid}/stat"))?.read_to_string(&mut stat)?;
    // The name in the second field may hold blanks and brackets.
    let fields = stat.rsplit_once(')').context("no stat")?.1;
    let mut fields = fields.split_whitespace().skip(13);
    let mut ticks = || -> anyhow::Result<u64> { Ok(fields.next().context("no field")?.parse()?) };
    let ticks = ticks()? + ticks()?;
    // SAFETY: the call takes an integer.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

/// Waits for a process; its status as the system words it, and its CPU time with that of those it has
/// waited for itself.
fn wait(child: &Child) -> io::Result<(i32, Duration)> {
    let mut status = 0;
    // SAFETY: all zeros is a value of this plain struct.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointers are those of local variables. `child` is not waited for otherwise.
    let pid = unsafe {
        libc::wait4(
            child.id() as libc::pid_t,
            &raw mut status,
            0,
            &raw mut usage,
        )
    };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    let time = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    Ok((status, time(usage.ru_utime) + time(usage.ru_stime)))
}
