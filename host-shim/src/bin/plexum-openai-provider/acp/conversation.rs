//! One open session: the prompts that wait, and the turn that runs.
//!
//! **Invariant:** one turn of a session runs at a time, in the order of its prompts, and each prompt is answered once.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use plexum_openai_provider::{
    Content, Event, Failure, FailureKind, ImageSource, IndexedSession, Message as Said, Provider,
    Request, Role, SessionIndex, SessionKey, StopReason, Turn, Usage,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use super::error;
use super::message::{Message, Stopped, Success, Update, updated};
use super::options::Chosen;
use super::update::Updates;
use crate::json_rpc::error::RpcError;
use crate::json_rpc::message::Id;
use crate::json_rpc::outgoing::Outgoing;

/// How many prompts of a session may wait.
const MOST_WAITING: usize = 64;

/// An open session. Cheap to clone.
#[derive(Clone)]
pub struct Conversation(Arc<Inner>);

struct Inner {
    provider: Provider,
    index: SessionIndex,
    events: mpsc::Sender<Message>,
    /// How much more the prompts of all sessions may hold, in bytes.
    room: Arc<Semaphore>,
    shows_notices: bool,
    state: Mutex<State>,
    /// Held while what was chosen is written, so that what is written last is the latest.
    keeping: tokio::sync::Mutex<()>,
    /// Whether a task runs its turns.
    works: watch::Sender<bool>,
    /// Whether it was closed, and nothing of it is left.
    is_gone: watch::Sender<bool>,
}

struct State {
    record: IndexedSession,
    /// Where its folder was before, since it was opened: a codex may still wait there.
    before: Vec<PathBuf>,
    /// Whether it takes no prompts any more.
    is_closing: bool,
    /// What the next turn begins with.
    warning: Option<String>,
    waiting: VecDeque<Prompt>,
    /// The prompt whose turn runs, and how to cancel that.
    running: Option<(Id, watch::Sender<bool>)>,
}

/// More prompts wait, or larger ones, than are kept.
pub struct TooMany;

/// A prompt that waits for its turn.
struct Prompt {
    id: Id,
    content: Vec<Content>,
    /// What the session is called if it begins with this.
    title: Option<String>,
    /// Held until its turn is over.
    _room: OwnedSemaphorePermit,
}

/// How much a prompt holds, in bytes.
fn size(content: &[Content]) -> usize {
    let texts = content.iter().map(|content| match content {
        Content::Text { text } => text.len(),
        Content::Image {
            source: ImageSource::Base64 { media_type, data },
        } => data.len() + media_type.as_deref().map_or(0, str::len),
        // A client of the protocol sends no others.
        _ => 0,
    });
    texts.sum::<usize>() + size_of_val(content)
}

impl Conversation {
    /// A session that is open from now on; what happens in it goes to `events`. Its prompts, with those of the other
    /// sessions, hold no more bytes than `room` has.
    pub fn new(
        provider: Provider,
        index: SessionIndex,
        events: mpsc::Sender<Message>,
        room: Arc<Semaphore>,
        shows_notices: bool,
        record: IndexedSession,
    ) -> Self {
        Conversation(Arc::new(Inner {
            provider,
            index,
            events,
            room,
            shows_notices,
            state: Mutex::new(State {
                record,
                before: Vec::new(),
                is_closing: false,
                warning: None,
                waiting: VecDeque::new(),
                running: None,
            }),
            keeping: tokio::sync::Mutex::default(),
            works: watch::Sender::new(false),
            is_gone: watch::Sender::new(false),
        }))
    }

    /// What has been chosen for it.
    pub fn chosen(&self) -> Chosen {
        let state = self.state();
        Chosen {
            model: state.record.model.clone(),
            effort: state.record.effort.clone(),
        }
    }

