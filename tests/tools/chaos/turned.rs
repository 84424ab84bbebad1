//! What a turn has said.

use std::fmt::Debug;

use anyhow::{Context as _, Result, ensure};
use plexum_openai_provider::{Event, Failure, StopReason};

use crate::fault::End;
use crate::run::Tally;

/// Of what answer no more is kept: a flood is not to count as this program's memory.
const MOST_TEXT: usize = 4096;

/// What a turn has said.
#[derive(Debug, Default)]
pub struct Turned {
    /// Its thread, if it has named one.
    pub thread: Option<String>,
    /// Whether that was there before.
    pub resumed: bool,
    /// How its answer begins.
    pub text: String,
    /// How it ended.
    pub end: Option<(StopReason, Option<Failure>)>,
}

impl Turned {
    /// Takes note of an event. Nothing may follow the end.
    ///
    /// # Errors
    /// When something does.
    pub fn note(&mut self, fault: impl Debug, event: Event) -> Result<()> {
        ensure!(
            self.end.is_none(),
            "{fault:?}: {event:?} follows {:?}",
            self.end
        );
        match event {
            Event::MessageStart {
                thread_id, resumed, ..
            } => {
                self.thread = Some(thread_id);
                self.resumed = resumed;
            }
            Event::TextDelta { text, .. } if self.text.len() < MOST_TEXT => {
                self.text.push_str(&text);
            }
            Event::MessageEnd {
                stop_reason,
                failure,
                ..
            } => self.end = Some((stop_reason, failure)),
            _ => {}
        }
        Ok(())
    }

    /// One turn, and its end if it was heard.
    #[must_use]
    pub fn tally(&self) -> Tally {
        Tally {
            turns: 1,
            ends: self.end.iter().len(),
        }
    }

    /// Checks that it has ended, in one of these ways.
    ///
    /// # Errors
    /// When it has not.
    pub fn check_end(&self, fault: impl Debug, may: &[End]) -> Result<()> {
        let (stop_reason, failure) = self
            .end
            .as_ref()
            .with_context(|| format!("{fault:?}: the turn has no end"))?;
        let ended = (*stop_reason, failure.as_ref().map(|failure| failure.kind));
        ensure!(
            may.contains(&ended),
            "{fault:?} ended as {ended:?}: {failure:?}"
        );
        Ok(())
    }
}
