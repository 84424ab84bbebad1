//! Stands between a host and `codex app-server`, passes on what each says to the other, and writes it down.
//!
//! `tap FILE CODEX ARG…` runs CODEX with these arguments. If the first of them is `app-server`, each line is appended to
//! FILE: `> ` and what the host said, `< ` and what codex said. It is written down before it is passed on, so that an
//! answer always stands behind what it answers.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};

use anyhow::Context as _;

fn main() -> ExitCode {
    match tap() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tap: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn tap() -> anyhow::Result<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    let file = words.next().context("no file is named")?;
    let codex = words.next().context("no codex is named")?;
    let arguments: Vec<OsString> = words.collect();
    let mut command = Command::new(codex);
    command.args(&arguments);
    if arguments.first().map(OsString::as_os_str) != Some(OsStr::new("app-server")) {
        return Err(command.exec()).context("cannot run codex");
    }
    let file = OpenOptions::new().create(true).append(true).open(file)?;
    let file = Arc::new(Mutex::new(file));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run codex")?;
    let stdin = child.stdin.take().context("codex has an input")?;
    let stdout = child.stdout.take().context("codex has an output")?;
    let said = Arc::clone(&file);
    // Never waited for: when codex ends, the host may still have its end open.
    std::thread::spawn(move || pass_on(io::stdin().lock(), stdin, "> ", &said));
    pass_on(BufReader::new(stdout), io::stdout(), "< ", &file)?;
    let status = child.wait()?;
    Ok(match status.code() {
        Some(code) => ExitCode::from(u8::try_from(code)?),
        None => ExitCode::FAILURE,
    })
}

/// Passes lines on until there are no more, and writes them down. Closes the output then.
fn pass_on(
    mut from: impl io::BufRead,
    mut to: impl Write,
    sign: &str,
    file: &Mutex<File>,
) -> anyhow::Result<()> {
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        let written = [sign.as_bytes(), &line].concat();
        let mut file = file.lock().ok().context("nobody has panicked")?;
        file.write_all(&written)?;
        drop(file);
        to.write_all(&line)?;
        to.flush()?;
        line.clear();
    }
    Ok(())
}
