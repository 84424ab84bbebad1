//! Standard input: what it is, and what it holds.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _};
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use plexum_openai_provider_tests::fake_codex::Stdin;

/// Whether descriptor 0 was closed when the process began.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Looks before `main`, because Rust's own start-up opens `/dev/null` in place of a closed stdin.
// SAFETY: the loader calls the functions listed in this section once, on the only thread, with
// arguments that a C function without parameters may ignore.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = {
    extern "C" fn look() {
        // SAFETY: F_GETFD only reads the descriptor table, and fails on a closed descriptor.
        let closed = unsafe { libc::fcntl(0, libc::F_GETFD) } == -1;
        CLOSED.store(closed, Ordering::Relaxed);
    }
    look
};

/// What standard input was at the start.
pub(crate) fn kind() -> anyhow::Result<Stdin> {
    if CLOSED.load(Ordering::Relaxed) {
        return Ok(Stdin::Closed);
    }
    if io::stdin().is_terminal() {
        return Ok(Stdin::Terminal);
    }
    // SAFETY: descriptor 0 is open, and ManuallyDrop keeps it so.
    let stdin = ManuallyDrop::new(unsafe { File::from_raw_fd(0) });
    let metadata = stdin.metadata().context("cannot examine stdin")?;
    let null = std::fs::metadata("/dev/null").context("cannot examine /dev/null")?;
    let kind = metadata.file_type();
    Ok(if kind.is_char_device() && metadata.rdev() == null.rdev() {
        Stdin::Null
    } else if kind.is_fifo() || kind.is_socket() {
        Stdin::Pipe
    } else if kind.is_file() {
        Stdin::File
    } else {
        Stdin::Other
    })
}

/// Reads standard input to its end; None when there was nothing.
pub(crate) fn text() -> anyhow::Result<Option<String>> {
    let mut bytes = Vec::new();
    io::stdin()
        .read_to_end(&mut bytes)
        .context("cannot read stdin")?;
    Ok((!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned()))
}
