//! What the component has used up in this turn, and what it has left; see [`GuestLimits`].

use wasmtime::{Error, ResourceLimiter, Result};

use crate::capability::bindings::log::Level;
use crate::capability::bindings::turns as wit;
use crate::codex::framing::MAX_LINE_BYTES;
use crate::config::guest_limits::{
    CANCELLED_MILLISECONDS, GuestLimits, MAX_ARGUMENTS, MAX_ARGUMENTS_BYTES, MAX_INSTANCES,
    MAX_LOG_BYTES, MAX_MEMORIES, MAX_PLAN_STEPS, MAX_REFUSALS, MAX_TABLE_ELEMENTS, MAX_TABLES,
    MAX_TOOL_INPUT_BYTES,
};
use crate::contract::event::{Event, PlanStep};
use crate::engine::load_error::ran_out;
use crate::engine::ticker::TICK;

// Whatever fits into a line of codex can be passed on.
const _: () = assert!(MAX_TOOL_INPUT_BYTES >= MAX_LINE_BYTES);

const MIB: usize = 1024 * 1024;

/// A limit that ends the turn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    /// It computed for too long.
    #[error("it computed for {0} s without output from codex (`guest.cpu_seconds` in config.json)")]
    Cpu(u32),
    /// The turn was stopped or dropped, and the component does not end.
    #[error("the turn was stopped, and the component did not end on its own")]
    Stopped,
    /// It wanted more memory.
    #[error("it needed more memory than {0} MiB (`guest.memory_mib` in config.json)")]
    Memory(u32),
    /// It wanted more table elements.
    #[error("its tables needed more than {MAX_TABLE_ELEMENTS} elements")]
    Tables,
    /// It sent too many events.
    #[error("it sent more than {0} events (`guest.events` in config.json)")]
    Events(u32),
    /// Its events were too large together.
    #[error("its events held more than {0} MiB (`guest.event_mib` in config.json)")]
    EventBytes(u32),
    /// A tool's input was too large.
    #[error("the input of a tool had {0} bytes, and at most {MAX_TOOL_INPUT_BYTES} are passed on")]
    ToolInput(usize),
    /// A plan was too long.
    #[error("a plan had {0} steps, and at most {MAX_PLAN_STEPS} are passed on")]
    PlanSteps(usize),
    /// It kept asking.
    #[error("it asked {MAX_REFUSALS} times for what the grant forbids, the last time because: {0}")]
    Refusals(String),
}

/// What the component has used up in this turn.
pub struct Budget {
    limits: GuestLimits,
    /// Ticks of the clock while it computed, since codex last said something.
    ticks: u64,
    memory: usize,
    table_elements: usize,
    /// A request for memory or table elements that was declined. The component may cope with that; if it stops, this is
    /// why.
    declined: Option<Exceeded>,
    /// The limit of this machine or process by which memory that was granted could not be had.
    ran_out: Option<&'static str>,
    spawns: u32,
    refusals: u32,
    events: u32,
    event_bytes: usize,
    log_lines: u32,
    last_words: Option<String>,
}

impl Budget {
    /// A budget of which nothing has been used.
    pub fn new(limits: GuestLimits) -> Self {
        Budget {
            limits,
            ticks: 0,
            memory: 0,
            table_elements: 0,
            declined: None,
            ran_out: None,
            spawns: 0,
            refusals: 0,
            events: 0,
            event_bytes: 0,
            log_lines: 0,
            last_words: None,
        }
    }

    /// The clock has ticked while the component computed. Calls of the host do not count as progress: a component could
    /// log forever.
    pub fn tick(&mut self, stopped: bool, abandoned: bool) -> Result<(), Exceeded> {
        self.ticks += 1;
        let milliseconds = self.ticks.saturating_mul(TICK.as_millis() as u64);
        if abandoned || (stopped && milliseconds > CANCELLED_MILLISECONDS) {
            return Err(Exceeded::Stopped);
        }
        if milliseconds > u64::from(self.limits.cpu_seconds) * 1000 {
            return Err(Exceeded::Cpu(self.limits.cpu_seconds));
        }
        Ok(())
    }

    /// Codex was started, waited for or read: there is something new to compute.
    pub fn codex_acted(&mut self) {
        self.ticks = 0;
    }

    /// Whether codex may be started with arguments of this number and size, and why not.
    pub fn check_spawn(&self, args: &[String]) -> Result<(), String> {
        let limit = self.limits.spawns;
        if self.spawns >= limit {
            return Err(format!(
                "codex was started {limit} times in this turn already (`guest.spawns` in config.json)"
            ));
        }
        let bytes: usize = args.iter().map(|arg| arg.len() + 1).sum();
        // One argument that is too long is refused by the grant, with its position.
        if args.len() > MAX_ARGUMENTS || bytes > MAX_ARGUMENTS_BYTES {
            return Err(format!(
                "{} arguments of {bytes} bytes are too many: at most {MAX_ARGUMENTS} of {MAX_ARGUMENTS_BYTES} bytes together can be given",
                args.len()
            ));
        }
        Ok(())
    }

