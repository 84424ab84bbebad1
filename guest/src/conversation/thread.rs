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
use crate::bindings::provider::{
    Event, Failure, FailureKind, MessageStart, Notice, NoticeKind, Usage,
};
use crate::bindings::session::{Entry, Totals};
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
}

impl Thread {
    /// The thread of a turn that begins like this; codex has not opened it yet.
    pub fn new(beginning: Beginning) -> Self {
        let (baseline, stored_totals) = match &beginning {
            Beginning::Fresh { .. } => (Some(usage::ZERO), false),
            Beginning::Resume(entry) => (entry.totals, entry.totals.is_some()),
        };
        Thread {
            beginning,
            id: None,
            baseline,
            stored_totals,
        }
    }

    /// The id of the thread that codex is asked to resume, if it is.
    pub fn asked_for(&self) -> Option<&str> {
        match &self.beginning {
            Beginning::Resume(entry) => Some(&entry.thread_id),
            Beginning::Fresh { .. } => None,
        }
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
    /// is stored before anything else happens. Codex may say so more than once. `model` is the model's name for
    /// the first event.
    ///
    /// Fails, and then the turn must end, if the id is not one or if it cannot be stored.
    pub fn opened(
        &mut self,
        host: &impl Capabilities,
        thread_id: String,
        model: &str,
        events: &mut Vec<Event>,
    ) -> Result<(), Failure> {
        if self.id.as_deref() == Some(thread_id.as_str()) {
            return Ok(());
        }
        if !is_plain(&thread_id) {
            let shown = failure::excerpt(&thread_id);
            let said = format!("codex named its thread `{shown}`, which is no id");
            return Err(failure::failure(FailureKind::Protocol, Some(&said)));
        }
        let resumed = self
            .asked_for()
            .is_some_and(|asked| asked.eq_ignore_ascii_case(&thread_id));
        let resumable = is_thread_id(&thread_id);
        if resumable && !resumed {
            let entry = Entry {
                thread_id: thread_id.clone(),
                totals: None,
            };
            host.save_session(&entry)
                .map_err(|error| failure::session_unreadable(&error))?;
        }
        let changed_midway = self.id.is_some();
        let replaced = match (&self.beginning, self.id.take()) {
            (_, Some(earlier)) => Some(other_thread(&earlier)),
            (Beginning::Fresh { replaces }, None) => replaces.clone(),
            (Beginning::Resume(entry), None) if !resumed => Some(other_thread(&entry.thread_id)),
            (Beginning::Resume(_), None) => None,
        };
        if replaced
            .as_ref()
            .is_some_and(|replaced| replaced.reason == OTHER_THREAD)
        {
            // Nobody knows what that thread had counted before.
            self.baseline = None;
            self.stored_totals = false;
        }
        if !changed_midway {
            events.push(Event::MessageStart(MessageStart {
                model: model.to_owned(),
                thread_id: thread_id.clone(),
                resumed,
            }));
        }
        if let Some(Replaced {
            old,
            reason,
            message,
        }) = replaced
        {
            events.push(Event::Notice(Notice {
                kind: NoticeKind::SessionReplaced,
                message: message.to_owned(),
                old: Some(old),
                new: Some(thread_id.clone()),
                reason: Some(reason.to_owned()),
            }));
        }
        if !resumable {
            let message = format!(
                "codex named the thread `{thread_id}`, which is no UUID; it is not kept, and the next turn begins a new one."
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
        {
            let entry = Entry {
                thread_id: thread_id.clone(),
                totals: None,
            };
            if let Err(error) = host.save_session(&entry) {
                host.log(
                    Level::Warn,
                    &format!("the stored token totals could not be cleared: {error}"),
                );
            }
        }
    }

    /// Stores the totals that the next turn's usage is counted from.
    pub fn keep_totals(&self, host: &impl Capabilities, totals: Totals, events: &mut Vec<Event>) {
        let Some(thread_id) = self.id.as_ref().filter(|id| is_thread_id(id)) else {
            return;
        };
        let entry = Entry {
            thread_id: thread_id.clone(),
            totals: Some(totals),
        };
        if let Err(error) = host.save_session(&entry) {
            let message = format!(
                "The token totals could not be kept, so the next turn cannot tell its own usage: {error}"
            );
            events.push(notice(NoticeKind::Warning, message));
        }
    }

    /// The turn's own usage, by the thread's totals at its end; absent when it is not known.
    pub fn usage(&self, totals: &Usage) -> Option<Usage> {
        usage::since(self.baseline.as_ref(), totals)
    }
}

/// Why a thread was replaced when codex opened another one than it was asked for.
const OTHER_THREAD: &str = "other_thread";

fn other_thread(old: &str) -> Replaced {
    Replaced {
        old: old.to_owned(),
        reason: OTHER_THREAD,
        message: "Codex opened another thread than the stored one; from now on that one is kept.",
    }
}
