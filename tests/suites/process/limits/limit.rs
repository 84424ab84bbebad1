//! A limit, and how a command comes under it.

use std::process::Command;

use plexum_openai_provider_tests::jail::{self, Forbidden};

/// Something that a machine, a service or a sandbox takes away.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    /// So much of a resource of the process.
    Resource(libc::__rlimit_resource_t, u64),
    /// So many processes and threads of a user who has no others, and who is not root: root has no such limit.
    Processes(u64),
    /// A system call.
    Call(Forbidden),
    /// Memory that was written and is then run, as a filter of systemd forbids it.
    ExecutableMemory,
    /// `/proc`, for which something else stands.
    Proc(Proc),
    /// The disk of a folder is full.
    Full(Disk),
}

/// What stands for `/proc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proc {
    /// Nothing.
    Missing,
    /// That of another namespace of processes.
    Foreign,
}

/// The folder whose disk is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// That of all workspaces.
    Workspaces,
    /// Codex's.
    CodexHome,
    /// The one for temporary files.
    Temporary,
    /// That of the state.
    State,
    /// That of the machine code.
    Cache,
    /// That of the record.
    Record,
}

impl Limit {
    /// Puts a command under the limit; those that a namespace makes are made elsewhere.
    pub fn restrict(self, command: &mut Command) {
        match self {
            Limit::Resource(resource, most) => jail::limit(command, resource, most),
            Limit::Processes(most) => jail::limit(command, libc::RLIMIT_NPROC, most),
            Limit::Call(forbidden) => jail::forbid(command, forbidden),
            Limit::ExecutableMemory => jail::forbid_executable_memory(command),
            Limit::Proc(_) | Limit::Full(_) => {}
        }
    }
}
