//! The import `codex-server`: a conversation in a codex that stays.
//!
//! **Invariant:** every message to codex is composed here, from the request and the configuration. The component chooses
//! between a new conversation and the stored one, names one of the configured models, and gives the prompt's text; it says
//! which of the request's other parts codex is given.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasmtime::Result;
use wasmtime::component::Resource;

use super::CodexCtx;
use super::codex::{exit_to_wit, no_program, not_started, status_to_wit, stop_cause};
use crate::app_server::arguments::arguments as start_arguments;
use crate::app_server::ask::{Held, Reply, TurnLimits};
use crate::app_server::envelope::{Hello, OpenedThread};
use crate::app_server::outgoing::{self, Prompt, Terms};
use crate::app_server::pool::{OpenThread, Purpose, Warm};
use crate::app_server::server::{Server, Turn};
use crate::app_server::stamp::{Rollout, StartStamp};
use crate::capability::bindings::codex::{self, RefusalReason};
use crate::capability::bindings::codex_server::{
    self, Conversation, Finished, NotOpened, Opened, PromptOptions, Wanted,
};
use crate::codex::exit::Exit;
use crate::codex::framing::{Lines, MAX_LINE_BYTES};
use crate::codex::spawner::Command;
use crate::codex::start::StartError;
use crate::codex::stop::StopCause;
use crate::codex::task::MAX_BATCH_BYTES;
use crate::config::{RecordRule, Sandbox, ServerArguments, Transport};
use crate::contract::thread_id::is_uuid;
use crate::grant::environment::EnvironmentRule;
use crate::session::store::SessionKey;
use crate::telemetry::metrics::{Meter, ServerClosed};
use crate::telemetry::record::{self, TurnRecord};

/// What the record names as the rule that decided.
const RULE: &str = "codex-server";

/// What begins a turn.
const TURN_START: &str = "turn/start";

/// A variable that `codex exec` takes as its login and `codex app-server` ignores: another account would be charged.
const API_KEY: &str = "CODEX_API_KEY";

/// What there is to say when the turn runs with `codex exec` all the same.
const PAYS_ANOTHER: &str = "CODEX_API_KEY is set, which `codex app-server` ignores, so the turn runs with `codex exec`. To use app-server, log codex in with that key (`codex login --with-api-key`), and unset the variable.";
const NO_UTF8: &str = "The name of the workspace's folder is not UTF-8, which `codex app-server` cannot be told, so the turn runs with `codex exec`.";
const TOO_MUCH_SAID: &str = "The conversation is longer than `codex app-server` can hand over at once, so the turn runs with `codex exec`.";

/// A prompt of more bytes is not handed to codex, which takes a million characters.
const MOST_PROMPT_BYTES: usize = MAX_LINE_BYTES;

/// What codex says of a prompt that is too long.
const PROMPT_TOO_LONG: &str = "Input exceeds the maximum length of 1048576 characters.";

/// A turn of a codex that stays, as the component holds it.
pub struct ServerTurn {
    /// `None` once it has finished, and while codex is asked something.
    turn: Option<Turn>,
    /// How it ended, once it has finished.
    finished: Option<Finished>,
    /// What codex has open.
    thread: OpenThread,
    /// Whether codex has been given the prompt. A second one would be put into the turn that runs.
    prompted: bool,
    meter: Meter,
}

impl ServerTurn {
    fn new(turn: Turn, thread: OpenThread, meter: &Meter) -> Self {
        ServerTurn {
            turn: Some(turn),
            finished: None,
            thread,
            prompted: false,
            meter: meter.clone(),
        }
    }

    /// Lets go of it: if it runs, it is ended, and codex too.
    fn let_go(&mut self) {
        if self.turn.take().is_some() {
            self.meter.server_closed(ServerClosed::Dropped);
        }
    }
}

impl Drop for ServerTurn {
    fn drop(&mut self) {
        // Nobody has waited for its end.
        self.let_go();
    }
}

