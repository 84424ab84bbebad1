//! The sessions: those that are open here, and those that can be opened.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plexum_openai_provider::{
    Description, IndexedSession, Model, Provider, SessionFiles, SessionIndex, SessionKey,
};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinSet, spawn_blocking};

use super::conversation::Conversation;
use super::error;
use super::history;
use super::message::{Message, Success, updated};
use super::method::{ListSessions, NewSession, absolute};
use super::options::Chosen;
use super::servers::{self, Others};
use crate::json_rpc::error::RpcError;
use crate::json_rpc::line::MAX_LINE_BYTES;
use crate::json_rpc::message::Id;
use crate::json_rpc::outgoing::Outgoing;

/// How many sessions are listed at a time.
const PAGE: usize = 50;

/// How much work may be under way at once, answers that wait for the client included.
const MOST_WORK: usize = 1024;

/// How much all prompts together may hold that wait or run, in bytes: some of the longest lines.
const MOST_WAITING_BYTES: usize = 4 * MAX_LINE_BYTES;

/// The sessions, and the work that goes on in them.
pub struct Sessions {
    inner: Arc<Inner>,
    tasks: JoinSet<()>,
}

struct Inner {
    provider: Provider,
    index: SessionIndex,
    /// Where their conversations are kept, if what was said in them can be told.
    files: Option<SessionFiles>,
    models: Vec<Model>,
    /// The MCP servers that codex does not have.
    others: Others,
    events: mpsc::Sender<Message>,
    open: Mutex<HashMap<String, Conversation>>,
    /// Whether the agent is about to end.
    ending: watch::Sender<bool>,
    /// How much more the prompts that wait or run may hold, in bytes.
    room: Arc<Semaphore>,
}

type Answer = Result<Success, RpcError>;

impl Sessions {
    /// Runs turns with `provider`, and sends what happens in them to `events`.
    pub fn new(
        provider: Provider,
        index: SessionIndex,
        files: Option<SessionFiles>,
        description: &Description,
        others: Others,
        events: mpsc::Sender<Message>,
    ) -> Self {
        Sessions {
            inner: Arc::new(Inner {
                provider,
                index,
                files,
                models: description.models.clone(),
                others,
                events,
                open: Mutex::default(),
                ending: watch::Sender::new(false),
                room: Arc::new(Semaphore::new(MOST_WAITING_BYTES)),
            }),
            tasks: JoinSet::new(),
        }
    }

    /// Begins a session.
    pub fn create(&mut self, id: Id, params: NewSession, shows_notices: bool) {
        let inner = Arc::clone(&self.inner);
        self.answer(id, async move {
            let (workspace, warning) = inner.checked(params).await?;
            let created = inner.index.create(workspace).await;
            let record = created.map_err(|error| error::of_store(&error))?;
            let session_id = record.id.clone();
            inner.open(record, shows_notices, warning);
            Ok(Success::NewSession {
                session_id,
                config_options: Chosen::default().options(&inner.models),
            })
        });
    }

    /// Goes on with a session.
    pub fn resume(&mut self, id: Id, session_id: String, params: NewSession, shows_notices: bool) {
        let inner = Arc::clone(&self.inner);
        self.answer(id, async move {
            let resumed = inner.resume(&session_id, params, shows_notices).await;
            resumed.map(|(_, options)| options)
        });
    }

    /// Whether what was said in them can be told.
    pub fn have_history(&self) -> bool {
        self.inner.files.is_some()
    }

    /// Goes on with a session, and tells what was said in it before.
    ///
    /// # Errors
    /// If that cannot be told here.
    pub fn load(
        &mut self,
        id: Id,
        session_id: String,
        params: NewSession,
        shows_notices: bool,
    ) -> Result<(), RpcError> {
        let Some(files) = self.inner.files.clone() else {
            let message = "with a fleet, this agent cannot tell what was said before: open the session with `session/resume`";
            return Err(error::in_vain(message));
        };
        let inner = Arc::clone(&self.inner);
        self.answer(id, async move {
            let (conversation, options) = inner.resume(&session_id, params, shows_notices).await?;
            let record = conversation.record();
            if record.begun {
                let key = SessionKey::new(record.workspace(), Some(session_id.clone()));
                for update in history::updates(files.history(&key).await) {
                    // The client is gone if it cannot be sent.
                    let _ = inner.events.send(updated(&session_id, update)).await;
                }
            }
            Ok(options)
        });
        Ok(())
    }

