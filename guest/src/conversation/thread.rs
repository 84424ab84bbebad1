//! The thread that codex opens for a turn: stored, replaced, counted.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use super::session::{Beginning, Replaced};
use super::thread_id::{is_plain, is_thread_id};
use super::usage;
use crate::bindings::log::Level;
use crate::bindings::session::{Entry, Error as StoreError, Totals};
use crate::bindings::turns::{
    Event, Failure, FailureKind, MessageStart, NoticeKind, Replacement, ReplacementReason, Usage,
};
use crate::capability::Capabilities;
use crate::failure;
use crate::notice::notice;

/// The thread of one turn.
#[derive(Debug)]
pub struct Thread {
    beginning: Beginning,
    /// The id that codex gave it.
    id: Option<String>,
    /// The totals before this turn, while they are known to be true.
    baseline: Option<Totals>,
    /// Whether the store may still hold totals that this turn makes untrue.
    stored_totals: bool,
    /// The digest of the instructions that it began with, where that is known.
    instructions: Option<String>,
}

impl Thread {
    /// The thread of a turn that begins like this; codex has not opened it yet. `instructions` is the digest of those
    /// that a new thread is given.
    pub fn new(beginning: Beginning, instructions: String) -> Self {
        let (baseline, stored_totals, instructions) = match &beginning {
            Beginning::Fresh { .. } => (Some(usage::ZERO), false, Some(instructions)),
            Beginning::Resume(entry) => (
                entry.totals,
                entry.totals.is_some(),
                entry.instructions.clone(),
            ),
        };
        Thread {
            beginning,
            id: None,
            baseline,
            stored_totals,
            instructions,
        }
    }

    /// The id of the thread that codex is asked to resume, if it is.
    pub fn asked_for(&self) -> Option<&str> {
        match &self.beginning {
            Beginning::Resume(entry) => Some(&entry.thread_id),
            Beginning::Fresh { .. } => None,
        }
    }

    /// Its totals before this turn, where they are known.
    pub fn totals_before(&self) -> Option<Usage> {
        self.baseline.as_ref().map(usage::of_totals)
    }

    /// Whether codex has opened it.
    pub fn is_open(&self) -> bool {
        self.id.is_some()
    }

    /// How the turn began.
    pub fn into_beginning(self) -> Beginning {
        self.beginning
    }

    /// Codex has opened the thread: from here on a turn that is killed can be resumed, so the id
    /// is stored before anything else happens. Codex may say so more than once. `model` is the one that answers, where
    /// codex says so.
    ///
    /// Fails, and then the turn must end, if the id is not one or if it cannot be stored.
    pub fn opened(
        &mut self,
        host: &impl Capabilities,
        thread_id: String,
        model: Option<String>,
        events: &mut Vec<Event>,
    ) -> Result<(), Failure> {
        if self.id.as_deref() == Some(thread_id.as_str()) {
            return Ok(());
        }
        if !is_plain(&thread_id) {
            let shown = failure::excerpt(&thread_id);
            let said = format!("codex named its thread `{shown}`, which is not a thread id");
            return Err(failure::failure(FailureKind::Protocol, Some(&said)));
        }
        let resumed = self
            .asked_for()
            .is_some_and(|asked| asked.eq_ignore_ascii_case(&thread_id));
        let resumable = is_thread_id(&thread_id);
        if self.asked_for().is_some() && !resumed || self.id.is_some() {
            // It is unknown what that thread had been told and had counted before.
            self.instructions = None;
            self.baseline = None;
            self.stored_totals = false;
        }
        let mut said = Vec::new();
        if resumable && !resumed {
            said = host
                .save_session(&self.entry(&thread_id, None))
                .map_err(|error| match error {
                    // The host keeps only a thread that codex names when it opens it.
                    StoreError::Denied(reason) if self.id.is_some() => {
                        let said = format!(
                            "codex named another thread, `{thread_id}`, in the middle of the turn: {reason}"
                        );
                        failure::failure(FailureKind::Protocol, Some(&said))
                    }
                    error => failure::session(error),
                })?;
        }
        let changed_midway = self.id.is_some();
        let replaced = match (&self.beginning, self.id.take()) {
            (_, Some(earlier)) => Some(other_thread(&earlier)),
            (Beginning::Fresh { replaces }, None) => replaces.clone(),
            (Beginning::Resume(entry), None) if !resumed => Some(other_thread(&entry.thread_id)),
            (Beginning::Resume(_), None) => None,
        };
        if !changed_midway {
            events.push(Event::MessageStart(MessageStart {
                thread_id: thread_id.clone(),
                resumed,
                model,
            }));
        }
        if let Some(Replaced {
            old,
            reason,
            message,
        }) = replaced
        {
            let replacement = Replacement {
                old,
                new: thread_id.clone(),
                reason,
            };
            events.push(notice(NoticeKind::SessionReplaced(replacement), message));
        }
        events.extend(
            said.iter()
                .map(|message| notice(NoticeKind::Warning, message)),
        );
        if !resumable {
            let message = format!(
                "codex named the thread `{thread_id}`, which is not a UUID; it is not stored, and the next turn begins a new thread."
            );
            events.push(notice(NoticeKind::Warning, message));
        }
        self.id = Some(thread_id);
        Ok(())
    }