impl codex_server::Host for CodexCtx {
    async fn open(&mut self, wanted: Wanted) -> Result<Result<Opened, NotOpened>> {
        match self.open_conversation(wanted).await {
            Ok(turn) => {
                let (thread_id, model) = (turn.thread.id.clone(), turn.thread.model.clone());
                Ok(Ok(Opened {
                    turn: self.table.push(turn)?,
                    thread_id,
                    model,
                }))
            }
            Err(why) => {
                if let NotOpened::Refused(refusal) = &why {
                    if refusal.reason == RefusalReason::Denied {
                        let entry = record::Entry::Refused {
                            rule: RULE,
                            reason: &refusal.message,
                            argv: "app-server",
                        };
                        self.record.write(&entry, &self.meter);
                    }
                    tracing::warn!(reason = ?refusal.reason, message = refusal.message, "no conversation is opened");
                    self.meter.refused();
                    self.budget.refused(&refusal.message)?;
                }
                Ok(Err(why))
            }
        }
    }
}

fn refused(reason: RefusalReason, message: impl Into<String>) -> NotOpened {
    NotOpened::Refused(codex::Refusal {
        reason,
        message: message.into(),
    })
}

fn stopped() -> NotOpened {
    refused(
        RefusalReason::Stopped,
        "The turn was stopped before codex began it.",
    )
}

impl CodexCtx {
    async fn open_conversation(&mut self, wanted: Wanted) -> Result<ServerTurn, NotOpened> {
        if self.is_closed || self.bounds.stop.cause().is_some() {
            return Err(stopped());
        }
        let denied = |reason: String| refused(RefusalReason::Denied, reason);
        if self.config.transport() != Transport::AppServer {
            let message = "Codex may not stay: `transport` is \"exec\" in config.json.";
            return Err(denied(message.into()));
        }
        self.budget.check_spawn(&[]).map_err(denied)?;
        let config = Arc::clone(&self.config);
        let models = &config.supported_models;
        if !models.iter().any(|model| model.id == wanted.model) {
            let message = format!("The model `{}` is not configured.", wanted.model);
            return Err(denied(message));
        }
        let model_args = config.args_of(&wanted.model);
        let arguments = ServerArguments::of(model_args.iter().chain(&config.extra_args))
            .map_err(|_| denied("An argument is not taken by `codex app-server`.".into()))?;
        let stored = match wanted.conversation {
            Conversation::New => None,
            Conversation::Stored => {
                let held = self.threads.held().filter(|held| is_uuid(held));
                let held = held.ok_or_else(|| denied("No conversation is stored.".into()))?;
                Some(held.to_owned())
            }
        };
        let instructions = match (wanted.instructions, self.handover.instructions()) {
            (false, _) => None,
            (true, Some(instructions)) if stored.is_none() => Some(instructions.to_owned()),
            (true, _) => {
                let message = "Only a new conversation can be given instructions, and only those of the request.";
                return Err(denied(message.into()));
            }
        };
        let environment = self.environment();
        let key = SessionKey::new(&self.workspace, self.session_name.clone());
        // While files are looked at, its supervisor sees what is there. The task that owns it never waits; if this were
        // given up, codex would be, too.
        let warm = match self.servers.take(&key, stored.as_deref()) {
            Some(warm) => self.begin(warm).await,
            None => None,
        };
        let pays = |(name, value): &(OsString, OsString)| name == API_KEY && !value.is_empty();
        let unfit = if environment.iter().any(pays) {
            Some(PAYS_ANOTHER)
        } else if self.workspace.to_str().is_none() {
            Some(NO_UTF8)
        } else {
            None
        };
        if let Some(why) = unfit {
            // It would keep `codex exec` out of the conversation.
            self.close_out_of_date(&key, warm).await?;
            return Err(NotOpened::Unavailable(self.servers.say_once(why)));
        }
        let looked = {
            let rollout = warm.as_ref().and_then(|warm| warm.thread.rollout.clone());
            let home = warm
                .as_ref()
                .and_then(|warm| warm.thread.purpose.stamp.home());
            let home = home.map(Path::to_owned);
            let (pinned, binary) = (Arc::clone(&self.program), self.config.binary.clone());
            let (workspace, environment) = (self.workspace.clone(), environment.clone());
            // All of it may be on a disk that does not answer.
            tokio::task::spawn_blocking(move || {
                let program = pinned.get(binary.as_deref())?;
                let stamp = StartStamp::now(&program, &workspace, &environment, home);
                let unchanged = rollout.is_some_and(|rollout| rollout.is_unchanged());
                Ok((program, stamp, unchanged))
            })
        };
        let Ok(looked) = self.bounds.within(looked).await else {
            if let Some(warm) = warm {
                self.give_back(warm).await;
            }
            return Err(stopped());
        };
        let looked = looked.map_err(|error| refused(RefusalReason::Failed, error.to_string()));
        let found =
            looked.and_then(|found| found.map_err(|error| NotOpened::Refused(no_program(&error))));
        let (program, stamp, unchanged) = match found {
            Ok(found) => found,
            Err(why) => {
                self.close_out_of_date(&key, warm).await?;
                return Err(why);
            }
        };
        let args = start_arguments(&arguments);
        let purpose = Purpose {
            key,
            args,
            model: arguments.model,
            stamp,
        };
        if let Some(warm) = warm {
            let effort = &warm.thread.effort;
            // One that was given would go on holding.
            let holds = effort.is_some() && self.handover.effort().is_none();
            let is_stored = Some(&warm.thread.id) == stored.as_ref();
            if is_stored && unchanged && warm.thread.purpose == purpose && !holds {
                self.budget.spawned();
                return Ok(warm);
            }
            self.close_out_of_date(&purpose.key, Some(warm)).await?;
        } else {
            let closed = self.bounds.within(self.servers.closed(&purpose.key)).await;
            closed.map_err(|_| stopped())?;
        }
        self.open_in_new_server(&program, &environment, purpose, stored, instructions)
            .await
    }

