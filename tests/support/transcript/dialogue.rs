//! What a host and `codex app-server` have said to each other, line by line.
//!
//! As a text it has a line for each of theirs: `> ` and what the host said, `< ` and what codex said.

use std::fmt;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::Plain;

/// A line of one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The host's.
    Host(String),
    /// Codex's.
    Codex(String),
}

/// The lines of both, in order. More than one codex may have been started, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dialogue(pub Vec<Said>);

impl Dialogue {
    /// What stands for the workspace in the canonical form.
    pub const WORKSPACE: &'static str = "/workspace";

    /// What stands for codex's home.
    pub const CODEX_HOME: &'static str = "/codex-home";

    /// What stands for the host's version.
    pub const CLIENT_VERSION: &'static str = r#""version":"0.0.0""#;

    /// Reads the text of one.
    ///
    /// # Errors
    /// When a line is neither of the two kinds.
    pub fn read(text: &str) -> Result<Self> {
        let said = text.lines().map(|line| match line.split_at_checked(2) {
            Some(("> ", line)) => Ok(Said::Host(line.to_owned())),
            Some(("< ", line)) => Ok(Said::Codex(line.to_owned())),
            _ => bail!("neither `> …` nor `< …`: {line}"),
        });
        Ok(Dialogue(said.collect::<Result<_>>()?))
    }

    /// The same as any other run would have it: without what depends on the machine, and each line of the host as early
    /// as it can come. Codex does not wait for the host, so where it really stood is chance.
    ///
    /// # Errors
    /// When a line is not JSON.
    pub fn canonical(self, plain: &mut Plain) -> Result<Self> {
        let mut ordered: Vec<Line> = Vec::new();
        for said in self.0 {
            let line = Line::read(said)?;
            // It is about what is installed beside codex.
            if line.method() == Some("configWarning") {
                continue;
            }
            let mut place = ordered.len();
            while place > 0 && line.overtakes(&ordered, place - 1) {
                place -= 1;
            }
            ordered.insert(place, line);
        }
        let plain = ordered.into_iter().map(|line| match line.said {
            Said::Host(text) => Said::Host(plain.message(&text)),
            Said::Codex(text) => Said::Codex(plain.message(&text)),
        });
        Ok(Dialogue(plain.collect()))
    }

    /// What was said to and by the first codex, and the rest.
    ///
    /// # Errors
    /// When a line is not JSON.
    pub fn split_first(mut self) -> Result<(Self, Self)> {
        let mut end = self.0.len();
        for (at, said) in self.0.iter().enumerate().skip(1) {
            if Line::read(said.clone())?.asks("initialize") {
                end = at;
                break;
            }
        }
        let rest = self.0.split_off(end);
        Ok((self, Dialogue(rest)))
    }
}

impl fmt::Display for Dialogue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for said in &self.0 {
            match said {
                Said::Host(line) => writeln!(formatter, "> {line}")?,
                Said::Codex(line) => writeln!(formatter, "< {line}")?,
            }
        }
        Ok(())
    }
}

/// A line and what it means.
struct Line {
    said: Said,
    message: Value,
}

impl Line {
    fn read(said: Said) -> Result<Self> {
        let (Said::Host(text) | Said::Codex(text)) = &said;
        let message = serde_json::from_str(text).with_context(|| format!("not JSON: {text}"))?;
        Ok(Line { said, message })
    }

    fn method(&self) -> Option<&str> {
        self.message.get("method")?.as_str()
    }

    fn is_hosts(&self) -> bool {
        matches!(self.said, Said::Host(_))
    }

    fn asks(&self, method: &str) -> bool {
        self.is_hosts() && self.method() == Some(method)
    }

    /// Whether this is the answer to the line with that method that was said last.
    fn answers(&self, before: &[Line], method: &str) -> bool {
        let asked = before.iter().rev().find(|line| line.asks(method));
        let is_answer = !self.is_hosts() && self.method().is_none();
        is_answer && asked.is_some_and(|asked| asked.message.get("id") == self.message.get("id"))
    }

    /// Whether it comes before the line of codex that stands there, because it does not wait for that.
    fn overtakes(&self, lines: &[Line], at: usize) -> bool {
        let (before, Some(other)) = (lines.get(..at).unwrap_or_default(), lines.get(at)) else {
            return false;
        };
        if !self.is_hosts() {
            // Codex says that it has a thread before or behind its answer.
            let answer = ["thread/start", "thread/resume"];
            return other.method() == Some("thread/started")
                && answer.iter().any(|method| self.answers(before, method));
        }
        let waits = match self.method() {
            Some("initialize" | "initialized") => true,
            Some("thread/start") => other.answers(before, "thread/resume"),
            Some("thread/resume") => other.answers(before, "initialize"),
            Some("turn/interrupt") => other
                .method()
                .is_some_and(|method| method.ends_with("/delta")),
            _ => {
                other.method() == Some("turn/completed")
                    || ["thread/start", "thread/resume"]
                        .iter()
                        .any(|method| other.answers(before, method))
            }
        };
        !other.is_hosts() && !waits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIALOGUE: &str = r#"> {"id":1,"method":"initialize","params":{}}
> {"method":"initialized"}
< {"id":1,"result":{}}
< {"method":"configWarning","params":{}}
> {"id":2,"method":"thread/start","params":{}}
< {"method":"thread/started","params":{}}
< {"id":2,"result":{}}
< {"method":"x","params":{}}
> {"id":3,"method":"turn/start","params":{}}
< {"method":"turn/completed","params":{}}
> {"id":1,"method":"initialize","params":{}}
< {"id":1,"result":{}}
"#;

    #[test]
    fn lines_of_the_host_stand_where_they_could_have_been_said_first() {
        let dialogue = Dialogue::read(DIALOGUE).unwrap();
        assert_eq!(dialogue.to_string(), DIALOGUE);
        let canonical = dialogue.canonical(&mut Plain::default()).unwrap();
        let expected = r#"> {"id":1,"method":"initialize","params":{}}
> {"method":"initialized"}
> {"id":2,"method":"thread/start","params":{}}
< {"id":1,"result":{}}
< {"id":2,"result":{}}
> {"id":3,"method":"turn/start","params":{}}
< {"method":"thread/started","params":{}}
< {"method":"x","params":{}}
< {"method":"turn/completed","params":{}}
> {"id":1,"method":"initialize","params":{}}
< {"id":1,"result":{}}
"#;
        assert_eq!(canonical.to_string(), expected);
        let again = canonical.clone().canonical(&mut Plain::default()).unwrap();
        assert_eq!(again, canonical);
        let (first, rest) = canonical.split_first().unwrap();
        assert_eq!((first.0.len(), rest.0.len()), (9, 2));
        let (rest, nothing) = rest.split_first().unwrap();
        assert_eq!((rest.0.len(), nothing.0.len()), (2, 0));
        assert!(Dialogue::read("x").is_err());
    }
}
