//! The record of calls.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::Context as _;
use plexum_openai_provider_tests::fake_codex::{CALLS_FILE, Call};

use crate::{signal, stdin};

/// Adds this call to the workspace's record. Returns how many were there before.
pub(crate) fn append(
    workspace: &Path,
    argv: &[OsString],
    stdin_text: Option<&str>,
) -> anyhow::Result<usize> {
    let mut env: Vec<String> = std::env::vars_os()
        .map(|(name, _)| name.to_string_lossy().into_owned())
        .collect();
    env.sort_unstable();
    let call = Call {
        argv: argv
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect(),
        stdin: stdin::kind()?,
        stdin_text: stdin_text.map(str::to_owned),
        env,
        pid: i32::try_from(std::process::id())?,
        pgid: signal::process_group(),
        cwd: workspace.to_path_buf(),
    };
    let path = workspace.join(CALLS_FILE);
    let mut file = OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    // Calls at the same time must not get the same number. Closing the file unlocks it.
    file.lock()?;
    let mut earlier = String::new();
    file.read_to_string(&mut earlier)?;
    let mut line = serde_json::to_string(&call)?;
    line.push('\n');
    file.write_all(line.as_bytes())?;
    Ok(earlier.lines().count())
}
