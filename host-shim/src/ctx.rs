//! The capabilities: what the component's imports do.

use std::io::{self, ErrorKind};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::Instrument;
use wasmtime::Result;
use wasmtime::component::{Resource, ResourceTable};

use crate::bindings::{codex, log, session, settings};
use crate::budget::{Budget, Exceeded};
use crate::config::{Config, LostSession, PromptTransport, Sandbox};
use crate::environment::EnvironmentRule;
use crate::event::{Event, Usage};
use crate::grant::{Call, Grant};
use crate::image::StagedImages;
use crate::metrics::Meter;
use crate::process::{Clock, Exit, Process, Start};
use crate::program::{PinnedProgram, ProgramError};
use crate::record::{self, Recorder};
use crate::session_store::{SessionEntry, SessionGuard, SessionStore, StoreFuture};
use crate::spawner::Spawner;
use crate::stop::{Stop, StopCause};
use crate::thread_id::KnownThreads;
use crate::ticker::Ticking;

/// The most bytes of lines that the component gets at a time, unless one line is longer.
pub(crate) const MAX_BATCH_BYTES: usize = 1024 * 1024;

/// What is granted to one turn. It is in the data of the store that the component runs in; dropping it ends codex
/// and lets other turns into the workspace.
pub struct CodexCtx {
    pub(crate) config: Arc<Config>,
    pub(crate) grant: Arc<Grant>,
    pub(crate) sessions: Arc<dyn SessionStore>,
    pub(crate) workspace: PathBuf,
    /// What the store held when the turn began, until the component has asked for it or changes it. Nobody else does
    /// meanwhile.
    pub(crate) stored: Option<Option<SessionEntry>>,
    /// The thread ids that may be kept; the one that the store held when the turn began may be
    /// resumed.
    pub(crate) threads: KnownThreads,
    pub(crate) program: Arc<PinnedProgram>,
    /// The digest of the component, for the record.
    pub(crate) component_sha256: Arc<str>,
    pub(crate) recorder: Option<Recorder>,
    /// What keeps other turns out of the workspace.
    pub(crate) guard: Option<Arc<dyn SessionGuard>>,
    /// How codex is started.
    pub(crate) spawner: Arc<dyn Spawner>,
    /// The images of the request.
    pub(crate) images: StagedImages,
    pub(crate) stop: Stop,
    /// When the turn must be over.
    pub(crate) turn_deadline: Instant,
    pub(crate) meter: Meter,
    /// How long to wait, and until when, while somebody else uses the conversation.
    pub(crate) next_back_off: Option<Duration>,
    pub(crate) busy_deadline: Option<Instant>,
    pub(crate) table: ResourceTable,
    /// What the component has used up.
    pub(crate) budget: Budget,
    /// What the provider keeps while the turn runs: its clock and one of its places.
    pub(crate) _ticking: Option<Ticking>,
    pub(crate) _place: Option<OwnedSemaphorePermit>,
}

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
    /// Notes an event that the runtime passes on, for [`Codex::metrics`](crate::Codex::metrics) and the turn's span. Of a
    /// turn whose [`Event::MessageEnd`] is not noted, they say that its caller went away.
    pub fn note(&self, event: &Event) {
        self.meter.event(event);
    }

    /// The clock has ticked while the component computed.
    pub(crate) fn tick(&mut self) -> Result<(), Exceeded> {
        let stopped = self.stop.cause().is_some();
        self.budget.tick(stopped, self.stop.is_abandoned())
    }

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
        self.note_end(pid, &exit);
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

impl session::Host for CodexCtx {
    async fn load(&mut self) -> Result<Result<Option<session::Entry>, String>> {
        let loaded = match self.stored.take() {
            Some(stored) => Ok(stored),
            None => self.sessions.load(&self.workspace).await,
        };
        Ok(loaded
            .map(|entry| entry.map(Into::into))
            .map_err(|error| error.to_string()))
    }

    async fn save(&mut self, entry: session::Entry) -> Result<Result<(), String>> {
        if let Err(reason) = self.threads.check(&entry.thread_id) {
            tracing::warn!(reason, "a thread id is not kept");
            self.budget.refused(reason)?;
            return Ok(Err(reason.into()));
        }
        self.stored = None;
        let entry = entry.into();
        let saved = self.change_session(|sessions, workspace| sessions.save(workspace, entry));
        Ok(saved.await.map_err(|error| error.to_string()))
    }

    async fn set_aside(&mut self) -> Result<Result<(), String>> {
        self.stored = None;
        let set_aside = self.change_session(|sessions, workspace| sessions.set_aside(workspace));
        Ok(set_aside.await.map_err(|error| error.to_string()))
    }
}

impl CodexCtx {
    /// Changes what is kept of the session. That is carried through even when the turn is dropped meanwhile, and other
    /// turns are kept out until then: two that replace a file at the same time could put half of one in its place.
    fn change_session<F>(&self, change: F) -> impl Future<Output = io::Result<()>> + use<F>
    where
        F: for<'a> FnOnce(&'a dyn SessionStore, &'a Path) -> StoreFuture<'a, ()> + Send + 'static,
    {
        let (sessions, workspace) = (Arc::clone(&self.sessions), self.workspace.clone());
        let guard = self.guard.clone();
        let task = async move {
            let changed = change(&*sessions, &workspace).await;
            drop(guard);
            changed
        };
        let task = tokio::spawn(task.in_current_span());
        async { task.await.map_err(io::Error::other)? }
    }
}

