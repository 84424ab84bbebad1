//! What was found, for a person and for a program.

use std::fmt;

use serde::Serialize;

use crate::audit::escaped;

/// What was found. `Display` gives a line for each check; as JSON it follows `schemas/doctor.schema.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The worst status of the checks.
    pub outcome: Status,
    /// The checks that could be made, in order.
    pub checks: Vec<Check>,
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Check {
    /// What was checked, the same in every version of this program.
    pub id: &'static str,
    /// The result.
    pub status: Status,
    /// What was found; several lines if several things are wrong.
    pub summary: String,
    /// What to do about it; absent when there is nothing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// The result of a check, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Turns work, but something needs attention.
    Warning,
    /// Turns will fail.
    Problem,
}

impl Report {
    pub(super) fn new(checks: Vec<Check>) -> Self {
        let statuses = checks.iter().map(|check| check.status);
        Report {
            outcome: statuses.max().unwrap_or(Status::Ok),
            checks,
        }
    }
}

impl Check {
    pub(super) fn ok(id: &'static str, summary: impl Into<String>) -> Self {
        Check {
            id,
            status: Status::Ok,
            summary: summary.into(),
            remedy: None,
        }
    }

    pub(super) fn warning(
        id: &'static str,
        summary: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Check {
            status: Status::Warning,
            remedy: Some(remedy.into()),
            ..Check::ok(id, summary)
        }
    }

    pub(super) fn problem(
        id: &'static str,
        summary: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Check {
            status: Status::Problem,
            remedy: Some(remedy.into()),
            ..Check::ok(id, summary)
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            writeln!(f, "{check}")?;
        }
        let count = |status| {
            self.checks
                .iter()
                .filter(|check| check.status == status)
                .count()
        };
        write!(
            f,
            "{} ok, {} to look at, {} to repair",
            count(Status::Ok),
            count(Status::Warning),
            count(Status::Problem)
        )
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match self.status {
            Status::Ok => "ok",
            Status::Warning => "warning",
            Status::Problem => "problem",
        };
        let mut lines = self.summary.lines();
        let first = escaped(lines.next().unwrap_or_default());
        write!(f, "{status:<7}  {}: {first}", self.id)?;
        for line in lines {
            write!(f, "\n         - {}", escaped(line))?;
        }
        match &self.remedy {
            Some(remedy) if self.summary.contains('\n') => {
                write!(f, "\n         remedy: {}", escaped(remedy))
            }
            Some(remedy) => write!(f, "; remedy: {}", escaped(remedy)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outcome_is_that_of_the_worst_check() {
        let ok = Check::ok("a", "fine");
        let warning = Check::warning("b", "so so", "look");
        let problem = Check::problem("c", "bad", "repair");
        let outcome =
            |checks: &[&Check]| Report::new(checks.iter().copied().cloned().collect()).outcome;
        assert_eq!(outcome(&[]), Status::Ok);
        assert_eq!(outcome(&[&ok]), Status::Ok);
        assert_eq!(outcome(&[&warning, &ok]), Status::Warning);
        assert_eq!(outcome(&[&ok, &problem, &warning]), Status::Problem);
    }

    #[test]
    fn a_check_is_a_line_unless_it_found_several_things() {
        let check = Check::problem("login", "not logged in\x1b[2J", "run `codex login`");
        assert_eq!(
            check.to_string(),
            r"problem  login: not logged in\u{1b}[2J; remedy: run `codex login`"
        );
        let check = Check::warning("config", "two things\none\ntwo", "look");
        assert_eq!(
            check.to_string(),
            "warning  config: two things\n         - one\n         - two\n         remedy: look"
        );
    }
}
