//! A turn, shown to a person: the answer on standard output, everything else on standard error.
//!
//! In a pipe both are plain. On a terminal what is not the answer is dim (unless `NO_COLOR` is set), and while codex
//! works a spinner says for how long.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use console::style;
use indicatif::{ProgressBar, ProgressStyle};
use plexum_openai_provider::{Event, Failure};

/// What has been shown so far.
pub struct Screen {
    /// The block of text that was shown last, and whether it ended its line.
    block: Option<(u32, bool)>,
    /// Whether the answer goes to a terminal.
    terminal: bool,
    /// Hidden where standard error is no terminal.
    spinner: ProgressBar,
}

impl Screen {
    /// One on which nothing has been shown yet, except that codex is at work.
    pub fn new() -> Self {
        let spinner = ProgressBar::new_spinner();
        if let Ok(style) =
            ProgressStyle::with_template("{spinner:.dim} {wide_msg:.dim} {elapsed:.dim}")
        {
            spinner.set_style(style);
        }
        spinner.set_message("codex is at work");
        spinner.enable_steady_tick(Duration::from_millis(100));
        Screen {
            block: None,
            terminal: io::stdout().is_terminal(),
            spinner,
        }
    }

    /// Shows an event.
    pub fn show(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::TextDelta { index, text } => self.text(*index, text),
            Event::ToolStart { title, .. } => {
                self.aside(&format!("- {title}"))?;
                self.spinner.set_message(one_line(title).into_owned());
                Ok(())
            }
            Event::ToolEnd { .. } => {
                self.spinner.set_message("codex is at work");
                Ok(())
            }
            Event::Notice { message, .. } => self.aside(&format!("notice: {message}")),
            Event::MessageEnd { failure, .. } => {
                self.spinner.finish_and_clear();
                self.end_line()?;
                failure.iter().try_for_each(|Failure { message, .. }| {
                    writeln!(io::stderr().lock(), "error: {message}")
                })
            }
            // The rest is of no use on a screen that scrolls.
            _ => Ok(()),
        }
    }

    fn text(&mut self, index: u32, text: &str) -> io::Result<()> {
        let spinner = self.spinner.clone();
        let spins = !spinner.is_hidden();
        spinner.suspend(|| {
            let mut stdout = io::stdout().lock();
            if self.block.is_some_and(|(shown, _)| shown != index) {
                self.end_line()?;
                stdout.write_all(b"\n")?;
            }
            let text = if self.terminal {
                harmless(text)
            } else {
                text.into()
            };
            stdout.write_all(text.as_bytes())?;
            self.block = Some((index, text.ends_with('\n')));
            // The spinner takes the line that the cursor is on.
            if self.terminal && spins {
                self.end_line()?;
            }
            stdout.flush()
        })
    }

    /// One line that is not the answer.
    fn aside(&mut self, line: &str) -> io::Result<()> {
        let spinner = self.spinner.clone();
        spinner.suspend(|| {
            self.end_line()?;
            writeln!(
                io::stderr().lock(),
                "{}",
                style(one_line(line)).for_stderr().dim()
            )
        })
    }

    fn end_line(&mut self) -> io::Result<()> {
        if let Some((_, ended @ false)) = &mut self.block {
            *ended = true;
            let mut stdout = io::stdout().lock();
            stdout.write_all(b"\n")?;
            stdout.flush()?;
        }
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.spinner.finish_and_clear();
    }
}

/// The text without what would move a terminal's cursor, or worse: the model wrote it.
fn harmless(text: &str) -> Cow<'_, str> {
    replaced(text, |character| {
        character.is_control() && !matches!(character, '\n' | '\t')
    })
}

/// The text as one line.
fn one_line(text: &str) -> Cow<'_, str> {
    replaced(text, char::is_control)
}

fn replaced(text: &str, unwanted: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.contains(&unwanted) {
        text.replace(unwanted, "\u{fffd}").into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_nothing_that_it_would_obey() {
        assert_eq!(harmless("a\tb\nc"), "a\tb\nc");
        assert_eq!(harmless("\u{1b}[2Jgone\r"), "\u{fffd}[2Jgone\u{fffd}");
        assert_eq!(one_line("echo a\necho b"), "echo a\u{fffd}echo b");
    }
}
