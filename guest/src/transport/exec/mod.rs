//! One `codex exec` a turn: arguments in, JSON lines out.

pub mod argv;
pub mod line;
pub mod stderr;
