//! What comes over a host, its PostgreSQL or the network between them.

use plexum_openai_provider_tests::random::Random;

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL of the host.
    HostKilled,
    /// SIGKILL of the supervisor of the turn.
    SupervisorKilled,
    /// SIGKILL of the host and of all its supervisors.
    BothKilled,
    /// SIGSTOP of the host for longer than its lease.
    HostStopped,
    /// The same of all that it has started, too.
    AllStopped,
    /// SIGKILL of PostgreSQL, which is started again later.
    DatabaseKilled,
    /// SIGSTOP of PostgreSQL for longer than a lease.
    DatabaseHangs,
    /// The host's way to PostgreSQL is cut for longer than its lease.
    NetworkCut,
}

/// How often each is chosen: one of a host ends turns of several conversations, and one of PostgreSQL those on all hosts.
const SHARES: [(Fault, usize); 8] = [
    (Fault::HostKilled, 2),
    (Fault::SupervisorKilled, 7),
    (Fault::BothKilled, 2),
    (Fault::HostStopped, 3),
    (Fault::AllStopped, 3),
    (Fault::DatabaseKilled, 2),
    (Fault::DatabaseHangs, 1),
    (Fault::NetworkCut, 3),
];

impl Fault {
    /// A random one.
    pub fn random(random: &mut Random) -> Self {
        let all = SHARES
            .into_iter()
            .flat_map(|(fault, share)| std::iter::repeat_n(fault, share));
        let chosen = random.choose(&all.collect::<Vec<_>>()).copied();
        chosen.unwrap_or(Fault::HostKilled)
    }

    /// Whether it comes over all hosts.
    pub fn is_everywhere(self) -> bool {
        matches!(self, Fault::DatabaseKilled | Fault::DatabaseHangs)
    }

    /// Whether it comes over one turn alone.
    pub fn is_of_turn(self) -> bool {
        self == Fault::SupervisorKilled
    }

    /// Whether the host stands still meanwhile.
    pub fn is_stop(self) -> bool {
        matches!(self, Fault::HostStopped | Fault::AllStopped)
    }
}
