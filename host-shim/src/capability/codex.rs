//! The import `codex`: starts codex if the grant allows it, and passes on its lines.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use wasmtime::Result;
use wasmtime::component::Resource;

use super::{CodexCtx, Search};
use crate::capability::bindings::codex;
use crate::codex::ask::Clock;
use crate::codex::exit::Exit;
use crate::codex::framing::Lines;
use crate::codex::process::Process;
use crate::codex::start::{Start, StartError};
use crate::codex::stop::StopCause;
use crate::codex::supervisor::is_lost;
use crate::codex::task::MAX_BATCH_BYTES;
use crate::config::RecordRule;
use crate::contract::event::{Event, NoticeKind};
use crate::grant::Call;
use crate::grant::environment::EnvironmentRule;
use crate::grant::program::ProgramError;
use crate::scarcity;
use crate::telemetry::metrics::Meter;
use crate::telemetry::record::{self, NotRecorded, TurnRecord};

impl codex::Host for CodexCtx {
    async fn back_off(&mut self) -> Result<bool> {
        let pause = self.next_back_off.unwrap_or(FIRST_BACK_OFF);
        // A component may ask as often as it likes.
        self.next_back_off = Some(pause.saturating_mul(2));
        let pauses = Arc::clone(&self.bounds.stop.pauses);
        let until = *self
            .busy_until
            .get_or_insert_with(|| pauses.deadline(self.config.limits.busy()));
        if pause > pauses.left(until) {
            return Ok(false);
        }
        let waited = self.bounds.within(pauses.sleep(pause)).await.is_ok();
        if waited {
            self.budget.codex_acted();
        }
        Ok(waited)
    }

    async fn spawn(
        &mut self,
        args: Vec<String>,
        prompt_on_stdin: Option<String>,
    ) -> Result<Result<Resource<Process>, codex::Refusal>> {
        let on_stdin = prompt_on_stdin.is_some();
        match self.start(args, prompt_on_stdin).await {
            Ok(process) => {
                self.budget.spawned();
                self.meter.started();
                Ok(Ok(self.table.push(process)?))
            }
            Err(refusal) => {
                if refusal.reason == codex::RefusalReason::TooLong && !on_stdin {
                    // The component tries again, with the prompt on standard input.
                    tracing::info!(message = refusal.message, "codex is not started");
                } else {
                    tracing::warn!(reason = ?refusal.reason, message = refusal.message, "codex is not started");
                    self.meter.refused();
                }
                self.budget.refused(&refusal.message)?;
                Ok(Err(refusal))
            }
        }
    }
}

/// The first pause before codex is started again for a busy conversation; each is twice as long
/// as the one before it.
const FIRST_BACK_OFF: Duration = Duration::from_millis(250);

