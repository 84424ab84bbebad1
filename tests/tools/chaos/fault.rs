//! What can go wrong in a turn.

use plexum_openai_provider::{FailureKind as Kind, StopReason};
use plexum_openai_provider_tests::fake_codex::{ChildGroup, Step};

/// How a turn with a fault may end: why, and with which kind of failure.
pub type End = (StopReason, Option<Kind>);

/// Declares an enumeration of faults and the list of all.
macro_rules! faults {
    ($(#[$docs:meta])+ $Fault:ident { $($(#[$doc:meta])+ $name:ident,)+ }) => {
        $(#[$docs])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $Fault { $($(#[$doc])+ $name,)+ }

        impl $Fault {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];
        }
    };
}

pub(crate) use faults;

faults! {
    /// One thing that goes wrong.
    Fault {
    /// Nothing.
    None,
    /// Codex kills itself in the middle of the turn.
    Killed,
    /// It ends itself with SIGTERM before the first line.
    TerminatedAtStart,
    /// It prints 8 MiB of messages.
    Flood,
    /// It prints more than is allowed.
    TooMuchOutput,
    /// It prints nothing at all.
    SilentStart,
    /// It falls silent in the middle.
    SilentMiddle,
    /// A line comes in pieces.
    SlowDrip,
    /// A character is cut in two.
    SplitCharacter,
    /// A line holds bytes that are not UTF-8.
    NotUtf8,
    /// A line holds NUL.
    Nul,
    /// Lines end with CR LF.
    CarriageReturns,
    /// A line is longer than any may be.
    HugeLine,
    /// It ends in the middle of a line.
    HalfLine,
    /// The last line has no line feed.
    NoLineFeed,
    /// It ignores all signals that can be ignored, and does not end.
    IgnoresSignals,
    /// Something that it started holds its output.
    ChildHoldsOutput,
    /// It closes its output in the middle of the turn and lives on.
    ClosesOutput,
    /// It completes the turn and lives on.
    Lingers,
    /// It leaves ten sleepers behind, each in a session of its own.
    TenSleepers,
    /// It leaves sleepers behind and ignores signals.
    StubbornFamily,
    /// It exits with 0 and has not said how the turn ended.
    NoEnd,
    /// It completes the turn twice.
    TwoEnds,
    /// It goes on after the end.
    AfterTheEnd,
    /// It fails the turn and completes it then.
    FailsThenCompletes,
    /// It names another thread in the middle.
    OtherThread,
    /// It names a thread that is not a UUID.
    BadThread,
    /// A line is not JSON.
    NotJson,
    /// An event is of no known kind.
    UnknownEvents,
    /// It writes a megabyte to standard error.
    NoisyStderr,
    /// The turn fails cleanly.
    FailedTurn,
    /// It exits with an error and says why on standard error only.
    DiesWithWords,
    /// The program is removed before the turn.
    ProgramRemoved,
    /// The program is replaced before the turn.
    ProgramReplaced,
    /// The disk is full when the thread is to be kept.
    DiskFull,
    /// A folder is in the session file's place.
    SessionIsFolder,
    /// The session file holds something that is not a thread id.
    SessionIsGarbage,
    /// There is no workspace.
    NoWorkspace,
    /// The turn is cancelled at a random moment.
    Cancelled,
    /// The turn is dropped at a random moment.
    Dropped,
    /// The caller takes an event every few milliseconds only.
    SlowCaller,
    /// The component traps while codex runs.
    ComponentTraps,
    /// The component computes forever while codex runs.
    ComponentSpins,
    /// The supervisor is killed.
    SupervisorKilled,
    /// The supervisor is stopped once.
    SupervisorStopped,
    /// The supervisor is stopped again and again.
    SupervisorKeptStopped,
    /// The supervisor gets every signal that does not mean a stop, a thousand times.
    SupervisorFlooded,
    /// The host, the supervisor and codex are frozen for longer than codex may be silent.
    Frozen,
    /// Another thread is written into the session file during the turn.
    SessionPlanted,
    /// The session file is removed during the turn.
    SessionRemoved,
    /// A folder takes the session file's place during the turn.
    SessionBecomesFolder,
    /// A FIFO takes its place.
    SessionBecomesFifo,
    /// A link to another file takes its place.
    SessionBecomesLink,
    /// The state cannot be kept outside of the workspace.
    NoState,
    /// A file of the state is damaged during the turn or after it.
    StateDamaged,
    /// Something that is not a file takes the place of a file of the state, during the turn or after it.
    StateObstructed,
    /// The workspace is renamed during the turn, and another folder takes its place.
    WorkspaceRenamed,
    /// Another process runs a turn in the same workspace at the same time.
    SecondHost,
    /// The host's terminal closes.
    Hangup,
    /// No file can be synced to the disk.
    SyncFails,
    /// The host may open few files.
    FewDescriptors,
    }
}

const SIGTERM: i32 = 15;
const SIGINT: i32 = 2;
const SIGHUP: i32 = 1;
const SIGKILL: i32 = 9;

/// In whose process a turn runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// In this one.
    Library,
    /// In one of its own: the fault would meet all turns of this one.
    Say,
}