    /// Chooses for its next turns. Returns the work of keeping that.
    pub fn choose(&self, chosen: Chosen) -> impl Future<Output = ()> + use<> {
        let mut state = self.state();
        state.record.model = chosen.model;
        state.record.effort = chosen.effort;
        let this = self.clone();
        async move {
            let _keeping = this.0.keeping.lock().await;
            // Perhaps another one since.
            let Chosen { model, effort } = this.chosen();
            this.keep(|record| {
                record.model = model;
                record.effort = effort;
            })
            .await;
        }
    }

    /// Takes the record as it was found on the disk: its folder may have been renamed.
    pub fn take_record(&self, record: IndexedSession) {
        let mut state = self.state();
        let before = std::mem::replace(&mut state.record, record);
        if before.workspace() != state.record.workspace() {
            state.before.push(before.workspace().to_owned());
        }
        // What was chosen or has happened since is perhaps not kept yet.
        state.record.model = before.model;
        state.record.effort = before.effort;
        state.record.begun |= before.begun;
        state.record.title = state.record.title.take().or(before.title);
    }

    /// Has the next turn begin with this, and with nothing that was to be said there before.
    pub fn warn(&self, warning: Option<String>) {
        self.state().warning = warning;
    }

    /// Has a prompt wait for its turn. Returns the work of this session if none was under way.
    ///
    /// # Errors
    /// If too many wait.
    pub fn prompt(
        &self,
        id: Id,
        content: Vec<Content>,
        title: Option<String>,
    ) -> Result<Option<impl Future<Output = ()> + use<>>, TooMany> {
        let mut state = self.state();
        if state.waiting.len() >= MOST_WAITING {
            return Err(TooMany);
        }
        let size = u32::try_from(size(&content)).map_err(|_| TooMany)?;
        let room = Arc::clone(&self.0.room).try_acquire_many_owned(size);
        state.waiting.push_back(Prompt {
            id,
            content,
            title,
            _room: room.map_err(|_| TooMany)?,
        });
        // Under the lock: a session whose work ends has seen that none waits.
        let was_under_way = self.0.works.send_replace(true);
        let this = self.clone();
        Ok((!was_under_way).then(|| this.run()))
    }

    /// Cancels the turn that runs, whose prompt is answered at its end, and all prompts that wait: what is to be said to
    /// them is returned.
    #[must_use]
    pub fn cancel_all(&self) -> Vec<Message> {
        let mut state = self.state();
        if let Some((_, cancel)) = &state.running {
            cancel.send_replace(true);
        }
        let waiting = state.waiting.drain(..);
        waiting.map(|prompt| cancelled(prompt.id)).collect()
    }

    /// Cancels the prompt of this id, if it is one of this session: what is to be said now, and nothing if it runs, as it
    /// is answered at its end.
    pub fn cancel(&self, id: &Id) -> Option<Vec<Message>> {
        let mut state = self.state();
        if let Some((_, cancel)) = state.running.as_ref().filter(|(running, _)| running == id) {
            cancel.send_replace(true);
            return Some(Vec::new());
        }
        let place = state.waiting.iter().position(|prompt| prompt.id == *id)?;
        let prompt = state.waiting.remove(place)?;
        Some(vec![cancelled(prompt.id)])
    }

    /// Takes no prompts from here on, and cancels all that there are: what is to be said to them is returned.
    #[must_use]
    pub fn close(&self) -> Vec<Message> {
        self.state().is_closing = true;
        self.cancel_all()
    }

    /// Whether it was closed.
    pub fn is_closing(&self) -> bool {
        self.state().is_closing
    }

    /// Returns when no turn of it runs and no codex waits for it; to be closed before.
    pub async fn end(&self) {
        let mut works = self.0.works.subscribe();
        // The sender is in this.
        drop(works.wait_for(|works| !works).await);
        let record = self.record();
        let mut folders = self.state().before.clone();
        folders.push(record.workspace().to_owned());
        for folder in folders {
            let key = SessionKey::new(folder, Some(record.id.clone()));
            self.0.provider.release(&key).await;
        }
    }

    /// Nothing of it is left: it may be opened again.
    pub fn set_gone(&self) {
        self.0.is_gone.send_replace(true);
    }

