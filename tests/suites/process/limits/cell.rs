//! What each cell of a row gives, and whether that is what is expected.

use std::path::PathBuf;

use plexum_openai_provider::{Event, Failure, FailureKind, StopReason};
use plexum_openai_provider_tests::census::processes_below;
use plexum_openai_provider_tests::wait::processes_with;

use super::matrix::{Doctor, Row, Turns};
use super::program::{self, Ran};
use super::site::{Lacking, Site};

/// All that is not as it should be in the cells of a row.
pub fn check(row: &Row) -> Result<Vec<String>, Lacking> {
    let site = Site::new(row)?;
    let mut checked = Checked {
        row,
        site: &site,
        wrong: Vec::new(),
    };
    checked.row();
    Ok(checked.wrong)
}

struct Checked<'a> {
    row: &'a Row,
    site: &'a Site,
    wrong: Vec<String>,
}

impl Checked<'_> {
    fn row(&mut self) {
        let workspaces = self.site.workspaces();
        let (one, many) = workspaces.split_at(1);
        let folder = one[0].to_str().unwrap();
        let prompt = "x".repeat(self.row.prompt);
        let site = self.site;
        let say = |limited| {
            let command = site.turns(&["say", "--json", "--workspace", folder, "-"], limited);
            program::say(command, prompt.clone())
        };
        let serve = |limited, workspaces: &[PathBuf]| {
            program::serve(site.turns(&["serve"], limited), workspaces, &prompt)
        };

        // So that a conversation is there that can be lost.
        let seed = self.ran("say before", say(false));
        self.turns("say before", &Turns::Succeed, &seed, 1, &[]);

        site.fill();
        let version = self.ran(
            "version",
            program::run(site.command(&["--version"], true), String::new()),
        );
        let said = version.stdout.starts_with("plexum-openai-provider ");
        self.expect("version", version.code == Some(0) && said, &version);
        let doctor = self.ran("doctor", program::run(site.doctor(), String::new()));
        self.doctor(&doctor);
        let limited = self.ran("say", say(true));
        self.turns("say", &self.row.one, &limited, 1, &threads(&seed));
        let many_limited = self.ran("serve", serve(true, many));
        self.turns("serve", &self.row.many, &many_limited, many.len(), &[]);

        site.clear();
        let after = self.ran("say after", say(false));
        self.turns("say after", &Turns::Succeed, &after, 1, &threads(&seed));
        // One of those with which nothing was the matter will do.
        let known = threads(&many_limited);
        let again = |number: &usize| *number == 0 || !is_plain(many_limited.turns.get(*number));
        let again: Vec<usize> = (0..many.len()).filter(again).collect();
        let workspaces: Vec<PathBuf> = again.iter().map(|number| many[*number].clone()).collect();
        let known: Vec<_> = again
            .iter()
            .map(|number| known.get(*number).cloned().flatten())
            .collect();
        let after = self.ran("serve after", serve(false, &workspaces));
        self.turns(
            "serve after",
            &Turns::Succeed,
            &after,
            workspaces.len(),
            &known,
        );
    }

    /// What holds after each run: it did not crash, and left nothing.
    fn ran(&mut self, cell: &str, ran: Ran) -> Ran {
        let panicked = ran.code.is_none_or(|code| code == 101)
            || ran.stderr.contains("panicked")
            || ran.stdout.contains("panicked");
        self.expect(cell, !panicked, &ran);
        let root = self.site.root();
        let processes = processes_with(&root.to_string_lossy());
        let below = processes_below(root);
        if !processes.is_empty() || !below.is_empty() {
            self.wrong(cell, &format!("{processes:?} and {below:?} are left"));
        }
        let files = self.site.left_temporary();
        if !files.is_empty() {
            self.wrong(cell, &format!("{files:?} is left"));
        }
        ran
    }

    fn doctor(&mut self, ran: &Ran) {
        let problems = || {
            ran.stdout
                .lines()
                .filter(|line| line.starts_with("problem"))
        };
        // All of it comes from the limit, so none may have another remedy.
        let names =
            |words: &str| ran.code == Some(1) && problems().all(|problem| problem.contains(words));
        let as_expected = match self.row.doctor {
            Doctor::Content => ran.code == Some(0),
            Doctor::Problem(words) => names(words),
            Doctor::ContentOrProblem(words) => ran.code == Some(0) || names(words),
            Doctor::CannotBegin(words) => ran.code == Some(2) && ran.stderr.contains(words),
        };
        let found: Vec<&str> = problems().collect();
        eprintln!(
            "{} | doctor: {:?} {found:?} {}",
            self.row.name,
            ran.code,
            ran.stderr.trim()
        );
        self.expect("doctor", as_expected, ran);
    }

    /// Checks the turns of a run: of those that have a thread before, the same is resumed.
    fn turns(
        &mut self,
        cell: &str,
        expected: &Turns,
        ran: &Ran,
        count: usize,
        before: &[Option<String>],
    ) {
        eprintln!("{} | {cell}: {}", self.row.name, summary(ran));
        if let Turns::CannotBegin(words) = expected {
            let said = words.iter().all(|word| ran.stderr.contains(word));
            let none = ran.turns.is_empty();
            return self.expect(cell, ran.code == Some(2) && none && said, ran);
        }
        if ran.turns.len() != count {
            return self.expect(cell, false, ran);
        }
        let mut wrong = Vec::new();
        for (number, events) in ran.turns.iter().enumerate() {
            let ends = events.iter().filter(|event| end(event).is_some()).count();
            let Some((stop_reason, failure)) = events.last().and_then(end) else {
                wrong.push(format!("turn {number} has no end: {events:?}"));
                continue;
            };
            let succeeded = stop_reason == StopReason::EndTurn
                && failure.is_none()
                && text(events) == format!("echo: {}", "x".repeat(self.row.prompt));
            let failed = |kind, words: &[&str]| {
                failure.is_some_and(|failure| {
                    failure.kind == kind
                        && failure.retryable == (kind == FailureKind::Resources)
                        && words.iter().all(|word| failure.message.contains(word))
                })
            };
            let as_expected = match expected {
                Turns::Succeed => succeeded,
                Turns::SucceedAndTell(words) => {
                    let told = events.iter().any(|event| matches!(event, Event::Notice { message, .. } if message.contains(words)));
                    succeeded && (told || ran.stderr.contains(words))
                }
                Turns::Fail(kind, words) => failed(*kind, words),
                Turns::SucceedOrFail(kind, words) => succeeded || failed(*kind, words),
                Turns::CannotBegin(_) => false,
            };
            if ends != 1 || !as_expected {
                let shown = format!("{events:?}");
                let shown: String = shown.chars().take(1500).collect();
                wrong.push(format!("turn {number}: {shown}"));
            }
            let resumed = start(events);
            if let (Some((thread, resumed)), Some(Some(before))) = (resumed, before.get(number))
                && (!resumed || thread != before)
            {
                wrong.push(format!(
                    "turn {number} goes on with {thread}, and not with {before}"
                ));
            }
        }
        // They are much alike.
        if let Some(first) = wrong.first() {
            self.wrong(cell, &format!("{} of {count}: {first}", wrong.len()));
        }
    }

    fn expect(&mut self, cell: &str, holds: bool, ran: &Ran) {
        if !holds {
            let stdout: String = ran.stdout.chars().take(3000).collect();
            let said = format!("exit code {:?}\n{stdout}\n{}", ran.code, ran.stderr);
            self.wrong(cell, &said);
        }
    }

    fn wrong(&mut self, cell: &str, what: &str) {
        self.wrong
            .push(format!("{} | {cell}: {what}", self.row.name));
    }
}

