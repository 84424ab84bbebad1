//! One process of codex in a turn: its lines are taken, and become events.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use crate::bindings::codex::Awaited;
use crate::bindings::log::Level;
use crate::bindings::turns::{Event, Failure, FailureKind, ModelChange, NoticeKind};
use crate::capability::{Capabilities, Child};
use crate::conversation::thread::Thread;
use crate::failure;
use crate::notice::notice;
use crate::surrogates;
use crate::translate::Translator;
use crate::transport::Said;
use crate::transport::exec::line;

/// How much output to take at a time: enough to make a crossing cheap, little enough
/// to keep memory small.
const BATCH_BYTES: u32 = 64 * 1024;

/// How often codex may say that it waits for the network before the turn is ended. Its pauses double, so this is about
/// 45 seconds.
const MAX_NETWORK_WAITS: u32 = 4;

/// One process of codex, and what it has reported so far.
pub struct Run<P> {
    pub child: P,
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

impl<P: Child> Run<P> {
    /// A process that was just started for this thread.
    pub fn new(child: P, thread: Thread) -> Self {
        Run {
            child,
            thread,
            translator: Translator::default(),
            malformed: 0,
            first_malformed: None,
            lost_line: false,
        }
    }

    /// Takes the next lines, or the end of them.
    pub fn advance(&mut self, host: &impl Capabilities, events: &mut Vec<Event>) -> Progress {
        let awaiting = if self.translator.outcome().is_some() {
            Awaited::End
        } else if self.translator.tool_is_running() {
            Awaited::Tool
        } else {
            Awaited::Model
        };
        let output = self.child.lines(BATCH_BYTES, awaiting);
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
        self.child.terminate();
        loop {
            let rest = self.child.lines(BATCH_BYTES, Awaited::End);
            if rest.text.is_empty() && rest.skipped.is_empty() {
                break;
            }
        }
        self.child.wait();
        self.translator.close_open_tools(events);
    }

    fn take_line(
        &mut self,
        host: &impl Capabilities,
        line: &str,
        events: &mut Vec<Event>,
    ) -> Result<(), Failure> {
        if self.translator.outcome().is_some() {
            let message = format!("codex printed after the end of the turn: {line}");
            host.log(Level::Debug, &message);
            return Ok(());
        }
        match line::read(line) {
            Ok(Said::Opened { thread_id }) => {
                self.thread.opened(host, thread_id, events)?;
            }
            Ok(Said::Began) => self.translator.turn_started(events),
            Ok(Said::Item { phase, item }) => {
                self.thread.model_answered(host);
                self.translator.item(phase, item, events);
            }
            Ok(Said::Completed { totals }) => self.translator.turn_completed(totals, events),
            Ok(Said::Failed { message }) => self.translator.turn_failed(message),
            Ok(Said::Error { message, retry }) => {
                self.translator.error(message, retry, events);
                if self.translator.network_waits() >= MAX_NETWORK_WAITS {
                    let said = self.translator.pending_error();
                    return Err(failure::failure(FailureKind::Network, said));
                }
            }
            Ok(Said::Warning { message }) => {
                self.translator.warning(message.into_owned(), events);
            }
            Ok(Said::ModelChanged {
                previous,
                model,
                message,
            }) => {
                let change = ModelChange {
                    previous,
                    model,
                    reason: message.into_owned(),
                };
                self.translator.model_changed(change, events);
            }
            Ok(Said::Unknown { kind }) => {
                host.log(Level::Debug, &format!("unknown event: {line}"));
                self.translator.unknown(&kind, events);
            }
            Err(_) if line.trim().is_empty() => {}
            Err(malformed) => {
                if let Some(repaired) = surrogates::replaced(line)
                    && line::read(&repaired).is_ok()
                {
                    return self.take_line(host, &repaired, events);
                }
                if let Some((glued, event)) = line::event_behind(line) {
                    self.take_malformed(host, "text before an event", glued, events);
                    return self.take_line(host, event, events);
                }
                self.take_malformed(host, &malformed.reason, line, events);
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
