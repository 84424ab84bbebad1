//! The socket to the host, on standard input.

use std::fs::File;
use std::io::{self, Read};
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use plexum_openai_provider_supervisor::{Report, STOP, orders};

/// The supervisor's end of the control socket.
pub struct Control {
    socket: File,
}

/// The descriptors that came with the host's first byte.
pub struct Orders {
    /// What codex reads as its standard input.
    pub stdin: Option<OwnedFd>,
    /// A file that stays locked while this is held.
    pub lock: Option<OwnedFd>,
}

/// What the host wants.
#[derive(Debug, PartialEq, Eq)]
pub enum Word {
    /// To stop codex.
    Stop,
    /// Nothing any more: it has closed its end, or it is dead.
    End,
    /// Nothing that this version knows.
    Unknown,
}

const MOST_DESCRIPTORS: usize = 2;

/// `CLOSE_RANGE_CLOEXEC` of `linux/close_range.h`.
const CLOSE_RANGE_CLOEXEC: libc::c_uint = 1 << 2;

impl Control {
    /// Takes standard input for the socket and waits for the host's first byte.
    pub fn on_stdin() -> io::Result<(Self, Orders)> {
        // Whatever else the host's process had left open is none of codex's business. (The crate `libc` has this
        // call for glibc only.)
        // SAFETY: only marks descriptors of this process, all of which belong to nobody yet.
        unsafe {
            libc::syscall(
                libc::SYS_close_range,
                3,
                libc::c_uint::MAX,
                CLOSE_RANGE_CLOEXEC,
            )
        };
        // SAFETY: descriptor 0 is open, which `receive` finds out, and nobody else reads it; codex gets another one in
        // its place.
        let socket = unsafe { File::from_raw_fd(0) };
        Self::on(socket)
    }

    /// Takes this socket, and waits for the host's first byte.
    pub fn on(socket: File) -> io::Result<(Self, Orders)> {
        let (announced, descriptors) = receive(&socket)?;
        let mut descriptors = descriptors.into_iter();
        let mut next = |bit| {
            if announced & bit == 0 {
                return Ok(None);
            }
            let missing = || io::Error::from_raw_os_error(libc::EBADF);
            descriptors.next().map(Some).ok_or_else(missing)
        };
        let orders = Orders {
            stdin: next(orders::STDIN)?,
            lock: next(orders::LOCK)?,
        };
        Ok((Control { socket }, orders))
    }

    /// Tells the host. A host that is gone is told nothing; that it is gone shows elsewhere.
    pub fn report(&self, report: Report) {
        let bytes = report.to_bytes();
        // SAFETY: the buffer is valid for its length, and the socket is open.
        unsafe {
            libc::send(
                self.socket.as_raw_fd(),
                bytes.as_ptr().cast(),
                bytes.len(),
                libc::MSG_NOSIGNAL,
            )
        };
    }

    /// The host's next word; there must be one.
    pub fn word(&self) -> Word {
        let mut word = [0];
        match (&self.socket).read(&mut word) {
            Ok(1) if word == [STOP] => Word::Stop,
            Ok(1) => Word::Unknown,
            Ok(_) | Err(_) => Word::End,
        }
    }
}

impl AsRawFd for Control {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// One byte, and the descriptors that come with it.
fn receive(socket: &File) -> io::Result<(u8, Vec<OwnedFd>)> {
    let mut byte = 0_u8;
    let mut part = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    // Of u64, because the kernel's header in it wants to be aligned.
    let mut room = [MaybeUninit::<u64>::uninit(); 8];
    // SAFETY: all fields of this C structure may be zero.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = room.as_mut_ptr().cast();
    message.msg_controllen = mem::size_of_val(&room) as _;
    // SAFETY: the message points to the buffers above, which outlive the call.
    let received =
        unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
    match received {
        -1 => return Err(io::Error::last_os_error()),
        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
        _ => {}
    }
    let mut descriptors = Vec::new();
    // SAFETY: the kernel has filled `room` with whole headers; the macros go from one to the next, and each
    // number read is a descriptor that this process has just been given and that nobody else owns.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while let Some(found) = header.as_ref() {
            if found.cmsg_level == libc::SOL_SOCKET && found.cmsg_type == libc::SCM_RIGHTS {
                #[allow(
                    clippy::unnecessary_cast,
                    reason = "of another type with other C libraries"
                )]
                let bytes = found.cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let numbers = libc::CMSG_DATA(header).cast::<RawFd>();
                for index in 0..(bytes / mem::size_of::<RawFd>()).min(MOST_DESCRIPTORS) {
                    let number = numbers.add(index).read_unaligned();
                    descriptors.push(OwnedFd::from_raw_fd(number));
                }
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    Ok((byte, descriptors))
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (UnixStream, File) {
        let (host, supervisor) = UnixStream::pair().unwrap();
        (host, File::from(OwnedFd::from(supervisor)))
    }

    #[test]
    fn a_host_that_is_gone_before_its_first_byte_is_an_error() {
        let (host, socket) = pair();
        drop(host);
        let error = Control::on(socket).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_message_without_the_descriptors_that_it_announces_is_an_error() {
        for announced in [orders::STDIN, orders::LOCK, orders::STDIN | orders::LOCK] {
            let (mut host, socket) = pair();
            host.write_all(&[announced]).unwrap();
            let error = Control::on(socket).map(drop).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EBADF), "{announced}");
        }
    }

    #[test]
    fn a_message_that_announces_nothing_needs_nothing_and_words_follow_it() {
        let (mut host, socket) = pair();
        host.write_all(&[0, STOP, b'?']).unwrap();
        let (control, orders) = Control::on(socket).unwrap();
        assert!(orders.stdin.is_none() && orders.lock.is_none());
        assert_eq!(control.word(), Word::Stop);
        assert_eq!(control.word(), Word::Unknown);
        drop(host);
        assert_eq!(control.word(), Word::End);
    }
}
