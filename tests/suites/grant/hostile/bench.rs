//! Where hostile turns are tried, and what must hold after each of them.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use plexum_openai_provider::{
    Config, Description, Event, FailureKind, GuestLimits, Provider, Request, SessionFiles,
    StopReason, Turn,
};
use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::hostile;
pub use plexum_openai_provider_tests::hostile::SEPARATOR;
pub use plexum_openai_provider_tests::real_codex::TURN_FLAGS as FLAGS;
use plexum_openai_provider_tests::workspace::Workspace;

/// Longer than any turn here may take: a limit that does not work must not hang the tests.
const TOO_LONG: Duration = Duration::from_secs(120);

pub fn fake_codex() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_fake-codex"))
}

/// The hostile component.
pub fn component() -> &'static [u8] {
    static COMPONENT: OnceLock<Vec<u8>> = OnceLock::new();
    COMPONENT.get_or_init(|| std::fs::read(hostile::component()).unwrap())
}

/// A hostile provider and an honest one, with the same configuration.
pub struct Bench {
    hostile: Provider,
    honest: Provider,
}

/// What a turn told, without its end.
#[derive(Debug)]
pub struct Told {
    pub events: Vec<Event>,
    pub stop_reason: StopReason,
    pub kind: Option<FailureKind>,
    pub message: String,
}

impl Bench {
    pub fn new(guest: GuestLimits) -> Self {
        let config = Config {
            binary: Some(fake_codex().into()),
            guest,
            ..Config::default()
        };
        Bench {
            hostile: Provider::with_component(config.clone(), component())
                .unwrap()
                .with_session_store(SessionFiles::default().without_state()),
            honest: Provider::new(config)
                .unwrap()
                .with_session_store(SessionFiles::default().without_state()),
        }
    }

    /// What the hostile component says of itself.
    pub async fn describe(&self) -> Description {
        self.hostile.describe().await.unwrap()
    }

    /// Begins a hostile turn.
    pub fn begin(&self, workspace: &Workspace, prompt: &str) -> Turn {
        self.start(workspace, Request::prompt(prompt))
    }

    /// Begins a hostile turn of this request.
    pub fn start(&self, workspace: &Workspace, request: Request) -> Turn {
        self.hostile.turn(workspace.path(), request)
    }

    /// A whole hostile turn, while an honest one runs elsewhere; and another honest one in the same workspace
    /// afterwards. Returns what the hostile one told, and how often it started codex.
    pub async fn try_out(&self, workspace: &Workspace, prompt: &str) -> (Told, usize) {
        let elsewhere = Workspace::new(fake_codex()).unwrap();
        let (told, ()) = tokio::join!(
            finish(self.begin(workspace, prompt)),
            self.serves(elsewhere.path())
        );
        let calls = workspace.calls().unwrap();
        for call in &calls {
            let folder = workspace.path().canonicalize().unwrap();
            assert_eq!(call.cwd.canonicalize().unwrap(), folder);
            assert_eq!(call.argv[0], "exec");
        }
        self.serves(workspace.path()).await;
        (told, calls.len())
    }

    /// Shows that the host still carries out a normal turn.
    pub async fn serves(&self, folder: &Path) {
        let told = finish(self.honest.turn(folder, Request::prompt("hello"))).await;
        assert_eq!(told.stop_reason, StopReason::EndTurn, "{told:?}");
    }
}

/// Takes all events of a turn, and checks what holds for every turn: one end, last.
pub async fn finish(turn: Turn) -> Told {
    let told = tokio::time::timeout(TOO_LONG, take_all(turn)).await;
    told.expect("the turn ends in bounded time")
}

async fn take_all(mut turn: Turn) -> Told {
    let mut events = Vec::new();
    while let Some(event) = turn.next().await {
        events.push(event);
    }
    let ends = |events: &[Event]| {
        let ends = events
            .iter()
            .filter(|event| matches!(event, Event::MessageEnd { .. }));
        ends.count()
    };
    assert_eq!(ends(&events), 1);
    let Some(Event::MessageEnd {
        stop_reason,
        failure,
        ..
    }) = events.pop()
    else {
        panic!("something follows the end of the turn: {events:?}")
    };
    Told {
        events,
        stop_reason,
        kind: failure.as_ref().map(|failure| failure.kind),
        message: failure.map(|failure| failure.message).unwrap_or_default(),
    }
}

/// An empty workspace, in which fake-codex echoes its prompt.
pub fn workspace() -> Workspace {
    Workspace::new(fake_codex()).unwrap()
}

/// A workspace in which it plays these calls.
pub fn scripted(calls: impl IntoIterator<Item = Vec<Step>>) -> Workspace {
    Workspace::scripted(fake_codex(), calls).unwrap()
}

/// A prompt for the hostile component: what to do, and with which arguments.
pub fn deed(deed: &str, args: &[&str]) -> String {
    format!("{deed}:{}", args.join(SEPARATOR))
}

/// `exec` with all that the grant wants, and these words in front of the separator and behind it.
pub fn exec<'a>(front: &[&'a str], flags: &[&'a str], behind: &[&'a str]) -> Vec<&'a str> {
    [&["exec"], front, flags, behind].concat()
}

/// The call that the grant allows in every workspace.
pub fn allowed() -> Vec<&'static str> {
    exec(&[], &FLAGS, &["--", "hello"])
}

/// The file that holds the session.
pub fn session_file(workspace: &Workspace) -> PathBuf {
    workspace.path().join(plexum_openai_provider::SESSION_FILE)
}