    /// Begins a turn in a codex that waits, if it has not ended.
    async fn begin(&mut self, warm: Warm) -> Option<ServerTurn> {
        let Warm { server, thread } = warm;
        let pid = server.id();
        let (limits, held) = (self.turn_limits(), self.held());
        let begun = server.begin(thread.id.clone(), self.bounds.clone(), limits, held);
        let Ok(turn) = begun.await else {
            tracing::info!(pid, "the codex that waited has ended");
            self.meter.server_closed(ServerClosed::Broken);
            return None;
        };
        Some(ServerTurn::new(turn, thread, &self.meter))
    }

    /// Has it wait for another turn, because this one was stopped: it is as good for the next as it was for this one.
    async fn give_back(&mut self, mut warm: ServerTurn) {
        let Some(turn) = warm.turn.take() else { return };
        let thread = warm.thread.clone();
        match turn.finish(self.config.limits.grace()).await {
            Ok((finished, server)) if finished.reusable => {
                self.servers.keep(Warm { server, thread });
            }
            Ok(_) | Err(_) => self.meter.server_closed(ServerClosed::Broken),
        }
    }

    /// Closes the one that waited, if there is one, and waits for that: until it has ended, codex lets nobody else have the
    /// conversation.
    async fn close_out_of_date(
        &mut self,
        key: &SessionKey,
        warm: Option<ServerTurn>,
    ) -> Result<(), NotOpened> {
        let Some(turn) = warm.and_then(|mut warm| warm.turn.take()) else {
            return Ok(());
        };
        tracing::info!(
            pid = turn.server_id(),
            "the codex that waits is out of date; it is closed"
        );
        self.meter.server_closed(ServerClosed::OutOfDate);
        let closed = self.servers.end(key, turn.close());
        self.bounds.within(closed).await.map_err(|_| stopped())
    }