    /// The model has answered something, so tokens have been spent. Until codex reports new
    /// totals, the stored ones are no longer those before the next turn.
    pub fn model_answered(&mut self, host: &impl Capabilities) {
        if mem::take(&mut self.stored_totals)
            && let Some(thread_id) = &self.id
            && let Err(error) = host.save_session(&self.entry(thread_id, None))
        {
            let error = failure::store_words(&error);
            host.log(
                Level::Warn,
                &format!("the stored token totals could not be cleared: {error}"),
            );
        }
    }

    /// Codex has ended, and the model has answered nothing: the stored totals are still those before the next turn,
    /// although codex has written to its record of the thread.
    pub fn confirm_totals(&self, host: &impl Capabilities) {
        if self.stored_totals
            && let (Some(thread_id), Some(totals)) = (&self.id, self.baseline)
            && let Err(error) = host.save_session(&self.entry(thread_id, Some(totals)))
        {
            let error = failure::store_words(&error);
            host.log(
                Level::Warn,
                &format!("the stored token totals could not be confirmed: {error}"),
            );
        }
    }

    /// What is kept of it.
    fn entry(&self, thread_id: &str, totals: Option<Totals>) -> Entry {
        Entry {
            thread_id: thread_id.to_owned(),
            totals,
            instructions: self.instructions.clone(),
        }
    }

    /// Stores the totals that the next turn's usage is counted from.
    pub fn keep_totals(&self, host: &impl Capabilities, totals: Totals, events: &mut Vec<Event>) {
        let Some(thread_id) = self.id.as_ref().filter(|id| is_thread_id(id)) else {
            return;
        };
        match host.save_session(&self.entry(thread_id, Some(totals))) {
            Ok(said) => events.extend(
                said.iter()
                    .map(|message| notice(NoticeKind::Warning, message)),
            ),
            Err(error) => {
                let error = failure::store_words(&error);
                let message = format!(
                    "The token totals could not be stored, so the usage of the next turn will be unknown: {error}"
                );
                events.push(notice(NoticeKind::Warning, message));
            }
        }
    }

    /// The turn's own usage, by the thread's totals at its end; absent when it is not known.
    pub fn usage(&self, totals: &Usage) -> Option<Usage> {
        usage::since(self.baseline.as_ref(), totals)
    }
}

fn other_thread(old: &str) -> Replaced {
    Replaced {
        old: old.to_owned(),
        reason: ReplacementReason::OtherThread,
        message: "Codex opened another thread than the stored one; the new one is now stored.",
    }
}

#[cfg(test)]
mod tests {
    use core::cell::RefCell;

    use super::*;
    use crate::bindings::codex::{Awaited, Exit, Output, Refusal};
    use crate::bindings::codex_server::{Finished, NotOpened, PromptOptions, Wanted};
    use crate::bindings::session::{Error, Loaded};
    use crate::capability::{Child, Opened, ServerTurn};

    const ID: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4b";
    const OTHER: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4c";

    const TOTALS: Totals = Totals {
        input_tokens: 7,
        ..usage::ZERO
    };

    /// Remembers what is saved, unless it fails.
    #[derive(Default)]
    struct Store {
        saved: RefCell<Vec<Entry>>,
        broken: bool,
    }

    impl Store {
        /// The id, the instructions and the input tokens of each.
        fn saved(&self) -> Vec<(String, Option<String>, Option<u64>)> {
            let saved = self.saved.take().into_iter();
            saved
                .map(|entry| {
                    let tokens = entry.totals.map(|totals| totals.input_tokens);
                    (entry.thread_id, entry.instructions, tokens)
                })
                .collect()
        }
    }

    enum NoChild {}

    impl ServerTurn for NoChild {
        fn prompt(&self, _: &str, _: &[u32], _: PromptOptions) -> Result<(), NotOpened> {
            match *self {}
        }

        fn lines(&self, _: u32, _: Awaited) -> Output {
            match *self {}
        }

        fn interrupt(&self) {
            match *self {}
        }

        fn finish(&self) -> Finished {
            match *self {}
        }
    }

    impl Child for NoChild {
        fn lines(&self, _: u32, _: Awaited) -> Output {
            match *self {}
        }

        fn wait(&self) -> Exit {
            match *self {}
        }

        fn terminate(&self) {
            match *self {}
        }
    }

    impl Capabilities for Store {
        type Child = NoChild;
        type ServerTurn = NoChild;

        fn spawn(&self, _: &[String], _: Option<&str>) -> Result<NoChild, Refusal> {
            unreachable!()
        }

        fn open(&self, _: &Wanted) -> Result<Opened<NoChild>, NotOpened> {
            unreachable!()
        }

        fn back_off(&self) -> bool {
            unreachable!()
        }

        fn load_session(&self) -> Result<Loaded, Error> {
            unreachable!()
        }

