//! The known differences between the transports. The rows of the table in `host-shim/docs/app-server.md` are these.

use serde_json::Value;

use crate::canonical::kind;

/// A turn over both transports.
pub struct Both {
    /// Over `codex exec`.
    pub exec: Vec<Value>,
    /// Over app-server.
    pub server: Vec<Value>,
}

/// A difference.
pub struct Known {
    /// What is different.
    pub what: &'static str,
    /// Why.
    pub why: &'static str,
    /// Where it is found.
    pub cases: Cases,
    /// The versions that do not show it.
    pub not_on: &'static [&'static str],
    /// Takes the difference out of a turn. Says whether it was there.
    pub settle: fn(&mut Both) -> bool,
}

/// The cases that show a difference.
pub enum Cases {
    /// Any may. One of each version does.
    Any,
    /// Each of these does, and no other.
    Each(&'static [&'static str]),
    /// Each of these does, and others may.
    AtLeast(&'static [&'static str]),
}

impl Known {
    /// Whether this case may show it.
    pub fn may_be_in(&self, case: &str, version: &str) -> bool {
        !self.not_on.contains(&version)
            && match self.cases {
                Cases::Any | Cases::AtLeast(_) => true,
                Cases::Each(cases) => cases.contains(&case),
            }
    }

    /// Whether this case has to show it.
    pub fn must_be_in(&self, case: &str, version: &str) -> bool {
        !self.not_on.contains(&version) && self.named().contains(&case)
    }

    /// The cases that have to show it.
    pub fn named(&self) -> &'static [&'static str] {
        match self.cases {
            Cases::Any => &[],
            Cases::Each(cases) | Cases::AtLeast(cases) => cases,
        }
    }
}

/// All of them, in the order in which they are taken out.
pub const KNOWN: &[Known] = &[
    Known {
        what: "`message_start` names the model that answers",
        why: "only app-server says which model it has opened the conversation with",
        cases: Cases::Any,
        not_on: &[],
        settle: |both| {
            let starts = both
                .server
                .iter_mut()
                .filter(|event| kind(event) == "message_start");
            remove_from_each(starts, "model")
        },
    },
    Known {
        what: "`usage` events while the turn runs",
        why: "codex exec says at the end what a turn has used, app-server after each answer of the model",
        cases: Cases::Any,
        not_on: &[],
        settle: |both| without(&mut both.server, |event| kind(event) == "usage"),
    },
    Known {
        what: "A part of a block stays when the turn fails",
        why: "app-server shows a text as it is written, and codex does not take it back when it gives up; codex exec shows only whole blocks",
        cases: Cases::Each(&["drop"]),
        not_on: &[],
        settle: |both| {
            let failed = both
                .server
                .last()
                .is_some_and(|end| !end["failure"].is_null());
            let ended: Vec<Block> = blocks(&both.server, |event| kind(event) == "block_end");
            failed
                && without(&mut both.server, |event| {
                    kind(event).ends_with("_delta") && !ended.contains(&block(event))
                })
        },
    },
    Known {
        what: "Blocks that are given up",
        why: "what app-server had shown of a block when the connection broke, or when the whole turned out to be another text, is taken back by a `block_end` with `given_up`; codex exec has shown nothing of it",
        cases: Cases::Each(&["mismatch", "drop", "dropn", "dropthought", "droptool"]),
        not_on: &[],
        settle: |both| {
            let given_up = blocks(&both.server, |event| event["outcome"] == "given_up");
            let were = without(&mut both.server, |event| {
                is_of_block(event) && given_up.contains(&block(event))
            });
            renumber(&mut both.server);
            were
        },
    },
    Known {
        what: "`block_end` events",
        why: "with text that comes in pieces, only they tell that a block is whole",
        cases: Cases::Any,
        not_on: &[],
        settle: |both| without(&mut both.server, |event| event["outcome"] == "complete"),
    },
    Known {
        what: "`tool_update` events",
        why: "app-server passes on what a command prints while it runs; codex exec shows it at the end",
        cases: Cases::AtLeast(&["a command that takes its time"]),
        not_on: &[],
        settle: |both| without(&mut both.server, |event| kind(event) == "tool_update"),
    },
    Known {
        what: "The `diff` of each change in the input of a `file_change`",
        why: "codex exec names only the files",
        cases: Cases::Each(&["patch"]),
        not_on: &[],
        settle: |both| {
            let starts = both
                .server
                .iter_mut()
                .filter(|event| kind(event) == "tool_start");
            let changes =
                starts.filter_map(|start| start["input"].get_mut("changes")?.as_array_mut());
            remove_from_each(changes.flatten(), "diff")
        },
    },
    Known {
        what: "A step of a `plan` can be `in_progress`",
        why: "codex exec says only whether a step is completed",
        cases: Cases::Each(&["plan"]),
        // It offers the model no tool for plans.
        not_on: &["0.169.0"],
        settle: |both| {
            let plans = both.server.iter_mut().filter(|event| kind(event) == "plan");
            let steps = plans
                .filter_map(|plan| plan["steps"].as_array_mut())
                .flatten();
            let begun = steps.filter(|step| step["status"] == "in_progress");
            begun.fold(false, |_, step| {
                step["status"] = "pending".into();
                true
            })
        },
    },
    Known {
        what: "A warning when codex 0.135 has compacted the conversation",
        why: "app-server passes on every warning; codex exec of that version leaves this one out",
        cases: Cases::Each(&["after an overflow", "after a command and an overflow"]),
        not_on: &["0.169.0"],
        settle: |both| {
            without(&mut both.server, |event| {
                let message = event["message"].as_str();
                message.is_some_and(|message| message.contains("multiple compactions"))
            })
        },
    },
    Known {
        what: "A `model_change` when codex 0.135 goes on with another model",
        why: "app-server warns of it; codex exec of that version does not",
        cases: Cases::Each(&["another model"]),
        not_on: &["0.169.0"],
        settle: |both| without(&mut both.server, |event| kind(event) == "model_change"),
    },
    Known {
        what: "The usage of a turn that failed",
        why: "app-server has reported it before the failure; codex exec reports usage only with success",
        cases: Cases::Each(&[
            "hangtool",
            "failtool",
            "ctxtool",
            "after a command and a failure",
            "after a command and an overflow",
            "after a command and a failure, in a new process",
        ]),
        not_on: &[],
        settle: |both| is_failed(&both.exec) && usage_of_exec_is_missing(both),
    },
    Known {
        what: "The usage of the turn after one that failed and had used tokens",
        why: "the running totals before it are known only if the failed turn has reported its usage",
        cases: Cases::Each(&[
            "after a command and a failure",
            "after an incomplete answer",
            "after a command and a failure, in a new process",
        ]),
        not_on: &[],
        settle: |both| !is_failed(&both.exec) && usage_of_exec_is_missing(both),
    },
];