    /// Closes the codex that waits with this conversation, because another host has gone on with that: it would never be of
    /// use again.
    pub(crate) async fn close_moved(&mut self) {
        let key = SessionKey::new(&self.workspace, self.session_name.clone());
        let Some(warm) = self.servers.take(&key, self.threads.held()) else {
            return;
        };
        self.meter.server_closed(ServerClosed::OutOfDate);
        let pid = warm.server.id();
        let closed = self.servers.end(&key, warm.server.close());
        let grace = self.config.limits.grace();
        if self.bounds.within_grace(grace, closed).await.is_err() {
            tracing::warn!(pid, "codex has not ended yet");
        }
    }

    /// What the turn keeps until nothing of it is left.
    fn held(&self) -> Held {
        Held {
            session: Arc::clone(&self.session),
            _turn_slot: self.turn_slot.clone(),
            leftovers: self.leftovers.sender(),
        }
    }

    fn turn_limits(&self) -> TurnLimits {
        TurnLimits {
            grace: self.config.limits.grace(),
            max_output_bytes: self.config.limits.output_bytes(),
        }
    }

    /// Starts a codex and opens the conversation in it.
    async fn open_in_new_server(
        &mut self,
        program: &Path,
        environment: &[(OsString, OsString)],
        mut purpose: Purpose,
        stored: Option<String>,
        instructions: Option<String>,
    ) -> Result<ServerTurn, NotOpened> {
        let start_timeout = self.config.limits.start();
        let names: Vec<String> = environment
            .iter()
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .collect();
        let argv = purpose.args.join(" ");
        if self.config.record == RecordRule::Required {
            self.require_start(RULE, program, &argv, &names)
                .await
                .map_err(NotOpened::Refused)?;
        }
        let command = Command {
            program,
            args: &purpose.args,
            workspace: &self.workspace,
            environment,
            stdin: true,
            grace: self.config.limits.grace(),
            // It outlives the turn.
            lock: None,
        };
        let on_end = {
            let (note, servers) = (self.on_server_end(), Arc::downgrade(&self.servers));
            move |pid, exit: &Exit| {
                if let Some(servers) = servers.upgrade() {
                    servers.forget(pid);
                }
                note(pid, exit);
            }
        };
        let spawner = Arc::clone(&self.spawner);
        // Until the turn has begun: only then can codex be suspended.
        let starting = self.bounds.stop.starting();
        let server = Server::start(&*spawner, command, start_timeout, &mut self.bounds, on_end);
        let server = server.await.map_err(|error| match error {
            StartError::Stopped(_) => stopped(),
            StartError::TimedOut(_) => refused(
                RefusalReason::TimedOut,
                format!("{}: {error}. Try again.", program.display()),
            ),
            StartError::Failed(error) => {
                let (reason, remedy) = not_started(&error, true);
                let message = format!(
                    "{} could not be started in {} ({error}): {remedy}.",
                    program.display(),
                    self.workspace.display()
                );
                refused(reason, message)
            }
        })?;
        self.budget.spawned();
        self.meter.started();
        tracing::info!(pid = server.id(), program = %program.display(), argv, "codex started");
        let entry = record::Entry::Allowed {
            rule: RULE,
            program: &program.to_string_lossy(),
            argv: &argv,
            environment: &names,
            pid: server.id(),
        };
        self.record.write(&entry, &self.meter);
        // From here on, what codex says is the turn's: a resumed conversation begins with its token counts.
        let mut turn = server
            .begin(
                stored.clone().unwrap_or_default(),
                self.bounds.clone(),
                self.turn_limits(),
                self.held(),
            )
            .await
            .map_err(|error| refused(RefusalReason::Failed, error.to_string()))?;
        drop(starting);
        let terms = Terms::new(self.config.sandbox, purpose.model.as_deref());
        let number = turn.server().number();
        let mut hello = None;
        let line = match &stored {
            Some(thread_id) => {
                let said: &Hello = hello.insert(self.hello(&mut turn).await?);
                let briefly = said.leaves_out_history();
                let workspace = &self.workspace;
                outgoing::thread_resume(number, thread_id, workspace, terms, briefly)
            }
            None => outgoing::thread_start(number, terms, instructions.as_deref()),
        };
        let line = line.map_err(|error| cannot_be_said(&error))?;
        let method = match &stored {
            Some(_) => "thread/resume",
            None => "thread/start",
        };
        self.note_question(turn.server().id(), method, stored.as_deref())
            .await?;
        let asked = turn.server().request(number, line);
        let result = match self.codex_answers(asked).await? {
            Answered::Result(result) => result,
            // The answer holds the whole conversation. `codex exec` can have it when this one has ended.
            Answered::TooLong if stored.is_some() => {
                let closed = self.servers.end(&purpose.key, turn.close());
                self.bounds.within(closed).await.map_err(|_| stopped())?;
                return Err(NotOpened::Unavailable(self.servers.say_once(TOO_MUCH_SAID)));
            }
            other => result_of(other)?,
        };
        let opened: OpenedThread = serde_json::from_str(&result)
            .map_err(|error| differs(&format!("its answer is not understood: {error}")))?;
        self.check_opened(&opened, stored.as_deref()).await?;
        // A new conversation needs nothing of it, so it is asked for at once.
        let hello = match hello {
            Some(hello) => hello,
            None => self.hello(&mut turn).await?,
        };
        let id = opened.thread.id;
        turn.name_thread(id.clone()).await;
        self.threads.opened(&id);
        if let Some(home) = hello.codex_home
            && purpose.stamp.home() != Some(&home)
        {
            // A script has chosen it. It is what this codex has read, and what the next turn looks at.
            let (program, workspace) = (program.to_owned(), self.workspace.clone());
            let environment = environment.to_owned();
            let stamp = tokio::task::spawn_blocking(move || {
                StartStamp::now(&program, &workspace, &environment, Some(home))
            });
            let stamp = self.bounds.within(stamp).await.map_err(|_| stopped())?;
            purpose.stamp =
                stamp.map_err(|error| refused(RefusalReason::Failed, error.to_string()))?;
        }
        let thread = OpenThread {
            purpose,
            id,
            model: opened.model,
            rollout: opened.thread.path.map(|path| Rollout::at(path.into())),
            effort: None,
            turns: 0,
        };
        Ok(ServerTurn::new(turn, thread, &self.meter))
    }

