//! The turns of one conversation, on one host after another.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Scope;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use plexum_openai_provider::Event;
use plexum_openai_provider_tests::fleet_process::{Heard, ProcessTurn};
use plexum_openai_provider_tests::random::Random;

use crate::fault::Fault;
use crate::prompt::Prompt;
use crate::site::Site;
use crate::turned::{End, Turned};

/// How many of the turns a fault is meant for.
const STRUCK: f64 = 0.35;

/// How many of the turns whose host stands still are left to themselves, so that another host takes the conversation.
const LEFT: f64 = 0.8;

/// How long a turn may take: `turn_seconds`, the grace period, the end of the lease, and as long as its host may stand
/// still meanwhile.
const CLOCK: Duration = Duration::from_secs(90);

/// How long an outage may last, and a host may need to start.
const NEVER: Duration = Duration::from_secs(120);

const LOOK: Duration = Duration::from_millis(20);

/// Makes the turns of one conversation.
pub struct Worker<'a> {
    site: &'a Site,
    conversation: usize,
    random: Random,
    done: Vec<Turned>,
}

/// What a fault comes after.
#[derive(Clone, Copy)]
enum Moment {
    /// The turn was asked for.
    Begun,
    /// Codex has begun.
    Started,
    /// All of the answer has come, and the end has not.
    Answered,
}

/// A turn that runs.
struct Open {
    number: usize,
    host: usize,
    prompt: Prompt,
    begun: Instant,
    turn: ProcessTurn,
    /// The fault that is to come over it, and how long after what.
    fault: Option<(Fault, Moment, Duration)>,
    /// When codex had begun.
    started: Option<Instant>,
    /// When all of the answer had come.
    answered: Option<Instant>,
    /// Whether it was decided if it is left when its host stands still.
    is_decided: bool,
}

impl<'a> Worker<'a> {
    pub fn new(site: &'a Site, conversation: usize, random: Random) -> Self {
        Worker {
            site,
            conversation,
            random,
            done: Vec::new(),
        }
    }

    /// Makes turns until so many were begun by all workers.
    pub fn work<'scope>(
        mut self,
        scope: &'scope Scope<'scope, 'a>,
        next: &AtomicUsize,
        turns: usize,
    ) -> Result<Vec<Turned>> {
        // One whose host stands still, and the one after it.
        let mut left: Option<Open> = None;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= turns {
                break;
            }
            let mut open = self.begin(number, left.as_ref().map(|left| left.host))?;
            loop {
                self.strike(scope, &mut open);
                if let Some(before) = left.take() {
                    left = self.hear(before);
                }
                let Some(goes_on) = self.hear(open) else {
                    break;
                };
                open = goes_on;
                let stands = self.site.trouble(open.host).is_some_and(Fault::is_stop);
                if stands && left.is_none() && !open.is_decided {
                    open.is_decided = true;
                    if self.random.unit() < LEFT {
                        left = Some(open);
                        break;
                    }
                }
            }
        }
        while let Some(before) = left.take() {
            left = self.hear(before);
        }
        Ok(self.done)
    }

    /// Begins a turn on a host with which nothing is wrong, and not on this one.
    fn begin(&mut self, number: usize, not_on: Option<usize>) -> Result<Open> {
        let prompt = Prompt::new(number, &mut self.random);
        let fault = (self.random.unit() < STRUCK).then(|| {
            let (moment, within) = match self.random.unit() {
                0.0..0.15 => (Moment::Begun, Duration::from_millis(1500)),
                0.15..0.3 => (Moment::Answered, Duration::from_millis(60)),
                _ => (Moment::Started, prompt.takes),
            };
            let after = within.mul_f64(self.random.unit());
            (Fault::random(&mut self.random), moment, after)
        });
        let began = Instant::now();
        loop {
            ensure!(began.elapsed() < NEVER, "no host is free of trouble");
            let all: Vec<usize> = (0..self.site.hosts.len()).collect();
            let host = *self.random.choose(&all).context("there are hosts")?;
            let is_free = self.site.has_database()
                && Some(host) != not_on
                && self.site.trouble(host).is_none();
            let there = self.site.hosts.get(host).context("a host")?;
            let workspace = self.site.workspace(host, self.conversation);
            let session = session(self.conversation);
            let begun = Instant::now();
            // It may be killed just now.
            if is_free && let Ok(turn) = there.process.begin_in(&workspace, &session, prompt.text())
            {
                return Ok(Open {
                    number,
                    host,
                    prompt,
                    begun,
                    turn,
                    fault,
                    started: None,
                    answered: None,
                    is_decided: false,
                });
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Has its fault come over it, if it is time.
    fn strike<'scope>(&mut self, scope: &'scope Scope<'scope, 'a>, open: &mut Open) {
        let Some((fault, moment, after)) = open.fault else {
            return;
        };
        let from = match moment {
            Moment::Begun => Some(open.begun),
            Moment::Started => open.started,
            Moment::Answered => open.answered,
        };
        if from.is_none_or(|from| from.elapsed() < after) {
            return;
        }
        open.fault = None;
        let (site, number, host) = (self.site, open.number, open.host);
        let workspace = site.workspace(host, self.conversation);
        let random = Random(self.random.number());
        scope.spawn(move || {
            if let Err(error) = site.strike(fault, number, host, &workspace, random) {
                site.note_problem(format!("{fault:?} cannot be made: {error:#}"));
            }
        });
    }

    /// Listens to a turn for a moment. None if it has ended.
    fn hear(&mut self, mut open: Open) -> Option<Open> {
        let heard = open.turn.hear(LOOK);
        if heard == Heard::Event {
            match open.turn.events.last() {
                Some(Event::MessageStart { .. }) => open.started = Some(Instant::now()),
                Some(Event::TextDelta { .. }) if open.answered.is_none() => {
                    let is_all = text(&open.turn.events) == open.prompt.answers.concat();
                    open.answered = is_all.then(Instant::now);
                }
                _ => {}
            }
        }
        let end = match heard {
            Heard::Event | Heard::Nothing if open.begun.elapsed() < CLOCK => return Some(open),
            Heard::Event | Heard::Nothing => End::Never,
            Heard::HostIsGone => End::HostGone,
            Heard::End => match open.turn.events.last() {
                Some(Event::MessageEnd {
                    failure: Some(failure),
                    ..
                }) => End::Failed(failure.clone()),
                _ => End::Complete(text(&open.turn.events)),
            },
        };
        self.done.push(Turned {
            number: open.number,
            conversation: self.conversation,
            host: open.host,
            prompt: open.prompt,
            begun: open.begun,
            ended: open.turn.ended.unwrap_or_else(Instant::now),
            end,
        });
        None
    }
}

/// The name of a conversation.
pub fn session(conversation: usize) -> String {
    format!("conversation-{conversation}")
}

fn text(events: &[Event]) -> String {
    let texts = events.iter().filter_map(|event| match event {
        Event::TextDelta { text, .. } => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}
