//! The task that owns a running codex.
//!
//! **Invariant:** output, exit, clocks, requests and the end of the turn meet in one `select!`, in one task for each
//! process, which never waits for anything else. So codex is stopped in time even while the component computes, and
//! even if nothing reads or waits.

use std::future::pending;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::{OwnedPermit, Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::ask::Ask;
use super::exit::Exit;
use super::framing::{Framer, Lines, MAX_LINE_BYTES};
use super::pauses::TICK;
use super::spawner::{Child, Gone, Spawned};
use super::start::Start;
use super::stderr::Stderr;
use super::stop::{Bounds, Stop, StopCause};
use crate::session::store::Session;

/// The most bytes of lines that are handed out at a time, unless one line is longer. It is also how far codex's output
/// is read ahead of the component.
pub const MAX_BATCH_BYTES: usize = 64 * 1024;

/// How long to read output after codex has exited: processes that it left behind may hold the pipes open, and may be
/// impossible to kill.
pub const DRAIN: Duration = Duration::from_millis(500);

/// How long after the grace period everything must be over. The supervisor gives up before that.
pub const BACKSTOP: Duration = Duration::from_secs(10);

/// The status of a process that SIGKILL ended, in the form of `wait(2)`.
pub const KILLED: i32 = 9;

/// What is said when the supervisor, which knew what codex had started, is gone, and nothing of it can be left.
const SURE: &str = "Codex's supervisor was killed or held, perhaps by one of codex's tools. Everything that codex had started was ended.";

/// What is said when something may be left.
const UNSURE: &str = "Codex's supervisor was killed or held, perhaps by one of codex's tools. What was found of the turn was ended, but a process that codex had started may still run.";

/// The state of a process. It only moves down this list.
enum State {
    /// Codex is running, and has not been asked to stop.
    Running,
    /// The host has asked it to end, and the supervisor kills it after the grace period. If this lasts until `give_up`,
    /// the supervisor does not answer.
    Stopping { give_up: Instant },
    /// Codex itself has ended, and the supervisor ends what it left behind. If this lasts until `give_up`, the
    /// supervisor does not answer.
    Ended {
        status: ExitStatus,
        give_up: Instant,
    },
    /// Nothing of codex is left. Standard error is read to its end, or until `drained`.
    Gone { ended: Ended, drained: Instant },
    /// Everything is known, and has been reported.
    Over(Exit),
}

/// What is known when nothing of codex is left.
#[derive(Clone)]
struct Ended {
    status: ExitStatus,
    left_behind: u32,
    warning: Option<String>,
    duration: Duration,
}

/// Standard output on its way to the component.
struct Output {
    framer: Framer<Box<dyn AsyncRead + Send + Unpin>>,
    sender: Sender<io::Result<Lines>>,
    /// Room for one batch. Codex is read only when there is some, so that a slow reader slows codex down.
    room: Option<OwnedPermit<io::Result<Lines>>>,
}

/// Owns a running codex.
pub struct Task {
    id: i32,
    child: Box<dyn Child>,
    /// `None` once it has ended or nothing reads it.
    output: Option<Output>,
    stderr: Stderr,
    /// Writes the prompt; ends when codex has read it or is gone.
    stdin: Option<JoinHandle<()>>,
    /// `None` once the `Process` was dropped.
    requests: Option<Receiver<Ask>>,
    /// Where to send the exit.
    waiting: Vec<oneshot::Sender<Exit>>,
    bounds: Bounds,
    /// What asks for a suspension.
    suspension: Stop,
    /// While codex is suspended: how much time it has left then.
    suspended: Option<Duration>,
    /// Kept until nothing of codex is left.
    session: Option<Arc<dyn Session>>,
    /// Kept until this task has closed all that it holds open.
    _turn_slot: Option<Arc<OwnedSemaphorePermit>>,
    grace: Duration,
    began: Instant,
    state: State,
    /// Why the host stopped it, if it did.
    stopped: Option<StopCause>,
    /// The deadline of what is waited for, and what it means if it passes.
    awaited: Option<(Instant, StopCause)>,
    /// How many batches have been sent.
    sent: u64,
    output_bytes: u64,
    max_output_bytes: u64,
    output_cut: bool,
    /// The deadline for the output of a codex that has exited.
    drained: Option<Instant>,
}

/// A report of the child.
enum Progress {
    Ended(io::Result<ExitStatus>),
    Gone(io::Result<Gone>),
}

/// The next thing to do.
enum Step {
    Stop(StopCause),
    Suspend(bool),
    Ask(Option<Ask>),
    /// Room for a batch; `None` if the reader is gone.
    Room(Option<OwnedPermit<io::Result<Lines>>>),
    Lines(io::Result<Lines>),
    Progress(Progress),
    Stderr,
    Due,
}

impl Task {
    /// The owner of what was spawned.
    pub fn new(
        spawned: Spawned,
        start: Start<'_>,
        bounds: Bounds,
        began: Instant,
        requests: Receiver<Ask>,
        sender: Sender<io::Result<Lines>>,
    ) -> Self {
        let prompt = spawned.stdin.zip(start.prompt_on_stdin);
        Task {
            id: spawned.id,
            child: spawned.child,
            output: Some(Output {
                framer: Framer::new(spawned.stdout, MAX_LINE_BYTES),
                sender,
                room: None,
            }),
            stderr: Stderr::new(spawned.stderr),
            stdin: prompt.map(|(stdin, prompt)| tokio::spawn(feed(stdin, prompt))),
            requests: Some(requests),
            waiting: Vec::new(),
            suspension: bounds.stop.clone(),
            suspended: None,
            bounds,
            session: start.session,
            _turn_slot: start.turn_slot,
            grace: start.grace,
            began,
            state: State::Running,
            stopped: None,
            awaited: Some((began + start.start_timeout, StopCause::StartTimeout)),
            sent: 0,
            output_bytes: 0,
            max_output_bytes: start.max_output_bytes,
            output_cut: false,
            drained: None,
        }
    }

    /// Runs until nothing of codex is left and the process was dropped. `on_end` is called when nothing is left. In a box,
    /// because a future has room for its arguments twice.
    pub async fn run(mut self: Box<Self>, on_end: impl FnOnce(i32, &Exit)) {
        let mut on_end = Some(on_end);
        while !(matches!(self.state, State::Over(_)) && self.requests.is_none()) {
            let step = self.next().await;
            self.take(step);
            if let Some(exit) = self.settle()
                && let Some(on_end) = on_end.take()
            {
                on_end(self.id, &exit);
            }
            self.answer();
        }
    }

    /// Waits for the next thing to do.
    async fn next(&mut self) -> Step {
        let running = matches!(self.state, State::Running);
        let over = matches!(self.state, State::Over(_));
        let tick = (!over).then(|| Instant::now() + TICK);
        let wake = [self.due(), tick].into_iter().flatten().min();
        let step = tokio::select! {
            // What ends comes before what goes on: a codex that prints without a pause must not hold up its own end.
            biased;
            cause = self.bounds.over(), if running => Step::Stop(cause),
            suspended = self.suspension.suspension(), if running => Step::Suspend(suspended),
            request = receive(&mut self.requests), if self.requests.is_some() => Step::Ask(request),
            step = advance(&mut self.output), if self.output.is_some() => step,
            () = self.stderr.read(), if self.stderr.is_open() && !over => Step::Stderr,
            progress = progress(&mut *self.child, &self.state) => Step::Progress(progress),
            () = until(wake) => Step::Due,
        };
        if let Some(pause) = wake.and_then(|wake| self.bounds.stop.pauses.note(wake)) {
            self.paused(pause);
        }
        step
    }

    /// Nobody has run for so long, codex included: its clocks go on where they were, and it has at least a grace period
    /// to get going again.
    fn paused(&mut self, pause: Duration) {
        tracing::info!(pid = self.id, ?pause, "nobody has run for a while");
        let soonest = Instant::now() + self.grace;
        if let Some((deadline, _)) = &mut self.awaited {
            *deadline = soonest.max(*deadline + pause);
        }
        if let State::Stopping { give_up } | State::Ended { give_up, .. } = &mut self.state {
            *give_up += pause;
        }
    }

    fn has_room(&self) -> bool {
        self.output
            .as_ref()
            .is_some_and(|output| output.room.is_some())
    }

    /// The next deadline.
    fn due(&self) -> Option<Instant> {
        let state = match &self.state {
            State::Running => {
                let awaited = self.awaited.filter(|_| self.suspended.is_none());
                awaited.map(|(deadline, _)| deadline)
            }
            State::Stopping { give_up } | State::Ended { give_up, .. } => Some(*give_up),
            State::Gone { drained, .. } => self.stderr.is_open().then_some(*drained),
            State::Over(_) => None,
        };
        [state, self.output_due()].into_iter().flatten().min()
    }

    /// When to stop reading the output of a codex that has exited. Output that only waits for a slow reader is never
    /// abandoned.
    fn output_due(&self) -> Option<Instant> {
        self.drained.filter(|_| self.has_room())
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Stop(cause) | Step::Ask(Some(Ask::Stop(cause))) => self.stop(cause),
            Step::Suspend(true) => self.suspend(),
            Step::Suspend(false) => self.resume(),
            Step::Ask(Some(Ask::Output { idle, taken })) => {
                // The first line has a clock of its own, which runs already.
                if self.sent > 0 && taken == self.sent {
                    self.awaited = Some((Instant::now() + idle.duration, idle.cause));
                }
            }
            Step::Ask(Some(Ask::Exit { end, reply })) => {
                self.awaited = Some((Instant::now() + end, StopCause::Lingering));
                self.waiting.push(reply);
            }
            Step::Ask(None) => {
                self.requests = None;
                self.output = None;
                self.stop(StopCause::Cancelled);
            }
            Step::Room(Some(permit)) => {
                if let Some(output) = &mut self.output {
                    output.room = Some(permit);
                }
            }
            // The reader is gone.
            Step::Room(None) => self.output = None,
            Step::Lines(lines) => self.hand_out(lines),
            Step::Stderr => {}
            Step::Progress(Progress::Ended(Ok(status))) => self.ended(status),
            Step::Progress(Progress::Ended(Err(error))) => self.lost(&error),
            Step::Progress(Progress::Gone(gone)) => self.gone(gone),
            Step::Due => self.overdue(),
        }
    }

    /// Suspends codex, and its clock.
    fn suspend(&mut self) {
        self.child.suspend();
        let left = |(deadline, _): (Instant, _)| deadline.saturating_duration_since(Instant::now());
        self.suspended = Some(self.awaited.map_or(self.grace, left).max(self.grace));
    }

    /// Has codex go on, and its clock.
    fn resume(&mut self) {
        // One that was started after all of that has nothing to go on with.
        let Some(left) = self.suspended.take() else {
            return;
        };
        self.child.resume();
        if let Some((deadline, _)) = &mut self.awaited {
            *deadline = Instant::now() + left;
        }
    }

    /// Begins to stop codex; the first cause counts.
    fn stop(&mut self, cause: StopCause) {
        if matches!(self.state, State::Running) {
            self.child.stop();
            self.stopped = Some(cause);
            self.state = State::Stopping {
                give_up: Instant::now() + self.grace + BACKSTOP,
            };
        }
    }

    /// Hands out a batch, or the end, which the receiver sees when the sender is dropped.
    fn hand_out(&mut self, lines: io::Result<Lines>) {
        let Some(output) = &mut self.output else {
            return;
        };
        let is_end = lines.as_ref().is_ok_and(Lines::is_end);
        let is_last = is_end || lines.is_err();
        if let Ok(lines) = &lines {
            self.output_bytes += lines.text.len() as u64 + lines.skipped.iter().sum::<u64>();
        }
        let is_too_much = self.output_bytes > self.max_output_bytes;
        if is_too_much {
            output.framer.end();
        }
        if let Some(room) = output.room.take()
            && !is_end
        {
            room.send(lines);
            self.sent += 1;
            // The clock of the exit keeps running.
            if self.waiting.is_empty() {
                self.awaited = None;
            }
        }
        if is_last {
            self.output = None;
        }
        if is_too_much {
            self.stop(StopCause::OutputLimit);
        }
    }

    fn ended(&mut self, status: ExitStatus) {
        let now = Instant::now();
        self.drained = Some(now + DRAIN);
        self.state = State::Ended {
            status,
            give_up: now + BACKSTOP,
        };
    }

    /// The child does not say how codex ended.
    fn lost(&mut self, error: &io::Error) {
        tracing::error!(pid = self.id, %error, "it is unknown how codex ended");
        self.ended(ExitStatus::from_raw(KILLED));
        self.all_gone(0, Some(UNSURE.to_owned()));
    }

    fn gone(&mut self, gone: io::Result<Gone>) {
        let (left_behind, warning) = what_is_left(self.id, gone);
        self.all_gone(left_behind, warning);
    }

    fn all_gone(&mut self, left_behind: u32, warning: Option<String>) {
        if let State::Ended { status, .. } = self.state {
            self.session = None;
            self.state = State::Gone {
                ended: Ended {
                    status,
                    left_behind,
                    warning,
                    duration: self.began.elapsed(),
                },
                drained: Instant::now() + DRAIN,
            };
        }
    }

    /// A deadline has passed, or a tick.
    fn overdue(&mut self) {
        let now = Instant::now();
        if self.output_due().is_some_and(|due| now >= due)
            && let Some(output) = &mut self.output
        {
            tracing::warn!(
                pid = self.id,
                "codex has exited, but a process that it started still holds its output open; the rest is not read"
            );
            self.output_cut = true;
            self.drained = None;
            output.framer.end();
        }
        match &self.state {
            State::Running => {
                if let Some((deadline, cause)) = self.awaited
                    && now >= deadline
                    && self.suspended.is_none()
                {
                    self.stop(cause);
                }
            }
            State::Stopping { give_up } if now >= *give_up => {
                let message =
                    "codex was stopped, but the supervisor does not report whether it has exited";
                self.lost(&io::Error::other(message));
            }
            State::Ended { give_up, .. } if now >= *give_up => {
                self.gone(Err(io::Error::other("the supervisor does not answer")));
            }
            State::Gone { drained, .. } if now >= *drained && self.stderr.is_open() => {
                tracing::warn!(
                    pid = self.id,
                    "codex has exited, but a process that it started still holds its standard error open; the rest is not read"
                );
                self.stderr.close();
            }
            _ => {}
        }
    }

    /// The exit, at the moment when all of it is known. That cannot be while output is still open and nothing waits for
    /// the exit, because the bytes of that output count.
    fn settle(&mut self) -> Option<Exit> {
        let State::Gone { ended, .. } = &self.state else {
            return None;
        };
        let asked = self.output.is_none() || self.requests.is_none() || !self.waiting.is_empty();
        if self.stderr.is_open() || !asked {
            return None;
        }
        let mut stderr = self.stderr.tail();
        // Then this is why it ended so.
        if let Some(warning) = &ended.warning
            && ended.status.signal() == Some(KILLED)
        {
            stderr.push_str(&format!("\n{warning}\n"));
        }
        let exit = Exit {
            status: ended.status,
            stopped: self.stopped,
            stderr,
            output_bytes: self.output_bytes,
            output_cut: self.output_cut,
            left_behind: ended.left_behind,
            warning: ended.warning.clone(),
            duration: ended.duration,
        };
        self.state = State::Over(exit.clone());
        Some(exit)
    }

    /// Sends the exit to everything that waits for it, if it is known.
    fn answer(&mut self) {
        if let State::Over(exit) = &self.state {
            for reply in self.waiting.drain(..) {
                // The receiver may be gone.
                let _gone = reply.send(exit.clone());
            }
        }
    }
}