    /// Starts another codex in the place of one that has ended while it waited.
    async fn start_again(
        &mut self,
        purpose: Purpose,
        thread_id: String,
    ) -> Result<ServerTurn, NotOpened> {
        let environment = self.environment();
        let program = self.resolve_program().await.map_err(NotOpened::Refused)?;
        self.open_in_new_server(&program, &environment, purpose, Some(thread_id), None)
            .await
    }

    /// The environment that codex gets.
    fn environment(&self) -> Vec<(OsString, OsString)> {
        EnvironmentRule::new(&self.config.env)
            .filter(std::env::vars_os())
            .collect()
    }

    /// Lets go of the turns that the component has left running: they are ended then.
    pub(super) fn end_server_turns(&mut self) {
        for entry in self.table.iter_mut() {
            if let Some(held) = entry.downcast_mut::<ServerTurn>() {
                held.let_go();
            }
        }
    }

    /// What codex answers to the first words.
    async fn hello(&mut self, turn: &mut Turn) -> Result<Hello, NotOpened> {
        let answered = self.codex_answers(turn.server().hello()).await?;
        Ok(Hello::of(&result_of(answered)?))
    }

    /// Gives the turn its prompt, and waits for codex's answer. An error of the outer kind is one of before: codex was not
    /// asked.
    async fn ask_prompt(
        &mut self,
        running: &mut Turn,
        thread_id: &str,
        prompt: Prompt<'_>,
    ) -> Result<Result<Answered, NotOpened>, NotOpened> {
        let number = running.server().number();
        let line = outgoing::turn_start(number, thread_id, prompt)
            .map_err(|error| cannot_be_said(&error))?;
        self.note_question(running.server_id(), TURN_START, Some(thread_id))
            .await?;
        let asked = async { Ok(running.prompt(number, line).await) };
        Ok(self.codex_answers(asked).await)
    }

