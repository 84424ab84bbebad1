//! The task that owns a codex that stays.
//!
//! **Invariant:** as for `codex/task.rs`: output, input, exit, clocks, requests and the end of the turn meet in one `select!`,
//! in one task for each process, which never waits for anything else.

use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::{OwnedPermit, Receiver, Sender};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::ask::{Ask, Finished, Reply};
use super::envelope::{self, Answer, Envelope};
use super::outgoing;
use super::turn_state::{Phase, TurnState};
use crate::codex::exit::Exit;
use crate::codex::framing::{Framer, Lines, MAX_LINE_BYTES};
use crate::codex::pauses::{Pauses, TICK};
use crate::codex::spawner::{Child, Gone, Spawned};
use crate::codex::stderr::Stderr;
use crate::codex::stop::StopCause;
use crate::codex::task::{BACKSTOP, DRAIN, KILLED, MAX_BATCH_BYTES, what_is_left};

/// How long codex may take to end after its standard input was closed. It takes a tenth of a second.
const CLOSING: Duration = Duration::from_secs(2);

/// How much of what codex says may wait while nobody takes it and something else in it is looked for: an answer, or the
/// end of a turn that was interrupted.
const MOST_WAITING_BYTES: usize = 16 * 1024 * 1024;

/// How much of the refusals of codex's requests may wait for it to read them. If it is more, codex is not read either.
const MOST_REFUSED_BYTES: usize = 1024 * 1024;

/// The number of the task's own first request, far above those of others. Codex takes numbers of 63 bits, and does not answer
/// a request with a larger one.
const FIRST_OWN: u64 = 1 << 62;

/// The state of the process. It only moves down this list.
enum State {
    /// It is running.
    Running,
    /// Its standard input is closed, and it has until then to end on its own.
    Closing { until: Instant },
    /// It was told to end, and the supervisor kills it after the grace period. If this lasts until `give_up`, the
    /// supervisor does not answer.
    Stopping { give_up: Instant },
    /// Codex itself has ended, and the supervisor ends what it left behind.
    Ended {
        status: ExitStatus,
        give_up: Instant,
    },
    /// Nothing of it is left.
    Over(Exit),
}

/// Owns a codex that stays.
pub struct Task {
    id: i32,
    child: Box<dyn Child>,
    /// `None` once it is closed.
    stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// What is to be written.
    outbox: VecDeque<u8>,
    /// How much of that are refusals.
    refused_bytes: usize,
    /// `None` once it has ended.
    stdout: Option<Framer<Box<dyn AsyncRead + Send + Unpin>>>,
    stderr: Stderr,
    /// `None` once nobody can ask any more.
    asks: Option<Receiver<Ask>>,
    /// Who waits for which answer.
    unanswered: HashMap<u64, oneshot::Sender<Reply>>,
    /// The number of the next request of the task's own: those of others count up, these down.
    next_own: u64,
    turn: Option<TurnState>,
    /// Whether it has done a turn, so that others may be about to begin the next one.
    has_worked: bool,
    /// How much it has said in all of its turns.
    output_bytes: u64,
    grace: Duration,
    began: Instant,
    /// Its own pauses: those of a turn end with it.
    pauses: Pauses,
    state: State,
    drained: Option<Instant>,
}

/// Which report of the child is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// What was there before the turn is known.
    Beginning,
    /// Nothing of the turn is left.
    Sweep,
    /// Codex has ended.
    End,
}

/// The next thing to do.
enum Step {
    Ask(Option<Ask>),
    TurnMustEnd(StopCause),
    Suspend(bool),
    Written(io::Result<usize>),
    Read(io::Result<Lines>),
    Room(Option<OwnedPermit<io::Result<Lines>>>),
    Stderr,
    Begun(io::Result<()>),
    Swept(io::Result<u32>),
    Ended(io::Result<ExitStatus>),
    Gone(io::Result<Gone>),
    Due,
}

