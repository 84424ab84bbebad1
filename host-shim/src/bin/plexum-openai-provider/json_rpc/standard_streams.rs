//! Standard input and output, without a thread between them and the runtime where the kernel can do without.
//!
//! Others may have them open too, so they are never made non-blocking: `RWF_NOWAIT` asks for that call by call. Pipes know
//! it since Linux 6.4, sockets since 6.5. Where the kernel refuses it, and where a pipe is full, a thread does the work.

use std::io::{self, IoSlice, IoSliceMut, IsTerminal as _, Write as _};
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};

use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev2, retry_on_intr};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

/// How many of them may need a thread.
pub const STANDARD_STREAMS: usize = 2;

/// Where a stream is that has no position.
const HERE: u64 = u64::MAX;

/// Whether the kernel looks at the flags of a call at all. gVisor does not, and would let a call block that must not.
static FLAGS_COUNT: LazyLock<bool> = LazyLock::new(|| {
    let unknown = ReadWriteFlags::from_bits_retain(1 << 30);
    let Ok((reader, mut writer)) = io::pipe() else {
        return false;
    };
    let mut byte = [0];
    writer.write_all(&byte).is_ok()
        && preadv2(reader, &mut [IoSliceMut::new(&mut byte)], HERE, unknown).is_err()
});

/// Whether this says that the call cannot be made so, and not what became of it.
fn is_refusal(error: Errno) -> bool {
    matches!(
        error,
        Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::PERM | Errno::SPIPE | Errno::BADF
    )
}

/// Standard input. Needs a runtime.
pub enum StandardInput {
    /// The runtime tells when there is something to read.
    Watched(AsyncFd<io::Stdin>),
    /// A thread reads.
    OnThread(tokio::io::Stdin),
}

impl StandardInput {
    /// Takes it.
    pub fn new() -> Self {
        let stdin = io::stdin();
        // A terminal stops who reads it in the background, which a person should see at once.
        if stdin.is_terminal() || !*FLAGS_COUNT {
            return StandardInput::OnThread(tokio::io::stdin());
        }
        // SAFETY: it is descriptor 0 for all of the program's life.
        match unsafe { AsyncFd::register_with_interest(stdin, Interest::READABLE) } {
            Ok(watched) => StandardInput::Watched(watched),
            // A file, for example.
            Err(_) => StandardInput::OnThread(tokio::io::stdin()),
        }
    }
}

impl AsyncRead for StandardInput {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let watched = match &mut *self {
                StandardInput::Watched(watched) => watched,
                StandardInput::OnThread(stdin) => {
                    return Pin::new(stdin).poll_read(context, buffer);
                }
            };
            let mut ready = ready!(watched.poll_read_ready(context))?;
            let room = buffer.initialize_unfilled();
            let size = room.len();
            let room = &mut [IoSliceMut::new(room)];
            match preadv2(watched.get_ref(), room, HERE, ReadWriteFlags::NOWAIT) {
                Ok(read) => {
                    // There is no more, and the runtime hears of what comes.
                    if (1..size).contains(&read) {
                        ready.clear_ready();
                    }
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) if is_refusal(error) => {
                    *self = StandardInput::OnThread(tokio::io::stdin());
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}

/// Standard output. Needs a runtime.
pub struct StandardOutput {
    /// Writes what cannot be written at once.
    on_thread: tokio::io::Stdout,
    /// Whether it may still be doing so.
    is_writing: bool,
    /// Whether it writes everything.
    always: bool,
}

impl StandardOutput {
    /// Takes it.
    pub fn new() -> Self {
        StandardOutput {
            on_thread: tokio::io::stdout(),
            is_writing: false,
            always: !*FLAGS_COUNT,
        }
    }

    /// Writes what can be written at once; `None` if that is for the thread to do.
    fn write_now(&self, bytes: &[u8]) -> Option<io::Result<usize>> {
        if self.always {
            return None;
        }
        let bytes = [IoSlice::new(bytes)];
        match retry_on_intr(|| pwritev2(io::stdout(), &bytes, HERE, ReadWriteFlags::NOWAIT)) {
            Err(error) if error == Errno::AGAIN || is_refusal(error) => None,
            written => Some(written.map_err(Into::into)),
        }
    }
}

impl AsyncWrite for StandardOutput {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.as_mut().poll_flush(context))?;
        if let Some(written) = self.write_now(bytes) {
            return Poll::Ready(written);
        }
        self.is_writing = true;
        Pin::new(&mut self.on_thread).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_writing {
            ready!(Pin::new(&mut self.on_thread).poll_flush(context))?;
            self.is_writing = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}