    /// Waits for codex's answer as long as a start may take.
    async fn codex_answers(
        &mut self,
        asked: impl Future<Output = io::Result<Reply>>,
    ) -> Result<Answered, NotOpened> {
        let mut timeout = self.config.limits.start();
        let pauses = Arc::clone(&self.bounds.stop.pauses);
        let reply = pauses.within(&mut timeout, asked);
        let reply = self.bounds.within(reply).await.map_err(|_| stopped())?;
        let Some(reply) = reply else {
            let timeout = self.config.limits.start();
            let message = format!(
                "Codex does not answer within {} s. Try again; if this persists, check whether the machine is overloaded, or raise `limits.start_seconds` in config.json.",
                timeout.as_secs()
            );
            return Err(refused(RefusalReason::TimedOut, message));
        };
        match reply {
            Ok(Reply::Result(result)) => Ok(Answered::Result(result)),
            Ok(Reply::TooLong) => Ok(Answered::TooLong),
            Ok(Reply::NotBegun(exit)) => Ok(Answered::NotBegun(exit)),
            Ok(Reply::Error(words)) => Err(NotOpened::Failed(words)),
            Ok(Reply::Ended(exit)) => Err(NotOpened::Ended(exit_to_wit(exit))),
            Err(error) => Err(refused(RefusalReason::Failed, error.to_string())),
        }
    }

    /// Notes in the record what codex is about to be asked.
    async fn note_question(
        &mut self,
        pid: i32,
        method: &'static str,
        thread_id: Option<&str>,
    ) -> Result<(), NotOpened> {
        if self.config.record != RecordRule::Required {
            let entry = question(pid, method, thread_id);
            self.record.write(&entry, &self.meter);
            return Ok(());
        }
        let thread_id = thread_id.map(str::to_owned);
        let write = move |record: &TurnRecord, meter: &Meter| {
            record.require(&question(pid, method, thread_id.as_deref()), meter)
        };
        self.require_line(write).await.map_err(NotOpened::Refused)
    }

    /// Whether codex has opened what it was asked for. A thread that is open already keeps what it was opened with, and
    /// codex says so only in its answer.
    async fn check_opened(
        &mut self,
        opened: &OpenedThread,
        stored: Option<&str>,
    ) -> Result<(), NotOpened> {
        let sandbox = match self.config.sandbox {
            Sandbox::DangerFullAccess => "dangerFullAccess",
            Sandbox::WorkspaceWrite => "workspaceWrite",
            Sandbox::ReadOnly => "readOnly",
        };
        if opened.sandbox.kind != sandbox {
            return Err(differs(&format!(
                "it is in the sandbox `{}` and not in `{sandbox}`",
                opened.sandbox.kind
            )));
        }
        if opened.approval_policy != Terms::APPROVAL_POLICY {
            return Err(differs("it waits for approvals"));
        }
        if !is_uuid(&opened.thread.id) {
            return Err(differs("its thread has no id"));
        }
        if stored.is_some_and(|stored| !stored.eq_ignore_ascii_case(&opened.thread.id)) {
            return Err(differs("it is another thread"));
        }
        let (cwd, workspace) = (PathBuf::from(&opened.cwd), self.workspace.clone());
        let looked = tokio::task::spawn_blocking(move || is_same_folder(&cwd, &workspace));
        let is_same = self.bounds.within(looked).await.map_err(|_| stopped())?;
        if !is_same.unwrap_or(false) {
            return Err(differs("it works in another folder"));
        }
        Ok(())
    }
}

fn question<'a>(pid: i32, method: &'a str, thread_id: Option<&'a str>) -> record::Entry<'a> {
    record::Entry::Asked {
        rule: RULE,
        pid,
        method,
        thread_id,
    }
}