    /// Codex was started.
    pub fn spawned(&mut self) {
        self.spawns += 1;
        self.codex_acted();
    }

    /// The grant forbade something. Each refusal is logged for the operator, so their number is limited.
    pub fn refused(&mut self, reason: &str) -> Result<(), Exceeded> {
        self.refusals += 1;
        if self.refusals >= MAX_REFUSALS {
            return Err(Exceeded::Refusals(reason.to_owned()));
        }
        Ok(())
    }

    /// The component sends these events.
    pub fn take_events(&mut self, events: &[wit::Event]) -> Result<(), Exceeded> {
        let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
        self.events = self.events.saturating_add(count);
        if self.events > self.limits.events {
            return Err(Exceeded::Events(self.limits.events));
        }
        for event in events {
            match event {
                wit::Event::ToolStart(tool) if tool.input.len() > MAX_TOOL_INPUT_BYTES => {
                    return Err(Exceeded::ToolInput(tool.input.len()));
                }
                wit::Event::Plan(steps) if steps.len() > MAX_PLAN_STEPS => {
                    return Err(Exceeded::PlanSteps(steps.len()));
                }
                _ => {}
            }
        }
        let bytes: usize = events.iter().map(memory).sum();
        self.event_bytes = self.event_bytes.saturating_add(bytes);
        let mib = self.limits.event_mib;
        if self.event_bytes / MIB >= mib as usize {
            return Err(Exceeded::EventBytes(mib));
        }
        Ok(())
    }

    /// A message of the component in the form in which it is logged; `None` when it has logged enough.
    pub fn take_log(&mut self, level: Level, message: &str) -> Option<String> {
        let message = message
            .get(..message.floor_char_boundary(MAX_LOG_BYTES))
            .unwrap_or_default();
        // A line feed would begin a line that looks like the host's own.
        let shown = message.chars().flat_map(|character| {
            let escaped = character.is_control().then(|| character.escape_default());
            let plain = escaped.is_none().then_some(character);
            escaped.into_iter().flatten().chain(plain)
        });
        let shown: String = shown.collect();
        if level == Level::Error {
            self.last_words = Some(shown.clone());
        }
        let limit = self.limits.log_lines;
        if self.log_lines >= limit {
            if self.log_lines == limit {
                self.log_lines += 1;
                tracing::warn!(
                    "the component has logged {limit} lines in this turn; the rest is left out (`guest.log_lines` in config.json)"
                );
            }
            return None;
        }
        self.log_lines += 1;
        Some(shown)
    }

    /// The last thing that the component logged as an error; a panic's message, if it panicked.
    pub fn last_words(&self) -> Option<&str> {
        self.last_words.as_deref()
    }

    /// The request that was declined before the component stopped, if there was one.
    pub fn declined(&self) -> Option<&Exceeded> {
        self.declined.as_ref()
    }

    /// The limit of this machine or process by which the component did not get its memory, if there was one.
    pub fn ran_out(&self) -> Option<&'static str> {
        self.ran_out
    }
}