    /// Lists sessions, a page at a time.
    pub fn list(&mut self, id: Id, params: ListSessions) {
        let inner = Arc::clone(&self.inner);
        self.answer(id, async move {
            if let Some(cwd) = &params.cwd {
                absolute("cwd", cwd)?;
            }
            let page = inner.index.page(params.cwd, params.cursor, PAGE).await;
            let page = page.map_err(|error| error::of_store(&error))?;
            Ok(Success::Sessions {
                sessions: page.sessions.into_iter().map(Into::into).collect(),
                next_cursor: page.next,
            })
        });
    }

    /// Whether so much is under way that no more is begun: a client that does not read its answers.
    pub fn is_overloaded(&self) -> bool {
        self.tasks.len() >= MOST_WORK
    }

    /// Chooses for the next turns of a session. It is answered when that is kept.
    ///
    /// # Errors
    /// If it is not open, or there is no such choice.
    pub fn choose(
        &mut self,
        id: Id,
        session_id: &str,
        option: &str,
        value: &str,
    ) -> Result<(), RpcError> {
        let conversation = self.get(session_id)?;
        let models = &self.inner.models;
        let mut chosen = conversation.chosen();
        chosen.choose(models, option, value)?;
        let config_options = chosen.options(models);
        // From here on, whatever is asked for next.
        let kept = conversation.choose(chosen);
        self.answer(id, async move {
            kept.await;
            Ok(Success::Options { config_options })
        });
        Ok(())
    }

    /// Cancels what goes on in a session, and lets go of it. It can be resumed.
    ///
    /// # Errors
    /// If it is not open.
    pub fn close(&mut self, id: Id, session_id: &str) -> Result<(), RpcError> {
        let conversation = self.get(session_id)?;
        let closed = self.closed(conversation);
        self.answer(id, async move {
            closed.conversation.end().await;
            Ok(Success::Done {})
        });
        Ok(())
    }

    /// Forgets a session, after what goes on in it was cancelled. That there is none is fine, as the protocol has it.
    pub fn delete(&mut self, id: Id, session_id: String) {
        let open = self.inner.open_sessions().get(&session_id).cloned();
        let closed = open.map(|conversation| self.closed(conversation));
        let inner = Arc::clone(&self.inner);
        self.answer(id, async move {
            let mut known = None;
            if let Some(Closed { conversation, .. }) = &closed {
                conversation.end().await;
                known = Some(conversation.record());
            }
            let removed = inner.index.remove(&session_id, known).await;
            removed.map_err(|error| error::of_store(&error))?;
            Ok(Success::Done {})
        });
    }

    /// Closes a session, whose turn and prompts are cancelled. It is still to end.
    fn closed(&mut self, conversation: Conversation) -> Closed {
        self.say(conversation.close());
        let inner = Arc::clone(&self.inner);
        Closed {
            inner,
            conversation,
        }
    }

    /// Cancels the turn of a session, and all prompts that wait for theirs.
    pub fn cancel(&mut self, conversation: &Conversation) {
        self.say(conversation.cancel_all());
    }

    /// The session of this id that is open.
    ///
    /// # Errors
    /// If there is none.
    pub fn get(&self, id: &str) -> Result<Conversation, RpcError> {
        let found = self.inner.open_sessions().get(id).cloned();
        let found = found.filter(|found| !found.is_closing());
        found.ok_or_else(|| error::unknown_session(id))
    }

    /// Runs the work of a session.
    pub fn run(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work);
    }

    /// Cancels the prompt of this id.
    pub fn cancel_prompt(&mut self, id: &Id) {
        let found = {
            let open = self.inner.open_sessions();
            open.values()
                .find_map(|conversation| conversation.cancel(id))
        };
        match found {
            Some(said) => self.say(said),
            None => tracing::info!("a request that is not under way cannot be cancelled"),
        }
    }

    /// Stops all turns, whose ends still come, and opens no more sessions.
    pub fn cancel_all(&mut self) {
        self.inner.ending.send_replace(true);
        let said = {
            let open = self.inner.open_sessions();
            let all = open.values().flat_map(Conversation::cancel_all);
            all.collect()
        };
        self.say(said);
    }

    /// Sends messages as soon as there is room for them.
    fn say(&mut self, messages: Vec<Message>) {
        let events = self.inner.events.clone();
        self.tasks.spawn(async move {
            for message in messages {
                // The client is gone if it cannot be sent.
                let _ = events.send(message).await;
            }
        });
    }

    /// Whether no work is left.
    pub fn is_idle(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Waits until some work is over.
    pub async fn some_is_over(&mut self) {
        if let Some(Err(error)) = self.tasks.join_next().await {
            tracing::error!(%error, "a session was lost: report this");
        }
    }

    /// Answers when the answer is known.
    fn answer(&mut self, id: Id, answer: impl Future<Output = Answer> + Send + 'static) {
        let events = self.inner.events.clone();
        self.tasks.spawn(async move {
            // On a task of its own: whatever becomes of that, there is an answer.
            let answer = tokio::spawn(answer).await.unwrap_or_else(|error| {
                tracing::error!(%error, "a request was lost");
                let message = "The request was lost: report this, with the agent's log.";
                Err(error::internal(message))
            });
            // The client is gone if it cannot be sent.
            let _ = events.send(Outgoing::answer(id, answer)).await;
        });
    }
}

