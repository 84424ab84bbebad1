//! The supervisor of one codex process; see the library for its purpose.

mod child;
mod children;
mod control;
mod signals;
mod watch;

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;
use std::time::Duration;

use child::Child;
use control::Control;
use plexum_openai_provider_supervisor::{LIMIT_STAYS, Mark, NAME, Report};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getpid, getrlimit, set_child_subreaper,
    set_dumpable_behavior, setrlimit,
};
use signals::Signals;

/// The exit code for arguments or a standard input that no host would give.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let Some(Arguments {
        grace,
        mark,
        open_files,
        command,
    }) = Arguments::of(std::env::args_os().skip(1))
    else {
        eprintln!("this program is part of plexum-openai-provider and cannot be started by hand");
        return ExitCode::from(EXIT_USAGE);
    };
    signals::reset();
    name_process();
    // Keeps other processes of this user from tracing this one, and from taking its descriptors. It is not worth the
    // turn.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let (control, orders) = match Control::on_stdin() {
        Ok(opened) => opened,
        Err(error) => {
            eprintln!("standard input is not a control socket ({error})");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    lower_limit(open_files);
    // From here on, errors are reported to the host, and standard error belongs to codex.
    let started = Signals::block().and_then(|signals| {
        // Every descendant whose own parent ends becomes a child of this process. (`Some` of any number switches it on.)
        set_child_subreaper(Some(getpid()))?;
        let (codex, is_inside) = Child::start(&command, orders.stdin, mark, orders.cgroup)?;
        // The workspace is codex's; this process should not keep it from being unmounted.
        std::env::set_current_dir("/")?;
        Ok((signals, codex, is_inside))
    });
    match started {
        Ok((signals, codex, is_inside)) => {
            let id = codex.id().as_raw_nonzero().get();
            control.report(match is_inside {
                true => Report::StartedInside(id),
                false => Report::Started(id),
            });
            watch::watch(codex, &control, &signals, grace, orders.lock);
            ExitCode::SUCCESS
        }
        Err(error) => {
            let number = error.raw_os_error().unwrap_or(libc::EIO);
            control.report(Report::NotStarted(number));
            ExitCode::FAILURE
        }
    }
}

/// What the host asks for.
struct Arguments {
    /// How long codex has to exit on its own when it is stopped.
    grace: Duration,
    /// What codex and all that it starts are marked with.
    mark: Mark,
    /// The soft limit on open files that it is to have.
    open_files: u64,
    /// The program with its arguments.
    command: Vec<CString>,
}

impl Arguments {
    fn of(mut given: impl Iterator<Item = OsString>) -> Option<Self> {
        let grace = Duration::from_millis(given.next()?.to_str()?.parse().ok()?);
        let mark = Mark::from_number(given.next()?.to_str()?.parse().ok()?)?;
        let open_files = given.next()?.to_str()?.parse().ok()?;
        let command: Result<Vec<_>, _> = given.map(|word| CString::new(word.into_vec())).collect();
        let command = command.ok().filter(|command| !command.is_empty())?;
        Some(Arguments {
            grace,
            mark,
            open_files,
            command,
        })
    }
}

/// Gives this process, and with it codex, the soft limit on open files that the host had before it raised its own:
/// `select` does not work beyond 1024. Not in the host, where `std` starts a process more slowly if code of ours is to run
/// in between.
fn lower_limit(open_files: u64) {
    if open_files == LIMIT_STAYS {
        return;
    }
    let lowered = Rlimit {
        current: Some(open_files),
        ..getrlimit(Resource::Nofile)
    };
    // A sandbox that forbids this has forbidden the host to raise it.
    let _ = setrlimit(Resource::Nofile, lowered);
}

/// Gives the process a name for `ps` and `top`: it was started through a descriptor, whose number would be
/// its name.
fn name_process() {
    // Not by `/proc/self/comm`: this runs once per turn, and opening a file there takes longer.
    // SAFETY: the name is a string with a closing NUL of at most 16 bytes, which the kernel copies.
    unsafe { libc::prctl(libc::PR_SET_NAME, NAME.as_ptr()) };
}
