//! The model's plan.

use alloc::vec::Vec;

use crate::bindings::turns::{Event, PlanStep};

/// The plan as last shown.
#[derive(Debug, Default)]
pub struct Plan {
    steps: Vec<PlanStep>,
}

impl Plan {
    /// Shows a plan, unless it is the one that is shown: codex repeats it, unchanged, when the turn ends.
    pub fn show(&mut self, steps: Vec<PlanStep>, events: &mut Vec<Event>) {
        if steps != self.steps {
            self.steps.clone_from(&steps);
            events.push(Event::Plan(steps));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::turns::StepStatus;

    #[test]
    fn a_plan_is_shown_when_it_changes() {
        let mut plan = Plan::default();
        let mut events = Vec::new();
        for status in [StepStatus::Pending, StepStatus::Completed]
            .map(|status| [status; 2])
            .concat()
        {
            let step = PlanStep {
                text: "look".into(),
                status,
            };
            plan.show([step].into(), &mut events);
        }
        assert_eq!(events.len(), 2);
    }
}