impl settings::Host for CodexCtx {
    fn get(&mut self) -> Result<settings::Settings> {
        let config = &self.config;
        let models = config.supported_models.iter();
        Ok(settings::Settings {
            models: models
                .map(|id| settings::ModelArgs {
                    id: id.clone(),
                    args: config.args_of(id),
                })
                .collect(),
            extra_args: config.extra_args.clone(),
            sandbox: match config.sandbox {
                Sandbox::DangerFullAccess => settings::Sandbox::DangerFullAccess,
                Sandbox::WorkspaceWrite => settings::Sandbox::WorkspaceWrite,
                Sandbox::ReadOnly => settings::Sandbox::ReadOnly,
            },
            prompt: match config.prompt {
                PromptTransport::Automatic => settings::PromptTransport::Automatic,
                PromptTransport::Stdin => settings::PromptTransport::Stdin,
            },
            lost_session: match config.lost_session {
                LostSession::Replay => settings::LostSession::Replay,
                LostSession::Fresh => settings::LostSession::Fresh,
                LostSession::Fail => settings::LostSession::Fail,
            },
        })
    }
}

impl log::Host for CodexCtx {
    fn write(&mut self, level: log::Level, message: String) -> Result<()> {
        let Some(message) = self.budget.take_log(level, &message) else {
            return Ok(());
        };
        match level {
            log::Level::Trace => {
                tracing::trace!(target: "plexum_openai_provider::guest", "{message}")
            }
            log::Level::Debug => {
                tracing::debug!(target: "plexum_openai_provider::guest", "{message}")
            }
            log::Level::Info => {
                tracing::info!(target: "plexum_openai_provider::guest", "{message}")
            }
            log::Level::Warn => {
                tracing::warn!(target: "plexum_openai_provider::guest", "{message}")
            }
            log::Level::Error => {
                tracing::error!(target: "plexum_openai_provider::guest", "{message}")
            }
        }
        Ok(())
    }
}

impl From<SessionEntry> for session::Entry {
    fn from(entry: SessionEntry) -> Self {
        let totals = entry.totals.map(|totals| session::Totals {
            input_tokens: totals.input_tokens,
            cached_input_tokens: totals.cached_input_tokens,
            cache_write_input_tokens: totals.cache_write_input_tokens,
            output_tokens: totals.output_tokens,
            reasoning_output_tokens: totals.reasoning_output_tokens,
        });
        session::Entry {
            thread_id: entry.thread_id,
            totals,
        }
    }
}

impl From<session::Entry> for SessionEntry {
    fn from(entry: session::Entry) -> Self {
        let totals = entry.totals.map(|totals| Usage {
            input_tokens: totals.input_tokens,
            cached_input_tokens: totals.cached_input_tokens,
            cache_write_input_tokens: totals.cache_write_input_tokens,
            output_tokens: totals.output_tokens,
            reasoning_output_tokens: totals.reasoning_output_tokens,
        });
        SessionEntry {
            thread_id: entry.thread_id,
            totals,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard};

    use super::*;
    use crate::bindings::session::Host;
    use crate::codex::Codex;
    use crate::request::Request;

    /// Saves when it is told to.
    #[derive(Clone, Default)]
    struct Slow {
        lock: Arc<AsyncMutex<()>>,
        begun: Arc<Notify>,
        go_on: Arc<Notify>,
        saved: Arc<Mutex<Option<SessionEntry>>>,
    }

    impl SessionGuard for OwnedMutexGuard<()> {}

    impl SessionStore for Slow {
        fn lock<'a>(&'a self, _: &'a Path) -> StoreFuture<'a, Arc<dyn SessionGuard>> {
            Box::pin(async {
                let guard = Arc::clone(&self.lock).lock_owned().await;
                Ok(Arc::new(guard) as Arc<dyn SessionGuard>)
            })
        }

        fn load<'a>(&'a self, _: &'a Path) -> StoreFuture<'a, Option<SessionEntry>> {
            Box::pin(std::future::ready(Ok(Some(entry()))))
        }

        fn save<'a>(&'a self, _: &'a Path, entry: SessionEntry) -> StoreFuture<'a, ()> {
            Box::pin(async {
                self.begun.notify_one();
                self.go_on.notified().await;
                *self.saved.lock().unwrap() = Some(entry);
                Ok(())
            })
        }

        fn set_aside<'a>(&'a self, _: &'a Path) -> StoreFuture<'a, ()> {
            Box::pin(std::future::ready(Ok(())))
        }
    }

    fn entry() -> SessionEntry {
        SessionEntry {
            thread_id: "01a20000-0000-7000-8000-000000000001".into(),
            totals: None,
        }
    }

    #[tokio::test]
    async fn a_turn_that_is_dropped_while_it_saves_keeps_others_out_until_that_is_done() {
        let workspace = tempfile::tempdir().unwrap();
        let store = Slow::default();
        let codex = Codex::new(Config::default(), b"")
            .unwrap()
            .with_session_store(store.clone());
        let request = Request::prompt("hello");
        let mut turn = codex.open(workspace.path(), request).await.unwrap();
        {
            let save = turn.ctx.save(entry().into());
            tokio::select! {
                saved = save => panic!("{saved:?}"),
                () = store.begun.notified() => {}
            }
        }
        drop(turn);
        assert!(store.lock.try_lock().is_err(), "another turn would begin");
        store.go_on.notify_one();
        let _next = store.lock.lock().await;
        assert_eq!(*store.saved.lock().unwrap(), Some(entry()));
    }
}
