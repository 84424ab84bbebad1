//! Whether a supervisor still does its work: codex's tools can stop it or trace it.

use std::io;

use tokio::time::{Duration, Instant};

use super::supervisor::{held, silent};

/// How often the supervisor is asked.
const BEAT: Duration = Duration::from_millis(500);

/// How often to look after one that has not answered.
const FAST_BEAT: Duration = Duration::from_millis(100);

/// How long something may hold a supervisor that is told to go on at each of these looks.
const HELD: Duration = Duration::from_millis(400);

/// How long any other may leave a question unanswered, on a machine that has more to do than it can.
const SILENT: Duration = Duration::from_secs(10);

/// How late a look may be on a machine that has much to do. If it is later, this process did not run, and perhaps the
/// supervisor did not either.
const LATE: Duration = Duration::from_millis(500);

/// When to look after a supervisor, and what was seen of it. Every sign of life begins a new one.
#[derive(Debug)]
pub struct Pulse {
    /// When to look again.
    next: Instant,
    /// Since when an answer is missing.
    asked: Option<Instant>,
    /// Since when something holds it, and it has not answered.
    held: Option<Instant>,
}

/// What to do after a look.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// To ask whether it does its work.
    Ask,
    /// To tell it to go on, because something holds it.
    Rouse,
    /// To wait for its answer.
    Wait,
}

impl Pulse {
    /// Of one that is well.
    pub fn well() -> Self {
        Self::after(BEAT)
    }

    /// Of one that is about to exit, and is looked after often.
    pub fn exiting() -> Self {
        Self::after(FAST_BEAT)
    }

    fn after(pause: Duration) -> Self {
        Pulse {
            next: Instant::now() + pause,
            asked: None,
            held: None,
        }
    }

    /// When to look.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Whether a question is unanswered.
    pub fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// Looks after it now.
    ///
    /// # Errors
    /// It can no longer be relied on: [`held`] or [`silent`].
    pub fn look(&mut self, now: Instant, is_held: impl FnOnce() -> bool) -> io::Result<Look> {
        let late = now.saturating_duration_since(self.next) > LATE;
        self.next = now + FAST_BEAT;
        let Some(asked) = self.asked else {
            self.asked = Some(now);
            self.held = None;
            return Ok(Look::Ask);
        };
        if late {
            self.asked = Some(now);
            self.held = self.held.map(|_| now);
        } else if self.held.is_some_and(|held| now - held >= HELD) {
            return Err(held());
        } else if now - asked >= SILENT {
            return Err(silent());
        }
        if !is_held() {
            return Ok(Look::Wait);
        }
        if self.held.is_none() {
            tracing::warn!("something has stopped the supervisor; it is told to go on");
            self.held = Some(now);
        }
        Ok(Look::Rouse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks whenever it is time, `late` too late each time, until this is an error; returns its words, and how long after
    /// the question that was.
    fn lost(is_held: bool, late: Duration, until: Duration) -> Option<(String, Duration)> {
        let mut pulse = Pulse::well();
        let asked = pulse.next();
        assert_eq!(pulse.look(asked, || unreachable!()).unwrap(), Look::Ask);
        while pulse.next() - asked < until {
            let now = pulse.next() + late;
            match pulse.look(now, || is_held) {
                Ok(look) => assert_eq!(look, if is_held { Look::Rouse } else { Look::Wait }),
                Err(error) => return Some((error.to_string(), now - asked)),
            }
        }
        None
    }

    #[test]
    fn one_that_does_not_answer_is_lost_after_a_while_and_one_that_is_held_sooner() {
        let minute = Duration::from_secs(60);
        let silent = Some(("the supervisor does not answer".to_owned(), SILENT));
        assert_eq!(lost(false, Duration::ZERO, minute), silent);
        let held = "something holds the supervisor".to_owned();
        let expected = Some((held, FAST_BEAT + HELD));
        assert_eq!(lost(true, Duration::ZERO, minute), expected);
    }

    #[test]
    fn time_in_which_this_process_did_not_run_does_not_count() {
        let late = LATE + Duration::from_millis(1);
        for is_held in [false, true] {
            assert_eq!(lost(is_held, late, Duration::from_secs(60)), None);
            assert!(lost(is_held, LATE, Duration::from_secs(60)).is_some());
        }
    }
}
