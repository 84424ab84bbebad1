//! A tool of codex's that turns against the supervisor of its turn.
//!
//! `attack-supervisor HOW MARK` leaves `sleep 1004.MARK` behind, in a session of its own and without an environment, does
//! HOW to the supervisor, and then waits for ever as `sleep 1005.MARK` would.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use plexum_openai_provider_tests::attack::{Attack, supervisor_of};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let how = Attack::named(&args.next().context("HOW is missing")?)?;
    let mark = args.next().context("MARK is missing")?;
    Command::new("setsid")
        .args(["--fork", "sleep", &format!("1004.{mark}")])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    how.on(supervisor_of(
        std::os::unix::process::parent_id().cast_signed(),
    )?)?;
    loop {
        std::thread::park();
    }
}