    /// Waits until nothing of it is left.
    pub async fn gone(&self) {
        let mut is_gone = self.0.is_gone.subscribe();
        // The sender is in this.
        drop(is_gone.wait_for(|is_gone| *is_gone).await);
    }

    /// What is known of it.
    pub fn record(&self) -> IndexedSession {
        self.state().record.clone()
    }

    /// Whether this is the same open session.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs turns until no prompt waits.
    async fn run(self) {
        while let Some((prompt, cancelled)) = self.next() {
            let id = prompt.id.clone();
            // On a task of its own: whatever becomes of that, the prompt is answered, and the next one has its turn.
            let turn = tokio::spawn(self.clone().turn(prompt, cancelled)).await;
            let outcome = turn.unwrap_or_else(|error| {
                tracing::error!(%error, "a turn was lost");
                Err(error::of_turn(unsaid_end()))
            });
            self.state().running = None;
            // Behind what has happened in the turn. The client is gone if it cannot be sent.
            let _ = self.0.events.send(Outgoing::answer(id, outcome)).await;
        }
    }

    /// The next prompt, whose turn runs from here on, and whether it is cancelled. If there is none, this session's work is
    /// over.
    fn next(&self) -> Option<(Prompt, watch::Receiver<bool>)> {
        let mut state = self.state();
        let Some(prompt) = state.waiting.pop_front() else {
            self.0.works.send_replace(false);
            return None;
        };
        let (cancel, cancelled) = watch::channel(false);
        state.running = Some((prompt.id.clone(), cancel));
        Some((prompt, cancelled))
    }

    async fn turn(
        self,
        Prompt {
            content,
            title,
            _room,
            ..
        }: Prompt,
        cancelled: watch::Receiver<bool>,
    ) -> Result<Success, RpcError> {
        let record = self.record();
        let was_cancelled = cancelled.clone();
        let mut request = Request::new(vec![Said::new(Role::User, content)]);
        request.session = Some(record.id.clone());
        request.model.clone_from(&record.model);
        request.options.effort.clone_from(&record.effort);
        let turn = self.0.provider.turn(record.workspace(), request);
        let (begun, is_begun) = oneshot::channel();
        let (end, (), ()) = tokio::join!(
            self.follow(turn, &record, begun, cancelled),
            self.note(title),
            self.note_begun(is_begun),
        );
        let End {
            stop_reason,
            usage,
            failure,
        } = end;
        let stop_reason = match (Stopped::of(stop_reason), failure) {
            // Whatever else came of that.
            (_, Some(_)) if *was_cancelled.borrow() => Stopped::Cancelled,
            (Some(stop_reason), None) => stop_reason,
            (_, Some(failure)) => return Err(error::of_turn(failure)),
            (None, None) => return Err(error::of_turn(unsaid_end())),
        };
        Ok(Success::Prompted {
            stop_reason,
            usage: usage.map(Into::into),
        })
    }

    /// Notes in the list of sessions that this one is used, and what it began with if that is not known yet.
    async fn note(&self, title: Option<String>) {
        let kept = self.keep(|record| record.title = record.title.take().or(title));
        let Some(kept) = kept.await else { return };
        let was_untitled = {
            let mut state = self.state();
            let before = std::mem::replace(&mut state.record.title, kept.title.clone());
            before.is_none()
        };
        if let Some(title) = kept.title.filter(|_| was_untitled) {
            let update = Update::SessionInfoUpdate {
                title,
                updated_at: kept.updated,
            };
            // The client is gone if it cannot be sent.
            let _ = self.0.events.send(updated(&kept.id, update)).await;
        }
    }

    /// Notes that the model has something to remember, as soon as that is so.
    async fn note_begun(&self, is_begun: oneshot::Receiver<()>) {
        if is_begun.await.is_ok() {
            self.state().record.begun = true;
            self.keep(|record| record.begun = true).await;
        }
    }

