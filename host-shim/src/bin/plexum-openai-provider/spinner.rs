//! A line at the bottom of a terminal that moves while codex works, and says at what and for how long.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const FRAMES: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// How long one frame is shown.
const TICK: Duration = Duration::from_millis(100);

/// Takes the cursor back to the start of the line, and erases that.
const ERASE: &str = "\r\u{1b}[2K";

/// Text in the dim style of things that are not the answer.
pub struct Dim(bool);

impl Dim {
    /// Dim where standard error is a terminal that knows styles and whose user wants them.
    pub fn for_stderr() -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Dim(is_capable(&io::stderr()) && !no_color)
    }

    /// The text with or without the style.
    pub fn style(&self, text: &str) -> String {
        if self.0 {
            format!("\u{1b}[2m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

fn is_capable(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The spinner, on standard error. Does nothing where that is not a terminal. Dropping it erases it.
pub struct Spinner {
    shared: Option<Arc<Shared>>,
}

struct Shared {
    state: Mutex<State>,
    ended: Condvar,
}

struct State {
    terminal: Box<dyn Write + Send>,
    message: String,
    dim: Dim,
    began: Instant,
    frame: usize,
    /// Whether it may be drawn.
    shown: bool,
    /// Whether it is on the terminal.
    drawn: bool,
    ended: bool,
}

impl Spinner {
    /// One that is shown from now on.
    pub fn new(message: &str) -> Self {
        if is_capable(&io::stderr()) {
            Self::on(Box::new(io::stderr()), message)
        } else {
            Self::none()
        }
    }

    /// One that is never shown.
    pub fn none() -> Self {
        Spinner { shared: None }
    }

    fn on(terminal: Box<dyn Write + Send>, message: &str) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                terminal,
                message: message.to_owned(),
                dim: Dim::for_stderr(),
                began: Instant::now(),
                frame: 0,
                shown: true,
                drawn: false,
                ended: false,
            }),
            ended: Condvar::new(),
        });
        let turning = Arc::clone(&shared);
        thread::spawn(move || turning.turn());
        Spinner {
            shared: Some(shared),
        }
    }

    /// One on a terminal that is not visible.
    #[cfg(test)]
    pub fn unseen() -> Self {
        Self::on(Box::new(io::sink()), "")
    }

    /// Whether it may be on the terminal now.
    #[cfg(test)]
    pub fn is_shown(&self) -> bool {
        self.shared
            .as_ref()
            .is_some_and(|shared| shared.state().shown)
    }

    /// Says what codex works at.
    pub fn set_message(&self, message: &str) {
        if let Some(shared) = &self.shared {
            message.clone_into(&mut shared.state().message);
        }
    }

    /// Erases it, so that the line is free for something else, until [`Spinner::show`].
    pub fn hide(&self) {
        if let Some(shared) = &self.shared {
            shared.state().hide();
        }
    }

    /// Shows it again. The cursor must be at the start of a line.
    pub fn show(&self) {
        if let Some(shared) = &self.shared {
            let mut state = shared.state();
            if !state.ended {
                state.shown = true;
                state.draw();
            }
        }
    }

    /// Removes it for good.
    pub fn end(&self) {
        if let Some(shared) = &self.shared {
            let mut state = shared.state();
            state.ended = true;
            state.hide();
            shared.ended.notify_all();
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws one frame after the other until the end.
    fn turn(&self) {
        let mut state = self.state();
        while !state.ended {
            state.frame += 1;
            state.draw();
            let waited = self.ended.wait_timeout(state, TICK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl State {
    fn draw(&mut self) {
        if !self.shown {
            return;
        }
        let frame = FRAMES.get(self.frame % FRAMES.len()).unwrap_or(&' ');
        let seconds = self.began.elapsed().as_secs();
        let line = format!("{frame} {seconds}s {}", self.message);
        // Without wrapping: what is too long for the terminal is cut off, and one line is enough to erase.
        self.drawn = true;
        let line = self.dim.style(&line);
        self.write(&format!("{ERASE}\u{1b}[?7l{line}\u{1b}[?7h"));
    }

    fn hide(&mut self) {
        self.shown = false;
        if std::mem::take(&mut self.drawn) {
            self.write(ERASE);
        }
    }

    /// A terminal that can no longer be written to is no reason to end a turn.
    fn write(&mut self, text: &str) {
        let written = self.terminal.write_all(text.as_bytes());
        let _ = written.and_then(|()| self.terminal.flush());
    }
}
