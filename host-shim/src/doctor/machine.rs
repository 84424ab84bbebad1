//! What the machine, a sandbox or the unit of a service may forbid, tried as a turn needs it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use rustix::fs::{Access, MemfdFlags, access, memfd_create};
use rustix::io::Errno;
use wasmtime::Module;

use super::Check;
use crate::config::Config;
use crate::engine::cache::Cache;
use crate::engine::engine;
use crate::engine::load_error::LoadError;
use crate::places::Places;
use crate::scarcity;

/// The checks.
pub fn checks() -> Vec<Check> {
    vec![executable_memory(), memory_files(), machine_code()]
}

/// How many turns at once the limits of this process allow. `say` and `serve` raise the soft limit on open files to the hard
/// one.
pub fn turns_at_once(config: &Config) -> Check {
    const ID: &str = "turns-at-once";
    let wanted = config.limits.turns;
    match Places::at_most(config) {
        Places { limit: None, .. } => Check::ok(
            ID,
            format!("{wanted} turns (`limits.turns`) have room for what they need at once"),
        ),
        Places {
            turns,
            limit: Some(limit),
        } => Check::warning(
            ID,
            format!(
                "{limit} are all that a process may have here, so {turns} turns run at once and not {wanted} (`limits.turns`)"
            ),
            format!(
                "nothing, if that is enough; else raise the hard limit ({})",
                limit.how_to_raise()
            ),
        ),
    }
}

/// A module of one function that does nothing.
const SMALLEST: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a\x04\x01\x02\0\x0b";

/// Compiles a function, which needs memory that is written and then run.
fn executable_memory() -> Check {
    const ID: &str = "executable-memory";
    let compiled = engine().and_then(|engine| Module::new(&engine, SMALLEST));
    match compiled.map_err(LoadError::of_compiling) {
        Ok(_) => Check::ok(ID, "machine code can be made and run"),
        Err(LoadError::ExecutableMemory) => Check::problem(
            ID,
            "this system forbids memory that was written and is then run as code",
            "allow it for this program: `MemoryDenyWriteExecute=no` in the unit of a service, `execmem` in SELinux",
        ),
        Err(error) => Check::problem(
            ID,
            error.to_string(),
            "repair what the text names: each turn runs such code",
        ),
    }
}

/// Makes a file in memory for a program; where that is forbidden, one in the folder for temporary files.
fn memory_files() -> Check {
    const ID: &str = "memory-files";
    let create = |flags| memfd_create("plexum-doctor", MemfdFlags::CLOEXEC | flags);
    let made = match create(MemfdFlags::EXEC) {
        // Linux before 6.3 does not know the flag, and does not need it.
        Err(Errno::INVAL) => create(MemfdFlags::empty()),
        made => made,
    };
    let Err(error) = made else {
        return Check::ok(ID, "the supervisor of codex can be started from memory");
    };
    // What has run out has run out for a file too.
    if let Some(remedy) = scarcity::remedy(&error.into()) {
        let said = format!("the supervisor of codex cannot be started from memory: {error}");
        return Check::problem(ID, said, remedy);
    }
    let temporary = std::env::temp_dir();
    let shown = temporary.display();
    let tried = tempfile::Builder::new()
        .prefix("plexum-codex-doctor-")
        .permissions(Permissions::from_mode(0o700))
        .tempfile_in(&temporary)
        .and_then(|file| Ok(access(file.path(), Access::EXEC_OK)?));
    match tried {
        Ok(()) => Check::ok(
            ID,
            format!(
                "there are no files in memory here ({error}), so the supervisor of codex is started from {shown}"
            ),
        ),
        Err(on_disk) => Check::problem(
            ID,
            format!(
                "the supervisor of codex can be started neither from memory ({error}) nor from {shown} ({on_disk})"
            ),
            "allow `memfd_create` (a sandbox may forbid it, and `sysctl vm.memfd_noexec` must not be 2), or set TMPDIR to a folder that can be written to and is not mounted `noexec`",
        ),
    }
}

/// Where the component's machine code is kept.
fn machine_code() -> Check {
    const ID: &str = "machine-code";
    let cache = Cache::of_user();
    let kept = match cache.folder() {
        Some(folder) => format!("the component's machine code is kept in {}", folder.display()),
        None => "the component's machine code is not kept, so each start compiles it, which takes a tenth of a second".to_owned(),
    };
    let unsafe_folders: Vec<String> = cache
        .unsafe_folders()
        .iter()
        .map(|(folder, why)| format!("not in {}: {why}", folder.display()))
        .collect();
    if unsafe_folders.is_empty() && cache.folder().is_some() {
        return Check::ok(ID, kept);
    }
    let summary = [vec![kept], unsafe_folders].concat().join("\n");
    Check::warning(
        ID,
        summary,
        "nothing, if that is quick enough; else set XDG_CACHE_HOME to a folder that only this user may write to, outside of /tmp",
    )
}
