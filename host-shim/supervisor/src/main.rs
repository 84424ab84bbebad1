//! The supervisor of one codex process; see the library for its purpose.

mod child;
mod children;
mod control;
mod signals;
mod watch;

use std::io::{self, ErrorKind};
use std::os::fd::AsFd as _;
use std::process::ExitCode;

use child::Child;
use control::{Control, Given};
use plexum_openai_provider_supervisor::{Family, Mark, NAME, Orders, Report};
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, chdir, getpid, getrlimit, set_child_subreaper,
    set_dumpable_behavior, setrlimit,
};
use signals::Signals;

/// The exit code for a standard input that no host would give.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    signals::reset();
    name_process();
    // Keeps other processes of this user from tracing this one, and from taking its descriptors. It is not worth the
    // turn.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    // It may wait for long, and should not keep the host's folder from being unmounted. It is told codex's.
    let _ = std::env::set_current_dir("/");
    let control = Control::on_stdin();
    let mut signals = None;
    loop {
        // One that asks this process to end while it waits for other orders.
        if let Some(signals) = &signals
            && !watch::wait_for_host(&control, signals)
        {
            return ExitCode::SUCCESS;
        }
        let (given, orders) = match control.orders() {
            Ok(orders) => orders,
            // It waited for a turn, and there was none.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return ExitCode::SUCCESS,
            Err(error) => {
                not_a_host(&error);
                return ExitCode::from(EXIT_USAGE);
            }
        };
        let stays = orders.stays;
        match obey(&control, &mut signals, given, &orders) {
            Ok(all_gone) if all_gone && stays => {}
            Ok(_) => return ExitCode::SUCCESS,
            Err(error) => {
                let number = error.raw_os_error().unwrap_or(libc::EIO);
                control.report(Report::NotStarted(number));
                return ExitCode::FAILURE;
            }
        }
    }
}

fn not_a_host(error: &io::Error) {
    if error.raw_os_error() == Some(Errno::NOTSOCK.raw_os_error()) {
        eprintln!("this program is part of plexum-openai-provider and cannot be started by hand");
    } else {
        eprintln!("these are not the orders of a host ({error})");
    }
}

/// Starts codex, and watches it until nothing of it is left; returns whether that is so. An error means that it was not
/// started.
fn obey(
    control: &Control,
    signals: &mut Option<Signals>,
    given: Given,
    orders: &Orders,
) -> io::Result<bool> {
    // Before there is a child that could end.
    let signals = match signals {
        Some(signals) => signals,
        None => signals.insert(Signals::block()?),
    };
    if let Some(limit) = orders.open_files {
        lower_limit(limit);
    }
    chdir(&*orders.folder)?;
    let orphans = adopt(orders.mark)?;
    let (codex, is_inside) = Child::start(orders, control.as_fd(), given.stdio, given.cgroup)?;
    // The workspace is codex's, which runs whether or not this succeeds.
    let _ = std::env::set_current_dir("/");
    let id = codex.id().as_raw_nonzero().get();
    control.report(match is_inside {
        true => Report::StartedInside(id),
        false => Report::Started(id),
    });
    Ok(watch::watch(
        codex,
        orphans,
        control,
        signals,
        orders.grace,
        given.lock,
    ))
}

/// From here on, every descendant whose own parent ends becomes a child of this process.
///
/// A sandbox may forbid that, and qemu 7.2 does not know it: then the mark, which `/proc` shows, tells who has lost
/// its parent, and is returned.
fn adopt(mark: Mark) -> io::Result<Option<Mark>> {
    // `Some` of any number switches it on.
    let Err(error) = set_child_subreaper(Some(getpid())) else {
        return Ok(None);
    };
    let family = Family {
        root: Some(getpid()),
        mark: Some(mark),
    };
    if !mark.may_be_put_on() || family.members().is_err() {
        return Err(error.into());
    }
    Ok(Some(mark))
}

/// Gives this process, and with it codex, the soft limit on open files that the host had before it raised its own:
/// `select` does not work beyond 1024. Not in the host, where `std` starts a process more slowly if code of ours is to run
/// in between.
fn lower_limit(open_files: u64) {
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