impl CodexCtx {
    async fn start(
        &mut self,
        mut args: Vec<String>,
        prompt_on_stdin: Option<String>,
    ) -> Result<Process, codex::Refusal> {
        use codex::RefusalReason as Reason;
        if self.is_closed || self.bounds.stop.cause().is_some() {
            return Err(stopped());
        }
        self.budget.check_spawn(&args).map_err(|reason| {
            let entry = record::Entry::Refused {
                rule: LIMITS_RULE,
                reason: &reason,
                argv: &shown(&args),
            };
            self.record.write(&entry, &self.meter);
            refusal(Reason::Denied, reason)
        })?;
        let on_stdin = prompt_on_stdin.is_some();
        let call = Call {
            prompt_on_stdin: on_stdin,
            stored: self.threads.held(),
            images: self.handover.images(),
            request: self.handover.words(),
        };
        // Before the host puts anything of the request into it: that belongs to the conversation.
        let shown = shown(&args);
        let denied = |reason: String| {
            let entry = record::Entry::Refused {
                rule: ARGV_RULE,
                reason: &reason,
                argv: &shown,
            };
            self.record.write(&entry, &self.meter);
            refusal(Reason::Denied, reason)
        };
        let allowed = self.grant.check(&args, &call);
        let allowed = allowed.map_err(|refused| denied(refused.to_string()))?;
        let put = self.handover.put(&mut args, &allowed);
        put.map_err(|too_long| denied(too_long.to_string()))?;
        let program = self.resolve_program().await?;
        let environment: Vec<_> = EnvironmentRule::new(&self.config.env)
            .filter(std::env::vars_os())
            .collect();
        let names: Vec<String> = environment
            .iter()
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .collect();
        if self.config.record == RecordRule::Required {
            self.require_start(ARGV_RULE, &program, &shown, &names)
                .await?;
        }
        let limits = &self.config.limits;
        let start = Start {
            program: &program,
            args: &args,
            workspace: &self.workspace,
            environment: &environment,
            prompt_on_stdin,
            session: Some(Arc::clone(&self.session)),
            turn_slot: self.turn_slot.clone(),
            start_timeout: limits.start(),
            grace: limits.grace(),
            max_output_bytes: limits.output_bytes(),
        };
        let process = Process::spawn(&*self.spawner, start, self.bounds.clone(), self.on_end());
        let process = process.await.map_err(|error| match error {
            StartError::Stopped(_) => stopped(),
            StartError::TimedOut(_) => {
                let message = format!(
                    "{}: {error}. Try again; if this persists, check whether the machine is overloaded or a disk does not answer, or raise `limits.start_seconds` in config.json.",
                    program.display()
                );
                refusal(Reason::TimedOut, message)
            }
            StartError::Failed(error) => {
                let (reason, remedy) = not_started(&error, on_stdin);
                let message = format!(
                    "{} could not be started in {} ({error}): {remedy}.",
                    program.display(),
                    self.workspace.display()
                );
                refusal(reason, message)
            }
        })?;
        tracing::info!(pid = process.id(), program = %program.display(), argv = shown, "codex started");
        let entry = record::Entry::Allowed {
            rule: ARGV_RULE,
            program: &program.to_string_lossy(),
            argv: &shown,
            environment: &names,
            pid: process.id(),
        };
        self.record.write(&entry, &self.meter);
        Ok(process)
    }

    /// Begins to look for the program that codex is, where a disk that does not answer holds up nothing else.
    pub(crate) fn search(&self) -> Search {
        let (pinned, binary) = (Arc::clone(&self.program), self.config.binary.clone());
        tokio::task::spawn_blocking(move || pinned.get(binary.as_deref()))
    }

    /// Which program codex is.
    pub(super) async fn resolve_program(&mut self) -> Result<PathBuf, codex::Refusal> {
        use codex::RefusalReason as Reason;
        let search = self.search.take().unwrap_or_else(|| self.search());
        self.bounds
            .within(search)
            .await
            .map_err(|_| stopped())?
            .map_err(|error| refusal(Reason::Failed, error.to_string()))?
            .map_err(|error| no_program(&error))
    }

    /// Writes that codex is about to be started.
    pub(super) async fn require_start(
        &mut self,
        rule: &'static str,
        program: &Path,
        argv: &str,
        environment: &[String],
    ) -> Result<(), codex::Refusal> {
        let (program, argv) = (program.to_string_lossy().into_owned(), argv.to_owned());
        let environment = environment.to_owned();
        let write = move |record: &TurnRecord, meter: &Meter| {
            let entry = record::Entry::Starting {
                rule,
                program: &program,
                argv: &argv,
                environment: &environment,
            };
            record.require(&entry, meter)
        };
        self.require_line(write).await
    }

    /// Writes a line to the record, where the disk may take its time.
    pub(super) async fn require_line(
        &mut self,
        write: impl FnOnce(&TurnRecord, &Meter) -> Result<(), NotRecorded> + Send + 'static,
    ) -> Result<(), codex::Refusal> {
        let (record, meter) = (self.record.clone(), self.meter.clone());
        let written = tokio::task::spawn_blocking(move || write(&record, &meter));
        let written = self.bounds.within(written).await.map_err(|_| stopped())?;
        written
            .unwrap_or_else(|error| Err(NotRecorded::Panicked(error.to_string())))
            .map_err(|error| not_recorded(&error))
    }
}

fn refusal(reason: codex::RefusalReason, message: String) -> codex::Refusal {
    codex::Refusal { reason, message }
}

fn stopped() -> codex::Refusal {
    refusal(
        codex::RefusalReason::Stopped,
        "The turn was stopped before codex was started.".into(),
    )
}

/// The refusal of a start that is not in the record.
fn not_recorded(error: &NotRecorded) -> codex::Refusal {
    use codex::RefusalReason as Reason;
    let (reason, limit) = match error.limit() {
        Some(limit) => (Reason::Resources, format!(": {limit}")),
        None => (Reason::Denied, String::new()),
    };
    codex::Refusal {
        reason,
        message: format!("{error}{limit}."),
    }
}

