//! What hardened services and sandboxes take away from a program, for the tests.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// A system call that does not work.
#[derive(Debug, Clone, Copy)]
pub struct Forbidden {
    /// Its number.
    pub call: libc::c_long,
    /// The error that it gives.
    pub errno: i32,
}

/// Has the program run without this system call, as under the seccomp filter of an agent's sandbox.
pub fn forbid(command: &mut Command, forbidden: Forbidden) {
    let number = u32::try_from(forbidden.call).unwrap_or(u32::MAX);
    let errno = u32::try_from(forbidden.errno).unwrap_or(1);
    // SAFETY: between fork and exec only system calls are made, on values that were made before.
    unsafe { command.pre_exec(move || filter(number, errno)) };
}

/// Has the program run where no process can become the parent of what has lost its own, as in qemu 7.2.
pub fn forbid_subreaper(command: &mut Command) {
    // SAFETY: as above.
    unsafe { command.pre_exec(|| install(&without_subreaper())) };
}

/// Has the program run as under `MemoryDenyWriteExecute=` of systemd.
pub fn deny_write_execute(command: &mut Command) {
    // Of Linux 6.3; libc has no names for them.
    const PR_SET_MDWE: libc::c_int = 65;
    const PR_MDWE_REFUSE_EXEC_GAIN: libc::c_ulong = 1;
    // SAFETY: as above.
    unsafe {
        command.pre_exec(|| {
            let none: libc::c_ulong = 0;
            // SAFETY: takes numbers only.
            match libc::prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, none, none, none) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        })
    };
}

/// Has the program run as under the filter that `MemoryDenyWriteExecute=` of systemd installs on older kernels: memory
/// that can be written cannot be run, and none becomes executable later.
pub fn forbid_executable_memory(command: &mut Command) {
    const EXECUTE: u32 = libc::PROT_EXEC.cast_unsigned();
    const WRITE_AND_EXECUTE: u32 = EXECUTE | libc::PROT_WRITE.cast_unsigned();
    let filters = [
        (libc::SYS_mprotect, EXECUTE),
        (libc::SYS_pkey_mprotect, EXECUTE),
        (libc::SYS_mmap, WRITE_AND_EXECUTE),
    ];
    for (call, protection) in filters {
        let call = u32::try_from(call).unwrap_or(u32::MAX);
        // SAFETY: as above.
        unsafe { command.pre_exec(move || install(&of_protection(call, protection))) };
    }
}

/// Limits a resource of the program, such as `libc::RLIMIT_AS`.
pub fn limit(command: &mut Command, resource: libc::__rlimit_resource_t, most: u64) {
    // SAFETY: as above.
    unsafe {
        command.pre_exec(move || {
            let limit = libc::rlimit {
                rlim_cur: most,
                rlim_max: most,
            };
            // SAFETY: reads the one value that it is given.
            match libc::setrlimit(resource, &raw const limit) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        })
    };
}

/// Installs the filter: that call gives that error, and all others work.
fn filter(call: u32, errno: u32) -> io::Result<()> {
    install(&[
        step(LOAD_WORD, 0, 0, 0),
        step(JUMP_IF_EQUAL, 0, 1, call),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | errno),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ])
}

/// The filter by which `prctl` does not know this option.
fn without_subreaper() -> [libc::sock_filter; 6] {
    const OPTION: u32 = 16;
    let call = u32::try_from(libc::SYS_prctl).unwrap_or(u32::MAX);
    let error = libc::SECCOMP_RET_ERRNO | libc::EINVAL.cast_unsigned();
    [
        step(LOAD_WORD, 0, 0, 0),
        step(JUMP_IF_EQUAL, 0, 3, call),
        step(LOAD_WORD, 0, 0, OPTION),
        step(
            JUMP_IF_EQUAL,
            0,
            1,
            libc::PR_SET_CHILD_SUBREAPER.cast_unsigned(),
        ),
        step(RETURN, 0, 0, error),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

/// The filter by which a call that maps memory, or protects it, is not permitted to ask for all of this protection.
fn of_protection(call: u32, protection: u32) -> [libc::sock_filter; 7] {
    // The third argument of all of these calls.
    const PROTECTION: u32 = 16 + 2 * 8;
    [
        step(LOAD_WORD, 0, 0, 0),
        step(JUMP_IF_EQUAL, 0, 4, call),
        step(LOAD_WORD, 0, 0, PROTECTION),
        step(AND, 0, 0, protection),
        step(JUMP_IF_EQUAL, 0, 1, protection),
        step(
            RETURN,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned(),
        ),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

// Codes of the BPF machine. It looks at the number of the call, which is the first word, and at the call's arguments.
const LOAD_WORD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;

const fn step(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

fn install(steps: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(steps.len()).unwrap_or(0),
        filter: steps.as_ptr().cast_mut(),
    };
    let none: libc::c_ulong = 0;
    let one: libc::c_ulong = 1;
    // SAFETY: takes numbers, and a program that lives until the call is over.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, one, none, none, none) == 0
            && libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::c_ulong::from(libc::SECCOMP_MODE_FILTER),
                &raw const program,
            ) == 0
    };
    if done {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
