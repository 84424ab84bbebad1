//! Codex on this machine, under a supervisor: a process of ours that outlives this one, and ends everything
//! that codex started, whatever happens here. See the crate `plexum-openai-provider-supervisor`.
//!
//! Codex's tools can do to the supervisor whatever this user can. So it is asked twice a second whether it does its work.
//! One that was stopped is told to go on. One that was killed or does not answer is *lost*: this process then does its
//! work, and ends everything that is left of the turn.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path;
use std::process::ExitStatus;
use std::time::Duration;

use plexum_openai_provider_supervisor::{
    KILL, Mark, Orders, PING, RESUME, Report, STOP, SUSPEND, SWEEP, TURN, is_held, orders,
};
use rustix::io::Errno;
use rustix::net::{
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, sendmsg, shutdown,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::unix::pipe;
use tokio::time::Instant;

use crate::codex::cgroup::Cgroup;
use crate::codex::pulse::{Look, Pulse};
use crate::codex::remains::{GIVE_UP, Remains};
use crate::codex::spawner::{Child, Command, Gone, SpawnFuture, Spawned, Spawner};
use crate::codex::supervisor::{Supervisor, is_reset, unsaid};
use crate::codex::waiting;
use crate::open_files;

/// Starts codex on this machine, under a supervisor of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Supervised;

impl Spawner for Supervised {
    fn spawn<'a>(&'a self, command: Command<'a>) -> SpawnFuture<'a, Spawned> {
        Box::pin(spawn(command))
    }
}

async fn spawn(command: Command<'_>) -> io::Result<Spawned> {
    let (stdin, codex_stdin) = if command.stdin {
        let (reader, writer) = io::pipe()?;
        let writer = pipe::Sender::from_owned_fd(writer.into())?;
        (Some(writer), Some(OwnedFd::from(reader)))
    } else {
        (None, None)
    };
    let (stdout, codex_stdout) = output()?;
    let (stderr, codex_stderr) = output()?;
    let cgroup = Cgroup::make();
    let cgroup_folder = cgroup.as_ref().map(Cgroup::folder).transpose()?;
    let given = [
        (orders::STDIN, codex_stdin.as_ref().map(AsFd::as_fd)),
        (orders::LOCK, command.lock),
        (orders::CGROUP, cgroup_folder.as_ref().map(AsFd::as_fd)),
        (orders::STDOUT, Some(codex_stdout.as_fd())),
        (orders::STDERR, Some(codex_stderr.as_fd())),
    ];
    // A turn may be one of many processes, and numbers of processes come again.
    let mark = Mark::new(RandomState::new().hash_one(std::process::id()));
    let orders = Orders {
        grace: command.grace,
        stays: waiting::note_start(),
        mark,
        open_files: open_files::limit_before(),
        folder: Orders::folder(&path::absolute(command.workspace)?)?,
        command: Orders::command(command.program, command.args)?,
        environment: Orders::environment(command.environment)?,
    };
    let stays = orders.stays;
    let orders = orders.to_bytes()?;

    let (mut child, report) = loop {
        let waiting = waiting::take();
        let has_waited = waiting.is_some();
        let mut child = SupervisedChild {
            supervisor: Some(waiting.map_or_else(Supervisor::start, Ok)?),
            stays,
            has_said: false,
            pulse: Pulse::well(),
            last: None,
            ended: None,
            begins: false,
            sweeps: false,
            remains: Remains::marked(mark),
            grace: command.grace,
            kill_at: None,
        };
        match child.start(&given, &orders).await {
            // Something has killed it while it waited.
            Err(NotSaid(error)) if has_waited => {
                tracing::debug!(%error, "the supervisor that waited for a turn is gone");
            }
            Err(NotSaid(error)) => return Err(error),
            Ok(Err(error)) => {
                // It was made for this codex.
                let is_inside = cgroup.as_ref().is_some_and(Cgroup::is_populated);
                let report = match child.end_unreported().await {
                    Unreported::Unread if has_waited => {
                        // What was done to it while it waited is not this turn's.
                        tracing::warn!(%error, "the supervisor that waited for a turn is replaced");
                        continue;
                    }
                    Unreported::Unread => return Err(error),
                    Unreported::Reported(report) => report,
                    Unreported::Read(codex) => {
                        child.remains.started(codex, None, is_inside);
                        let id = codex.map_or(0, |codex| codex.as_raw_nonzero().get());
                        match is_inside {
                            true => Report::StartedInside(id),
                            false => Report::Started(id),
                        }
                    }
                };
                child.lose(&error);
                break (child, report);
            }
            Ok(Ok(report)) => break (child, report),
        }
    };
    match report {
        started @ (Report::Started(id) | Report::StartedInside(id)) => {
            let is_inside = matches!(started, Report::StartedInside(_));
            // A supervisor that is lost may have started it in there.
            let cgroup = cgroup.filter(|_| is_inside || child.is_lost());
            child.remains.started(Pid::from_raw(id), cgroup, is_inside);
            Ok(Spawned {
                id,
                stdin: stdin.map(|stdin| Box::new(stdin) as _),
                stdout: Box::new(stdout),
                stderr: Box::new(stderr),
                child: Box::new(child),
            })
        }
        Report::NotStarted(error) => Err(io::Error::from_raw_os_error(error)),
        other => Err(unexpected(other)),
    }
}

/// A pipe for something that codex prints: our end, and codex's.
fn output() -> io::Result<(pipe::Receiver, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    let reader = pipe::Receiver::from_owned_fd(reader.into())?;
    Ok((reader, writer.into()))
}

/// The supervisor has not got all of its orders, so it has started nothing.
struct NotSaid(io::Error);

/// What is known of a start that was not reported when the supervisor was killed.
enum Unreported {
    /// A byte of the orders was unread: there was no codex.
    Unread,
    /// It was reported in the last moment.
    Reported(Report),
    /// There was a codex, and this is it if it has not ended.
    Read(Option<Pid>),
}

/// Sends a byte, and these descriptors with it.
fn send_with(control: impl AsFd, byte: u8, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(orders::MOST))];
    let mut ancillary = SendAncillaryBuffer::new(&mut room);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other(
            "the control message cannot hold all descriptors",
        ));
    }
    sendmsg(
        control,
        &[IoSlice::new(&[byte])],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// A codex under its supervisor. Dropping this closes the control socket, and the supervisor does the rest.
struct SupervisedChild {
    /// None when nothing of codex is left.
    supervisor: Option<Supervisor>,
    /// Whether it does not exit then, but waits for the next codex.
    stays: bool,
    /// Whether it was told anything that it does not answer, since its orders.
    has_said: bool,
    pulse: Pulse,
    /// Its last report, when that has come.
    last: Option<Report>,
    /// How codex ended, when that came while something else was waited for.
    ended: Option<i32>,
    /// Whether it was told of a turn and has not reported yet.
    begins: bool,
    /// Whether it has been asked to sweep and has not reported yet.
    sweeps: bool,
    remains: Remains,
    grace: Duration,
    /// If it can no longer be relied on, and this process does its work: when what is left is killed. Codex got SIGINT before.
    kill_at: Option<Instant>,
}

/// The status of a process that SIGKILL ended, in the form of `wait(2)`.
const KILLED: i32 = 9;

impl Child for SupervisedChild {
    fn stop(&mut self) {
        self.say(STOP);
    }

    fn kill(&mut self) {
        self.say(KILL);
    }

    fn suspend(&mut self) {
        self.say(SUSPEND);
    }

    fn resume(&mut self) {
        self.say(RESUME);
    }

    fn turn_begins(&mut self, lock: Option<BorrowedFd<'_>>) {
        let Some(supervisor) = &self.supervisor else {
            return;
        };
        let socket = &supervisor.control.socket;
        let said = socket.try_io(Interest::WRITABLE, || {
            send_with(socket, TURN, lock.as_slice())
        });
        self.begins = said.is_ok();
        self.has_said = true;
        if let Err(error) = said {
            tracing::debug!(%error, "the supervisor does not hear of the turn");
        }
    }

    fn turn_begun(&mut self) -> SpawnFuture<'_, ()> {
        Box::pin(async {
            while self.begins && self.ended.is_none() {
                match self.report().await? {
                    Report::TurnBegun => self.begins = false,
                    Report::Swept(_) => self.sweeps = false,
                    Report::Ended(status) => self.ended = Some(status),
                    other => return Err(unexpected(other)),
                }
            }
            Ok(())
        })
    }

    fn sweep(&mut self) -> SpawnFuture<'_, u32> {
        Box::pin(async {
            if !std::mem::replace(&mut self.sweeps, true) {
                self.say(SWEEP);
            }
            loop {
                match self.report().await? {
                    Report::Swept(swept) => {
                        self.sweeps = false;
                        return u32::try_from(swept).map_err(|_| {
                            io::Error::other("what a turn has left behind cannot be ended")
                        });
                    }
                    // All that is left ends with it. Whether the supervisor still answers depends on what it saw first.
                    Report::Ended(status) => {
                        self.ended = Some(status);
                        return Err(io::Error::other("codex has ended"));
                    }
                    Report::TurnBegun => self.begins = false,
                    other => return Err(unexpected(other)),
                }
            }
        })
    }

    fn ended(&mut self) -> SpawnFuture<'_, ExitStatus> {
        Box::pin(async {
            if let Some(status) = self.ended.take() {
                return Ok(ExitStatus::from_raw(status));
            }
            if !self.is_lost() {
                let lost = match self.next_report().await {
                    Ok(Report::Ended(status)) => return Ok(ExitStatus::from_raw(status)),
                    Ok(other) => unexpected(other),
                    Err(error) => error,
                };
                self.lose(&lost);
            }
            self.codex_ends().await;
            Ok(ExitStatus::from_raw(KILLED))
        })
    }

    fn gone(&mut self) -> SpawnFuture<'_, Gone> {
        Box::pin(async {
            if !self.is_lost() {
                match self.goes().await {
                    Ok(gone) => return Ok(gone),
                    Err(error) => self.lose(&error),
                }
            }
            self.codex_ends().await;
            self.end_the_rest().await
        })
    }
}