/// What codex has answered.
enum Answered {
    /// This result.
    Result(String),
    /// Something too long to be read.
    TooLong,
    /// Nothing: it has ended like this and not begun the turn, or the turn was stopped before.
    NotBegun(Option<Exit>),
}

fn cannot_be_said(error: &serde_json::Error) -> NotOpened {
    refused(
        RefusalReason::Denied,
        format!("Codex cannot be told this: {error}."),
    )
}

fn too_long() -> NotOpened {
    refused(
        RefusalReason::Failed,
        "Codex's answer is too long to be read. Set `transport` to \"exec\" in config.json, and report this.",
    )
}

/// What codex has answered, if it has.
fn result_of(answered: Answered) -> Result<String, NotOpened> {
    match answered {
        Answered::Result(result) => Ok(result),
        Answered::TooLong => Err(too_long()),
        Answered::NotBegun(exit) => Err(not_begun(exit)),
    }
}

/// Codex has ended and not begun the turn, or the turn was stopped before.
fn not_begun(exit: Option<Exit>) -> NotOpened {
    match exit {
        Some(exit) => NotOpened::Ended(exit_to_wit(exit)),
        None => stopped(),
    }
}

/// The end of a turn for which codex could not be started.
fn never_ran() -> Finished {
    Finished {
        status: None,
        stopped: None,
        stderr: String::new(),
        left_behind: 0,
    }
}

/// Codex has opened something else than it was asked for.
fn differs(how: &str) -> NotOpened {
    let message = format!(
        "Codex has not opened the conversation that it was asked for: {how}. The turn was not begun. Set `transport` to \"exec\" in config.json, and report this."
    );
    refused(RefusalReason::Failed, message)
}

fn is_same_folder(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |path: &Path| path.metadata().map(|known| (known.dev(), known.ino())).ok();
    id(one).is_some_and(|one| Some(one) == id(other))
}

impl codex_server::HostTurn for CodexCtx {
    async fn prompt(
        &mut self,
        turn: Resource<ServerTurn>,
        text: String,
        images: Vec<u32>,
        options: PromptOptions,
    ) -> Result<Result<(), NotOpened>> {
        let denied = |message: &str| Ok(Err(refused(RefusalReason::Denied, message)));
        let mut files: Vec<PathBuf> = Vec::new();
        let mut named = HashSet::new();
        for image in images {
            match self.handover.image(usize::try_from(image)?) {
                Some(file) if named.insert(image) => files.push(file.to_owned()),
                Some(_) => return denied("An image may be named once."),
                None => return denied("The request has no such image."),
            }
        }
        if text.len() > MOST_PROMPT_BYTES {
            return Ok(Err(NotOpened::Failed(PROMPT_TOO_LONG.to_owned())));
        }
        let effort = self.handover.effort().map(str::to_owned);
        let schema = self.handover.output_schema().map(ToOwned::to_owned);
        if options.effort && effort.is_none() || options.output_schema && schema.is_none() {
            return denied("The request holds no such part.");
        }
        let effort = effort.filter(|_| options.effort);
        let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        let prompt = Prompt {
            text: &text,
            images: &files,
            effort: effort.as_deref(),
            output_schema: schema.as_deref().filter(|_| options.output_schema),
        };
        let held = self.table.get_mut(&turn)?;
        // Out of the table, because codex's answer is waited for; if that is given up, so is the turn.
        let Some(mut running) = held.turn.take() else {
            return denied("The turn is over.");
        };
        if held.prompted {
            held.turn = Some(running);
            return denied("The turn has its prompt.");
        }
        held.prompted = true;
        held.thread.turns += 1;
        if effort.is_some() {
            held.thread.effort.clone_from(&effort);
        }
        let mut is_warm = held.thread.turns > 1;
        let thread = held.thread.clone();
        let mut answered = match self.ask_prompt(&mut running, &thread.id, prompt).await {
            Ok(answered) => answered,
            Err(why) => {
                self.table.get_mut(&turn)?.turn = Some(running);
                return Ok(Err(why));
            }
        };
        // It had ended while it waited, or was about to. Nothing is lost but time.
        if is_warm && let Ok(Answered::NotBegun(Some(_))) = answered {
            is_warm = false;
            let pid = running.server_id();
            tracing::info!(
                pid,
                "the codex that waited has ended; another one is started"
            );
            self.meter.server_closed(ServerClosed::Broken);
            drop(running);
            let replacement = self.start_again(thread.purpose, thread.id).await;
            let held = self.table.get_mut(&turn)?;
            let mut replacement = match replacement {
                Ok(replacement) => replacement,
                Err(why) => {
                    held.finished = Some(never_ran());
                    return Ok(Err(why));
                }
            };
            let Some(again) = replacement.turn.take() else {
                return denied("The turn is over.");
            };
            running = again;
            (replacement.thread.turns, replacement.thread.effort) = (1, effort.clone());
            replacement.prompted = true;
            let id = replacement.thread.id.clone();
            *held = replacement;
            let asked = self.ask_prompt(&mut running, &id, prompt).await;
            answered = asked.unwrap_or_else(Err);
        }
        self.budget.codex_acted();
        let begun = answered.and_then(result_of).map(drop);
        match begun {
            Ok(()) => self.meter.served(is_warm),
            // It may have begun all the same.
            Err(_) => running.interrupt(StopCause::StartTimeout).await,
        }
        self.table.get_mut(&turn)?.turn = Some(running);
        Ok(begun)
    }

