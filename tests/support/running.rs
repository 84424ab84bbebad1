//! A server of a test's own. It ends with the process of the test, even if that is killed: a shell between them waits for
//! the end of its input, which only the test holds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::census::processes_below;
use crate::signal::DefaultSignals as _;
use crate::wait::{is_running, wait_until};

/// Ends its child when its input ends. A child that is stopped would not hear a signal; of the other two, PostgreSQL ends
/// at once with the first, and PgBouncer with the second.
pub(crate) const KEEPER: &str = r#""$@" <&- & child=$!
cat >/dev/null
kill -CONT $child; kill -QUIT $child; kill -TERM $child; wait $child"#;

/// A server, and the shell that ends it.
pub(crate) struct Running {
    pub(crate) keeper: Child,
    folder: PathBuf,
}

impl Running {
    pub(crate) fn start(mut command: Command, log: &Path, folder: PathBuf) -> Self {
        let log = fs::File::options().create(true).append(true).open(log);
        let log = log.expect("a log can be written");
        let errors = log.try_clone().expect("a descriptor");
        let keeper = command
            .default_signals()
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .expect("a shell can be started");
        Running { keeper, folder }
    }

    /// The server's processes: they work in its folder, as its shell does.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let all = processes_below(&self.folder)
            .into_iter()
            .map(|(pid, _)| pid);
        all.filter(|pid| *pid != self.keeper.id().cast_signed())
            .collect()
    }

    pub(crate) fn signal(&self, signal: i32) {
        for pid in self.processes() {
            // SAFETY: takes numbers only. One that has ended meanwhile is not there.
            unsafe { libc::kill(pid, signal) };
        }
    }

    pub(crate) fn kill(self) {
        // One may be starting another.
        wait_until("the server is gone", || {
            self.signal(libc::SIGKILL);
            !self.processes().into_iter().any(is_running)
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its shell sees the end of its input.
        drop(self.keeper.stdin.take());
        self.keeper.wait().expect("a shell can be waited for");
    }
}