/// How the turns of a run ended, each way once.
fn summary(ran: &Ran) -> String {
    let mut ways: Vec<(String, usize)> = Vec::new();
    for events in &ran.turns {
        let notices: Vec<&str> = events
            .iter()
            .filter_map(|event| match event {
                Event::Notice { message, .. } => Some(message.as_str()),
                _ => None,
            })
            .collect();
        let way = match events.last().and_then(end) {
            Some((StopReason::EndTurn, None)) => format!("success {notices:?}"),
            Some((_, Some(failure))) => {
                format!("{:?}: {} {notices:?}", failure.kind, failure.message)
            }
            other => format!("{other:?}"),
        };
        // The paths differ.
        let alike = |known: &String| {
            known.split(' ').next() == way.split(' ').next() && known.len().abs_diff(way.len()) < 8
        };
        match ways.iter_mut().find(|(known, _)| alike(known)) {
            Some((_, count)) => *count += 1,
            None => ways.push((way, 1)),
        }
    }
    let ways: Vec<String> = ways
        .into_iter()
        .map(|(way, count)| format!("{count} × {}", way.chars().take(500).collect::<String>()))
        .collect();
    format!(
        "exit code {:?}; {}; {}",
        ran.code,
        ways.join("; "),
        ran.stderr.trim()
    )
}

/// Whether a turn succeeded and had nothing to say about it.
fn is_plain(events: Option<&Vec<Event>>) -> bool {
    events.is_some_and(|events| {
        let told = events
            .iter()
            .any(|event| matches!(event, Event::Notice { .. }));
        let end = events.last().and_then(end);
        !told && matches!(end, Some((StopReason::EndTurn, None)))
    })
}

/// The threads of the turns that got so far, by turn.
fn threads(ran: &Ran) -> Vec<Option<String>> {
    let thread = |events: &Vec<Event>| Some(start(events)?.0.to_owned());
    ran.turns.iter().map(thread).collect()
}

fn start(events: &[Event]) -> Option<(&str, bool)> {
    events.iter().find_map(|event| match event {
        Event::MessageStart {
            thread_id, resumed, ..
        } => Some((thread_id.as_str(), *resumed)),
        _ => None,
    })
}

fn end(event: &Event) -> Option<(StopReason, Option<&Failure>)> {
    match event {
        Event::MessageEnd {
            stop_reason,
            failure,
            ..
        } => Some((*stop_reason, failure.as_ref())),
        _ => None,
    }
}

fn text(events: &[Event]) -> String {
    let texts = events.iter().filter_map(|event| match event {
        Event::TextDelta { text, .. } => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}
