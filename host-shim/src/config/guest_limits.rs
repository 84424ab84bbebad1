//! How much the component may use up and hand back in one turn.
//!
//! The component is hostile until proven otherwise. The grant decides what it may *do*; this
//! limits what it may *cost*. The limits that an operator may have reason to change are in the configuration, and
//! are generous: no turn of the component that comes with this crate gets near them. The others are constants.

use crate::config::numbers::numbers;

numbers! {
    /// How much the component may use up and hand back in one turn, the key `guest` of the configuration.
    GuestLimits {
        /// Memory, all its linear memories together, in MiB.
        // A line of codex may have 8 MiB, and is in there more than once while it is translated.
        memory_mib = 128, 16, 4096;
        /// How long it may compute without output from codex, in seconds. Waiting is free.
        cpu_seconds = 10, 1, 86_400;
        /// How often it may start codex.
        // While a conversation is busy, codex is started again after pauses that double:
        // not even a year of them comes to as many starts as this.
        spawns = 32, 1, 1000;
        /// How many events it may send.
        events = 1_000_000, 1, u32::MAX;
        /// How much memory these may take together, their text and their structure, in MiB.
        event_mib = 1024, 1, 1024 * 1024;
        /// How many lines it may log; what it logs beyond them is left out.
        log_lines = 10_000, 0, u32::MAX;
    }
}

/// How much the component may hand over in one call, in bytes. The longest line of codex that is passed
/// on has 8 MiB, and comes back as one event.
pub const MAX_CALL_BYTES: usize = 64 * 1024 * 1024;

/// How much JSON a tool may be called with, in bytes. It comes from one line of codex, and the longest one that is
/// passed on has 8 MiB. It is checked at one go, in which no other turn of the thread goes on: 8 MiB take
/// less than 100 ms of a processor.
pub const MAX_TOOL_INPUT_BYTES: usize = 8 * 1024 * 1024;

/// How many steps a plan may have. A model writes some dozens; as many as this take 2 MiB without their text.
pub const MAX_PLAN_STEPS: usize = 64 * 1024;

/// How deep the component's calls may nest, in bytes of stack.
pub const MAX_STACK_BYTES: usize = 512 * 1024;

/// How many resources may be open, codex processes and turns, in both directions.
pub const MAX_HANDLES: usize = 1000;

/// How many core instances the component may consist of.
pub const MAX_INSTANCES: usize = 64;

/// How many linear memories it may have.
pub const MAX_MEMORIES: usize = 8;

/// How many tables it may have.
pub const MAX_TABLES: usize = 32;

/// How many elements these may have, all together.
pub const MAX_TABLE_ELEMENTS: usize = 64 * 1024;

/// How many arguments codex may be given.
pub const MAX_ARGUMENTS: usize = 4096;

/// How many bytes these may have, all together.
pub const MAX_ARGUMENTS_BYTES: usize = 1024 * 1024;

/// How often the component may ask for what the grant forbids before it is stopped.
pub const MAX_REFUSALS: u32 = 64;

/// The longest message of the component that is logged, in bytes.
pub const MAX_LOG_BYTES: usize = 4096;

/// How long the component may compute after its turn was cancelled, in milliseconds.
pub const CANCELLED_MILLISECONDS: u64 = 1000;
