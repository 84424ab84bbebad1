//! What can go wrong with a codex that stays.

use plexum_openai_provider::{FailureKind as Kind, StopReason};
use plexum_openai_provider_tests::fake_codex::{ChildGroup, Step};

use crate::fault::{End, GO, READY, faults};

faults! {
    /// One thing that goes wrong.
    ServerFault {
        /// Nothing.
        None,
        /// Codex is killed while it waits.
        KilledWaiting,
        /// It is told to end while it waits.
        TerminatedWaiting,
        /// It is stopped while it waits.
        StoppedWaiting,
        /// It is stopped while it waits, and goes on when the next turn has begun.
        PausedWaiting,
        /// The supervisor of one that waits is killed.
        SupervisorKilledWaiting,
        /// The supervisor of one that waits is stopped once.
        SupervisorStoppedWaiting,
        /// The program is replaced.
        ProgramReplaced,
        /// Another login is in codex's home.
        LoginReplaced,
        /// Codex's settings are changed.
        SettingsReplaced,
        /// The workspace has other instructions.
        InstructionsReplaced,
        /// The conversation goes on by hand.
        GoesOnByHand,
        /// Codex's record of the conversation is removed.
        RecordRemoved,
        /// One that waits has waited long enough.
        WaitedEnough,
        /// More conversations than codex processes may wait.
        Crowded,
        /// The provider is closed while codex waits, and goes on.
        ClosedWaiting,
        /// The provider is closed in the middle of a turn.
        ClosedInTurn,
        /// The provider is dropped while codex waits.
        DroppedWaiting,
        /// The host is killed while codex waits.
        HostKilledWaiting,
        /// The host is killed in the middle of a turn.
        HostKilledInTurn,
        /// The host ends while codex waits.
        HostEndsWaiting,
        /// The disk is full when the thread is to be kept.
        DiskFull,
        /// Codex does not answer when it is to open the conversation.
        NeverOpens,
        /// It dies then.
        DiesOpening,
        /// It refuses to.
        RefusesToOpen,
        /// It opens the conversation in another sandbox.
        OpensOtherSandbox,
        /// It waits for approvals.
        OpensOtherPolicy,
        /// It works in another folder.
        OpensOtherFolder,
        /// It opens something without an id.
        OpensNameless,
        /// It opens another thread than the stored one.
        OpensOtherThread,
        /// It opens the conversation with an answer that is too long.
        OpensAtLength,
        /// It answers another request.
        AnswersOther,
        /// It dies before it answers the prompt.
        DiesAtPrompt,
        /// It does not answer the prompt.
        NeverAnswers,
        /// It refuses the prompt.
        RefusesPrompt,
        /// It dies when it has answered the prompt.
        DiesAccepting,
        /// It kills itself in the middle of the turn.
        DiesInTurn,
        /// It exits in the middle of the turn.
        ExitsInTurn,
        /// It stops itself in the middle of the turn.
        StopsInTurn,
        /// It falls silent in the middle.
        FallsSilent,
        /// It neither ends the turn when it is asked to nor ends itself on any signal that can be ignored.
        Deaf,
        /// It closes its output in the middle of the turn and lives on.
        ClosesOutput,
        /// It does not end when its input does.
        Lingers,
        /// A line is longer than any may be.
        HugeLine,
        /// It ends in the middle of a line.
        HalfLine,
        /// A line is not JSON.
        NotJson,
        /// A line holds bytes that are not UTF-8.
        NotUtf8,
        /// Notifications are of no known kind.
        UnknownKinds,
        /// It prints 8 MiB.
        Flood,
        /// It prints more than is allowed.
        TooMuchOutput,
        /// Items of an earlier turn come in this one, and before it has begun.
        LateItems,
        /// Items of this turn come after its end.
        ItemsAfterTheEnd,
        /// It completes the turn twice.
        TwoEnds,
        /// It completes another turn, then this one.
        EndOfAnother,
        /// It completes another turn and not this one.
        OnlyEndOfAnother,
        /// It says that the turn was interrupted, which nobody has asked for.
        Interrupted,
        /// The turn fails cleanly.
        FailedTurn,
        /// It asks for approvals five hundred times.
        Asks,
        /// It asks for approvals without end.
        AsksWithoutEnd,
        /// It writes a megabyte to standard error.
        NoisyStderr,
        /// It leaves tools behind, which have sessions of their own.
        LeavesTools,
        /// It starts helpers of its own, which stay for as long as it does.
        StartsHelpers,
        /// It leaves tools behind that hold its output, and dies.
        LeavesToolsAndDies,
        /// It leaves tools behind and ignores the interrupt and all signals.
        StubbornFamily,
        /// The supervisor is killed in the middle of the turn.
        SupervisorKilled,
        /// The turn is cancelled at a random moment.
        Cancelled,
        /// The turn is dropped at a random moment.
        Dropped,
        /// The caller takes an event every few milliseconds only.
        SlowCaller,
    }
}

