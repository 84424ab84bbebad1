//! A cgroup for a test, as systemd gives one to a service of a user.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A cgroup below the root, in which others may be made.
#[derive(Debug)]
pub struct TestCgroup(PathBuf);

impl TestCgroup {
    /// Makes one; `None` where that is not allowed.
    #[must_use]
    pub fn make() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("plexum-test-{}-{number}", std::process::id());
        let made = TestCgroup(root()?.join(name));
        fs::create_dir(&made.0).ok()?;
        if made.0.join("cgroup.kill").exists() {
            return Some(made);
        }
        // An older kernel; what cannot be removed is empty.
        let _ = made.remove();
        None
    }

    /// Whether a program that a test starts may have one without the test's doing: the test is in one itself.
    #[must_use]
    pub fn may_be_had() -> bool {
        fs::read_to_string("/proc/self/cgroup").is_ok_and(|own| !own.contains("0::/\n"))
    }

    /// Has this command start in it.
    ///
    /// # Errors
    /// When it is gone.
    pub fn takes(&self, command: &mut Command) -> io::Result<()> {
        let procs = self.procs()?;
        // SAFETY: between fork and exec there is one system call, with a descriptor that is open until then.
        unsafe { command.pre_exec(move || (&procs).write_all(b"0")) };
        Ok(())
    }

    /// Moves this process into it.
    ///
    /// # Errors
    /// When that is not allowed.
    pub fn enter(&self) -> io::Result<()> {
        self.procs()?.write_all(b"0")
    }

    /// Moves this process back to the root.
    ///
    /// # Errors
    /// When that is not allowed.
    pub fn leave(&self) -> io::Result<()> {
        let root = self.0.parent().unwrap_or(Path::new("/"));
        fs::write(root.join("cgroup.procs"), "0")
    }

    /// Removes it.
    ///
    /// # Errors
    /// When something is in it.
    pub fn remove(&self) -> io::Result<()> {
        fs::remove_dir(&self.0)
    }

    fn procs(&self) -> io::Result<File> {
        File::create(self.0.join("cgroup.procs"))
    }
}

/// Where the hierarchy of version 2 is.
fn root() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let unified = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    unified.split(' ').nth(4).map(PathBuf::from)
}
