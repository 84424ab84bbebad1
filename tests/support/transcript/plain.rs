//! Takes out of an output what differs from run to run, so that recording again gives the same
//! files.

use std::path::Path;

use anyhow::Context as _;
use regex_lite::Regex;

/// The day of every log line.
const TIME: &str = "2026-01-01T00:00:00.000000Z";

/// The place of every rollout in codex's home, but for its thread's id.
const ROLLOUT: &str = "2026/01/01/rollout-2026-01-01T00-00-00";

/// The moment at which every usage limit ends.
const RESET: &str = "4:35 PM";

/// What differs from run to run, or from machine to machine, in the messages of app-server, and what stands for it.
const VOLATILE: [(&str, &str); 6] = [
    (r#""([a-zA-Z]*AtMs)":[0-9]+"#, r#""$1":1795700000000"#),
    (r#""([a-zA-Z]*At)":[0-9]+"#, r#""$1":1795700000"#),
    (r#""durationMs":[0-9]+"#, r#""durationMs":1"#),
    (r#""processId":"[0-9]+""#, r#""processId":"1""#),
    // The shell of whoever runs this.
    (
        r#""(command|title)":"/[a-z/]+ -lc "#,
        r#""$1":"/bin/bash -lc "#,
    ),
    // Behind the version stands which system this is.
    (
        r#""userAgent":"([^ "]+) [^"]*""#,
        r#""userAgent":"$1 (system)""#,
    ),
];

/// How many digits an id of the model has at least: its number begins with the seconds since 1970.
const SERIAL_DIGITS: usize = 12;

/// Replaces what it has seen before by the same words again.
#[derive(Debug, Default)]
pub struct Plain {
    words: Vec<(String, String)>,
    thread_ids: Vec<String>,
    serials: Vec<String>,
}

impl Plain {
    /// From now on `path` is called `name`.
    ///
    /// # Errors
    /// When there is no such path, or when it is not UTF-8.
    pub fn path(&mut self, path: &Path, name: &str) -> anyhow::Result<()> {
        let real = path.canonicalize()?;
        for path in [path, real.as_path()] {
            let text = path.to_str().context("a path is not UTF-8")?;
            self.word(text, name);
        }
        Ok(())
    }

    /// From now on `word` is replaced by `other`.
    pub fn word(&mut self, word: &str, other: &str) {
        self.words.push((word.to_owned(), other.to_owned()));
        // One path may begin with another.
        self.words
            .sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
    }

    /// The name of a thread: its number in the order of appearance, as a UUID.
    pub fn thread_id(&mut self, id: &str) -> String {
        let number = number_in(&mut self.thread_ids, id);
        format!("01a20000-0000-7000-8000-{number:012}")
    }

    /// What codex says to a host, or a host to codex: JSON with times in it.
    ///
    /// # Panics
    /// Never: the patterns are valid.
    pub fn message(&mut self, text: &str) -> String {
        let mut text = self.stdout(text);
        for (pattern, other) in VOLATILE {
            let pattern = Regex::new(pattern).expect("a valid pattern");
            text = pattern.replace_all(&text, other).into_owned();
        }
        text
    }

    /// Standard output.
    pub fn stdout(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for (word, other) in &self.words {
            text = text.replace(word, other);
        }
        let text = rewritten(&text, |rest| uuid(rest).map(|id| (id, self.thread_id(id))));
        let text = rewritten(&text, |rest| {
            let serial = serial(rest)?;
            Some((serial, number_in(&mut self.serials, serial).to_string()))
        });
        let text = rewritten(&text, |rest| {
            let time = clock_time(rest)?;
            Some((time, RESET.to_owned()))
        });
        rewritten(&text, |rest| {
            let rollout = rest.get(..ROLLOUT.len())?;
            has_shape(rollout, ROLLOUT).then(|| (rollout, ROLLOUT.to_owned()))
        })
    }

    /// Standard error.
    pub fn stderr(&mut self, text: &str) -> String {
        let lines = self.stdout(text);
        let mut kept = String::new();
        let mut in_backtrace = false;
        for line in lines.split_inclusive('\n') {
            in_backtrace = in_backtrace && is_frame(line);
            if in_backtrace {
                continue;
            }
            in_backtrace = line.trim_end() == "Stack backtrace:";
            match line.split_once(' ') {
                Some((time, rest)) if has_shape(time, TIME) => {
                    kept.push_str(TIME);
                    kept.push(' ');
                    kept.push_str(rest);
                }
                _ => kept.push_str(line),
            }
        }
        kept
    }
}

/// The place of a text in a list, counted from 1; it is added when it is new.
fn number_in(list: &mut Vec<String>, text: &str) -> usize {
    let known = list.iter().position(|known| known == text);
    let place = known.unwrap_or_else(|| {
        list.push(text.to_owned());
        list.len() - 1
    });
    place + 1
}

/// The text with every word replaced that `replace` finds at the beginning of what it is given. It
/// is asked only where a word begins.
fn rewritten<'a>(
    text: &'a str,
    mut replace: impl FnMut(&'a str) -> Option<(&'a str, String)>,
) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut inside_word = false;
    while let Some(next) = rest.chars().next() {
        let found = if inside_word { None } else { replace(rest) };
        let taken = match found {
            Some((word, other)) => {
                out.push_str(&other);
                word.len()
            }
            None => {
                out.push(next);
                next.len_utf8()
            }
        };
        inside_word = next.is_ascii_alphanumeric();
        rest = rest.get(taken..).unwrap_or_default();
    }
    out
}

/// The UUID with which a text begins.
fn uuid(text: &str) -> Option<&str> {
    let id = text.get(..36)?;
    let shaped = id.bytes().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    shaped.then_some(id)
}

/// The model's number in an id such as `call_1a2b3c4d5e6f7_1`, with which a text begins.
fn serial(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !matches!(c, '0'..='9' | 'a'..='f'))?;
    let digits = text.get(..end)?;
    let is_serial = digits.len() >= SERIAL_DIGITS && text.get(end..)?.starts_with('_');
    is_serial.then_some(digits)
}

/// The time of day with which a text begins, such as `4:35 PM`, with the date before it where the
/// reset is on another day.
fn clock_time(text: &str) -> Option<&str> {
    let end = ["AM", "PM"]
        .iter()
        .filter_map(|half| Some(text.find(&format!(" {half}"))? + 1 + half.len()))
        .min()?;
    let time = text.get(..end)?;
    let clock = time.rsplit(' ').nth(1)?;
    let (hour, minute) = clock.split_once(':')?;
    let digits = |text: &str, most| {
        !text.is_empty() && text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let begins_with_clock = time.starts_with(clock);
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let begins_with_date = months.iter().any(|month| time.starts_with(month)) && time.len() < 30;
    (digits(hour, 2) && digits(minute, 2) && (begins_with_clock || begins_with_date))
        .then_some(time)
}

/// Whether two texts are the same but for their digits.
fn has_shape(text: &str, shape: &str) -> bool {
    let digitless = |byte: u8| if byte.is_ascii_digit() { b'0' } else { byte };
    text.bytes().map(digitless).eq(shape.bytes().map(digitless))
}

/// Whether this is a line of a backtrace: `  12: <unknown>`, or where that function is.
fn is_frame(line: &str) -> bool {
    let line = line.trim();
    let numbered = line
        .split_once(": ")
        .is_some_and(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit()));
    numbered || line.starts_with("at ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_replaced() {
        let mut plain = Plain::default();
        plain.word("/scratch/x", "/workspace");
        plain.word("/scratch/x/home", "/codex-home");
        plain.word("127.0.0.1:34567", "127.0.0.1:1");
        let first = "01a20459-1490-7bf3-b2e1-4d675dab2915";
        let second = "01A20459-1490-7bf3-b2e1-4d675dab2916";
        for (text, want) in [
            (
                format!("{first} {second} {first}"),
                "01a20000-0000-7000-8000-000000000001 01a20000-0000-7000-8000-000000000002 \
                 01a20000-0000-7000-8000-000000000001"
                    .to_owned(),
            ),
            (
                r#""/scratch/x/home/a","/scratch/x/b","http://127.0.0.1:34567/v1""#.to_owned(),
                r#""/codex-home/a","/workspace/b","http://127.0.0.1:1/v1""#.to_owned(),
            ),
            (
                "ws_6923a5b800001_1 call_6923a5b800002_1 ws_6923a5b800001_2 deadbeef_1".to_owned(),
                "ws_1_1 call_2_1 ws_1_2 deadbeef_1".to_owned(),
            ),
            (
                "/sessions/2026/11/22/rollout-2026-11-22T18-17-51-x.jsonl".to_owned(),
                format!("/sessions/{ROLLOUT}-x.jsonl"),
            ),
            (
                "try again at 11:07 AM. Or at Nov 23rd, 2026 12:07 AM.".to_owned(),
                "try again at 4:35 PM. Or at 4:35 PM.".to_owned(),
            ),
        ] {
            assert_eq!(plain.stdout(&text), want);
        }
    }

    #[test]
    fn times_of_messages_are_fixed_and_no_other_numbers() {
        let text = r#"{"startedAtMs":5,"createdAt":6,"completedAt":null,"durationMs":7,"processId":"8","command":"/usr/bin/zsh -lc x","inputTokens":9,"userAgent":"x/0.169.0 (Debian; x86_64) y"}"#;
        assert_eq!(
            Plain::default().message(text),
            r#"{"startedAtMs":1795700000000,"createdAt":1795700000,"completedAt":null,"durationMs":1,"processId":"1","command":"/bin/bash -lc x","inputTokens":9,"userAgent":"x/0.169.0 (system)"}"#
        );
    }

    #[test]
    fn log_times_are_fixed_and_backtraces_cut() {
        let stderr = "2026-11-22T18:00:00.123456Z ERROR codex: boom\nError: x\n\n\
            Stack backtrace:\n   0: <unknown>\n             at file:1\n   1: main\nafter\n";
        assert_eq!(
            Plain::default().stderr(stderr),
            format!("{TIME} ERROR codex: boom\nError: x\n\nStack backtrace:\nafter\n")
        );
    }
}
