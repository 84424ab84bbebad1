//! The import `codex`: starts codex where the grant allows it, and hands its lines on.

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use tokio::time::Instant;
use wasmtime::Result;
use wasmtime::component::Resource;

use super::CodexCtx;
use crate::capability::bindings::codex;
use crate::codex::process::{Clock, Exit, Process, Start};
use crate::codex::stop::StopCause;
use crate::grant::Call;
use crate::grant::environment::EnvironmentRule;
use crate::grant::program::ProgramError;
use crate::telemetry::record;

/// The most bytes of lines that the component gets at a time, unless one line is longer.
pub(crate) const MAX_BATCH_BYTES: usize = 1024 * 1024;

impl codex::Host for CodexCtx {
    async fn back_off(&mut self) -> Result<bool> {
        let pause = self.next_back_off.unwrap_or(FIRST_BACK_OFF);
        self.next_back_off = Some(pause * 2);
        let now = Instant::now();
        let until = *self
            .busy_deadline
            .get_or_insert(now + self.config.limits.busy());
        if now + pause > until {
            return Ok(false);
        }
        let waited = tokio::select! {
            () = tokio::time::sleep(pause) => true,
            _ = self.stop.requested() => false,
        };
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
        match self.start(args, prompt_on_stdin).await {
            Ok(process) => {
                self.budget.spawned();
                self.meter.started();
                Ok(Ok(self.table.push(process)?))
            }
            Err(refusal) => {
                tracing::warn!(reason = ?refusal.reason, message = refusal.message, "codex is not started");
                self.meter.refused();
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
        let refusal = |reason, message: String| codex::Refusal { reason, message };
        if self.stop.cause().is_some() {
            return Err(refusal(
                Reason::Stopped,
                "The turn was stopped before codex was started.".into(),
            ));
        }
        self.budget.check_spawn(&args).map_err(|reason| {
            self.write_record(&record::Entry::Refused {
                rule: LIMITS_RULE,
                reason: &reason,
                argv: &shown(&args),
            });
            refusal(Reason::Denied, reason)
        })?;
        let call = Call {
            prompt_on_stdin: prompt_on_stdin.is_some(),
            stored: self.threads.held(),
            images: self.images.len(),
        };
        let allowed = self.grant.check(&args, &call).map_err(|refused| {
            let reason = refused.to_string();
            self.write_record(&record::Entry::Refused {
                rule: ARGV_RULE,
                reason: &reason,
                argv: &shown(&args),
            });
            refusal(Reason::Denied, reason)
        })?;
        let program = self
            .program
            .get(self.config.binary.as_deref(), &self.workspace)
            .map_err(|error| {
                let reason = match error {
                    ProgramError::NotInstalled(_) => Reason::NotInstalled,
                    ProgramError::NotExecutable(_) => Reason::NotExecutable,
                };
                refusal(reason, error.to_string())
            })?;
        let environment: Vec<_> = EnvironmentRule::new(&self.config.env)
            .filter(std::env::vars_os())
            .collect();
        let names: Vec<String> = environment
            .iter()
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .collect();
        self.images.put_paths(&mut args, &allowed.images);
        let limits = &self.config.limits;
        let start = Start {
            program: &program,
            args: &args,
            workspace: &self.workspace,
            environment: &environment,
            prompt_on_stdin,
            guard: self.guard.clone(),
            start_timeout: limits.start(),
            turn_deadline: self.turn_deadline,
            grace: limits.grace(),
            max_output_bytes: limits.output_bytes(),
        };
        let process = Process::spawn(&*self.spawner, start, self.stop.clone()).await.map_err(|error| {
            let reason = match error.kind() {
                ErrorKind::PermissionDenied => Reason::NotExecutable,
                _ if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => Reason::NotExecutable,
                _ => Reason::Failed,
            };
            let message = format!(
                "{} could not be started in {} ({error}): check that the file is a program for this machine, and that the folder exists",
                program.display(),
                self.workspace.display()
            );
            refusal(reason, message)
        })?;
        tracing::info!(pid = process.id(), program = %program.display(), argv = shown(&args), "codex started");
        self.write_record(&record::Entry::Allowed {
            rule: ARGV_RULE,
            program: &program.to_string_lossy(),
            argv: &shown(&args),
            environment: &names,
            pid: process.id(),
        });
        Ok(process)
    }
}

/// The rule that decides about the arguments; see [`Grant`].
const ARGV_RULE: &str = "argv grammar";

/// The rule that decides about their number, and that of the calls; see [`Budget`].
const LIMITS_RULE: &str = "guest limits";

impl CodexCtx {
    /// Ends every codex that the component has left running, when it is done or was stopped, and waits until they are
    /// gone: whoever hears of the end of a turn finds its conversation free.
    pub(crate) async fn end_codex(&mut self) {
        let end = self.config.limits.end();
        let mut ended = Vec::new();
        let processes = self.table.iter_mut();
        let running = processes.filter_map(|entry| entry.downcast_mut::<Process>());
        for process in running.filter(|process| !process.is_over()) {
            process.terminate(StopCause::Terminated);
            ended.push((process.id(), process.wait(end).await));
        }
        for (pid, exit) in ended {
            match exit {
                Ok(exit) => self.note_end(pid, &exit),
                Err(error) => tracing::error!(pid, %error, "how codex ended is unknown"),
            }
        }
    }

    /// Tells the metrics, the log and the record.
    fn note_end(&self, pid: i32, exit: &Exit) {
        self.meter.left_behind(exit.left_behind);
        tracing::info!(pid, status = %exit.status, stopped = ?exit.stopped, "codex ended");
        self.write_record(&record::Entry::Ended {
            pid,
            status: &exit.status.to_string(),
            stopped: exit.stopped.map(StopCause::as_str),
            stdout_bytes: exit.output_bytes,
            left_behind: exit.left_behind,
            milliseconds: record::milliseconds(exit.duration),
        });
    }

    /// Writes a line of the record, if one is kept.
    fn write_record(&self, entry: &record::Entry<'_>) {
        if let Some(recorder) = &self.recorder
            && let Err(error) = recorder.write(&self.component_sha256, &self.workspace, entry)
        {
            tracing::error!(%error, "a line of the record could not be written");
        }
    }
}

/// The arguments for a log: all of them but the prompt, which is the conversation's.
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
        // The guest's number is only a wish: a batch is held in memory twice.
        let max_bytes = usize::try_from(max_bytes)?.min(MAX_BATCH_BYTES);
        let limits = &self.config.limits;
        let clock = |duration, cause| Clock { duration, cause };
        let idle = match awaiting {
            codex::Awaited::Model => clock(limits.idle(), StopCause::IdleTimeout),
            codex::Awaited::Tool => clock(limits.tool_idle(), StopCause::IdleTimeout),
            codex::Awaited::End => clock(limits.end(), StopCause::Lingering),
        };
        let process = self.table.get_mut(&child)?;
        let lines = process.lines(max_bytes, idle).await?;
        if !lines.is_end() {
            self.budget.codex_acted();
            self.meter.output(lines.text.len(), lines.skipped.len());
        }
        self.threads.hear(process.opening.of(&lines.text));
        Ok(codex::Output {
            text: lines.text,
            skipped: lines.skipped,
        })
    }