/// When a fault comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// While codex waits.
    Waiting,
    /// When a conversation is opened.
    Opening,
    /// In a turn.
    Turn,
}

/// Which codex does the turn with the fault and the one after it, if one has waited before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codex {
    /// The one that has waited does both.
    Stays,
    /// Another one does both.
    IsNewAtOnce,
    /// Another one does the turn after the fault.
    IsNewThen,
    /// It depends on the moment, or on the host.
    Any,
}

/// What codex says of a turn.
const ACCEPTED: &str = r#"{"id":$ID,"result":{"turn":{"id":$TURN}}}"#;
const BEGAN: &str =
    r#"{"method":"turn/started","params":{"threadId":$THREAD,"turn":{"id":$TURN}}}"#;
const ANSWER: &str = r#"{"method":"item/completed","params":{"item":{"type":"agentMessage","id":"m","text":"echo: hello"},"threadId":$THREAD,"turnId":$TURN}}"#;
const LATE: &str = r#"{"method":"item/completed","params":{"item":{"type":"agentMessage","id":"late","text":"late"},"threadId":$THREAD,"turnId":"01a203e6-c71a-7d50-bfec-754792f3dc4b"}}"#;
const TOO_LATE: &str = r#"{"method":"item/completed","params":{"item":{"type":"agentMessage","id":"late","text":"late"},"threadId":$THREAD,"turnId":$TURN}}"#;
const COMPLETED: &str = r#"{"method":"turn/completed","params":{"threadId":$THREAD,"turn":{"id":$TURN,"status":"completed"}}}"#;
const OTHER_COMPLETED: &str = r#"{"method":"turn/completed","params":{"threadId":$THREAD,"turn":{"id":"01a203e6-c71a-7d50-bfec-754792f3dc4b","status":"completed"}}}"#;
const INTERRUPTED: &str = r#"{"method":"turn/completed","params":{"threadId":$THREAD,"turn":{"id":$TURN,"status":"interrupted"}}}"#;
const FAILED: &str = r#"{"method":"turn/completed","params":{"threadId":$THREAD,"turn":{"id":$TURN,"status":"failed","error":{"message":"no","codexErrorInfo":"unauthorized"}}}}"#;
const ASKS: &str =
    r#"{"id":7,"method":"item/commandExecution/requestApproval","params":{"threadId":$THREAD}}"#;

impl ServerFault {
    /// When it comes.
    #[must_use]
    pub fn when(self) -> When {
        use ServerFault as F;
        match self {
            F::KilledWaiting
            | F::TerminatedWaiting
            | F::StoppedWaiting
            | F::PausedWaiting
            | F::SupervisorKilledWaiting
            | F::SupervisorStoppedWaiting
            | F::ProgramReplaced
            | F::LoginReplaced
            | F::SettingsReplaced
            | F::InstructionsReplaced
            | F::GoesOnByHand
            | F::RecordRemoved
            | F::WaitedEnough
            | F::ClosedWaiting
            | F::DroppedWaiting
            | F::HostKilledWaiting
            | F::HostEndsWaiting => When::Waiting,
            F::NeverOpens
            | F::DiesOpening
            | F::RefusesToOpen
            | F::OpensOtherSandbox
            | F::OpensOtherPolicy
            | F::OpensOtherFolder
            | F::OpensNameless
            | F::OpensOtherThread
            | F::OpensAtLength
            | F::AnswersOther => When::Opening,
            _ => When::Turn,
        }
    }

