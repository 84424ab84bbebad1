//! A stand-in for codex that plays a script. The library's `fake_codex` module says how.

mod command_line;
mod dialogue;
mod event;
mod player;
mod record;
mod server;
mod signal;
mod stdin;
mod thread_id;

use std::ffi::OsString;
use std::path::Path;
use std::process::exit;

use anyhow::Context as _;
use plexum_openai_provider_tests::fake_codex::{
    DIALOGUE_FILE, EXIT_SCRIPT, EXIT_USAGE, Script, Step,
};

use self::command_line::{Exec, Prompt, Refused, Request};
use self::player::Player;

/// The version it claims to be, unless `CODEX_FAKE_VERSION` says another. The name begins so that
/// it passes a host which lets codex's own variables through and no others.
const VERSION: &str = "0.169.0";

/// What a call does in a workspace without a script.
const UNSCRIPTED: [Step; 4] = [
    Step::ThreadStarted,
    Step::TurnStarted,
    Step::Echo,
    Step::TurnCompleted,
];

fn main() {
    let argv: Vec<OsString> = std::env::args_os().skip(1).collect();
    match command_line::read(&argv) {
        // These leave no trace: a host asks them from whatever folder it happens to be in.
        Ok(Request::Version) => {
            let version = std::env::var("CODEX_FAKE_VERSION");
            println!("codex-cli {}", version.as_deref().unwrap_or(VERSION));
        }
        Ok(Request::LoginStatus) => exit(login_status()),
        Ok(Request::Exec(call)) => end(run(&argv, call)),
        Ok(Request::AppServer) => end(serve(&argv)),
        Err(Refused(reason)) => {
            eprintln!("fake-codex: {reason}");
            exit(EXIT_USAGE);
        }
    }
}

/// Ends as the script says, or because it cannot be played.
fn end(played: anyhow::Result<i32>) -> ! {
    exit(played.unwrap_or_else(|error| {
        eprintln!("fake-codex: {error:#}");
        EXIT_SCRIPT
    }))
}

/// Records the call, then answers requests. Returns the exit code.
fn serve(argv: &[OsString]) -> anyhow::Result<i32> {
    let workspace = std::env::current_dir().context("no working directory")?;
    record::append(&workspace, argv, None)?;
    if workspace.join(DIALOGUE_FILE).exists() {
        return dialogue::play(&workspace);
    }
    server::serve(&workspace)
}

/// Records the call, then plays it. Returns the exit code.
fn run(argv: &[OsString], call: Exec) -> anyhow::Result<i32> {
    let workspace = std::env::current_dir().context("no working directory")?;
    let stdin_text = match call.prompt {
        Prompt::Stdin => stdin::text()?,
        Prompt::Argument(_) => None,
    };
    let number = record::append(&workspace, argv, stdin_text.as_deref())?;
    let prompt = match (call.prompt, stdin_text) {
        (Prompt::Argument(text), _) | (Prompt::Stdin, Some(text)) => text,
        (Prompt::Stdin, None) => {
            eprintln!("No prompt provided via stdin.");
            return Ok(1);
        }
    };
    let script = Script::read_from(&workspace)?;
    let steps = match &script {
        Some(script) => script.steps(number).context("the script has no calls")?,
        None => &UNSCRIPTED,
    };
    // As in the real codex, an id that is not a UUID silently starts a new thread.
    let thread = call
        .resume
        .filter(|id| thread_id::is_uuid(id))
        .unwrap_or_else(thread_id::fresh);
    Player::new(&workspace, thread, prompt).play(steps)
}

/// What `codex login status` says about the `auth.json` in `CODEX_HOME`, and its exit code.
fn login_status() -> i32 {
    let home = std::env::var_os("CODEX_HOME");
    if home.is_some_and(|home| Path::new(&home).join("auth.json").is_file()) {
        eprintln!("Logged in using ChatGPT");
        0
    } else {
        eprintln!("Not logged in");
        1
    }
}