impl Task {
    /// The owner of what was spawned.
    pub fn new(
        spawned: Spawned,
        asks: Receiver<Ask>,
        grace: Duration,
        began: Instant,
    ) -> io::Result<Self> {
        let stdin = spawned.stdin;
        let stdin = stdin.ok_or_else(|| io::Error::other("the spawner gave no standard input"))?;
        Ok(Task {
            id: spawned.id,
            child: spawned.child,
            stdin: Some(stdin),
            outbox: VecDeque::new(),
            refused_bytes: 0,
            stdout: Some(Framer::new(spawned.stdout, MAX_LINE_BYTES)),
            stderr: Stderr::new(spawned.stderr),
            asks: Some(asks),
            unanswered: HashMap::new(),
            next_own: FIRST_OWN,
            turn: None,
            has_worked: false,
            output_bytes: 0,
            grace,
            began,
            pauses: Pauses::default(),
            state: State::Running,
            drained: None,
        })
    }

    /// Runs until nothing of codex is left, and nobody waits for the end of a turn. `on_end` is called when nothing is left.
    pub async fn run(mut self, on_end: impl FnOnce(i32, &Exit) + Send) {
        let mut on_end = Some(on_end);
        loop {
            let step = self.next().await;
            self.take(step);
            self.proceed();
            if let State::Over(exit) = &self.state
                && self.stdout.is_none()
            {
                // Whoever is told finds that it is of no use any more.
                if self.turn.is_none()
                    && self.has_worked
                    && let Some(asks) = &mut self.asks
                {
                    asks.close();
                }
                if let Some(on_end) = on_end.take() {
                    on_end(self.id, exit);
                }
                self.answer_all();
                // Who has started it is about to ask for something, and learns then how it ended.
                if self.turn.is_none() && self.has_worked || self.asks.is_none() {
                    break;
                }
            }
        }
        // Those that ask from here on learn that nobody answers; those that have asked already get their answer.
        if let Some(asks) = &mut self.asks {
            asks.close();
        }
        while let Some(ask) = self.asks.as_mut().and_then(|asks| asks.try_recv().ok()) {
            self.asked(ask);
            self.answer();
        }
        self.answer_all();
    }

    /// Waits for the next thing to do.
    async fn next(&mut self) -> Step {
        let over = matches!(self.state, State::Over(_));
        let report = match &self.turn {
            Some(turn) if matches!(turn.phase, Phase::Sweeping { .. }) => Awaited::Sweep,
            Some(turn) if turn.begins => Awaited::Beginning,
            _ => Awaited::End,
        };
        let due = self.due();
        let tick = (!over).then(|| Instant::now() + TICK);
        let wake = [due, tick].into_iter().flatten().min();
        let reads = self.reads();
        let sender = self.turn.as_ref().filter(|turn| turn.room.is_none());
        let sender = sender.and_then(|turn| turn.sender.clone());
        let step = tokio::select! {
            biased;
            step = bounds(&mut self.turn) => step,
            ask = receive(&mut self.asks) => Step::Ask(ask),
            room = room(sender) => Step::Room(room),
            written = write(&mut self.stdin, &self.outbox) => Step::Written(written),
            lines = read(&mut self.stdout), if reads => Step::Read(lines),
            () = self.stderr.read(), if self.stderr.is_open() => Step::Stderr,
            step = progress(&mut *self.child, &self.state, report) => step,
            () = until(wake) => Step::Due,
        };
        if let Some(wake) = wake {
            if let Some(pause) = self.pauses.note(wake) {
                self.paused(pause);
            }
            if let Some(turn) = &mut self.turn
                && let Some(pause) = turn.bounds.stop.pauses.note(wake)
            {
                turn.paused(pause, self.grace);
            }
        }
        step
    }

    /// Whether more of codex's output is wanted.
    fn reads(&self) -> bool {
        if self.refused_bytes > MOST_REFUSED_BYTES {
            return false;
        }
        let Some(turn) = &self.turn else {
            return true;
        };
        // An answer may stand behind what the turn has not taken yet, and so may the end of one that was interrupted.
        let looks = !self.unanswered.is_empty() || matches!(turn.phase, Phase::Interrupted { .. });
        turn.waiting.is_end()
            || turn.sender.is_none()
            || looks && turn.waiting.text.len() < MOST_WAITING_BYTES
    }

