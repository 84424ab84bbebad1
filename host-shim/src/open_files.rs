//! How many files this process may hold open, and how many turns at once that allows.
//!
//! A limit that is reached in the middle of a turn ends that turn. So turns wait until there is room for all that they
//! will open.

use std::io;
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a turn holds open while codex runs: the workspace and the state, codex's two outputs, the socket and the
/// handle of its supervisor, and its input until codex has read that.
const HELD: u64 = 7;

/// What it opens for a moment, on its way there or beside that: a file of the state and the folder that it is in.
const BRIEFLY: u64 = 3;

/// What is opened for a moment by one turn after the other, such as both ends of the pipes of a start, and what this
/// process may open for itself.
const SPARE: u64 = 40;

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

/// How many turns may run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// So many.
    pub turns: u32,
    /// The limit on open files, if it allows no more than that.
    pub limit: Option<u64>,
}

impl Places {
    /// As many as these, or as the limit of this process allows now, but one at least.
    pub fn now(wanted: u32) -> Self {
        Self::under(getrlimit(Resource::Nofile).current, wanted)
    }

    /// The same, as it would be after [`raise_limit`].
    #[cfg(feature = "doctor")]
    pub fn at_most(wanted: u32) -> Self {
        Self::under(getrlimit(Resource::Nofile).maximum, wanted)
    }

    fn under(limit: Option<u64>, wanted: u32) -> Self {
        let all = Places {
            turns: wanted,
            limit: None,
        };
        limit.map_or(all, |limit| Self::with(limit, open(), wanted))
    }

    /// With so many files open already.
    fn with(limit: u64, open: u64, wanted: u32) -> Self {
        let room = limit.saturating_sub(open).saturating_sub(SPARE) / (HELD + BRIEFLY);
        let room = u32::try_from(room).unwrap_or(u32::MAX).max(1);
        Places {
            turns: wanted.min(room),
            limit: (room < wanted).then_some(limit),
        }
    }

    /// What to do for more turns at once, to a person.
    pub fn remedy(&self) -> String {
        match self.limit {
            None => "raise `limits.turns` in config.json if the machine can take more".to_owned(),
            Some(limit) => format!(
                "raise the limit on open files, which is {limit} (`ulimit -n`, `LimitNOFILE=` of a service)"
            ),
        }
    }
}

/// How many files this process holds open. Without `/proc`, a few.
fn open() -> u64 {
    const FEW: u64 = 16;
    let listed = std::fs::read_dir("/proc/self/fd");
    listed.map_or(FEW, |listed| listed.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_have_room_for_what_they_open_and_one_is_always_tried() {
        for (limit, turns) in [(1024, 64), (128, 7), (64, 1), (12, 1), (0, 1)] {
            let places = Places::with(limit, 10, 64);
            assert_eq!(places.turns, turns, "{limit}");
            assert_eq!(places.limit, (turns < 64).then_some(limit));
        }
        assert_eq!(
            Places::under(None, 100_000),
            Places {
                turns: 100_000,
                limit: None
            }
        );
    }
}
