//! The transport `exec`: one process of `codex exec` a turn. Arguments go in; JSON lines and standard error come out.

pub mod argv;
pub mod item;
pub mod line;
