//! Asks a program something: a short run with empty standard input and a time limit.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use crate::config::Config;
use crate::grant::environment::EnvironmentRule;
use crate::scarcity;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much of an answer is read, if it should be short.
const ANSWER_BYTES: u64 = 64 * 1024;

/// How much of a document is read. Codex's list of models holds their instructions.
const DOCUMENT_BYTES: u64 = 32 * 1024 * 1024;

/// What a program answered.
#[derive(Debug)]
pub struct Answer {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it printed to standard error.
    pub stderr: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub struct NoAnswer {
    /// A sentence.
    pub said: String,
    /// What to do if this machine or process has run out of something.
    scarce: Option<String>,
}

impl NoAnswer {
    fn new(said: String) -> Self {
        NoAnswer { said, scarce: None }
    }

    fn failed(what: &str, error: &io::Error) -> Self {
        NoAnswer {
            said: format!("{what}: {error}"),
            scarce: scarcity::remedy(error),
        }
    }

    /// What to do: this, unless something has run out, for which nobody has to repair the program.
    pub fn remedy(&self, otherwise: impl Into<String>) -> String {
        self.scarce.clone().unwrap_or_else(|| otherwise.into())
    }
}

/// Runs a program with the environment that a turn gives to codex.
pub async fn ask(program: &Path, args: &[&str], config: &Config) -> Result<Answer, NoAnswer> {
    ask_within(PATIENCE, ANSWER_BYTES, program, args, of_a_turn(config)).await
}

/// The same with the environment of a service that is not told of any variables but this PATH.
pub async fn ask_as_service(
    program: &Path,
    args: &[&str],
    search_path: &str,
) -> Result<Answer, NoAnswer> {
    const KEPT: [&str; 5] = ["HOME", "USER", "LOGNAME", "LANG", "XDG_RUNTIME_DIR"];
    let kept = KEPT.into_iter().filter_map(|name| {
        let value = std::env::var_os(name)?;
        Some((name.into(), value))
    });
    let environment = kept.chain([("PATH".into(), search_path.into())]).collect();
    ask_within(PATIENCE, ANSWER_BYTES, program, args, environment).await
}

type Environment = Vec<(OsString, OsString)>;

fn of_a_turn(config: &Config) -> Environment {
    let rule = EnvironmentRule::new(&config.env);
    rule.filter(std::env::vars_os()).collect()
}

/// The same, for an answer that is a document.
pub async fn ask_for_document(
    program: &Path,
    args: &[&str],
    config: &Config,
) -> Result<Answer, NoAnswer> {
    ask_within(PATIENCE, DOCUMENT_BYTES, program, args, of_a_turn(config)).await
}

async fn ask_within(
    patience: Duration,
    most_bytes: u64,
    program: &Path,
    args: &[&str],
    environment: Environment,
) -> Result<Answer, NoAnswer> {
    let shown = format!("{} {}", program.display(), args.join(" "));
    let mut child = Command::new(program)
        .args(args)
        .current_dir("/")
        .env_clear()
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| NoAnswer::failed(&format!("`{shown}` cannot be started"), &error))?;
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let answered = tokio::time::timeout(patience, async {
        let (stdout, stderr) =
            tokio::try_join!(read(stdout, most_bytes), read(stderr, most_bytes))?;
        let status = child.wait().await?;
        // Its number may be another's from here on.
        group.0 = None;
        io::Result::Ok(Answer {
            status,
            stdout,
            stderr,
        })
    })
    .await;
    match answered {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            let what = format!("the output of `{shown}` cannot be read");
            Err(NoAnswer::failed(&what, &error))
        }
        Err(_) => {
            let patience = patience.as_secs();
            Err(NoAnswer::new(format!(
                "`{shown}` did not exit within {patience} seconds"
            )))
        }
    }
}

/// The process group of a program. Dropping this kills what is in it, also when nobody waits for the answer any more:
/// processes that the program started may hold the pipes open and keep running.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0
            && let Err(error) = kill_process_group(pid, Signal::KILL)
        {
            tracing::debug!(%error, "the process group has already ended");
        }
    }
}

async fn read(pipe: Option<impl AsyncRead + Unpin>, most_bytes: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(most_bytes).read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(script: &str) -> Result<Answer, NoAnswer> {
        let patience = Duration::from_secs(2);
        let args = ["-c", script];
        let environment = of_a_turn(&Config::default());
        let shell = Path::new("/bin/sh");
        ask_within(patience, ANSWER_BYTES, shell, &args, environment).await
    }

    #[tokio::test]
    async fn an_answer_has_both_streams_and_the_exit() {
        let answer = shell("cat; echo out; echo err >&2; exit 3").await.unwrap();
        assert_eq!(
            (answer.stdout.as_str(), answer.stderr.as_str()),
            ("out\n", "err\n")
        );
        assert_eq!(answer.status.code(), Some(3));
    }

    #[tokio::test]
    async fn other_variables_stay_here() {
        // Cargo's own are there in a test.
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        let answer = shell("env").await.unwrap();
        assert!(answer.stdout.contains("PATH=") && !answer.stdout.contains("CARGO"));
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_stopped_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", file.display());
        let error = shell(&script).await.unwrap_err().said;
        assert!(error.contains("did not exit within 2 seconds"), "{error}");
        let pid = std::fs::read_to_string(file).unwrap();
        let stat = format!("/proc/{}/stat", pid.trim());
        let running = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
        let began = std::time::Instant::now();
        while running() {
            assert!(began.elapsed() < Duration::from_secs(10), "it goes on");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn of_a_program_that_never_stops_talking_a_part_is_read() {
        // The closed pipe ends it.
        let answer = shell("yes").await.unwrap();
        assert_eq!(answer.stdout.len() as u64, ANSWER_BYTES);
        assert!(!answer.status.success());
    }
}