/// How many processes codex left behind, which were ended, and what is to be said of others.
pub fn what_is_left(pid: i32, gone: io::Result<Gone>) -> (u32, Option<String>) {
    match gone {
        Ok(Gone::All { ended: 0 }) => (0, None),
        Ok(Gone::All { ended }) => {
            tracing::warn!(pid, ended, "codex left processes behind; they were ended");
            (ended, None)
        }
        Ok(Gone::Left { count }) => {
            tracing::error!(
                pid,
                count,
                "codex left processes behind that cannot be ended"
            );
            let processes = match count {
                1 => "A process".to_owned(),
                count => format!("{count} processes"),
            };
            let still = format!(
                "{processes} that codex had started could not be ended, perhaps because another user owns it, and may still run."
            );
            (0, Some(still))
        }
        Ok(Gone::Lost { ended, all }) => {
            tracing::error!(
                pid,
                ended,
                all,
                "codex's supervisor was lost; what was found of codex was ended"
            );
            let warning = if all { SURE } else { UNSURE };
            (ended, Some(warning.to_owned()))
        }
        Err(error) => {
            tracing::error!(pid, %error, "it is unknown whether codex left processes behind");
            (0, Some(UNSURE.to_owned()))
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(stdin) = &self.stdin {
            stdin.abort();
        }
    }
}

async fn receive(requests: &mut Option<Receiver<Ask>>) -> Option<Ask> {
    match requests {
        Some(requests) => requests.recv().await,
        None => None,
    }
}

/// The next step of the output: room for a batch, then the batch.
async fn advance(output: &mut Option<Output>) -> Step {
    match output {
        None => pending().await,
        Some(Output {
            room: None, sender, ..
        }) => Step::Room(sender.clone().reserve_owned().await.ok()),
        Some(Output { framer, .. }) => Step::Lines(framer.lines(MAX_BATCH_BYTES).await),
    }
}

/// The next report of a child.
async fn progress(child: &mut dyn Child, state: &State) -> Progress {
    match state {
        State::Running | State::Stopping { .. } => Progress::Ended(child.ended().await),
        State::Ended { .. } => Progress::Gone(child.gone().await),
        State::Gone { .. } | State::Over(_) => pending().await,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => pending().await,
    }
}

/// Writes the prompt and closes the pipe.
async fn feed(mut stdin: Box<dyn AsyncWrite + Send + Unpin>, prompt: String) {
    // A codex that ends before it has read everything says why on its own.
    if let Err(error) = stdin.write_all(prompt.as_bytes()).await {
        tracing::debug!(%error, "codex did not read the whole prompt");
    }
}
