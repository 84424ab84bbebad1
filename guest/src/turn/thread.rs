//! The conversation that codex opens in a turn: kept, replaced, counted.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use super::end::unreadable;
use super::{GiveUp, Run, Turn};
use crate::bindings::log::Level;
use crate::bindings::provider::{Event, MessageStart, Notice, NoticeKind};
use crate::bindings::session::{Entry, Totals};
use crate::capability::Capabilities;
use crate::conversation::session::{Beginning, Replaced};
use crate::conversation::thread_id;
use crate::translate;

impl<C: Capabilities> Turn<C> {
    /// The conversation is open: from here on a turn that is killed can be resumed, so its id
    /// is kept before anything else happens.
    pub(super) fn thread_started(
        &self,
        run: &mut Run<C::Child>,
        thread_id: String,
        events: &mut Vec<Event>,
    ) -> Result<(), GiveUp> {
        if run.thread_id.as_deref() == Some(thread_id.as_str()) {
            return Ok(());
        }
        let asked_for = match &run.beginning {
            Beginning::Resume(entry) => Some(entry.thread_id.as_str()),
            Beginning::Fresh { .. } => None,
        };
        let resumed = asked_for.is_some_and(|asked| asked.eq_ignore_ascii_case(&thread_id));
        let resumable = thread_id::is_thread_id(&thread_id);
        if resumable && !resumed {
            let entry = Entry {
                thread_id: thread_id.clone(),
                totals: None,
            };
            self.host
                .save_session(&entry)
                .map_err(|error| GiveUp(unreadable(&error)))?;
        }
        let changed_midway = run.thread_id.is_some();
        let replaced = match (&run.beginning, run.thread_id.take()) {
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
            run.baseline = None;
            run.stored_totals = false;
        }
        if !changed_midway {
            events.push(Event::MessageStart(MessageStart {
                model: self.model.id.clone(),
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
            events.push(translate::notice(NoticeKind::Warning, message));
        }
        run.thread_id = Some(thread_id);
        Ok(())
    }

    /// The model has answered something, so tokens have been spent. Until codex reports the
    /// totals anew, those that are stored are no longer the ones before the next turn.
    pub(super) fn model_answered(&self, run: &mut Run<C::Child>) {
        if mem::take(&mut run.stored_totals)
            && let Some(thread_id) = &run.thread_id
        {
            let entry = Entry {
                thread_id: thread_id.clone(),
                totals: None,
            };
            if let Err(error) = self.host.save_session(&entry) {
                self.host.log(
                    Level::Warn,
                    &format!("the stored token totals could not be cleared: {error}"),
                );
            }
        }
    }

    /// Keeps the totals that the next turn's usage is counted from.
    pub(super) fn keep_totals(&self, run: &Run<C::Child>, totals: Totals, events: &mut Vec<Event>) {
        let Some(thread_id) = run
            .thread_id
            .as_ref()
            .filter(|id| thread_id::is_thread_id(id))
        else {
            return;
        };
        let entry = Entry {
            thread_id: thread_id.clone(),
            totals: Some(totals),
        };
        if let Err(error) = self.host.save_session(&entry) {
            let message = format!(
                "The token totals could not be kept, so the next turn cannot tell its own usage: {error}"
            );
            events.push(translate::notice(NoticeKind::Warning, message));
        }
    }
}

/// Why a thread was replaced when codex answered with another one than it was asked for.
const OTHER_THREAD: &str = "other_thread";

fn other_thread(old: &str) -> Replaced {
    Replaced {
        old: old.to_owned(),
        reason: OTHER_THREAD,
        message: "Codex opened another thread than the stored one; from now on that one is kept.",
    }
}