impl ResourceLimiter for Budget {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        let growth = desired.saturating_sub(current);
        let total = self.memory.saturating_add(growth);
        if total > (self.limits.memory_mib as usize).saturating_mul(MIB) {
            self.declined = Some(Exceeded::Memory(self.limits.memory_mib));
            return Ok(false);
        }
        self.memory = total;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: Error) -> Result<()> {
        self.ran_out = ran_out(&error).or(self.ran_out);
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        let total = self
            .table_elements
            .saturating_add(desired.saturating_sub(current));
        if total > MAX_TABLE_ELEMENTS {
            self.declined = Some(Exceeded::Tables);
            return Ok(false);
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}

/// How much memory an event takes on its way to the caller, in bytes: its own size, and that of all that it holds.
pub fn memory(event: &wit::Event) -> usize {
    let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let held = match event {
        wit::Event::MessageStart(start) => start.thread_id.len() + optional(&start.model),
        wit::Event::ModelChange(change) => {
            optional(&change.previous) + change.model.len() + change.reason.len()
        }
        wit::Event::BlockEnd(_) | wit::Event::Usage(_) => 0,
        wit::Event::TextDelta(delta) | wit::Event::ThinkingDelta(delta) => delta.text.len(),
        wit::Event::ToolStart(tool) => tool.id.len() + tool.title.len() + tool.input.len(),
        wit::Event::ToolUpdate(tool) => tool.id.len() + tool.output_delta.len(),
        wit::Event::ToolEnd(tool) => tool.id.len() + optional(&tool.output),
        wit::Event::Plan(steps) => {
            let texts: usize = steps.iter().map(|step| step.text.len()).sum();
            texts + steps.len() * size_of::<PlanStep>()
        }
        wit::Event::Notice(notice) => {
            let held = match &notice.kind {
                wit::NoticeKind::SessionReplaced(replaced) => {
                    replaced.old.len() + replaced.new.len()
                }
                wit::NoticeKind::UnknownEvent(event) => event.len(),
                wit::NoticeKind::Warning
                | wit::NoticeKind::Reconnecting(_)
                | wit::NoticeKind::Unsupported(_)
                | wit::NoticeKind::LineSkipped(_)
                | wit::NoticeKind::LineMalformed => 0,
            };
            notice.message.len() + held
        }
        wit::Event::MessageEnd(end) => end.failure.as_ref().map_or(0, |failure| {
            failure.message.len() + optional(&failure.detail)
        }),
    };
    size_of::<Event>() + held
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget() -> Budget {
        Budget::new(GuestLimits {
            cpu_seconds: 2,
            log_lines: 2,
            ..GuestLimits::default()
        })
    }

    fn ticks_until_stopped(budget: &mut Budget, stopped: bool, abandoned: bool) -> (u32, Exceeded) {
        (1..)
            .find_map(|n| {
                budget
                    .tick(stopped, abandoned)
                    .err()
                    .map(|error| (n, error))
            })
            .unwrap()
    }

    #[test]
    fn computing_is_measured_from_the_last_output_of_codex() {
        let mut budget = budget();
        for _ in 0..200 {
            budget.tick(false, false).unwrap();
        }
        budget.codex_acted();
        assert_eq!(
            ticks_until_stopped(&mut budget, false, false),
            (201, Exceeded::Cpu(2))
        );
    }

    #[test]
    fn a_stopped_turn_has_a_second_and_an_abandoned_one_nothing() {
        assert_eq!(
            ticks_until_stopped(&mut budget(), true, false),
            (101, Exceeded::Stopped)
        );
        assert_eq!(
            ticks_until_stopped(&mut budget(), false, true),
            (1, Exceeded::Stopped)
        );
    }

    #[test]
    fn memories_count_together() {
        let mut budget = budget();
        assert!(budget.memory_growing(0, 100 * MIB, None).unwrap());
        assert!(!budget.memory_growing(0, 29 * MIB, None).unwrap());
        assert_eq!(budget.declined(), Some(&Exceeded::Memory(128)));
        assert!(budget.memory_growing(0, 28 * MIB, None).unwrap());
    }

    #[test]
    fn events_are_charged_for_their_structure_and_not_for_their_text_alone() {
        let plan = |steps: usize| {
            let step = wit::PlanStep {
                text: String::new(),
                status: wit::StepStatus::Pending,
            };
            wit::Event::Plan(vec![step; steps])
        };
        assert!(memory(&plan(1000)) >= 1000 * size_of::<PlanStep>());
        let mut budget = Budget::new(GuestLimits {
            event_mib: 1,
            ..GuestLimits::default()
        });
        budget.take_events(&[plan(1000)]).unwrap();
        let many = vec![plan(0); 1024 * 1024 / size_of::<Event>()];
        assert_eq!(budget.take_events(&many), Err(Exceeded::EventBytes(1)));
    }

    #[test]
    fn one_plan_and_one_input_are_bounded_whatever_else_may_be_handed_over() {
        let mut budget = budget();
        let step = wit::PlanStep {
            text: String::new(),
            status: wit::StepStatus::Pending,
        };
        let input = |bytes| {
            wit::Event::ToolStart(wit::ToolStart {
                id: String::new(),
                kind: wit::ToolKind::Other,
                title: String::new(),
                input: "x".repeat(bytes),
            })
        };
        budget.take_events(&[input(MAX_TOOL_INPUT_BYTES)]).unwrap();
        assert_eq!(
            budget.take_events(&[input(MAX_TOOL_INPUT_BYTES + 1)]),
            Err(Exceeded::ToolInput(MAX_TOOL_INPUT_BYTES + 1))
        );
        let plan = wit::Event::Plan(vec![step; MAX_PLAN_STEPS + 1]);
        assert_eq!(
            budget.take_events(&[plan]),
            Err(Exceeded::PlanSteps(MAX_PLAN_STEPS + 1))
        );
    }

    #[test]
    fn what_is_logged_is_one_short_line_and_errors_are_remembered() {
        let mut budget = budget();
        let logged = budget.take_log(Level::Info, "a\nb\u{1b}[2Jä").unwrap();
        assert_eq!(logged, "a\\nb\\u{1b}[2Jä");
        let logged = budget.take_log(Level::Info, &"ä".repeat(9999)).unwrap();
        assert_eq!(logged.len(), MAX_LOG_BYTES);
        assert_eq!(budget.take_log(Level::Error, "panicked"), None);
        assert_eq!(budget.last_words(), Some("panicked"));
    }
}