/// Codex waits for a file of this name in such turns, so that the fault comes while it runs.
pub const GO: &str = "go";

/// There is a file of this name once codex waits.
pub const READY: &str = "ready";

impl Fault {
    /// In whose process it runs.
    #[must_use]
    pub fn host(self) -> Host {
        match self {
            Fault::Frozen
            | Fault::SecondHost
            | Fault::Hangup
            | Fault::SyncFails
            | Fault::FewDescriptors => Host::Say,
            _ => Host::Library,
        }
    }

    /// Whether codex waits until the fault has come.
    #[must_use]
    pub fn strikes(self) -> bool {
        matches!(
            self,
            Fault::SupervisorKilled
                | Fault::SupervisorStopped
                | Fault::SupervisorKeptStopped
                | Fault::SupervisorFlooded
                | Fault::Frozen
                | Fault::SessionPlanted
                | Fault::SessionRemoved
                | Fault::SessionBecomesFolder
                | Fault::SessionBecomesFifo
                | Fault::SessionBecomesLink
                | Fault::StateDamaged
                | Fault::StateObstructed
                | Fault::WorkspaceRenamed
                | Fault::Hangup
        )
    }

    /// Whether the next turn must go on with the same thread. It is tried where the fault is about that.
    #[must_use]
    pub fn is_survived(self) -> bool {
        let by_conversation = matches!(self, Fault::NoState | Fault::SecondHost | Fault::SyncFails);
        by_conversation || self.strikes()
    }