    async fn lines(
        &mut self,
        turn: Resource<ServerTurn>,
        max_bytes: u32,
        awaiting: codex::Awaited,
    ) -> Result<codex::Output> {
        let max_bytes = usize::try_from(max_bytes)?.min(MAX_BATCH_BYTES);
        let idle = self.clock(awaiting);
        let held = self.table.get_mut(&turn)?;
        let lines = match &mut held.turn {
            Some(turn) => turn.lines(max_bytes, idle).await?,
            None => Lines::default(),
        };
        Ok(self.heard(lines))
    }

    async fn interrupt(&mut self, turn: Resource<ServerTurn>) -> Result<()> {
        let held = self.table.get(&turn)?;
        if let Some(turn) = &held.turn {
            turn.interrupt(StopCause::Terminated).await;
        }
        Ok(())
    }

    async fn finish(&mut self, turn: Resource<ServerTurn>) -> Result<Finished> {
        let end = self.config.limits.end();
        let held = self.table.get_mut(&turn)?;
        if let Some(running) = held.turn.take() {
            let mut thread = held.thread.clone();
            let rollout = thread.rollout.take();
            // Beside the sweep. What codex still writes then is about this turn.
            let looked = tokio::task::spawn_blocking(move || rollout.map(Rollout::now));
            let (finished, looked) = tokio::join!(running.finish(end), looked);
            let (finished, server) = finished?;
            let rollout = looked.ok().flatten();
            thread.rollout = rollout.map(|rollout| rollout.after(finished.turn_id));
            let ended_with_codex = finished.exit.as_ref().map_or(0, |exit| exit.left_behind);
            held.finished = Some(Finished {
                status: finished.exit.map(|exit| status_to_wit(exit.status)),
                stopped: finished.stopped.map(stop_cause),
                stderr: finished.stderr,
                left_behind: finished.swept.saturating_add(ended_with_codex),
            });
            match finished.reusable {
                true => self.servers.keep(Warm { server, thread }),
                false => self.meter.server_closed(ServerClosed::Broken),
            }
            // The others were counted when codex ended.
            self.meter.left_behind(finished.swept);
        }
        let finished = &self.table.get(&turn)?.finished;
        finished
            .clone()
            .ok_or_else(|| wasmtime::Error::msg("the turn has not begun"))
    }

    async fn drop(&mut self, turn: Resource<ServerTurn>) -> Result<()> {
        self.table.delete(turn)?;
        Ok(())
    }
}