    /// Nobody has run for so long, codex included.
    fn paused(&mut self, pause: Duration) {
        match &mut self.state {
            State::Closing { until } => *until += pause,
            State::Stopping { give_up } | State::Ended { give_up, .. } => *give_up += pause,
            State::Running | State::Over(_) => {}
        }
    }

    /// The next deadline.
    fn due(&self) -> Option<Instant> {
        let state = match &self.state {
            State::Running | State::Over(_) => None,
            State::Closing { until } => Some(*until),
            State::Stopping { give_up } | State::Ended { give_up, .. } => Some(*give_up),
        };
        let turn = self.turn.as_ref().and_then(|turn| match turn.phase {
            Phase::Running => {
                let awaited = turn.awaited.filter(|_| turn.suspended.is_none());
                awaited.map(|(deadline, _)| deadline)
            }
            Phase::Interrupted { until } | Phase::Sweeping { give_up: until } => Some(until),
            Phase::Opening | Phase::Swept { .. } => None,
        });
        [state, turn, self.output_due()].into_iter().flatten().min()
    }

    /// When to stop reading the output of a codex that has ended. Output that only waits for a slow reader is never
    /// abandoned.
    fn output_due(&self) -> Option<Instant> {
        self.drained.filter(|_| self.reads())
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Ask(None) => {
                self.asks = None;
                self.interrupt(StopCause::Cancelled);
            }
            Step::Ask(Some(ask)) => self.asked(ask),
            Step::TurnMustEnd(cause) => self.interrupt(cause),
            Step::Suspend(true) => self.suspend(),
            Step::Suspend(false) => self.resume(),
            Step::Written(Ok(written)) => self.written(written),
            // If it has ended, it says on its own why. If not, it is of no use.
            Step::Written(Err(error)) => {
                tracing::debug!(%error, "codex does not read what it is told");
                self.close();
            }
            Step::Read(Ok(lines)) if lines.is_end() => self.is_silent(),
            Step::Read(Ok(lines)) => self.hear(lines),
            Step::Read(Err(error)) => {
                tracing::warn!(%error, "codex's output cannot be read");
                self.is_silent();
            }
            Step::Room(permit) => {
                if let Some(turn) = &mut self.turn {
                    match permit {
                        Some(permit) => turn.room = Some(permit),
                        // Nobody reads it. If nobody waits for its end either, it was dropped.
                        None => {
                            turn.sender = None;
                            turn.waiting = Lines::default();
                        }
                    }
                }
            }
            Step::Stderr => {}
            Step::Begun(begun) => {
                if let Err(error) = begun {
                    tracing::debug!(%error, "it is unknown what was there before the turn");
                }
                if let Some(turn) = &mut self.turn {
                    turn.begins = false;
                    if let Some(line) = turn.unsaid.take() {
                        self.say(&line);
                    }
                }
            }
            Step::Swept(swept) => self.swept(swept),
            Step::Ended(status) => {
                let status = status.unwrap_or_else(|error| {
                    tracing::error!(%error, "it is unknown how codex ended");
                    ExitStatus::from_raw(KILLED)
                });
                let now = Instant::now();
                self.drained = Some(now + DRAIN);
                self.hang_up();
                // It is of no use to the next turn.
                if self.turn.is_none()
                    && self.has_worked
                    && let Some(asks) = &mut self.asks
                {
                    asks.close();
                }
                self.state = State::Ended {
                    status,
                    give_up: now + BACKSTOP,
                };
            }
            Step::Gone(gone) => self.gone(gone),
            Step::Due => self.overdue(),
        }
    }

    fn asked(&mut self, ask: Ask) {
        match ask {
            Ask::Request {
                number,
                line,
                reply,
            } => {
                self.unanswered.insert(number, reply);
                self.say(&line);
            }
            Ask::Prompt {
                number,
                line,
                reply,
            } => {
                let turn = self.turn.as_mut();
                let Some(turn) = turn.filter(|turn| turn.stopped.is_none()) else {
                    // The turn was stopped meanwhile. The one who asked may be gone.
                    let _gone = reply.send(Reply::NotBegun(None));
                    return;
                };
                turn.prompt = Some(number);
                self.unanswered.insert(number, reply);
                if !matches!(turn.phase, Phase::Opening) {
                    // Codex has ended, and the answer is how.
                    return;
                }
                if !turn.announced {
                    turn.announce(&mut *self.child);
                }
                turn.phase = Phase::Running;
                match turn.begins {
                    true => turn.unsaid = Some(line),
                    false => self.say(&line),
                }
            }
            Ask::Begin(begin, begun) => {
                if self.has_worked && !matches!(self.state, State::Running) {
                    return;
                }
                // The one who asked may be gone.
                let _gone = begun.send(());
                // What it has said before is of turns before.
                if self.has_worked {
                    self.stderr.clear();
                }
                let mut turn = TurnState::new(*begin);
                // One that has only just started starts MCP servers when it opens the conversation.
                if self.has_worked {
                    turn.announce(&mut *self.child);
                }
                self.turn = Some(turn);
            }
            Ask::Thread(thread_id) => {
                if let Some(turn) = &mut self.turn {
                    turn.thread_id = thread_id;
                }
            }
            Ask::Output { idle, taken } => {
                if let Some(turn) = &mut self.turn
                    && taken == turn.sent
                {
                    turn.awaited = Some((Instant::now() + idle.duration, idle.cause));
                }
            }
            Ask::Interrupt(cause) => self.interrupt(cause),
            Ask::Finish { end, reply } => {
                if let Some(turn) = &mut self.turn {
                    turn.awaited = Some((Instant::now() + end, StopCause::Lingering));
                    turn.finish = Some(reply);
                    turn.never_began();
                    turn.sender = None;
                    turn.waiting = Lines::default();
                }
            }
        }
    }

    /// Takes what codex has said: answers go to who waits for them, requests are refused, and the rest is the turn's.
    fn hear(&mut self, lines: Lines) {
        let mut heard = String::new();
        for line in lines.text.split_inclusive('\n') {
            match envelope::read(line) {
                Envelope::Answer { id, answer } => {
                    if let Some(reply) = self.unanswered.remove(&id) {
                        let turn = self.turn.as_mut().filter(|turn| turn.was_given(id));
                        let answer = match answer {
                            Answer::Result(result) => {
                                if let Some(turn) = turn {
                                    turn.turn_id =
                                        envelope::turn_id(result).or(turn.turn_id.take());
                                }
                                Reply::Result(result.get().to_owned())
                            }
                            Answer::Error(words) => {
                                if let Some(turn) = turn {
                                    turn.over();
                                }
                                Reply::Error(words)
                            }
                        };
                        // The one who asked may be gone.
                        let _gone = reply.send(answer);
                    }
                }
                Envelope::Request { id } => match outgoing::refusal(id) {
                    Ok(refusal) => {
                        if self.stdin.is_some() {
                            self.refused_bytes += refusal.len();
                        }
                        self.say(&refusal);
                    }
                    Err(error) => tracing::error!(%error, "a request of codex is not answered"),
                },
                Envelope::TurnStarted { thread_id, turn_id } => {
                    heard.push_str(line);
                    if let Some(turn) = &mut self.turn
                        && turn.thread_id == thread_id
                        && !turn.started
                    {
                        turn.started = true;
                        turn.turn_id = Some(turn_id.into_owned());
                    }
                }
                Envelope::TurnCompleted { thread_id, turn_id } => {
                    heard.push_str(line);
                    if let Some(turn) = &mut self.turn
                        && turn.thread_id == thread_id
                        && turn.turn_id.as_deref() == Some(&*turn_id)
                    {
                        turn.over();
                    }
                }
                Envelope::Other => heard.push_str(line),
            }
        }
        // The answer may have been in there.
        if !lines.skipped.is_empty() {
            for (_, reply) in self.unanswered.drain() {
                let _gone = reply.send(Reply::TooLong);
            }
        }
        let bytes = lines.text.len() as u64 + lines.skipped.iter().sum::<u64>();
        self.output_bytes += bytes;
        let Some(turn) = &mut self.turn else {
            return;
        };
        if turn.sender.is_some() && !turn.says_too_much() {
            turn.waiting.text.push_str(&heard);
            turn.waiting.skipped.extend(lines.skipped);
        }
        turn.output_bytes += bytes;
        if turn.says_too_much() {
            self.interrupt(StopCause::OutputLimit);
        }
    }

    fn say(&mut self, line: &str) {
        if self.stdin.is_some() {
            self.outbox.extend(line.as_bytes());
        }
    }

    /// Asks codex to end the turn; the first cause counts.
    fn interrupt(&mut self, cause: StopCause) {
        let number = self.next_own;
        self.resume();
        let Some(turn) = &mut self.turn else {
            return;
        };
        if matches!(turn.phase, Phase::Opening) {
            turn.stopped = Some(cause);
            turn.never_began();
            return;
        }
        if !matches!(turn.phase, Phase::Running) {
            return;
        }
        turn.stopped = Some(cause);
        if turn.unsaid.take().is_some() {
            // Codex does not know of it. The supervisor does.
            turn.over();
            let prompt = turn
                .prompt
                .and_then(|prompt| self.unanswered.remove(&prompt));
            if let Some(reply) = prompt {
                // The one who asked may be gone.
                let _gone = reply.send(Reply::NotBegun(None));
            }
            return;
        }
        self.next_own -= 1;
        turn.phase = Phase::Interrupted {
            until: Instant::now() + turn.limits.grace,
        };
        // An empty id is the turn that is about to begin: before it has, codex refuses its own id.
        let turn_id = turn.turn_id.as_deref().filter(|_| turn.started);
        let turn_id = turn_id.unwrap_or_default();
        match outgoing::turn_interrupt(number, &turn.thread_id, turn_id) {
            Ok(line) => self.say(&line),
            Err(error) => tracing::error!(%error, "codex is not asked to end the turn"),
        }
    }

    /// Suspends codex, and the turn's clock.
    fn suspend(&mut self) {
        if let Some(turn) = &mut self.turn {
            self.child.suspend();
            let left =
                |(deadline, _): (Instant, _)| deadline.saturating_duration_since(Instant::now());
            turn.suspended = Some(turn.awaited.map_or(self.grace, left).max(self.grace));
        }
    }

    /// Has codex go on, and the clock, if they were suspended.
    fn resume(&mut self) {
        if let Some(turn) = &mut self.turn
            && let Some(left) = turn.suspended.take()
        {
            self.child.resume();
            if let Some((deadline, _)) = &mut turn.awaited {
                *deadline = Instant::now() + left;
            }
        }
    }

    /// So many bytes were written.
    fn written(&mut self, written: usize) {
        self.outbox.drain(..written);
        if self.outbox.is_empty() {
            // The room of a large prompt is not kept.
            self.outbox = VecDeque::new();
            self.refused_bytes = 0;
        }
    }

    /// Codex has closed its output: it will not say anything any more, so it is of no use.
    fn is_silent(&mut self) {
        self.stdout = None;
        self.close();
    }

    fn swept(&mut self, swept: io::Result<u32>) {
        let Some(turn) = &mut self.turn else {
            return;
        };
        turn.phase = match swept {
            Ok(left_behind) => Phase::Swept {
                left_behind,
                reusable: true,
            },
            // All of it ends with codex.
            Err(error) => {
                tracing::debug!(%error, "what the turn has left behind is ended together with codex");
                Phase::Swept {
                    left_behind: 0,
                    reusable: false,
                }
            }
        };
    }

    fn gone(&mut self, gone: io::Result<Gone>) {
        let State::Ended { status, .. } = self.state else {
            return;
        };
        let (left_behind, warning) = what_is_left(self.id, gone);
        if let (Some(turn), Some(warning)) = (&self.turn, &warning) {
            // If the turn is over, there is nobody to tell but the log.
            let _ = turn.held.leftovers.send(warning.clone());
        }
        self.state = State::Over(Exit {
            status,
            stopped: self.turn.as_ref().and_then(|turn| turn.stopped),
            stderr: self.stderr.tail(),
            output_bytes: self.output_bytes,
            output_cut: false,
            left_behind,
            warning,
            duration: self.began.elapsed(),
        });
    }

    /// A deadline has passed, or a tick.
    fn overdue(&mut self) {
        let now = Instant::now();
        if self.output_due().is_some_and(|due| now >= due) {
            self.drained = None;
            self.stdout = None;
            self.stderr.close();
        }
        if let Some(turn) = &mut self.turn {
            match turn.phase {
                Phase::Running => {
                    if let Some((deadline, cause)) = turn.awaited
                        && now >= deadline
                        && turn.suspended.is_none()
                    {
                        self.interrupt(cause);
                    }
                }
                Phase::Interrupted { until } if now >= until => {
                    tracing::warn!("codex does not end the turn; it is killed, and all of it");
                    turn.ends_with_codex();
                    self.kill();
                }
                Phase::Sweeping { give_up } if now >= give_up => {
                    self.swept(Err(io::ErrorKind::TimedOut.into()));
                }
                _ => {}
            }
        }
        match &self.state {
            State::Closing { until } if now >= *until => {
                // It has closed its output, and does not exit.
                let turn = self.turn.as_mut().filter(|turn| !turn.is_over());
                if let Some(turn) = turn {
                    turn.stopped.get_or_insert(StopCause::Lingering);
                }
                self.stop();
            }
            State::Stopping { give_up } if now >= *give_up => {
                let message = "the supervisor does not report whether codex has exited";
                self.take(Step::Ended(Err(io::Error::other(message))));
            }
            State::Ended { give_up, .. } if now >= *give_up => {
                self.gone(Err(io::Error::other("the supervisor does not answer")));
            }
            _ => {}
        }
    }

    /// What follows from where everything stands.
    fn proceed(&mut self) {
        // The next turn does not find it suspended.
        if self.turn.as_ref().is_some_and(TurnState::is_over) {
            self.resume();
        }
        let ended = matches!(self.state, State::Ended { .. } | State::Over(_));
        if let Some(turn) = &mut self.turn {
            turn.hand_out();
            // Codex itself ends what it runs, and the supervisor the rest.
            if ended && !turn.is_swept() && self.stdout.is_none() {
                turn.ends_with_codex();
            }
            if !ended
                && matches!(
                    turn.phase,
                    Phase::Swept {
                        reusable: false,
                        ..
                    }
                )
                && matches!(self.state, State::Running)
            {
                self.close();
            }
        }
        self.answer();
        let is_free = self.turn.as_ref().is_none_or(TurnState::is_swept);
        if self.asks.is_none() && is_free && matches!(self.state, State::Running) {
            self.close();
        }
    }

    /// Tells who waits for it how the turn ended, when all of it is known.
    fn answer(&mut self) {
        let (runs, exit) = match &self.state {
            State::Over(exit) => (false, Some(exit.clone())),
            state => (matches!(state, State::Running), None),
        };
        let Some(turn) = &mut self.turn else {
            return;
        };
        let Phase::Swept {
            left_behind,
            reusable,
        } = turn.phase
        else {
            return;
        };
        // If codex ends with the turn, the turn is over when it has.
        let ends = !(reusable && runs) && exit.is_none();
        if ends || !turn.waiting.is_end() && turn.sender.is_some() {
            return;
        }
        turn.sender = None;
        // Until then, or if it was dropped until nothing of codex is left, it keeps others out of the conversation.
        let Some(reply) = turn.finish.take() else {
            return;
        };
        let finished = Finished {
            turn_id: turn.turn_id.take(),
            stopped: turn.stopped,
            stderr: self.stderr.tail(),
            swept: left_behind,
            reusable: reusable && exit.is_none(),
            exit,
        };
        self.turn = None;
        self.has_worked = true;
        // The one who asked may be gone.
        let _gone = reply.send(finished);
    }

    /// Closes codex's standard input. Nothing that was to be written holds anything up any more.
    fn hang_up(&mut self) {
        self.stdin = None;
        self.outbox = VecDeque::new();
        self.refused_bytes = 0;
    }

    /// Closes codex's standard input, on which it ends.
    fn close(&mut self) {
        if matches!(self.state, State::Running) {
            self.hang_up();
            self.state = State::Closing {
                until: Instant::now() + CLOSING.min(self.grace),
            };
        }
    }

    /// Has the supervisor end codex and all that it has started.
    fn stop(&mut self) {
        if matches!(self.state, State::Running | State::Closing { .. }) {
            self.hang_up();
            self.child.stop();
            self.state = State::Stopping {
                give_up: Instant::now() + self.grace + BACKSTOP,
            };
        }
    }

    /// Has the supervisor kill codex and all that it has started, at once.
    fn kill(&mut self) {
        if matches!(self.state, State::Running | State::Closing { .. }) {
            self.hang_up();
            self.child.kill();
            self.state = State::Stopping {
                give_up: Instant::now() + BACKSTOP,
            };
        }
    }

    /// Answers all who wait for an answer that will not come.
    fn answer_all(&mut self) {
        let State::Over(exit) = &self.state else {
            return;
        };
        for (number, reply) in self.unanswered.drain() {
            // Codex answers a prompt before it begins with it.
            let turn = self.turn.as_ref().filter(|turn| turn.was_given(number));
            let not_begun = turn.is_some_and(|turn| !turn.started);
            // The one who asked may be gone.
            let _gone = reply.send(match not_begun {
                true => Reply::NotBegun(Some(exit.clone())),
                false => Reply::Ended(exit.clone()),
            });
        }
    }
}

