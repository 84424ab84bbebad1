//! The protocol between the host and its supervisor.
//!
//! A turn's codex is not a child of the host but of a supervisor: a small process that does nothing else, so that it
//! can outlive a host that is killed. It is a *subreaper*: whatever codex starts, and whatever that starts, becomes its
//! child when the processes in between end, also after `setsid`. So it knows when all of them are gone, and can end
//! those that do not go. A parent-death signal alone would reach codex and not its tools, and a process group holds
//! only what has not left it.
//!
//! The supervisor's standard input is one end of a socket pair, the *control* socket; the host keeps the other. It has no
//! arguments: it may serve one codex after another.
//!
//! 1. The host sends one byte, along with the descriptors that the byte announces, and then its [`Orders`].
//! 2. The supervisor sends a [`Report`] for each thing that happens; the last is [`Report::Gone`],
//!    [`Report::Left`] or [`Report::NotStarted`]. After the first of these, and if its orders say so, it waits for others;
//!    after any other it exits. The host gives others only if it has said nothing since the last ones that might still be
//!    on its way.
//! 3. [`STOP`], or the end of the host's side, asks it to stop codex: SIGINT, on which codex ends its tools, and
//!    after the grace period SIGKILL to everything that is left. After [`KILL`], that comes at once.
//! 4. [`SUSPEND`] and [`RESUME`] stop codex and its tools for a while, and have them go on.
//! 5. A codex that stays does one turn after another. [`TURN`] says that one begins, and may come with a locked file. A
//!    [`Report::TurnBegun`] says that what was there before is known; codex must not get the prompt before. [`SWEEP`] says
//!    that it is over: what it has left behind is ended, codex's own helpers are not, the file is let go of, and a
//!    [`Report::Swept`] says how many there were.
//! 6. [`PING`] asks whether it still does its work; it reports [`Report::Awake`].
//!
//! Codex's tools may do to the supervisor whatever its user may: stop it, trace it, kill it. The host is above both. It
//! asks, and if there is no answer it does the supervisor's work itself, with the same [`Family`].
#![warn(missing_docs)]

use std::ffi::CStr;

mod family;
mod mark;
pub mod orders;
mod report;
mod words;

pub use family::{
    Family, Stat, is_held, is_in_session_of_parent, kill_all, left_by_turn, runs_codex,
};
pub use mark::Mark;
pub use orders::Orders;
pub use report::Report;
pub use words::Words;

/// The name that the supervisor gives itself, in which a person recognizes it.
pub const NAME: &CStr = c"plexum-codex-sv";

/// The byte by which the host asks to stop codex.
pub const STOP: u8 = b'S';

/// The byte by which the host asks to kill codex and all that it has started, without a grace period.
pub const KILL: u8 = b'K';

/// The byte by which the host asks to suspend codex and all that it has started.
pub const SUSPEND: u8 = b'Z';

/// The byte by which the host asks to have them go on.
pub const RESUME: u8 = b'C';

/// The byte by which the host says that a turn begins.
pub const TURN: u8 = b'T';

/// The byte by which the host asks to end what a turn has left behind.
pub const SWEEP: u8 = b'W';

/// The byte by which the host asks whether the supervisor still does its work.
pub const PING: u8 = b'?';
