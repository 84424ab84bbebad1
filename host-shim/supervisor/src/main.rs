//! The supervisor of one codex process; see the library for its purpose.

mod child;
mod control;
mod descendants;
mod signals;
mod watch;

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;
use std::time::Duration;

use child::Child;
use control::Control;
use plexum_openai_provider_supervisor::Report;
use signals::Signals;

/// The exit code for arguments or a standard input that no host would give.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let Some((grace, command)) = arguments(std::env::args_os().skip(1)) else {
        eprintln!("this program is part of plexum-openai-provider and cannot be started by hand");
        return ExitCode::from(EXIT_USAGE);
    };
    signals::reset();
    name_process();
    let (control, orders) = match Control::on_stdin() {
        Ok(opened) => opened,
        Err(error) => {
            eprintln!("standard input is not a control socket ({error})");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    // From here on, errors are reported to the host, and standard error belongs to codex.
    let started = Signals::block().and_then(|signals| {
        descendants::adopt()?;
        let codex = Child::start(&command, orders.stdin)?;
        // The workspace is codex's; this process should not keep it from being unmounted.
        std::env::set_current_dir("/")?;
        Ok((signals, codex))
    });
    match started {
        Ok((signals, codex)) => {
            control.report(Report::Started(codex.id().as_raw_nonzero().get()));
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

/// The grace period, and the program with its arguments.
fn arguments(mut given: impl Iterator<Item = OsString>) -> Option<(Duration, Vec<CString>)> {
    let grace = given.next()?.to_str()?.parse().ok()?;
    let command: Result<Vec<_>, _> = given.map(|word| CString::new(word.into_vec())).collect();
    let command = command.ok().filter(|command| !command.is_empty())?;
    Some((Duration::from_millis(grace), command))
}

/// Gives the process a name for `ps` and `top`: it was started through a descriptor, whose number would be
/// its name.
fn name_process() {
    // Not by `/proc/self/comm`: this runs once per turn, and opening a file there takes longer.
    // SAFETY: the name is a string with a closing NUL of at most 16 bytes, which the kernel copies.
    unsafe { libc::prctl(libc::PR_SET_NAME, c"plexum-codex-sv".as_ptr()) };
}
