//! The socket to the host, on standard input.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use plexum_openai_provider_supervisor::{
    KILL, Orders, PING, RESUME, Report, STOP, SUSPEND, SWEEP, TURN, orders,
};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg, send};

use crate::child::Stdio;

/// The supervisor's end of the control socket.
pub struct Control {
    socket: File,
}

/// The descriptors that came with the host's first byte.
pub struct Given {
    /// What codex reads and writes.
    pub stdio: Stdio,
    /// A file that stays locked while this is held.
    pub lock: Option<OwnedFd>,
    /// The cgroup that codex is to be in.
    pub cgroup: Option<OwnedFd>,
}

/// What the host wants.
#[derive(Debug, PartialEq, Eq)]
pub enum Word {
    /// To stop codex.
    Stop,
    /// To kill codex, and all of it.
    Kill,
    /// To suspend codex and its tools.
    Suspend,
    /// To have them go on.
    Resume,
    /// To remember what is there when a turn begins, and to keep the file that comes with the word locked until it is
    /// over.
    Turn,
    /// To end what the turn has left behind.
    Sweep,
    /// To know whether this process still does its work.
    Ping,
    /// Nothing more: it has closed its end, or it is dead.
    End,
    /// Nothing that this version knows.
    Unknown,
}

impl Control {
    /// Takes standard input for the socket.
    pub fn on_stdin() -> Self {
        // Whatever else the host's process had left open is none of codex's business, and a pipe in it should not stay
        // open for as long as a codex runs. (The crate `libc` has this call for glibc only.)
        // SAFETY: none of these descriptors of this process is in use yet.
        unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
        // SAFETY: descriptor 0 is open, which `receive` finds out, and nothing else reads it; codex gets another one in
        // its place.
        let socket = unsafe { File::from_raw_fd(0) };
        Control { socket }
    }

    /// Takes this socket.
    #[cfg(test)]
    pub fn on(socket: File) -> Self {
        Control { socket }
    }

    /// Waits for the host's orders, and takes them.
    pub fn orders(&self) -> io::Result<(Given, Orders)> {
        let (announced, descriptors) = receive(&self.socket)?;
        let mut descriptors = descriptors.into_iter();
        let missing = || io::Error::from(Errno::BADF);
        let mut next = |bit| {
            if announced & bit == 0 {
                return Ok(None);
            }
            descriptors.next().map(Some).ok_or_else(missing)
        };
        let (stdin, lock, cgroup) = (
            next(orders::STDIN)?,
            next(orders::LOCK)?,
            next(orders::CGROUP)?,
        );
        let stdio = Stdio {
            stdin,
            stdout: next(orders::STDOUT)?.ok_or_else(missing)?,
            stderr: next(orders::STDERR)?.ok_or_else(missing)?,
        };
        let given = Given {
            stdio,
            lock,
            cgroup,
        };
        Ok((given, Orders::read(&self.socket)?))
    }

    /// Reports to the host. If the host is gone, nothing is sent; the main loop notices that.
    pub fn report(&self, report: Report) {
        let _ = send(&self.socket, &report.to_bytes(), SendFlags::NOSIGNAL);
    }

    /// The host's next byte, once there is one, and the locked file that came with it.
    pub fn word(&self) -> (Word, Option<OwnedFd>) {
        let Ok((word, descriptors)) = receive(&self.socket) else {
            return (Word::End, None);
        };
        let word = match word {
            STOP => Word::Stop,
            KILL => Word::Kill,
            SUSPEND => Word::Suspend,
            RESUME => Word::Resume,
            TURN => Word::Turn,
            SWEEP => Word::Sweep,
            PING => Word::Ping,
            _ => Word::Unknown,
        };
        (word, descriptors.into_iter().next())
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// One byte, and the descriptors that come with it.
fn receive(socket: &File) -> io::Result<(u8, Vec<OwnedFd>)> {
    let mut byte = [0];
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(orders::MOST))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut room);
    let received = recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut byte)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let descriptors = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten();
    let [byte] = byte;
    Ok((byte, descriptors.collect()))
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, IoSlice, Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::path::Path;
    use std::time::Duration;

    use plexum_openai_provider_supervisor::{Mark, Words};
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, sendmsg};

    use super::*;

    fn pair() -> (UnixStream, Control) {
        let (host, supervisor) = UnixStream::pair().unwrap();
        let socket = File::from(OwnedFd::from(supervisor));
        (host, Control::on(socket))
    }

    #[test]
    fn a_host_that_is_gone_before_its_first_byte_is_an_error() {
        let (host, control) = pair();
        drop(host);
        let error = control.orders().map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_message_without_the_descriptors_that_it_announces_is_an_error() {
        for announced in [
            orders::STDIN,
            orders::LOCK,
            orders::CGROUP,
            orders::STDIN | orders::LOCK,
            0,
            orders::STDOUT,
            orders::STDOUT | orders::STDERR,
        ] {
            let (mut host, control) = pair();
            host.write_all(&[announced]).unwrap();
            let error = control.orders().map(drop).unwrap_err();
            assert_eq!(
                error.raw_os_error(),
                Some(Errno::BADF.raw_os_error()),
                "{announced}"
            );
        }
    }

    #[test]
    fn what_is_not_announced_is_not_needed_and_words_follow_the_orders() {
        let (mut host, control) = pair();
        let said = Orders {
            grace: Duration::from_secs(1),
            stays: false,
            mark: Mark::new(1),
            open_files: None,
            folder: Orders::folder(Path::new("/")).unwrap(),
            command: Orders::command(Path::new("/bin/codex"), &["exec"]).unwrap(),
            environment: Words::default(),
        };
        let (output, _) = io::pipe().unwrap();
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = SendAncillaryBuffer::new(&mut room);
        let both = [output.as_fd(); 2];
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&both)));
        let announced = [orders::STDOUT | orders::STDERR];
        let byte = [IoSlice::new(&announced)];
        sendmsg(&host, &byte, &mut ancillary, SendFlags::empty()).unwrap();
        host.write_all(&said.to_bytes().unwrap()).unwrap();
        host.write_all(&[STOP, KILL, SUSPEND, RESUME, TURN, SWEEP, PING, b'!'])
            .unwrap();
        let (given, orders) = control.orders().unwrap();
        assert!(given.stdio.stdin.is_none() && given.lock.is_none());
        assert_eq!(orders, said);
        let mut last = [1];
        (&control.socket).read_exact(&mut last).unwrap();
        assert_eq!(last, [0], "codex takes it");
        let expected = [
            Word::Stop,
            Word::Kill,
            Word::Suspend,
            Word::Resume,
            Word::Turn,
            Word::Sweep,
            Word::Ping,
            Word::Unknown,
        ];
        assert_eq!(expected.each_ref().map(|_| control.word().0), expected);
        drop(host);
        assert_eq!(control.word().0, Word::End);
    }
}