/// Why a program could not be started, and what to do about that.
pub(super) fn not_started(
    error: &io::Error,
    on_stdin: bool,
) -> (codex::RefusalReason, &'static str) {
    use codex::RefusalReason as Reason;
    if let Some(limit) = scarcity::limit(error) {
        return (Reason::Resources, limit);
    }
    if is_lost(error) {
        return (
            Reason::Failed,
            "something has killed or stopped its supervisor, perhaps a tool of another codex, or the machine is overloaded; try again",
        );
    }
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::ACCESS | Errno::PERM) => (
            Reason::NotExecutable,
            "let this user run the file, and enter every folder on the way to it; a file system that is mounted `noexec` runs nothing",
        ),
        Some(Errno::NOEXEC | Errno::LIBBAD) => (
            Reason::NotExecutable,
            "the file is not a program for this machine",
        ),
        Some(Errno::NOENT) => (
            Reason::NotExecutable,
            "the file, the interpreter that its first line names, or the folder does not exist",
        ),
        Some(Errno::LOOP | Errno::NAMETOOLONG) => (Reason::NotExecutable, "its path leads nowhere"),
        Some(Errno::TXTBSY) => (Reason::Failed, "the file is being written; try again"),
        Some(Errno::TOOBIG) if on_stdin => (
            Reason::TooLong,
            "its arguments and its environment are too long together, although the prompt is on standard input: pass fewer variables (`env`), or raise the limit on the stack, of which they may take a quarter (`ulimit -s`, `LimitSTACK=` of a service)",
        ),
        Some(Errno::TOOBIG) => (
            Reason::TooLong,
            "its arguments and its environment are too long together: set `prompt` to \"stdin\", or pass fewer variables (`env`)",
        ),
        _ => (
            Reason::Failed,
            "check that the file is a program for this machine, and that the folder exists",
        ),
    }
}

/// The rule for the arguments; see [`Grant`].
const ARGV_RULE: &str = "argv grammar";

/// The rule for the number of arguments and of calls; see [`Budget`].
const LIMITS_RULE: &str = "guest limits";

impl CodexCtx {
    /// Ends every codex that the component has left running, all at once, and waits until they are gone: the next turn
    /// then finds the conversation free. Returns a notice for each thing that may still run all the same, and for a
    /// supervisor that was killed.
    pub(crate) async fn end_codex(&mut self) -> Vec<Event> {
        let end = self.config.limits.end();
        // All of them first: each may take the whole grace period.
        for process in self.running() {
            process.terminate(StopCause::Terminated).await;
        }
        for process in self.running() {
            if let Err(error) = process.wait(end).await {
                tracing::error!(pid = process.id(), %error, "it is unknown how codex ended");
            }
        }
        self.end_server_turns();
        // Those that the component has let go of were stopped then.
        let left = self.leftovers.all().await;
        let notice = |message| Event::Notice {
            kind: NoticeKind::Warning,
            message,
        };
        left.into_iter().map(notice).collect()
    }

    /// The processes that have not ended.
    fn running(&mut self) -> impl Iterator<Item = &mut Process> {
        let processes = self.table.iter_mut();
        let processes = processes.filter_map(|entry| entry.downcast_mut::<Process>());
        processes.filter(|process| !process.is_over())
    }

    /// Notes the end of a process of this turn in the metrics, the log and the record, and tells the turn what it left.
    fn on_end(&self) -> impl FnOnce(i32, &Exit) + Send + use<> {
        let leftovers = self.leftovers.sender();
        let note = self.on_server_end();
        move |pid, exit| {
            if let Some(warning) = &exit.warning {
                // If the turn is over, there is nobody to tell but the log.
                let _ = leftovers.send(warning.clone());
            }
            note(pid, exit);
        }
    }

    /// Notes the end of a process that may outlive this turn.
    pub(super) fn on_server_end(&self) -> impl FnOnce(i32, &Exit) + Send + use<> {
        let (meter, record) = (self.meter.clone(), self.record.clone());
        move |pid, exit| {
            meter.left_behind(exit.left_behind);
            tracing::info!(pid, status = %exit.status, stopped = ?exit.stopped, "codex ended");
            let entry = record::Entry::Ended {
                pid,
                status: &exit.status.to_string(),
                stopped: exit.stopped.map(StopCause::as_str),
                stdout_bytes: exit.output_bytes,
                left_behind: exit.left_behind,
                milliseconds: record::milliseconds(exit.duration),
            };
            record.write(&entry, &meter);
        }
    }
}

