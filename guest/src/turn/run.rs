//! One process of codex in a turn: its lines are taken, and become events.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use super::process::Process;
use crate::bindings::codex::Awaited;
use crate::bindings::log::Level;
use crate::bindings::turns::{Event, Failure, FailureKind, ModelChange, NoticeKind};
use crate::capability::Capabilities;
use crate::conversation::thread::Thread;
use crate::failure;
use crate::notice::notice;
use crate::surrogates;
use crate::translate::Translator;
use crate::transport::Said;

/// How much output to take at a time: enough to make a crossing cheap, little enough
/// to keep memory small.
const BATCH_BYTES: u32 = 64 * 1024;

/// How often codex may say that it waits for the network before the turn is ended. Its pauses double, so this is about
/// 45 seconds.
const MAX_NETWORK_WAITS: u32 = 4;

/// One process of codex, or one turn of it, and what it has reported so far.
pub struct Run<C: Capabilities> {
    pub process: Process<C>,
    pub thread: Thread,
    pub translator: Translator,
    /// The lines that were not events: how many, and the first.
    pub malformed: u64,
    pub first_malformed: Option<String>,
    /// Whether a line is missing from which on the model may have spoken: one that was too long, or that broke off.
    pub lost_line: bool,
}

/// The result of taking output.
pub enum Progress {
    /// There may be more.
    More,
    /// Standard output is over.
    Ended,
    /// Codex must be stopped, and the turn ends with this.
    GiveUp(Failure),
}

impl<C: Capabilities> Run<C> {
    /// A process that was just started for this thread.
    pub fn new(process: Process<C>, thread: Thread) -> Self {
        Run {
            translator: Translator::new(process.streams()),
            process,
            thread,
            malformed: 0,
            first_malformed: None,
            lost_line: false,
        }
    }

    /// Takes the next lines, or the end of them.
    pub fn advance(&mut self, host: &C, events: &mut Vec<Event>) -> Progress {
        let awaiting = if self.translator.outcome().is_some() {
            Awaited::End
        } else if self.translator.tool_is_running() {
            Awaited::Tool
        } else {
            Awaited::Model
        };
        let output = self.process.lines(BATCH_BYTES, awaiting);
        if output.text.is_empty() && output.skipped.is_empty() {
            return Progress::Ended;
        }
        for bytes in output.skipped {
            let message = format!(
                "codex printed a line of {bytes} bytes, which is longer than the limit; it was skipped."
            );
            self.lost_line = true;
            events.push(notice(NoticeKind::LineSkipped(bytes), message));
        }
        for line in lines(&output.text) {
            if let Err(failure) = self.take_line(host, line, events) {
                return Progress::GiveUp(failure);
            }
        }
        Progress::More
    }

    /// Stops codex and waits until it is gone, so that the next turn finds the thread free.
    pub fn stop(mut self, events: &mut Vec<Event>) {
        self.process.stop();
        loop {
            let rest = self.process.lines(BATCH_BYTES, Awaited::End);
            if rest.text.is_empty() && rest.skipped.is_empty() {
                break;
            }
        }
        self.process.wait();
        self.translator.close_open_tools(events);
    }

    fn take_line(&mut self, host: &C, line: &str, events: &mut Vec<Event>) -> Result<(), Failure> {
        if self.translator.outcome().is_some() {
            let message = format!("codex printed after the end of the turn: {line}");
            host.log(Level::Debug, &message);
            return Ok(());
        }
        match self.process.read(line) {
            Ok(Some(said)) => self.take(host, line, said, events)?,
            // Of another turn, or of a sub-agent.
            Ok(None) => {}
            Err(_) if line.trim().is_empty() => {}
            Err(malformed) => {
                if let Some(repaired) = surrogates::replaced(line) {
                    match self.process.read(&repaired) {
                        Ok(Some(said)) => return self.take(host, line, said, events),
                        Ok(None) => return Ok(()),
                        Err(_) => {}
                    }
                }
                if let Some((glued, event)) = self.process.event_behind(line) {
                    self.take_malformed(host, "text before an event", glued, events);
                    return self.take_line(host, event, events);
                }
                self.take_malformed(host, &malformed.reason, line, events);
            }
        }
        Ok(())
    }

    fn take(
        &mut self,
        host: &C,
        line: &str,
        said: Said<'_>,
        events: &mut Vec<Event>,
    ) -> Result<(), Failure> {
        match said {
            Said::Opened { thread_id } => {
                // `codex exec` does not name the model that answers.
                self.thread.opened(host, thread_id, None, events)?;
            }
            Said::Began => self.translator.turn_started(events),
            Said::Item { phase, item } => {
                self.thread.model_answered(host);
                self.translator.item(phase, item, events);
            }
            Said::Piece {
                kind,
                item_id,
                text,
            } => {
                self.thread.model_answered(host);
                let text = text.into_owned();
                self.translator.piece(kind, &item_id, text, events);
            }
            Said::ToolOutput { item_id, text } => {
                self.translator
                    .tool_output(&item_id, text.into_owned(), events);
            }
            Said::Used(used) => {
                self.thread.model_answered(host);
                self.translator.tokens_used(used, events);
            }
            Said::Completed { totals } => self.translator.turn_completed(totals, events),
            Said::Failed { message, kind } => self.translator.turn_failed(message, kind),
            Said::Interrupted => self.translator.turn_interrupted(),
            Said::Error { message, retry } => {
                self.translator.error(message, retry, events);
                if self.translator.network_waits() >= MAX_NETWORK_WAITS {
                    let said = self.translator.pending_error();
                    return Err(failure::failure(FailureKind::Network, said));
                }
            }
            Said::Warning { message } => {
                self.translator.warning(message.into_owned(), events);
            }
            Said::Configuration { message } => {
                host.log(Level::Warn, &format!("codex says: {message}"));
            }
            Said::ModelChanged {
                previous,
                model,
                message,
            } => {
                let change = ModelChange {
                    previous,
                    model,
                    reason: message.into_owned(),
                };
                self.translator.model_changed(change, events);
            }
            Said::Unknown { kind } => {
                host.log(Level::Debug, &format!("unknown event: {line}"));
                self.translator.unknown(&kind, events);
            }
        }
        Ok(())
    }

    /// Notes a line that is not an event: the first one is worth a notice.
    fn take_malformed(
        &mut self,
        host: &impl Capabilities,
        reason: &str,
        line: &str,
        events: &mut Vec<Event>,
    ) {
        let message = format!("codex printed a line that is not an event ({reason}): {line}");
        host.log(Level::Debug, &message);
        self.malformed = self.malformed.saturating_add(1);
        // A line of codex's own that breaks off may have been the answer.
        self.lost_line |= line.trim_start().starts_with('{');
        if self.first_malformed.is_none() {
            let shown = failure::excerpt(line);
            let message = format!(
                "codex printed a line that is not an event ({reason}); such lines are skipped: {shown}"
            );
            events.push(notice(NoticeKind::LineMalformed, message));
            self.first_malformed = Some(shown);
        }
    }
}

/// The lines of some output, without their line feeds.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let ends = memchr::memchr_iter(b'\n', text.as_bytes());
    let mut start = 0;
    ends.filter_map(move |end| text.get(mem::replace(&mut start, end + 1)..end))
}