    /// What codex plays in such a turn.
    #[must_use]
    pub fn steps(self) -> Vec<Step> {
        use Step::{CloseStdout, Echo, Forever, ThreadStarted, TurnCompleted, TurnStarted};
        let ignore = Step::IgnoreSignals {
            signals: vec![SIGTERM, SIGINT, SIGHUP],
        };
        let sleeper = |hold_stdout| Step::LeaveChild {
            millis: 600_000,
            hold_stdout,
            group: ChildGroup::Session,
        };
        let raw = |bytes: &[u8]| vec![Step::emit_raw(bytes)];
        let pause = |millis| vec![Step::Pause { millis }];
        let waits = || vec![Step::touch(READY), Step::wait_for_file(GO)];
        let message = |text: &[u8]| {
            let line: &[&[u8]] = &[
                br#"{"type":"item.completed","item":{"id":"item_9","type":"agent_message","text":""#,
                text,
                b"\"}}\n",
            ];
            line.concat()
        };
        // Before the answer, and after it.
        let (before, after): (Vec<Step>, Vec<Step>) = match self {
            Fault::Killed => (vec![Step::KillSelf { signal: SIGKILL }], vec![]),
            Fault::TerminatedAtStart => return vec![Step::KillSelf { signal: SIGTERM }],
            Fault::Flood => (
                vec![Step::Flood {
                    bytes: 8 << 20,
                    line_len: 2000,
                }],
                vec![],
            ),
            Fault::TooMuchOutput => (
                vec![Step::Flood {
                    bytes: 64 << 20,
                    line_len: 60_000,
                }],
                vec![],
            ),
            Fault::SilentStart => return vec![Forever],
            Fault::SilentMiddle | Fault::ComponentTraps | Fault::ComponentSpins => {
                (vec![Forever], vec![])
            }
            Fault::SlowDrip => {
                let line = message(b"drip");
                let pieces = line
                    .chunks(15)
                    .flat_map(|piece| [raw(piece), pause(3)].concat());
                (pieces.collect(), vec![])
            }
            Fault::SplitCharacter => {
                let line = message("z\u{fc}".as_bytes());
                let (first, second) = line.split_at(line.len() - 5);
                ([raw(first), pause(10), raw(second)].concat(), vec![])
            }
            Fault::NotUtf8 => (raw(&message(b"\xff\xfe")), vec![]),
            Fault::Nul => (raw(&message(b"\0")), vec![]),
            Fault::CarriageReturns => (raw(b"{\"type\":\"turn.started\"}\r\n"), vec![]),
            Fault::HugeLine => (
                vec![Step::Flood {
                    bytes: 1,
                    line_len: 9 << 20,
                }],
                vec![],
            ),
            Fault::HalfLine => (
                [raw(b"{\"type\":\"item.comp"), vec![Step::Exit { code: 0 }]].concat(),
                vec![],
            ),
            Fault::NoLineFeed => {
                let end =
                    r#"{"type":"turn.completed","usage":{"input_tokens":1,"output_tokens":1}}"#;
                (
                    [raw(end.as_bytes()), vec![Step::Exit { code: 0 }]].concat(),
                    vec![],
                )
            }
            Fault::IgnoresSignals => (vec![ignore, Forever], vec![]),
            Fault::ChildHoldsOutput => (vec![sleeper(true)], vec![]),
            Fault::ClosesOutput => (vec![ignore, CloseStdout, Forever], vec![]),
            Fault::Lingers => (vec![], vec![Forever]),
            Fault::TenSleepers => (vec![sleeper(false); 10], vec![]),
            Fault::StubbornFamily => (vec![ignore, sleeper(true), sleeper(false), Forever], vec![]),
            Fault::SupervisorKilled | Fault::SupervisorKeptStopped => {
                let family = vec![ignore, sleeper(true), sleeper(false)];
                ([family, waits()].concat(), vec![])
            }
            _ if self.strikes() => ([vec![sleeper(false)], waits()].concat(), vec![]),
            Fault::NoEnd => (vec![Echo, Step::Exit { code: 0 }], vec![]),
            Fault::TwoEnds => (vec![], vec![TurnCompleted]),
            Fault::AfterTheEnd => (vec![], vec![TurnStarted, Echo, ThreadStarted]),
            Fault::FailsThenCompletes => (
                vec![Step::TurnFailed {
                    message: "no".into(),
                }],
                vec![],
            ),
            Fault::OtherThread => (
                vec![Step::ThreadStartedAs {
                    id: "01a203e6-c71a-7d50-bfec-754792f3dc4b".into(),
                }],
                vec![],
            ),
            Fault::BadThread => (vec![], vec![]),
            Fault::NotJson => (vec![Step::emit("codex: good morning")], vec![]),
            Fault::UnknownEvents => (vec![Step::emit("{\"type\":\"turn.paused\"}"); 500], vec![]),
            Fault::NoisyStderr => {
                let text = "2026 ERROR codex_core: noise\n".repeat(36_000);
                (vec![Step::Stderr { text }], vec![])
            }
            Fault::FailedTurn => {
                return Step::failed_turn("unexpected status 401 Unauthorized").into();
            }
            Fault::DiesWithWords => {
                return vec![
                    Step::Stderr {
                        text: "Error loading config.toml: no\n".into(),
                    },
                    Step::Exit { code: 1 },
                ];
            }
            // Nothing but its caller ends such a turn.
            Fault::Cancelled | Fault::Dropped => (vec![Forever], vec![]),
            Fault::SlowCaller => (
                vec![Step::Flood {
                    bytes: 40_000,
                    line_len: 200,
                }],
                vec![],
            ),
            // The fault is elsewhere.
            _ => (vec![], vec![]),
        };
        let start = match self {
            Fault::BadThread => Step::ThreadStartedAs {
                id: "thread-one".into(),
            },
            _ => ThreadStarted,
        };
        [
            vec![start, TurnStarted],
            before,
            vec![Echo, TurnCompleted],
            after,
        ]
        .concat()
    }

    /// How such a turn may end.
    #[must_use]
    pub fn ends(self) -> Vec<End> {
        let failed = |kind| vec![(StopReason::Error, Some(kind))];
        let completed = (StopReason::EndTurn, None);
        match self {
            Fault::Killed | Fault::TerminatedAtStart | Fault::SupervisorKilled => {
                failed(Kind::Killed)
            }
            // It depends on who is faster.
            Fault::SupervisorKeptStopped => [failed(Kind::Killed), vec![completed]].concat(),
            Fault::FewDescriptors => [failed(Kind::Resources), vec![completed]].concat(),
            Fault::SilentStart => failed(Kind::StartTimeout),
            Fault::SilentMiddle | Fault::IgnoresSignals | Fault::StubbornFamily => {
                failed(Kind::IdleTimeout)
            }
            // A thread that codex names later than at its start is not kept.
            Fault::TooMuchOutput
            | Fault::HalfLine
            | Fault::ClosesOutput
            | Fault::NoEnd
            | Fault::OtherThread => failed(Kind::Protocol),
            Fault::FailsThenCompletes => failed(Kind::InvalidRequest),
            Fault::FailedTurn => failed(Kind::Auth),
            Fault::DiesWithWords => failed(Kind::Config),
            Fault::ProgramRemoved => failed(Kind::NotInstalled),
            Fault::DiskFull => failed(Kind::Resources),
            Fault::NoWorkspace => failed(Kind::InvalidRequest),
            Fault::ComponentTraps | Fault::ComponentSpins => failed(Kind::Internal),
            Fault::Cancelled | Fault::Hangup => vec![(StopReason::Aborted, Some(Kind::Killed))],
            // Nobody hears how it ends.
            Fault::Dropped => vec![],
            _ => vec![completed],
        }
    }
}
