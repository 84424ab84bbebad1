//! A turn, shown to a person: the answer on standard output, everything else on standard error.
//!
//! In a pipe both are plain. On a terminal what is not the answer is dim (unless `NO_COLOR` is set), and while codex
//! works a spinner says for how long: not if the answer goes to a pipe, which may well end on the same screen.

use std::io::{self, IsTerminal, Stderr, Stdout, Write};
use std::os::fd::AsFd;

use plexum_openai_provider::{BlockKind, BlockOutcome, Event, Failure};
use rustix::fs::{FileType, fstat};

use super::harmless::{harmless, one_line};
use super::spinner::{Dim, Spinner};

const AT_WORK: &str = "codex is at work";

/// What has been shown so far.
pub struct Screen<O = Stdout, E = Stderr> {
    stdout: O,
    stderr: E,
    /// The block of text that was shown last, and whether it ended its line.
    block: Option<(u32, bool)>,
    /// The beginning of a block that waits for its end; `None` where nothing waits. Nobody could take back what codex
    /// gives up if it has gone to a file or a pipe.
    held: Option<(u32, String)>,
    /// Whether the answer goes to a terminal.
    terminal: bool,
    dim: Dim,
    spinner: Spinner,
}

impl Screen {
    /// One on which nothing has been shown yet, except that codex is at work. If it streams, it may give up what it has
    /// begun to say.
    pub fn new(streams: bool) -> Self {
        Screen {
            stdout: io::stdout(),
            stderr: io::stderr(),
            block: None,
            held: (streams && !io::stdout().is_terminal()).then(Default::default),
            terminal: io::stdout().is_terminal(),
            dim: Dim::for_stderr(),
            spinner: if is_pipe(&io::stdout()) {
                Spinner::none()
            } else {
                Spinner::new(AT_WORK)
            },
        }
    }
}

/// Whether what is written goes through somebody else's hands.
fn is_pipe(stream: &impl AsFd) -> bool {
    let kind = fstat(stream).map(|stat| FileType::from_raw_mode(stat.st_mode));
    matches!(kind, Ok(FileType::Fifo | FileType::Socket))
}

