//! A tool of codex's that turns against the supervisor of its turn.
//!
//! `attack-supervisor HOW MARK` leaves `sleep 1004.MARK` behind, in a session of its own and without an environment. Once
//! that runs it makes the file `left.MARK`, does HOW to the supervisor, and waits for ever. (What it leaves may be killed
//! within a millisecond of the attack; the file stays to tell of it.)

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use plexum_openai_provider_tests::attack::{Attack, supervisor_of};
use plexum_openai_provider_tests::wait::{processes_with, wait_until};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let how = Attack::named(&args.next().context("HOW is missing")?)?;
    let mark = args.next().context("MARK is missing")?;
    let duration = format!("1004.{mark}");
    Command::new("setsid")
        .args(["--fork", "sleep", &duration])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    wait_until("it sleeps", || {
        !processes_with(&format!("sleep\0{duration}")).is_empty()
    });
    std::fs::write(format!("left.{mark}"), "")?;
    how.on(supervisor_of(
        std::os::unix::process::parent_id().cast_signed(),
    )?)?;
    loop {
        std::thread::park();
    }
}