        fn save_session(&self, entry: &Entry) -> Result<Vec<String>, Error> {
            if self.broken {
                return Err(Error::Resources("the disk is full".into()));
            }
            self.saved.borrow_mut().push(entry.clone());
            Ok(Vec::new())
        }

        fn set_session_aside(&self) -> Result<(), Error> {
            unreachable!()
        }

        fn log(&self, _: Level, _: &str) {}
    }

    fn resumed() -> Thread {
        let entry = Entry {
            thread_id: ID.into(),
            totals: Some(TOTALS),
            instructions: Some("old".into()),
        };
        Thread::new(Beginning::Resume(entry), "new".into())
    }

    fn fresh() -> Thread {
        Thread::new(Beginning::Fresh { replaces: None }, "new".into())
    }

    /// Opens the thread with this id and gives the kinds of the events.
    fn open(thread: &mut Thread, store: &Store, id: &str) -> Vec<&'static str> {
        let mut events = Vec::new();
        thread.opened(store, id.into(), None, &mut events).unwrap();
        events
            .iter()
            .map(|event| match event {
                Event::MessageStart(start) if start.resumed => "resumed",
                Event::MessageStart(_) => "started",
                Event::Notice(notice) => match notice.kind {
                    NoticeKind::SessionReplaced(_) => "replaced",
                    _ => "warning",
                },
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn a_new_thread_is_stored_at_once_and_reported_once() {
        let (mut thread, store) = (fresh(), Store::default());
        assert!(!thread.is_open());
        assert_eq!(open(&mut thread, &store, ID), ["started"]);
        assert!(thread.is_open());
        assert_eq!(store.saved(), [(ID.into(), Some("new".into()), None)]);
        assert!(open(&mut thread, &store, ID).is_empty());
        assert!(store.saved().is_empty());
    }

    #[test]
    fn the_thread_that_was_asked_for_is_not_stored_again() {
        let (mut thread, store) = (resumed(), Store::default());
        assert_eq!(thread.asked_for(), Some(ID));
        assert_eq!(open(&mut thread, &store, &ID.to_uppercase()), ["resumed"]);
        assert!(store.saved().is_empty());
    }

    #[test]
    fn another_thread_replaces_the_stored_one_and_its_usage_is_unknown() {
        let (mut thread, store) = (resumed(), Store::default());
        let totals = Usage {
            input_tokens: 9,
            cached_input_tokens: None,
            cache_write_input_tokens: None,
            output_tokens: 0,
            reasoning_output_tokens: None,
        };
        assert_eq!(thread.usage(&totals).map(|own| own.input_tokens), Some(2));
        assert_eq!(open(&mut thread, &store, OTHER), ["started", "replaced"]);
        assert_eq!(store.saved(), [(OTHER.into(), None, None)]);
        assert_eq!(thread.usage(&totals), None);
    }

    #[test]
    fn a_name_is_reported_and_not_stored_and_anything_else_ends_the_turn() {
        let (mut thread, store) = (fresh(), Store::default());
        assert_eq!(open(&mut thread, &store, "nightly"), ["started", "warning"]);
        thread.keep_totals(&store, TOTALS, &mut Vec::new());
        assert!(store.saved().is_empty());
        let refused = thread.opened(&store, "two words".into(), None, &mut Vec::new());
        assert_eq!(refused.unwrap_err().kind, FailureKind::Protocol);
    }

    #[test]
    fn stored_totals_are_cleared_by_the_first_answer_and_replaced_at_the_end() {
        let (mut thread, store) = (resumed(), Store::default());
        open(&mut thread, &store, ID);
        thread.model_answered(&store);
        thread.model_answered(&store);
        assert_eq!(store.saved(), [(ID.into(), Some("old".into()), None)]);
        thread.keep_totals(&store, TOTALS, &mut Vec::new());
        assert_eq!(store.saved(), [(ID.into(), Some("old".into()), Some(7))]);
    }

    #[test]
    fn totals_are_confirmed_unless_the_model_has_answered() {
        let (mut thread, store) = (resumed(), Store::default());
        thread.confirm_totals(&store);
        assert!(store.saved().is_empty(), "codex never opened it");
        open(&mut thread, &store, ID);
        thread.confirm_totals(&store);
        assert_eq!(store.saved(), [(ID.into(), Some("old".into()), Some(7))]);
        thread.model_answered(&store);
        store.saved();
        thread.confirm_totals(&store);
        assert!(store.saved().is_empty());
    }

    #[test]
    fn a_store_that_fails_ends_the_turn_before_it_begins_and_is_a_warning_at_its_end() {
        let mut store = Store {
            broken: true,
            ..Store::default()
        };
        let mut thread = fresh();
        let mut events = Vec::new();
        let failure = thread.opened(&store, ID.into(), None, &mut events);
        assert_eq!(failure.unwrap_err().kind, FailureKind::Resources);
        assert!(events.is_empty());
        store.broken = false;
        open(&mut thread, &store, ID);
        store.broken = true;
        thread.keep_totals(&store, TOTALS, &mut events);
        assert!(matches!(events.as_slice(), [Event::Notice(_)]));
    }
}
