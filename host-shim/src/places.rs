//! How many turns may run at once.
//!
//! A limit of the machine that is reached in the middle of a turn ends that turn, and one on memory may end this process. So
//! turns wait until there is room for all that they will take.

use std::fmt;

use rustix::process::{Resource, getrlimit};

use crate::config::{Config, Transport};

/// What a turn holds open while codex runs: the workspace and the state, codex's two outputs, the socket and the
/// handle of its supervisor, and its input until codex has read that.
const HELD: u64 = 7;

/// What it opens for a moment, on its way there or beside that: a file of the state and the folder that it is in.
const BRIEFLY: u64 = 3;

/// What a codex that waits for its next turn holds open: its input and its two outputs, the socket and the handle of its
/// supervisor.
const HELD_WAITING: u64 = 5;

/// What is opened for a moment by one turn after the other, such as both ends of the pipes of a start, and what this
/// process may open for itself.
const SPARE_FILES: u64 = 40;

/// How much address space a turn takes: the component's memory, which grows with what it is handed, and its stacks.
/// Measured: 21 MiB.
const ADDRESS_SPACE: u64 = 32 << 20;

/// How much of it this process may take for itself: threads, and what its allocator sets aside for them.
const SPARE_ADDRESS_SPACE: u64 = 64 << 20;

/// How many turns may run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// So many.
    pub turns: u32,
    /// What allows no more than that, if it is not the configuration.
    pub limit: Option<Limit>,
}

/// A limit of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// So many open files.
    OpenFiles(u64),
    /// So many bytes of address space.
    AddressSpace(u64),
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::OpenFiles(most) => write!(formatter, "{most} open files"),
            Limit::AddressSpace(most) => write!(formatter, "{} MiB of address space", most >> 20),
        }
    }
}

impl Limit {
    /// How to raise it.
    pub fn how_to_raise(self) -> &'static str {
        match self {
            Limit::OpenFiles(_) => "`ulimit -n`, `LimitNOFILE=` of a service",
            Limit::AddressSpace(_) => "`ulimit -v`, `LimitAS=` of a service",
        }
    }

    /// How many turns it has room for, beside what this process has already.
    fn room(self, taken: u64) -> u32 {
        let (most, spare, each) = match self {
            Limit::OpenFiles(most) => (most, SPARE_FILES, HELD + BRIEFLY),
            Limit::AddressSpace(most) => (most, SPARE_ADDRESS_SPACE, ADDRESS_SPACE),
        };
        let room = most.saturating_sub(taken).saturating_sub(spare) / each;
        // One is always tried.
        u32::try_from(room).unwrap_or(u32::MAX).max(1)
    }
}

impl Places {
    /// As many as the operator wants, or as the limits of this process allow now, but one at least.
    pub fn now(config: &Config) -> Self {
        let files = getrlimit(Resource::Nofile).current;
        Self::under(files, getrlimit(Resource::As).current, config)
    }

    /// The same, as it would be with the soft limit on open files raised to the hard one.
    #[cfg(feature = "doctor")]
    pub fn at_most(config: &Config) -> Self {
        let files = getrlimit(Resource::Nofile).maximum;
        Self::under(files, getrlimit(Resource::As).current, config)
    }

    fn under(files: Option<u64>, address_space: Option<u64>, config: &Config) -> Self {
        let waiting = match config.transport() {
            Transport::Exec => 0,
            Transport::AppServer => u64::from(config.server.processes) * HELD_WAITING,
        };
        let files = files.map(|most| (Limit::OpenFiles(most), open_files() + waiting));
        let memory = address_space.map(|most| (Limit::AddressSpace(most), address_space_taken()));
        let limits = [files, memory].into_iter().flatten();
        limits.fold(
            Places {
                turns: config.limits.turns,
                limit: None,
            },
            |places, (limit, taken)| places.within(limit, taken),
        )
    }

    /// With this limit as well, of which so much is taken.
    fn within(self, limit: Limit, taken: u64) -> Self {
        let room = limit.room(taken);
        if room >= self.turns {
            return self;
        }
        Places {
            turns: room,
            limit: Some(limit),
        }
    }

    /// What to do for more turns at once, to a person.
    pub fn remedy(&self) -> String {
        match self.limit {
            None => "raise `limits.turns` in config.json if the machine can take more".to_owned(),
            Some(limit) => format!(
                "raise the limit of {limit} for this process ({})",
                limit.how_to_raise()
            ),
        }
    }
}

/// How many files this process holds open. Without `/proc`, a few.
fn open_files() -> u64 {
    const FEW: u64 = 16;
    let listed = std::fs::read_dir("/proc/self/fd");
    listed.map_or(FEW, |listed| listed.count() as u64)
}

/// How much address space this process has taken. Without `/proc`, as much as it usually has.
fn address_space_taken() -> u64 {
    const USUAL: u64 = 200 << 20;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kib: Option<u64> = size.and_then(|size| size.split_whitespace().next()?.parse().ok());
    kib.map_or(USUAL, |kib| kib.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Places = Places {
        turns: 64,
        limit: None,
    };

    #[test]
    fn turns_have_room_for_what_they_open_and_one_is_always_tried() {
        for (most, turns) in [(1024, 64), (128, 7), (64, 1), (12, 1), (0, 1)] {
            let limit = Limit::OpenFiles(most);
            let places = ALL.within(limit, 10);
            assert_eq!(places.turns, turns, "{limit}");
            assert_eq!(places.limit, (turns < 64).then_some(limit));
        }
    }

    #[test]
    fn turns_have_room_for_their_memory_in_what_is_left_of_the_address_space() {
        for (mib, turns) in [(4096, 64), (1024, 23), (300, 1), (100, 1)] {
            let limit = Limit::AddressSpace(mib << 20);
            assert_eq!(ALL.within(limit, 200 << 20).turns, turns, "{limit}");
        }
        assert!(address_space_taken() > 1 << 20);
    }

    #[test]
    fn the_narrower_limit_counts_and_none_is_no_limit() {
        let (files, memory) = (Limit::OpenFiles(128), Limit::AddressSpace(1 << 30));
        let places = ALL.within(memory, 0).within(files, 10);
        assert_eq!((places.turns, places.limit), (7, Some(files)));
        assert_eq!(ALL.within(files, 10).within(memory, 0), places);
        let mut config = Config::default();
        config.limits.turns = 64;
        assert_eq!(Places::under(None, None, &config), ALL);
    }

    #[test]
    fn what_waits_for_its_next_turn_needs_room_too() {
        let mut config = Config::default();
        config.limits.turns = 64;
        config.server.processes = 100;
        let turns = |config: &Config| Places::under(Some(1024), None, config).turns;
        let without = turns(&config);
        config.transport = Some(Transport::AppServer);
        let with = turns(&config);
        assert!(
            (30..=50).contains(&with) && with < without,
            "{with}, {without}"
        );
    }
}