/// A session that is being closed. Dropping this lets go of it, whatever has become of the work on it.
struct Closed {
    inner: Arc<Inner>,
    conversation: Conversation,
}

impl Drop for Closed {
    fn drop(&mut self) {
        let mut open = self.inner.open_sessions();
        open.retain(|_, open| !open.is(&self.conversation));
        self.conversation.set_gone();
    }
}

impl Inner {
    fn open_sessions(&self) -> MutexGuard<'_, HashMap<String, Conversation>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a session, unless it is being closed. If it is open already, its folder may have been renamed since. Its next
    /// turn begins with the warning.
    fn open(
        &self,
        record: IndexedSession,
        shows_notices: bool,
        warning: Option<String>,
    ) -> Option<Conversation> {
        let mut open = self.open_sessions();
        if let Some(conversation) = open.get(&record.id) {
            return (!conversation.is_closing()).then(|| {
                conversation.take_record(record);
                conversation.warn(warning);
                conversation.clone()
            });
        }
        let id = record.id.clone();
        let conversation = Conversation::new(
            self.provider.clone(),
            self.index.clone(),
            self.events.clone(),
            Arc::clone(&self.room),
            shows_notices,
            record,
        );
        conversation.warn(warning);
        open.insert(id, conversation.clone());
        Some(conversation)
    }

    /// Waits until nothing is left of the session of this id that is being closed.
    async fn until_closed(&self, id: &str) {
        loop {
            let open = self.open_sessions().get(id).cloned();
            match open.filter(Conversation::is_closing) {
                Some(closing) => closing.gone().await,
                None => return,
            }
        }
    }

    /// Opens a session of before. Returns it with what there is to choose for it.
    async fn resume(
        &self,
        session_id: &str,
        params: NewSession,
        shows_notices: bool,
    ) -> Result<(Conversation, Success), RpcError> {
        let (workspace, warning) = self.checked(params).await?;
        let conversation = loop {
            self.until_closed(session_id).await;
            let found = self.index.find(session_id, &workspace).await;
            let record = found.map_err(|error| error::of_store(&error))?;
            if let Some(conversation) = self.open(record, shows_notices, warning.clone()) {
                break conversation;
            }
        };
        // What is not on offer any more is not chosen any more.
        let before = conversation.chosen();
        let chosen = before.clone().on_offer(&self.models);
        let config_options = chosen.options(&self.models);
        if chosen != before {
            conversation.choose(chosen).await;
        }
        Ok((conversation, Success::Options { config_options }))
    }

    /// The folder of a session that may be opened, and what its user should know.
    async fn checked(&self, params: NewSession) -> Result<(PathBuf, Option<String>), RpcError> {
        absolute("cwd", &params.cwd)?;
        let cwd = params.cwd.clone();
        let looked = spawn_blocking(move || cwd.read_dir().map(drop)).await;
        if let Ok(Err(error)) = looked
            && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
        {
            let problem = format!("`{}` is not a folder: {error}", params.cwd.display());
            return Err(RpcError::invalid_params("cwd", &problem));
        }
        if !params.additional_directories.is_empty() {
            let problem = "codex works in `cwd` alone: leave out `additionalDirectories`";
            return Err(RpcError::invalid_params("additionalDirectories", problem));
        }
        let warning = if params.mcp_servers.is_empty() {
            None
        } else {
            let mut ending = self.ending.subscribe();
            tokio::select! {
                checked = servers::check(self.provider.config(), &params.mcp_servers, self.others) => checked?,
                // Codex is asked, which may take long.
                _ = ending.wait_for(|ending| *ending) => return Err(error::ending()),
            }
        };
        Ok((params.cwd, warning))
    }
}