impl<O: Write, E: Write> Screen<O, E> {
    /// Shows an event.
    pub fn show(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::TextDelta { index, text } => self.piece(*index, text),
            Event::BlockEnd {
                kind: BlockKind::Text,
                index,
                outcome,
                ..
            } => self.block_ended(*index, *outcome),
            Event::ToolStart { title, .. } => {
                self.let_go()?;
                self.spinner.set_message(&one_line(title));
                self.aside(&format!("- {title}"))
            }
            Event::ToolEnd { .. } => {
                self.spinner.set_message(AT_WORK);
                Ok(())
            }
            Event::Notice { message, .. } => self.aside(&format!("notice: {message}")),
            Event::ModelChange { reason, .. } => self.aside(&format!("notice: {reason}")),
            Event::MessageEnd { failure, .. } => {
                self.let_go()?;
                self.spinner.end();
                self.end_line()?;
                failure.iter().try_for_each(|Failure { message, .. }| {
                    // It holds what the service, codex or a line that is not codex's said.
                    writeln!(self.stderr, "error: {}", one_line(message))
                })
            }
            // The rest is of no use on a screen that scrolls.
            _ => Ok(()),
        }
    }

    fn piece(&mut self, index: u32, text: &str) -> io::Result<()> {
        if self.held.as_ref().is_some_and(|(held, _)| *held != index) {
            self.let_go()?;
        }
        match &mut self.held {
            None => self.text(index, text),
            Some((held, before)) => {
                *held = index;
                before.push_str(text);
                Ok(())
            }
        }
    }

    fn block_ended(&mut self, index: u32, outcome: BlockOutcome) -> io::Result<()> {
        if outcome != BlockOutcome::GivenUp {
            return self.let_go();
        }
        if let Some((_, given_up)) = &mut self.held {
            given_up.clear();
        }
        if self.block.is_some_and(|(shown, _)| shown == index) {
            self.aside("codex gave up the text above and begins again")?;
        }
        Ok(())
    }

    /// Shows what was held.
    fn let_go(&mut self) -> io::Result<()> {
        match &mut self.held {
            Some((index, text)) if !text.is_empty() => {
                let (index, text) = (*index, std::mem::take(text));
                self.text(index, &text)
            }
            _ => Ok(()),
        }
    }

    fn text(&mut self, index: u32, text: &str) -> io::Result<()> {
        if self.terminal {
            self.spinner.hide();
        }
        if self.block.is_some_and(|(shown, _)| shown != index) {
            self.end_line()?;
            self.stdout.write_all(b"\n")?;
        }
        let text = if self.terminal {
            harmless(text)
        } else {
            text.into()
        };
        self.stdout.write_all(text.as_bytes())?;
        self.stdout.flush()?;
        let ended = text.ends_with('\n');
        self.block = Some((index, ended));
        // The spinner takes a whole line, and the block may go on in this one.
        if ended {
            self.spinner.show();
        }
        Ok(())
    }

    /// One line that is not the answer.
    fn aside(&mut self, line: &str) -> io::Result<()> {
        self.spinner.hide();
        self.end_line()?;
        let line = self.dim.style(&one_line(line));
        writeln!(self.stderr, "{line}")?;
        self.spinner.show();
        Ok(())
    }

    fn end_line(&mut self) -> io::Result<()> {
        if let Some((_, ended @ false)) = &mut self.block {
            *ended = true;
            self.stdout.write_all(b"\n")?;
            self.stdout.flush()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_goes_on_in_its_line_and_the_spinner_waits_for_its_end() {
        let mut screen = Screen {
            stdout: Vec::new(),
            stderr: Vec::new(),
            block: None,
            held: None,
            terminal: true,
            dim: Dim::for_stderr(),
            spinner: Spinner::unseen(),
        };
        let mut show = |index, text: &str| {
            let text = text.to_owned();
            screen.show(&Event::TextDelta { index, text }).unwrap();
            let shown = String::from_utf8(screen.stdout.clone()).unwrap();
            (shown, screen.spinner.is_shown())
        };
        assert_eq!(show(0, "one "), ("one ".to_owned(), false));
        assert_eq!(show(0, "line"), ("one line".to_owned(), false));
        assert_eq!(show(0, ".\n"), ("one line.\n".to_owned(), true));
        assert_eq!(show(1, "two"), ("one line.\n\ntwo".to_owned(), false));
        let notice = r#"{"type":"notice","kind":"warning","message":"look\u001b[2J"}"#;
        screen.show(&serde_json::from_str(notice).unwrap()).unwrap();
        assert!(screen.stdout.ends_with(b"two\n") && screen.spinner.is_shown());
        let aside = String::from_utf8(screen.stderr).unwrap();
        assert!(aside.contains("notice: look\\u{1b}[2J"), "{aside:?}");
    }

    #[test]
    fn what_codex_gives_up_does_not_go_to_a_file_and_is_marked_on_a_terminal() {
        let events = [
            r#"{"type":"text_delta","index":0,"text":"cut "}"#,
            r#"{"type":"text_delta","index":0,"text":"off"}"#,
            r#"{"type":"block_end","kind":"text","index":0,"outcome":"given_up"}"#,
            r#"{"type":"text_delta","index":1,"text":"who"}"#,
            r#"{"type":"text_delta","index":1,"text":"le"}"#,
            r#"{"type":"block_end","kind":"text","index":1,"outcome":"complete"}"#,
            r#"{"type":"text_delta","index":2,"text":"last"}"#,
            r#"{"type":"message_end","stop_reason":"end_turn"}"#,
        ];
        for (terminal, shown, told) in [
            (false, "whole\n\nlast\n", false),
            (true, "cut off\n\nwhole\n\nlast\n", true),
        ] {
            let mut screen = Screen {
                stdout: Vec::new(),
                stderr: Vec::new(),
                block: None,
                held: (!terminal).then(Default::default),
                terminal,
                dim: Dim::for_stderr(),
                spinner: Spinner::unseen(),
            };
            for event in events {
                screen.show(&serde_json::from_str(event).unwrap()).unwrap();
            }
            assert_eq!(String::from_utf8(screen.stdout).unwrap(), shown);
            let aside = String::from_utf8(screen.stderr).unwrap();
            assert_eq!(aside.contains("gave up"), told, "{aside:?}");
        }
    }
}