impl SupervisedChild {
    /// Gives the supervisor its orders, and waits for its first report.
    async fn start(
        &mut self,
        given: &[(u8, Option<BorrowedFd<'_>>); orders::MOST],
        orders: &[u8],
    ) -> Result<io::Result<Report>, NotSaid> {
        let given = given
            .iter()
            .filter_map(|(bit, descriptor)| descriptor.map(|descriptor| (bit, descriptor)));
        let (bits, descriptors): (Vec<u8>, Vec<BorrowedFd<'_>>) = given.unzip();
        let bits = bits.iter().fold(0, |bits, bit| bits | bit);
        let Some(supervisor) = &mut self.supervisor else {
            return Err(NotSaid(no_supervisor()));
        };
        let socket = &mut supervisor.control.socket;
        let not_said = |error| NotSaid(unsaid(error));
        send_with(&*socket, bits, &descriptors).map_err(not_said)?;
        socket.write_all(orders).await.map_err(not_said)?;
        match self.report().await {
            // It has ended with something of this unread: nothing else was said.
            Err(error) if is_reset(&error) => Err(NotSaid(error)),
            report => {
                self.pulse = Pulse::well();
                Ok(report)
            }
        }
    }

    /// Kills a supervisor that does not report a start.
    async fn end_unreported(&mut self) -> Unreported {
        // As long as it is there, codex is known by it too, and not only by the mark.
        let seen = self.remains.oldest_leader(self.id());
        if let Some(supervisor) = &mut self.supervisor
            && supervisor.process.start_kill().is_ok()
            && exited(&mut supervisor.process).await.is_ok()
        {
            // A child of it may have the socket too, until it is codex.
            match tokio::time::timeout(GIVE_UP, supervisor.control.report()).await {
                Ok(Err(error)) if is_reset(&error) => return Unreported::Unread,
                Ok(Ok(report)) => return Unreported::Reported(report),
                Ok(Err(_)) | Err(_) => {}
            }
        }
        Unreported::Read(seen.or_else(|| self.remains.oldest_leader(self.id())))
    }

    /// Sends a word to the supervisor.
    fn say(&mut self, word: u8) {
        self.has_said |= word != PING;
        if let Some(supervisor) = &self.supervisor
            && let Err(error) = supervisor.control.socket.try_write(&[word])
        {
            tracing::debug!(%error, word, "this did not reach the supervisor, which has exited");
        }
    }

    /// The supervisor's next report that is not only a sign of life. May be dropped while it waits; nothing is lost.
    /// An error means that the supervisor is gone or held.
    async fn report(&mut self) -> io::Result<Report> {
        loop {
            let Some(supervisor) = &mut self.supervisor else {
                return Err(no_supervisor());
            };
            tokio::select! {
                biased;
                report = supervisor.control.report() => match report? {
                    Report::Awake => self.pulse = Pulse::well(),
                    other => return Ok(other),
                },
                () = tokio::time::sleep_until(self.pulse.next()) => self.look()?,
            }
        }
    }

    /// The next report of another kind than those on the beginning and the sweep of a turn that nobody waits for any more.
    async fn next_report(&mut self) -> io::Result<Report> {
        loop {
            match self.report().await? {
                Report::TurnBegun => self.begins = false,
                Report::Swept(_) => self.sweeps = false,
                other => return Ok(other),
            }
        }
    }

    /// Waits for the last report, and until the supervisor has exited, or waits for its next codex: something of the turn is
    /// left until then.
    async fn goes(&mut self) -> io::Result<Gone> {
        let report = match self.last {
            Some(report) => report,
            None => {
                let report = self.next_report().await?;
                *self.last.insert(report)
            }
        };
        let gone = match report {
            Report::Gone(ended) => Gone::All {
                ended: ended.unsigned_abs(),
            },
            Report::Left(count) => self.remains.end_in_cgroup(count.unsigned_abs()).await,
            other => return Err(unexpected(other)),
        };
        // Whoever traces a process can have it say anything.
        if matches!(gone, Gone::All { .. }) && self.remains.codex_runs() {
            let message = "the supervisor says that codex has ended, but codex runs";
            return Err(io::Error::other(message));
        }
        if matches!(gone, Gone::All { .. }) && self.stays && self.is_kept() {
            return Ok(gone);
        }
        while let Some(supervisor) = &mut self.supervisor {
            tokio::select! {
                biased;
                exited = exited(&mut supervisor.process) => {
                    exited?;
                    self.supervisor = None;
                }
                // It has nothing more to do than to exit.
                () = tokio::time::sleep_until(self.pulse.next()) => {
                    self.pulse = Pulse::exiting();
                    if let Some(id) = supervisor.id() && is_held(id) {
                        tracing::warn!("something holds the supervisor; it is killed");
                        supervisor.process.start_kill()?;
                    }
                }
            }
        }
        Ok(gone)
    }

    /// Has the supervisor wait for its next codex, if it may; otherwise it is told to exit.
    fn is_kept(&mut self) -> bool {
        // It would take a word that is still on its way for one about its next codex.
        let may_wait = !self.has_said && !self.pulse.is_asked();
        let Some(supervisor) = self.supervisor.take() else {
            return true;
        };
        let superfluous = match may_wait {
            true => waiting::keep(supervisor),
            false => Some(supervisor),
        };
        let Some(supervisor) = superfluous else {
            return true;
        };
        // It is told once.
        self.stays = false;
        if let Err(error) = shutdown(&supervisor.control.socket, Shutdown::Both) {
            tracing::debug!(%error, "the supervisor has exited already");
        }
        self.supervisor = Some(supervisor);
        false
    }

    fn id(&self) -> Option<Pid> {
        self.supervisor.as_ref()?.id()
    }

    /// Asks the supervisor whether it does its work, and tells one that was stopped to go on. An error means that it is
    /// lost. Until it has started codex it is not asked, as it owes a report.
    fn look(&mut self) -> io::Result<()> {
        let id = self.id();
        let is_held = || id.is_some_and(is_held);
        match self.pulse.look(Instant::now(), is_held)? {
            Look::Ask if self.remains.has_started() => self.say(PING),
            Look::Ask | Look::Wait => {}
            Look::Rouse => self.rouse(),
        }
        Ok(())
    }

    /// Tells a supervisor that was stopped to go on.
    fn rouse(&self) {
        if let Some(supervisor) = self.id() {
            // If it has ended meanwhile, the next read says so.
            let _ = kill_process(supervisor, Signal::CONT);
        }
    }

    fn is_lost(&self) -> bool {
        self.kill_at.is_some()
    }

    /// From here on, this process does what the supervisor should have done.
    fn lose(&mut self, error: &io::Error) {
        tracing::error!(%error, "the supervisor is lost; what is left of codex is ended without it");
        // If it was killed, the kernel has done this.
        let was_killed = error.kind() == ErrorKind::UnexpectedEof || is_reset(error);
        if self.id().is_some() && !was_killed {
            self.remains.interrupt();
        }
        self.kill_at = Some(Instant::now() + self.grace);
    }

    /// Waits until codex has exited, at most for the grace period.
    async fn codex_ends(&self) {
        if let Some(kill_at) = self.kill_at {
            self.remains.codex_ends(kill_at).await;
        }
    }

    /// Ends what is left, and then the supervisor. May be dropped while it waits, and called again.
    async fn end_the_rest(&mut self) -> io::Result<Gone> {
        let ended = self.remains.end(self.id()).await;
        // Last, because it holds the workspace's lock, and because its descendants are known by it.
        if let Some(supervisor) = &mut self.supervisor {
            if supervisor.id().is_some() {
                supervisor.process.start_kill()?;
            }
            exited(&mut supervisor.process).await?;
            self.supervisor = None;
        }
        let all = self.remains.cgroup_is_empty();
        Ok(Gone::Lost { ended, all })
    }
}

impl Drop for SupervisedChild {
    fn drop(&mut self) {
        // The control socket closes: that is the supervisor's sign to end codex, but not for one that was stopped.
        self.rouse();
    }
}

/// Waits until the supervisor has exited.
async fn exited(supervisor: &mut tokio::process::Child) -> io::Result<()> {
    match supervisor.wait().await {
        // Where SIGCHLD is ignored, the kernel has waited for it.
        Err(error) if error.raw_os_error() == Some(Errno::CHILD.raw_os_error()) => Ok(()),
        waited => waited.map(drop),
    }
}

fn no_supervisor() -> io::Error {
    io::Error::other("nothing of codex is left, its supervisor included")
}

fn unexpected(report: Report) -> io::Error {
    io::Error::other(format!("unexpected report from the supervisor: {report:?}"))
}
