//! The matrix: what is limited, and what is then expected of no turn, of one and of many.

use plexum_openai_provider::FailureKind;
use plexum_openai_provider_tests::jail::Forbidden;

use super::limit::{Disk, Limit, Proc};
use Doctor::{Content, ContentOrProblem, Problem};
use FailureKind::{Resources, SessionUnreadable};
use Turns::{CannotBegin, Fail, Succeed, SucceedAndTell, SucceedOrFail};

/// A limit, and what is expected under it.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// What a person would call it. Its beginning is the test that it belongs to.
    pub name: &'static str,
    /// What is limited.
    pub limit: Limit,
    /// What `doctor` says.
    pub doctor: Doctor,
    /// What becomes of one turn of `say`.
    pub one: Turns,
    /// What becomes of 64 turns of `serve`, in as many workspaces.
    pub many: Turns,
    /// How long the prompt is, in bytes.
    pub prompt: usize,
    /// Whether a record is kept.
    pub record: Record,
}

/// Whether a record is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// None is.
    Absent,
    /// One is, as far as it can be.
    Kept,
    /// No codex is started without it.
    Required,
}

/// What is expected of `doctor`. It may never crash.
#[derive(Debug, Clone, Copy)]
pub enum Doctor {
    /// It finds no problem.
    Content,
    /// It finds problems, and each of them has these words.
    Problem(&'static str),
    /// One or the other: it needs as much as there may be, or less.
    ContentOrProblem(&'static str),
    /// It cannot begin, and says so in these words.
    CannotBegin(&'static str),
}

/// What is expected of turns. The words are to be found in the message: the limit and its remedy.
#[derive(Debug, Clone, Copy)]
pub enum Turns {
    /// Each succeeds.
    Succeed,
    /// Each succeeds, and a notice or standard error has these words.
    SucceedAndTell(&'static str),
    /// Each fails with this kind, in these words.
    Fail(FailureKind, &'static [&'static str]),
    /// Each succeeds, or fails with this kind in these words: it depends on what the others hold at that moment.
    SucceedOrFail(FailureKind, &'static [&'static str]),
    /// There is none: the program ends with the exit code 2, and says these words.
    CannotBegin(&'static [&'static str]),
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A prompt that is a whole argument for a program, but not with the rest of the arguments where the stack is small: all of
/// them may have a quarter of the stack, or 128 KiB if that is more.
const LONG: usize = 130_900;

/// How many workspaces have a turn at once in the last column.
pub const MANY: usize = 64;

/// The matrix.
#[rustfmt::skip]
pub const MATRIX: &[Row] = &[
    //  what is limited                         how                                     doctor              one turn            64 turns
    row("ulimit -v 8 GiB",                      memory(8 * GIB),                        Content,            Succeed,            Succeed),
    row("ulimit -v 2 GiB",                      memory(2 * GIB),                        Content,            Succeed,            Succeed),
    row("ulimit -v 1 GiB",                      memory(GIB),                            Content,            Succeed,            either(&["ulimit -v"])),
    row("ulimit -v 300 MiB",                    memory(300 * MIB),                      Content,            Succeed,            either(&["ulimit -v"])),

    row("ulimit -n 64",                         files(64),                              Content,            Succeed,            Succeed),
    row("ulimit -n 32",                         files(32),                              Content,            Succeed,            Succeed),
    row("ulimit -n 24",                         files(24),                              Content,            Succeed,            either(&["ulimit -n"])),
    row("ulimit -n 14",                         files(14),                              Problem("ulimit -n"), lacks(&["ulimit -n"]), lacks(&["ulimit -n"])),
    row("ulimit -n 9",                          files(9),                               Problem("ulimit -n"), CannotBegin(&["ulimit -n"]), CannotBegin(&["ulimit -n"])),

    row("ulimit -u 64",                         Limit::Processes(64),                   Content,            Succeed,            either(&["ulimit -u"])),
    row("ulimit -u 8",                          Limit::Processes(8),                    Content,            Succeed,            either(&["ulimit -u"])),
    row("ulimit -u 4",                          Limit::Processes(4),                    ContentOrProblem("ulimit -u"), lacks(&["ulimit -u"]), CannotBegin(&["ulimit -u"])),
    row("ulimit -u 1",                          Limit::Processes(1),                    Doctor::CannotBegin("ulimit -u"), CannotBegin(&["ulimit -u"]), CannotBegin(&["ulimit -u"])),

    row("ulimit -f 0",                          size(0),                                Problem("ulimit -f"), lacks(&["ulimit -f"]), lacks(&["ulimit -f"])),
    row("ulimit -f 64 KiB",                     size(64 * KIB),                         Problem("ulimit -f"), lacks(&["ulimit -f"]), lacks(&["ulimit -f"])),
    // Built without musl, the supervisor has 1.2 MiB, and it is copied to memory, where this counts too.
    row("ulimit -f 2 MiB",                      size(2 * MIB),                          Content,            Succeed,            Succeed),

    row("ulimit -s 512 KiB",                    stack(512 * KIB),                       Content,            Succeed,            Succeed).prompt(LONG),
    row("ulimit -s 128 KiB",                    stack(128 * KIB),                       Content,            Succeed,            Succeed).prompt(LONG),

    row("no call of memfd_create (EPERM)",      call(libc::SYS_memfd_create, libc::EPERM), Content,         Succeed,            Succeed),
    row("no call of memfd_create (ENOSYS)",     call(libc::SYS_memfd_create, libc::ENOSYS), Content,        Succeed,            Succeed),
    row("no call of execveat (EPERM)",          call(libc::SYS_execveat, libc::EPERM),  Content,            Succeed,            Succeed),
    row("no call of flock (ENOLCK)",            call(libc::SYS_flock, libc::ENOLCK),    Problem("has no locks"), NO_LOCKS,      NO_LOCKS),
    row("no call of flock (ENOSYS)",            call(libc::SYS_flock, libc::ENOSYS),    Problem("forbids the system call `flock`"), FORBIDDEN_LOCKS, FORBIDDEN_LOCKS),
    row("no call of flock (EPERM)",             call(libc::SYS_flock, libc::EPERM),     Problem("forbids the system call `flock`"), FORBIDDEN_LOCKS, FORBIDDEN_LOCKS),
    row("no call that makes memory executable", Limit::ExecutableMemory,                Problem("MemoryDenyWriteExecute"), CannotBegin(&["MemoryDenyWriteExecute"]), CannotBegin(&["MemoryDenyWriteExecute"])),

    row("/proc is missing",                     Limit::Proc(Proc::Missing),             Content,            Succeed,            Succeed),
    row("/proc is that of other processes",     Limit::Proc(Proc::Foreign),             Content,            Succeed,            Succeed),

    // A conversation that goes on has its file already, and its state.
    row("full disk: workspace",                 Limit::Full(Disk::Workspaces),          Problem(FULL),      Succeed,            SucceedAndTell(FULL)),
    row("full disk: CODEX_HOME",                Limit::Full(Disk::CodexHome),           Problem(FULL),      lacks(CODEX_FULL),  lacks(CODEX_FULL)),
    row("full disk: TMPDIR",                    Limit::Full(Disk::Temporary),           Content,            Succeed,            Succeed),
    row("full disk: state",                     Limit::Full(Disk::State),               Content,            Succeed,            SucceedAndTell(FULL)),
    row("full disk: cache",                     Limit::Full(Disk::Cache),               Content,            Succeed,            Succeed),
    row("full disk: record",                    Limit::Full(Disk::Record),              Content,            SucceedAndTell("a line of the record could not be written"), SucceedAndTell("a line of the record could not be written")).record(Record::Kept),
    row("full disk: required record",           Limit::Full(Disk::Record),              Content,            lacks(&[FULL, "`record`"]), lacks(&[FULL, "`record`"])).record(Record::Required),
];

const FULL: &str = "the disk is full";
/// In codex's own words.
const CODEX_FULL: &[&str] = &["No space left on device", "Free some of it"];
const NO_LOCKS: Turns = Fail(SessionUnreadable, &["has no locks", "workspace elsewhere"]);
const FORBIDDEN_LOCKS: Turns = Fail(
    SessionUnreadable,
    &["forbids the system call `flock`", "allow it"],
);

const fn memory(most: u64) -> Limit {
    Limit::Resource(libc::RLIMIT_AS, most)
}

const fn files(most: u64) -> Limit {
    Limit::Resource(libc::RLIMIT_NOFILE, most)
}

const fn size(most: u64) -> Limit {
    Limit::Resource(libc::RLIMIT_FSIZE, most)
}

const fn stack(most: u64) -> Limit {
    Limit::Resource(libc::RLIMIT_STACK, most)
}

const fn call(call: libc::c_long, errno: i32) -> Limit {
    Limit::Call(Forbidden { call, errno })
}

/// The turn fails because something has run out.
const fn lacks(words: &'static [&'static str]) -> Turns {
    Fail(Resources, words)
}

/// The same, or it succeeds.
const fn either(words: &'static [&'static str]) -> Turns {
    SucceedOrFail(Resources, words)
}

const fn row(name: &'static str, limit: Limit, doctor: Doctor, one: Turns, many: Turns) -> Row {
    Row {
        name,
        limit,
        doctor,
        one,
        many,
        prompt: "hello".len(),
        record: Record::Absent,
    }
}

impl Row {
    const fn prompt(self, bytes: usize) -> Self {
        Row {
            prompt: bytes,
            ..self
        }
    }

    const fn record(self, record: Record) -> Self {
        Row { record, ..self }
    }
}
