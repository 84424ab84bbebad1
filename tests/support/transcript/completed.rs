//! The cases in which the turn completes.

use super::case::{Before, Case, Home};

pub(super) const CASES: &[Case] = &[
    Case::new("plain", "hello", "An answer and nothing else."),
    Case::new(
        "two-messages",
        "mock:messages",
        "Two messages in one turn; the last one is the answer.",
    ),
    Case::new(
        "reasoning",
        "mock:reasoning",
        "A reasoning summary before the answer.",
    ),
    Case::new(
        "command-ok",
        "mock:shell=echo said",
        "A command that succeeds at once.",
    ),
    Case::new(
        "command-failed",
        "mock:shell=echo bad; exit 3",
        "A command that prints something and fails with 3.",
    ),
    Case::new(
        "command-large-output",
        "mock:shell=seq 1 12000",
        "A command whose output makes a line longer than the 64 KiB that the component takes at a time.",
    ),
    Case::new(
        "command-long",
        "mock:shell=sleep 2; echo slept",
        "A command of two seconds; 0.135 begins its item and never completes it.",
    ),
    Case::new(
        "two-commands",
        // Codex runs the two at once, so this is the one case that may differ when recorded again.
        "mock:shell2=echo said||echo said",
        "Two commands that the model asked for in one response; they may overlap in any order.",
    ),
    Case::new(
        "file-change",
        "mock:patch=made.txt",
        "A patch that adds a file.",
    ),
    Case::new(
        "mcp-ok",
        r#"mock:mcp=lab/add {"a":1,"b":2}"#,
        "A tool of an MCP server that answers.",
    )
    .home(Home::WithMcpServer),
    Case::new(
        "mcp-failed",
        "mock:mcp=lab/fail {}",
        "A tool of an MCP server that answers with isError.",
    )
    .home(Home::WithMcpServer),
    Case::new(
        "mcp-died",
        "mock:mcp=lab/die {}",
        "An MCP server that exits in the middle of a call.",
    )
    .home(Home::WithMcpServer),
    Case::new(
        "web-search",
        "mock:web=weather in Seattle",
        "A web search, whose item has two members named id.",
    ),
    Case::new(
        "todo-list",
        "mock:plan",
        "A plan of two steps, changed once and said again at the end.",
    )
    .not_on(&[(
        "0.169.0",
        "it offers the model no update_plan, so no model can make a plan",
    )]),
    Case::new(
        "sub-agents",
        "mock:agents",
        "A sub-agent that is started and waited for.",
    ),
    Case::new(
        "empty-answer",
        "mock:empty",
        "A turn that completes without any message.",
    ),
    Case::new(
        "empty-text",
        "mock:emptytext",
        "A turn whose only message is empty.",
    ),
    Case::new(
        "no-usage",
        "mock:nousage",
        "A service that reports no tokens: codex says zero.",
    ),
    Case::new(
        "repeated-after-drop",
        "mock:dropmsg",
        "A connection that breaks after a whole message: the answer of the second attempt comes too.",
    ),
    Case::new(
        "reconnect-then-success",
        "mock:dropn=2",
        "A connection that breaks twice in the middle of a message, then an answer.",
    ),
    Case::new(
        "failed-then-success",
        "mock:failn=7,500",
        "Seven times 500, which codex reports once, then an answer.",
    ),
    Case::new(
        "resumed",
        "second",
        "The second turn of a thread: the usage is the sum of both.",
    )
    .after(Before::Turn("first")),
    Case::new(
        "resumed-other-model",
        "second",
        "The second turn of a thread with another model: a warning before the turn.",
    )
    .after(Before::Turn("first"))
    .args(&["--model", "gpt-5.2"]),
    Case::new(
        "resumed-after-failure",
        "second",
        "The turn after one that failed: the totals hold that one's tokens, if it had any.",
    )
    .after(Before::Turn("mock:e400plain")),
    Case::new(
        "resumed-after-overflow",
        "second",
        "The turn after one that did not fit the context window: codex counts from 0 again.",
    )
    .after(Before::Overflowed),
    Case::new(
        "unknown-model",
        "hello",
        "A model that this codex does not know: a warning before the turn.",
    )
    .args(&["--model", "gpt-99"]),
];
