//! What the supervisor reports to the host.

/// One thing that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// Codex runs, with this process id.
    Started(i32),
    /// Codex runs, in the cgroup that the host has made for it, with this process id.
    StartedInside(i32),
    /// Codex could not be started; the error number of the operating system.
    NotStarted(i32),
    /// Codex has ended, with this status in the form of `wait(2)`, or with [`Report::UNKNOWN_STATUS`].
    Ended(i32),
    /// Nothing that codex started is left. This many processes had to be ended after codex itself had.
    Gone(i32),
    /// This many processes could not be ended; the supervisor gives up. This happens with programs that run as another
    /// user.
    Left(i32),
    /// What was there before the turn is known: the answer to [`TURN`](crate::TURN).
    TurnBegun,
    /// This many processes of the turn were left, and are gone now; negative, if some could not be ended.
    Swept(i32),
    /// The supervisor does its work: the answer to [`PING`](crate::PING).
    Awake,
}

impl Report {
    /// The status of a codex that ended without the supervisor learning how. No real status has this value.
    pub const UNKNOWN_STATUS: i32 = -1;

    /// The length of a report in bytes.
    pub const LEN: usize = 5;

    /// The report as it is sent.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let (tag, value) = match self {
            Report::Started(pid) => (b'P', pid),
            Report::StartedInside(pid) => (b'C', pid),
            Report::NotStarted(error) => (b'F', error),
            Report::Ended(status) => (b'E', status),
            Report::Gone(ended) => (b'G', ended),
            Report::Left(count) => (b'L', count),
            Report::TurnBegun => (b'T', 0),
            Report::Swept(count) => (b'W', count),
            Report::Awake => (b'A', 0),
        };
        let [a, b, c, d] = value.to_le_bytes();
        [tag, a, b, c, d]
    }

    /// The report that was sent as these bytes; `None` if they are not a report.
    #[must_use]
    pub fn from_bytes([tag, value @ ..]: [u8; Self::LEN]) -> Option<Self> {
        let value = i32::from_le_bytes(value);
        Some(match tag {
            b'P' => Report::Started(value),
            b'C' => Report::StartedInside(value),
            b'F' => Report::NotStarted(value),
            b'E' => Report::Ended(value),
            b'G' => Report::Gone(value),
            b'L' => Report::Left(value),
            b'T' => Report::TurnBegun,
            b'W' => Report::Swept(value),
            b'A' => Report::Awake,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_received() {
        for report in [
            Report::Started(4711),
            Report::StartedInside(4711),
            Report::NotStarted(2),
            Report::Ended(0x0100),
            Report::Gone(0),
            Report::Left(i32::MAX),
            Report::TurnBegun,
            Report::Swept(-1),
            Report::Awake,
        ] {
            assert_eq!(Report::from_bytes(report.to_bytes()), Some(report));
        }
        assert_eq!(Report::from_bytes(*b"x1234"), None);
    }
}