    /// Whether the turns run in a process of their own.
    #[must_use]
    pub fn has_own_host(self) -> bool {
        matches!(
            self,
            ServerFault::LoginReplaced
                | ServerFault::SettingsReplaced
                | ServerFault::HostKilledWaiting
                | ServerFault::HostKilledInTurn
                | ServerFault::HostEndsWaiting
        )
    }

    /// Whether codex waits in the turn until the fault has come.
    #[must_use]
    pub fn strikes(self) -> bool {
        matches!(
            self,
            ServerFault::SupervisorKilled
                | ServerFault::ClosedInTurn
                | ServerFault::HostKilledInTurn
        )
    }

    /// Whether there must be a turn before it.
    #[must_use]
    pub fn needs_earlier(self) -> bool {
        self.when() == When::Waiting || self == ServerFault::OpensOtherThread
    }

    /// Whether it can come in the first turn only.
    #[must_use]
    pub fn is_first(self) -> bool {
        self == ServerFault::DiskFull
    }

    /// What codex answers to a request that opens a conversation, if it is something else than usual.
    #[must_use]
    pub fn opening(self) -> Option<Vec<Step>> {
        let result = |changed: &str, by: &str| {
            let usual = r#"{"id":$ID,"result":{"thread":{"id":$THREAD,"path":$ROLLOUT},"cwd":$CWD,"approvalPolicy":"never","sandbox":{"type":"dangerFullAccess"}}}"#;
            debug_assert!(usual.contains(changed), "{changed}");
            vec![Step::emit(usual.replacen(changed, by, 1))]
        };
        Some(match self {
            ServerFault::NeverOpens => vec![],
            ServerFault::DiesOpening => vec![Step::KillSelf {
                signal: libc::SIGKILL,
            }],
            ServerFault::RefusesToOpen => vec![Step::emit(
                r#"{"id":$ID,"error":{"code":-1,"message":"I do not want to"}}"#,
            )],
            ServerFault::OpensOtherSandbox => result("dangerFullAccess", "readOnly"),
            ServerFault::OpensOtherPolicy => result("never", "on-request"),
            ServerFault::OpensOtherFolder => result("$CWD", "\"/\""),
            ServerFault::OpensNameless => result("$THREAD", "\"../../x\""),
            ServerFault::OpensOtherThread => {
                result("$THREAD", "\"01a203e6-c71a-7d50-bfec-754792f3dc4b\"")
            }
            // Nothing is read of a line that is too long, so it may as well be the answer.
            ServerFault::OpensAtLength => vec![Step::Flood {
                bytes: 1,
                line_len: 9 << 20,
            }],
            ServerFault::AnswersOther => vec![Step::emit(r#"{"id":4711,"result":$RESULT}"#)],
            _ => return None,
        })
    }

    /// What codex answers to a prompt, if it is something else than usual.
    #[must_use]
    pub fn prompted(self) -> Option<Vec<Step>> {
        use ServerFault as F;
        let die = Step::KillSelf {
            signal: libc::SIGKILL,
        };
        let ignore = Step::IgnoreSignals {
            signals: vec![libc::SIGTERM, libc::SIGINT, libc::SIGHUP],
        };
        let tool = |hold_stdout, group| Step::LeaveChild {
            millis: 3_600_000,
            hold_stdout,
            group,
        };
        let tools = vec![tool(false, ChildGroup::Session); 5];
        let helpers = [ChildGroup::Inherited, ChildGroup::Own].map(|group| tool(false, group));
        let family = [
            &tools[..],
            &helpers,
            &[
                tool(true, ChildGroup::Session),
                tool(true, ChildGroup::Inherited),
            ],
        ]
        .concat();
        let emit =
            |lines: &[&str]| -> Vec<Step> { lines.iter().map(|line| Step::emit(*line)).collect() };
        let waits = vec![Step::touch(READY), Step::wait_for_file(GO)];
        let repeat = |line: String, times| vec![Step::Repeat { line, times }];
        let noise = |bytes: usize| {
            let text = "x".repeat(bytes);
            format!(
                r#"{{"method":"item/commandExecution/outputDelta","params":{{"threadId":$THREAD,"turnId":$TURN,"itemId":"c","delta":"{text}"}}}}"#
            )
        };
        let word = r#"{"method":"item/agentMessage/delta","params":{"threadId":$THREAD,"turnId":$TURN,"itemId":"d","delta":"x"}}"#;
        // What it says when the turn has begun, before the answer and the end, and after them.
        let (before, after) = match self {
            F::DiesAtPrompt => return Some(vec![die]),
            F::NeverAnswers => return Some(vec![]),
            F::RefusesPrompt => {
                let refusal = r#"{"id":$ID,"error":{"code":-32602,"message":"not this one"}}"#;
                return Some(emit(&[refusal]));
            }
            F::DiesAccepting => return Some([emit(&[ACCEPTED]), vec![die]].concat()),
            F::LateItems => {
                let lines = [LATE, ACCEPTED, LATE, BEGAN, LATE, ANSWER, LATE, COMPLETED];
                return Some(emit(&lines));
            }
            // Nothing ends these but an interrupt.
            F::FallsSilent => return Some(emit(&[ACCEPTED, BEGAN])),
            F::Cancelled | F::Dropped => {
                return Some([emit(&[ACCEPTED, BEGAN]), tools].concat());
            }
            F::OnlyEndOfAnother => {
                return Some(emit(&[ACCEPTED, BEGAN, ANSWER, OTHER_COMPLETED]));
            }
            F::Interrupted => return Some(emit(&[ACCEPTED, BEGAN, INTERRUPTED])),
            F::FailedTurn => return Some(emit(&[ACCEPTED, BEGAN, FAILED])),
            F::DiesInTurn => (vec![die], vec![]),
            F::ExitsInTurn => (vec![Step::Exit { code: 3 }], vec![]),
            F::StopsInTurn => {
                let stop = Step::KillSelf {
                    signal: libc::SIGSTOP,
                };
                (vec![stop], vec![])
            }
            F::Deaf => (vec![ignore, Step::Forever], vec![]),
            F::ClosesOutput => (vec![ignore, Step::CloseStdout, Step::Forever], vec![]),
            F::Lingers => (vec![ignore], vec![Step::Forever]),
            F::HugeLine => {
                let flood = Step::Flood {
                    bytes: 1,
                    line_len: 9 << 20,
                };
                (vec![flood], vec![])
            }
            F::HalfLine => {
                let half = Step::emit_raw(br#"{"method":"item/comp"#);
                (vec![half, Step::Exit { code: 0 }], vec![])
            }
            F::NotJson => (emit(&["codex: good morning", "{\"method\":"]), vec![]),
            F::NotUtf8 => (vec![Step::emit_raw(b"{\"method\":\"\xff\xfe\"}\n")], vec![]),
            F::UnknownKinds => {
                let line =
                    r#"{"method":"turn/paused","params":{"threadId":$THREAD,"turnId":$TURN}}"#;
                (repeat(line.to_owned(), 500), vec![])
            }
            F::Flood => (repeat(noise(2000), 4000), vec![]),
            F::TooMuchOutput => (repeat(noise(60_000), u64::MAX), vec![]),
            F::ItemsAfterTheEnd => (vec![], emit(&[TOO_LATE, TOO_LATE])),
            F::TwoEnds => (vec![], emit(&[COMPLETED])),
            F::EndOfAnother => (emit(&[OTHER_COMPLETED]), vec![]),
            F::Asks => (repeat(ASKS.to_owned(), 500), vec![]),
            F::AsksWithoutEnd => (repeat(ASKS.to_owned(), u64::MAX), vec![]),
            F::NoisyStderr => {
                let text = "2026 ERROR codex_core: noise\n".repeat(36_000);
                (vec![Step::Stderr { text }], vec![])
            }
            F::LeavesTools => (tools, vec![]),
            F::StartsHelpers => (helpers.into(), vec![]),
            F::LeavesToolsAndDies => ([family, vec![die]].concat(), vec![]),
            F::StubbornFamily => ([vec![ignore], family, vec![Step::Forever]].concat(), vec![]),
            F::SupervisorKilled | F::HostKilledInTurn => {
                ([vec![ignore], family, waits].concat(), vec![])
            }
            F::ClosedInTurn => ([tools, waits].concat(), vec![]),
            F::SlowCaller => (repeat(word.to_owned(), 200), vec![]),
            _ => return None,
        };
        let begin = emit(&[ACCEPTED, BEGAN]);
        Some([begin, before, emit(&[ANSWER, COMPLETED]), after].concat())
    }

    /// How a turn with it may end. Whether there was a turn before it may matter.
    #[must_use]
    pub fn ends(self, has_earlier: bool) -> Vec<End> {
        use ServerFault as F;
        let failed = |kind| vec![(StopReason::Error, Some(kind))];
        match self {
            F::StoppedWaiting | F::NeverOpens | F::AnswersOther | F::NeverAnswers => {
                failed(Kind::StartTimeout)
            }
            F::OpensOtherSandbox
            | F::OpensOtherPolicy
            | F::OpensOtherFolder
            | F::OpensNameless
            | F::OpensOtherThread => failed(Kind::Internal),
            // A conversation that cannot be handed over at once goes on with `codex exec`.
            F::OpensAtLength if !has_earlier => failed(Kind::Internal),
            F::RefusesToOpen | F::RefusesPrompt => failed(Kind::InvalidRequest),
            F::DiesOpening
            | F::DiesAtPrompt
            | F::DiesAccepting
            | F::DiesInTurn
            | F::LeavesToolsAndDies
            | F::SupervisorKilled => failed(Kind::Killed),
            F::ExitsInTurn | F::HalfLine | F::ClosesOutput | F::TooMuchOutput => {
                failed(Kind::Protocol)
            }
            F::StopsInTurn
            | F::FallsSilent
            | F::Deaf
            | F::OnlyEndOfAnother
            | F::AsksWithoutEnd
            | F::StubbornFamily => failed(Kind::IdleTimeout),
            F::FailedTurn => failed(Kind::Auth),
            F::DiskFull => failed(Kind::Resources),
            F::Cancelled | F::Interrupted => vec![(StopReason::Aborted, Some(Kind::Killed))],
            // Nobody hears how it ends.
            F::Dropped | F::HostKilledInTurn => vec![],
            _ => vec![(StopReason::EndTurn, None)],
        }
    }

    /// Which codex does the turns.
    #[must_use]
    pub fn codex(self) -> Codex {
        use ServerFault as F;
        match self {
            F::PausedWaiting
            | F::Crowded
            | F::Cancelled
            | F::Dropped
            | F::RefusesPrompt
            | F::NeverAnswers
            | F::OpensAtLength
            | F::ClosedInTurn
            | F::ClosedWaiting
            // It may be taken before the supervisor is gone.
            | F::SupervisorKilledWaiting => Codex::Any,
            F::StoppedWaiting => Codex::IsNewThen,
            _ if self.when() == When::Waiting => match self {
                F::SupervisorStoppedWaiting => Codex::Stays,
                _ => Codex::IsNewAtOnce,
            },
            F::DiesAtPrompt
            | F::DiesAccepting
            | F::DiesInTurn
            | F::ExitsInTurn
            | F::StopsInTurn
            | F::Deaf
            | F::ClosesOutput
            | F::Lingers
            | F::HalfLine
            | F::AsksWithoutEnd
            | F::TooMuchOutput
            | F::LeavesToolsAndDies
            | F::StubbornFamily
            | F::SupervisorKilled
            | F::HostKilledInTurn => Codex::IsNewThen,
            _ if self.when() == When::Opening => Codex::Any,
            F::DiskFull => Codex::Any,
            _ => Codex::Stays,
        }
    }
}