/// How a command ended that has taken more than a moment, codex 0.135 reports by chance: not at all, late, or without a
/// part of the output. It is left out of both.
pub fn without_ends_of_commands(both: &mut Both) {
    for events in [&mut both.exec, &mut both.server] {
        let starts = events.iter().filter(|event| kind(event) == "tool_start");
        let commands = starts.filter(|start| start["kind"] == "command");
        let ids: Vec<Value> = commands.map(|start| start["id"].clone()).collect();
        without(events, |event| {
            kind(event) == "tool_end" && ids.contains(&event["id"])
        });
    }
}

/// A block: what it belongs to, and its index.
type Block = (bool, Value);

fn is_of_block(event: &Value) -> bool {
    kind(event) == "block_end" || kind(event).ends_with("_delta")
}

fn block(event: &Value) -> Block {
    let is_thinking = kind(event) == "thinking_delta" || event["kind"] == "thinking";
    (is_thinking, event["index"].clone())
}

fn blocks(events: &[Value], which: fn(&Value) -> bool) -> Vec<Block> {
    events
        .iter()
        .filter(|event| which(event))
        .map(block)
        .collect()
}

/// Counts the blocks that are left from 0.
fn renumber(events: &mut [Value]) {
    let mut seen: [Vec<Value>; 2] = Default::default();
    for event in events.iter_mut().filter(|event| is_of_block(event)) {
        let (is_thinking, index) = block(event);
        let seen = &mut seen[usize::from(is_thinking)];
        let number = seen.iter().position(|seen| *seen == index);
        event["index"] = number.unwrap_or(seen.len()).into();
        if number.is_none() {
            seen.push(index);
        }
    }
}

fn is_failed(events: &[Value]) -> bool {
    events.last().is_some_and(|end| !end["failure"].is_null())
}

/// Takes the usage from app-server's end of the turn, if exec's has none.
fn usage_of_exec_is_missing(both: &mut Both) -> bool {
    let (Some(exec), Some(server)) = (both.exec.last(), both.server.last_mut()) else {
        return false;
    };
    let members = ["usage", "thread_usage"];
    let missing = members.map(|member| exec[member].is_null() && remove(server, member));
    missing.contains(&true)
}

/// Whether one of them had it.
fn remove_from_each<'a>(values: impl Iterator<Item = &'a mut Value>, member: &str) -> bool {
    let mut was_there = false;
    for value in values {
        was_there |= remove(value, member);
    }
    was_there
}

fn remove(event: &mut Value, member: &str) -> bool {
    event
        .as_object_mut()
        .is_some_and(|members| members.remove(member).is_some())
}

fn without(events: &mut Vec<Value>, which: impl Fn(&Value) -> bool) -> bool {
    let before = events.len();
    events.retain(|event| !which(event));
    events.len() < before
}