/// Codex was not found.
pub(super) fn no_program(error: &ProgramError) -> codex::Refusal {
    let reason = match error {
        ProgramError::NotInstalled(_) => codex::RefusalReason::NotInstalled,
        ProgramError::NotExecutable(_) => codex::RefusalReason::NotExecutable,
    };
    refusal(reason, error.to_string())
}

impl CodexCtx {
    /// How long to wait for what the component waits for.
    pub(super) fn clock(&self, awaiting: codex::Awaited) -> Clock {
        let limits = &self.config.limits;
        let clock = |duration, cause| Clock { duration, cause };
        match awaiting {
            codex::Awaited::Model => clock(limits.idle(), StopCause::IdleTimeout),
            codex::Awaited::Tool => clock(limits.tool_idle(), StopCause::IdleTimeout),
            codex::Awaited::End => clock(limits.end(), StopCause::Lingering),
        }
    }

    /// Notes what codex has said.
    pub(super) fn heard(&mut self, lines: Lines) -> codex::Output {
        if !lines.is_end() {
            self.budget.codex_acted();
            self.meter.output(lines.text.len(), lines.skipped.len());
        }
        codex::Output {
            text: lines.text,
            skipped: lines.skipped,
        }
    }
}

/// An exit, as the component gets it.
pub(super) fn exit_to_wit(exit: Exit) -> codex::Exit {
    codex::Exit {
        status: status_to_wit(exit.status),
        stopped: exit.stopped.map(stop_cause),
        stderr: exit.stderr,
        left_behind: exit.left_behind,
        output_cut: exit.output_cut,
    }
}

pub(super) fn status_to_wit(status: ExitStatus) -> codex::ExitStatus {
    match (status.code(), status.signal()) {
        (Some(code), _) => codex::ExitStatus::Code(code),
        (None, signal) => codex::ExitStatus::Signal(signal.unwrap_or(0)),
    }
}

pub(super) fn stop_cause(cause: StopCause) -> codex::StopCause {
    match cause {
        StopCause::Cancelled | StopCause::SessionLost => codex::StopCause::Cancelled,
        StopCause::Terminated => codex::StopCause::Terminated,
        StopCause::StartTimeout => codex::StopCause::StartTimeout,
        StopCause::IdleTimeout => codex::StopCause::IdleTimeout,
        StopCause::TurnTimeout => codex::StopCause::TurnTimeout,
        StopCause::OutputLimit => codex::StopCause::OutputLimit,
        StopCause::Lingering => codex::StopCause::Lingering,
    }
}

/// The arguments for the log: all but the prompt, which belongs to the conversation.
fn shown(args: &[String]) -> String {
    match args.split_last() {
        Some((prompt, args)) if prompt != "-" => {
            format!("{} <prompt of {} bytes>", args.join(" "), prompt.len())
        }
        _ => args.join(" "),
    }
}

impl codex::HostChild for CodexCtx {
    async fn lines(
        &mut self,
        child: Resource<Process>,
        max_bytes: u32,
        awaiting: codex::Awaited,
    ) -> Result<codex::Output> {
        // The guest's number is only a request.
        let max_bytes = usize::try_from(max_bytes)?.min(MAX_BATCH_BYTES);
        let idle = self.clock(awaiting);
        let process = self.table.get_mut(&child)?;
        let lines = process.lines(max_bytes, idle).await?;
        self.threads.hear(process.opening.of(&lines.text));
        Ok(self.heard(lines))
    }

    async fn wait(&mut self, child: Resource<Process>) -> Result<codex::Exit> {
        let end = self.config.limits.end();
        let process = self.table.get_mut(&child)?;
        // A component may ask again, as often as its computing time (`guest.cpu_seconds`) allows.
        Ok(exit_to_wit(process.wait(end).await?))
    }

    async fn terminate(&mut self, child: Resource<Process>) -> Result<()> {
        let process = self.table.get(&child)?;
        process.terminate(StopCause::Terminated).await;
        Ok(())
    }

    async fn drop(&mut self, child: Resource<Process>) -> Result<()> {
        self.table.delete(child)?;
        Ok(())
    }
}
