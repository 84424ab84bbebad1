//! One run of codex, from its start to its end.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use plexum_openai_provider_tests::transcript::Exit;

/// How often a running codex is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Far more than the slowest case takes, on a machine that does other things too.
const DEADLINE: Duration = Duration::from_secs(180);

/// A codex that writes into two files. Dropping it ends it.
pub(crate) struct Process {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    began: Instant,
}

/// What a codex left behind.
pub(crate) struct Output {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) exit: Exit,
}

impl Process {
    /// Starts `command`, with its output in files in `folder` whose names begin with `name`, and
    /// `stdin` as its standard input where there is one.
    pub(crate) fn start(
        mut command: Command,
        stdin: Option<&str>,
        folder: &Path,
        name: &str,
    ) -> anyhow::Result<Self> {
        let stdout = folder.join(format!("{name}.stdout"));
        let stderr = folder.join(format!("{name}.stderr"));
        command
            .stdout(File::create(&stdout)?)
            .stderr(File::create(&stderr)?);
        if stdin.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        if let (Some(text), Some(mut pipe)) = (stdin, child.stdin.take()) {
            pipe.write_all(text.as_bytes())
                .context("codex does not read its stdin")?;
        }
        Ok(Self {
            child,
            stdout,
            stderr,
            began: Instant::now(),
        })
    }

    /// Returns when standard output holds `text`.
    pub(crate) fn wait_for(&mut self, text: &str) -> anyhow::Result<()> {
        while !fs::read_to_string(&self.stdout)?.contains(text) {
            if let Some(status) = self.child.try_wait()? {
                bail!("codex ended with {status} before it printed `{text}`");
            }
            self.pause()?;
        }
        Ok(())
    }

    /// Sends codex a signal.
    pub(crate) fn signal(&self, signal: i32) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id())?;
        // SAFETY: the call touches no memory, and the child is not waited for yet, so that the
        // number is still its own.
        if unsafe { libc::kill(pid, signal) } == -1 {
            return Err(std::io::Error::last_os_error()).context("cannot send a signal to codex");
        }
        Ok(())
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> anyhow::Result<Output> {
        let status = loop {
            match self.child.try_wait()? {
                Some(status) => break status,
                None => self.pause()?,
            }
        };
        Ok(Output {
            stdout: text_of(&self.stdout)?,
            stderr: text_of(&self.stderr)?,
            exit: status.into(),
        })
    }

    fn pause(&self) -> anyhow::Result<()> {
        if self.began.elapsed() > DEADLINE {
            bail!("codex takes longer than {} s", DEADLINE.as_secs());
        }
        thread::sleep(LOOK_EVERY);
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text_of(path: &Path) -> anyhow::Result<String> {
    let bytes = fs::read(path)?;
    String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", path.display()))
}
