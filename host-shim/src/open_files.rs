//! How many files this process may hold open, and how many codex may.

use std::io;
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit that this process had before [`raise_limit`].
static BEFORE: OnceLock<u64> = OnceLock::new();

/// Lets this process open as many files as it ever may: raises its soft limit (`RLIMIT_NOFILE`) to the hard one. Codex is
/// still started under the old one, because programs that wait with `select` break beyond 1024.
///
/// Call it before the [`Provider`](crate::Provider) is made, which counts how many turns at once the limit allows. The
/// library never does this by itself, because the limit is the whole process's. A [`Spawner`](crate::Spawner) of your own
/// sees to the limit of its codex itself.
///
/// # Errors
/// If the operating system refuses, as a sandbox may have it.
pub fn raise_limit() -> io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // No soft limit is as much as there can be.
    let Some(before) = current.filter(|current| maximum.is_none_or(|most| *current < most)) else {
        return Ok(());
    };
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised)?;
    BEFORE.get_or_init(|| before);
    Ok(())
}

/// The soft limit that codex is to have, if this process's is another.
pub fn limit_before() -> Option<u64> {
    BEFORE.get().copied()
}