/// Waits until the turn must end, or codex is to be suspended or to go on.
async fn bounds(turn: &mut Option<TurnState>) -> Step {
    match turn {
        Some(turn) if matches!(turn.phase, Phase::Opening | Phase::Running) => tokio::select! {
            biased;
            cause = turn.bounds.over() => Step::TurnMustEnd(cause),
            suspended = turn.suspension.suspension() => Step::Suspend(suspended),
        },
        _ => pending().await,
    }
}

async fn receive(asks: &mut Option<Receiver<Ask>>) -> Option<Ask> {
    match asks {
        Some(asks) => asks.recv().await,
        None => pending().await,
    }
}

/// Room for what the turn has said.
async fn room(sender: Option<Sender<io::Result<Lines>>>) -> Option<OwnedPermit<io::Result<Lines>>> {
    match sender {
        Some(sender) => sender.reserve_owned().await.ok(),
        None => pending().await,
    }
}

async fn write(
    stdin: &mut Option<Box<dyn AsyncWrite + Send + Unpin>>,
    outbox: &VecDeque<u8>,
) -> io::Result<usize> {
    match stdin {
        Some(stdin) if !outbox.is_empty() => stdin.write(outbox.as_slices().0).await,
        _ => pending().await,
    }
}

async fn read(stdout: &mut Option<Framer<Box<dyn AsyncRead + Send + Unpin>>>) -> io::Result<Lines> {
    match stdout {
        Some(stdout) => stdout.lines(MAX_BATCH_BYTES).await,
        None => pending().await,
    }
}

/// The next report of a child.
async fn progress(child: &mut dyn Child, state: &State, awaited: Awaited) -> Step {
    match state {
        State::Running if awaited == Awaited::Beginning => Step::Begun(child.turn_begun().await),
        State::Running if awaited == Awaited::Sweep => Step::Swept(child.sweep().await),
        State::Running | State::Closing { .. } | State::Stopping { .. } => {
            Step::Ended(child.ended().await)
        }
        State::Ended { .. } => Step::Gone(child.gone().await),
        State::Over(_) => pending().await,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => pending().await,
    }
}