    async fn wait(&mut self, child: Resource<Process>) -> Result<codex::Exit> {
        let end = self.config.limits.end();
        let process = self.table.get_mut(&child)?;
        let pid = process.id();
        let exit = process.wait(end).await?;
        // A component may ask again, as often as its computing time (`guest.cpu_seconds`) allows.
        if process.take_unnoted() {
            self.note_end(pid, &exit);
        }
        Ok(codex::Exit {
            status: match (exit.status.code(), exit.status.signal()) {
                (Some(code), _) => codex::ExitStatus::Code(code),
                (None, signal) => codex::ExitStatus::Signal(signal.unwrap_or(0)),
            },
            stopped: exit.stopped.map(|cause| match cause {
                StopCause::Cancelled => codex::StopCause::Cancelled,
                StopCause::Terminated => codex::StopCause::Terminated,
                StopCause::StartTimeout => codex::StopCause::StartTimeout,
                StopCause::IdleTimeout => codex::StopCause::IdleTimeout,
                StopCause::TurnTimeout => codex::StopCause::TurnTimeout,
                StopCause::OutputLimit => codex::StopCause::OutputLimit,
                StopCause::Lingering => codex::StopCause::Lingering,
            }),
            stderr: exit.stderr,
            left_behind: exit.left_behind,
            output_cut: exit.output_cut,
        })
    }

    async fn terminate(&mut self, child: Resource<Process>) -> Result<()> {
        self.table.get_mut(&child)?.terminate(StopCause::Terminated);
        Ok(())
    }

    async fn drop(&mut self, child: Resource<Process>) -> Result<()> {
        self.table.delete(child)?;
        Ok(())
    }
}
