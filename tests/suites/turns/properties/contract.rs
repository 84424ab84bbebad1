//! What the contract in `wit/` says of the events of a turn.

use plexum_openai_provider_guest::bindings::turns::{
    BlockKind, BlockOutcome, Delta, Event, StopReason,
};

/// What holds for every turn.
pub fn check(events: &[Event]) {
    let ends = events
        .iter()
        .filter(|event| matches!(event, Event::MessageEnd(_)))
        .count();
    assert_eq!(ends, 1, "{events:?}");
    let Some(Event::MessageEnd(end)) = events.last() else {
        panic!("something follows the end: {events:?}")
    };
    let failed = matches!(end.stop_reason, StopReason::Error | StopReason::Aborted);
    assert_eq!(end.failure.is_some(), failed, "{end:?}");
    check_tools(events);
    for kind in [BlockKind::Text, BlockKind::Thinking] {
        blocks(events, kind);
    }
}

fn check_tools(events: &[Event]) {
    let mut open = Vec::new();
    for event in events {
        match event {
            Event::ToolStart(tool) => open.push(&tool.id),
            Event::ToolUpdate(tool) => assert!(open.contains(&&tool.id), "{events:?}"),
            Event::ToolEnd(tool) => {
                let position = open
                    .iter()
                    .position(|id| **id == tool.id)
                    .expect("a tool ends that never began");
                open.swap_remove(position);
            }
            _ => {}
        }
    }
    assert!(open.is_empty(), "tools never end: {open:?}");
}

/// The blocks of that kind, each as a reader sees it who appends each piece to its block and takes back what is given up.
/// None is appended to when it has ended.
pub fn blocks(events: &[Event], kind: BlockKind) -> Vec<String> {
    // A text, and how it ended.
    let mut blocks: Vec<(String, Option<BlockOutcome>)> = Vec::new();
    for event in events {
        match event {
            Event::TextDelta(delta) if kind == BlockKind::Text => append(&mut blocks, delta),
            Event::ThinkingDelta(delta) if kind == BlockKind::Thinking => {
                append(&mut blocks, delta);
            }
            Event::BlockEnd(end) if end.kind == kind => {
                let (_, outcome) = &mut blocks[end.index as usize];
                assert_eq!(outcome.replace(end.outcome), None, "{events:?}");
            }
            _ => {}
        }
    }
    let left = blocks.into_iter();
    left.filter(|(_, outcome)| *outcome != Some(BlockOutcome::GivenUp))
        .map(|(text, _)| text)
        .collect()
}

fn append(blocks: &mut Vec<(String, Option<BlockOutcome>)>, delta: &Delta) {
    let index = delta.index as usize;
    if index == blocks.len() {
        blocks.push((String::new(), None));
    }
    let (text, outcome) = &mut blocks[index];
    assert_eq!(*outcome, None, "block {index} has ended");
    text.push_str(&delta.text);
}
