//! The few system calls that the standard library has no safe form for.

use std::ffi::c_int;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicI32, Ordering};

/// The exit code for each signal that [`exit_on`] was asked about.
static EXIT_CODES: [AtomicI32; 65] = [const { AtomicI32::new(0) }; 65];

/// Ignores a signal.
pub(crate) fn ignore(signal: c_int) -> io::Result<()> {
    // SAFETY: SIG_IGN runs no code of ours.
    install(signal, unsafe { libc::signal(signal, libc::SIG_IGN) })
}

/// Exits at once with `code` when `signal` arrives.
pub(crate) fn exit_on(signal: c_int, code: i32) -> io::Result<()> {
    extern "C" fn leave(signal: c_int) {
        let code = usize::try_from(signal)
            .ok()
            .and_then(|signal| EXIT_CODES.get(signal))
            .map_or(1, |code| code.load(Ordering::Relaxed));
        // SAFETY: _exit is async-signal-safe and does not return.
        unsafe { libc::_exit(code) }
    }
    let slot = usize::try_from(signal)
        .ok()
        .and_then(|signal| EXIT_CODES.get(signal))
        .ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
    slot.store(code, Ordering::Relaxed);
    let handler: extern "C" fn(c_int) = leave;
    // SAFETY: the handler only loads an atomic and exits, both async-signal-safe.
    install(signal, unsafe {
        libc::signal(signal, handler as libc::sighandler_t)
    })
}

fn install(signal: c_int, before: libc::sighandler_t) -> io::Result<()> {
    if before == libc::SIG_ERR {
        let error = io::Error::last_os_error();
        return Err(io::Error::new(
            error.kind(),
            format!("signal {signal}: {error}"),
        ));
    }
    Ok(())
}

/// Sends this process a signal.
pub(crate) fn kill_self(signal: c_int) -> io::Result<()> {
    // SAFETY: neither call touches memory.
    let sent = unsafe { libc::kill(libc::getpid(), signal) };
    if sent == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// This process's group.
pub(crate) fn process_group() -> i32 {
    // SAFETY: getpgrp has no preconditions and cannot fail.
    unsafe { libc::getpgrp() }
}

/// Waits forever, as far as signals allow.
pub(crate) fn wait_forever() -> ! {
    loop {
        // SAFETY: pause has no preconditions; it returns after a handler ran.
        unsafe { libc::pause() };
    }
}

/// Lets the child of `command` begin a session of its own.
pub(crate) fn begin_session(command: &mut Command) {
    // SAFETY: setsid is async-signal-safe, which is all that may run between fork and exec.
    unsafe {
        command.pre_exec(|| match libc::setsid() {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
}