    /// Keeps a change of its record, as far as that can be.
    async fn keep(
        &self,
        change: impl FnOnce(&mut IndexedSession) + Send + 'static,
    ) -> Option<IndexedSession> {
        let id = self.state().record.id.clone();
        let kept = self.0.index.change(&id, change).await;
        kept.inspect_err(
            |error| tracing::warn!(%error, "the record of a session could not be saved: its title and its settings may be out of date after a restart"),
        )
        .ok()
    }

    /// Sends what happens in a turn as fast as the client takes it, and stops the turn on request. Says when the first turn
    /// of a session has begun. Returns the end of the turn, when codex is gone or waits.
    async fn follow(
        &self,
        mut turn: Turn,
        record: &IndexedSession,
        begun: oneshot::Sender<()>,
        mut cancelled: watch::Receiver<bool>,
    ) -> End {
        // In a session, one turn begins after the other.
        let began = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let name = format!("{:x}", began.as_nanos());
        let mut updates = Updates::new(name, self.0.shows_notices, record.begun);
        let mut begun = Some(begun).filter(|_| !record.begun);
        let mut stopping = false;
        let warning = self.state().warning.take();
        let mut waiting: VecDeque<_> = warning
            .map(|said| updates.warning(said))
            .into_iter()
            .collect();
        let end = loop {
            tokio::select! {
                asked = cancelled.wait_for(|cancelled| *cancelled), if !stopping => {
                    // Without a sender, the turn is no longer wanted.
                    drop(asked);
                    stopping = true;
                    turn.cancel();
                }
                event = turn.next(), if waiting.is_empty() => match event {
                    Some(Event::MessageEnd { stop_reason, usage, failure, .. }) => {
                        break End { stop_reason, usage, failure };
                    }
                    Some(event) => {
                        if matches!(event, Event::MessageStart { .. })
                            && let Some(begun) = begun.take()
                        {
                            // The receiver is awaited beside this.
                            let _ = begun.send(());
                        }
                        waiting.extend(updates.of(event));
                    }
                    None => {
                        break End {
                            stop_reason: StopReason::Error,
                            usage: None,
                            failure: Some(unsaid_end()),
                        };
                    }
                },
                room = self.0.events.reserve(), if !waiting.is_empty() => match (room, waiting.pop_front()) {
                    (Ok(room), Some(update)) => room.send(updated(&record.id, update)),
                    (Ok(_), None) => {}
                    // The client is gone. The turn is still awaited, so that codex shuts down cleanly.
                    (Err(_), _) => turn.cancel(),
                },
            }
        };
        if let Some(update) = updates.end() {
            // The client is gone if it cannot be sent.
            let _ = self.0.events.send(updated(&record.id, update)).await;
        }
        end
    }
}

/// The answer to a prompt that was cancelled before its turn.
fn cancelled(id: Id) -> Message {
    Outgoing::answer(id, Ok(Success::cancelled()))
}

/// How a turn ended.
struct End {
    stop_reason: StopReason,
    usage: Option<Usage>,
    failure: Option<Failure>,
}

/// The failure of a turn that was lost, so that the client does not wait forever.
fn unsaid_end() -> Failure {
    let message = "The turn ended without a result: report this, with the agent's log.";
    Failure::new(FailureKind::Internal, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_prompt_holds_is_all_of_it() {
        let text = Content::Text {
            text: "x".repeat(1000),
        };
        let image = |media_type: &str, data: &str| Content::Image {
            source: ImageSource::Base64 {
                media_type: Some(media_type.to_owned()),
                data: data.to_owned(),
            },
        };
        let (long_type, long_data) = ("x".repeat(1000), "x".repeat(1000));
        for content in [text, image(&long_type, ""), image("", &long_data)] {
            let size = size(&[content]);
            assert!((1000..1200).contains(&size), "{size}");
        }
        // Nothing is not nothing, if there is much of it.
        assert!(size(&vec![image("", ""); 1000]) > 10_000);
    }
}
