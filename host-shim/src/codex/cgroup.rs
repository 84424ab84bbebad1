//! A cgroup for each codex, below the one that this process is in.
//!
//! Whatever codex starts is in it too, and the kernel ends all of it at once. systemd gives a service of a user, and any
//! with `Delegate=yes`, a cgroup in which it may make others; elsewhere there is none to be had.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// How the names of all of them begin; then come the process that made it and a number.
const PREFIX: &str = "plexum-codex-";

/// A cgroup for one codex. Removed when it is dropped, if nothing is in it.
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes one, where that can be done.
    pub fn make() -> Option<Self> {
        static PARENT: OnceLock<Option<PathBuf>> = OnceLock::new();
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let parent = PARENT.get_or_init(|| {
            let own = own().filter(|own| own.join("cgroup.kill").exists())?;
            remove_old(&own);
            Some(own)
        });
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        let path = parent.as_deref()?.join(name);
        match fs::create_dir(&path) {
            Ok(()) => Some(Cgroup(path)),
            Err(error) => {
                tracing::debug!(%error, path = %path.display(), "codex has no cgroup of its own");
                None
            }
        }
    }

    /// Its folder.
    pub fn folder(&self) -> io::Result<File> {
        File::open(&self.0)
    }

    /// Kills everything in it, also what belongs to another user, and returns whether there was anything.
    pub fn kill(&self) -> bool {
        let populated = self.is_populated();
        if populated && let Err(error) = fs::write(self.0.join("cgroup.kill"), "1") {
            tracing::error!(%error, path = %self.0.display(), "what is in the cgroup cannot be killed");
        }
        populated
    }

    /// Whether anything in it runs. Unknown is yes.
    pub fn is_populated(&self) -> bool {
        let events = fs::read_to_string(self.0.join("cgroup.events"));
        !events.is_ok_and(|events| events.lines().any(|line| line == "populated 0"))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            tracing::debug!(%error, path = %self.0.display(), "a cgroup is left, and removed later");
        }
    }
}

/// Removes those that earlier processes could not remove. One in which something runs cannot be removed, and has a
/// supervisor.
fn remove_old(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            // One of a process that is about to start a codex in it would fail, and that codex would start without.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// The folder of the cgroup that this process is in. None for the root, which belongs to the system.
fn own() -> Option<PathBuf> {
    let cgroups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    folder(&cgroups, &mounts)
}

/// The folder of the cgroup of version 2, from a `/proc/PID/cgroup` and a `/proc/PID/mountinfo`.
fn folder(cgroups: &str, mounts: &str) -> Option<PathBuf> {
    let name = cgroups.lines().find_map(|line| line.strip_prefix("0::"))?;
    if name == "/" {
        return None;
    }
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        if kind.split(' ').next() != Some("cgroup2") {
            return None;
        }
        let mut fields = mount.split(' ').skip(3);
        let (root, place) = (fields.next()?, fields.next()?);
        // A mount may show a part of the hierarchy only. (Names with spaces are written in another way, and not found.)
        let below = Path::new(name).strip_prefix(root).ok()?;
        Some(Path::new(place).join(below))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
36 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:4 - cgroup2 cgroup2 rw
";

    #[test]
    fn the_folder_is_that_of_version_2() {
        let both = "6:freezer:/x\n0::/user.slice/a.service\n";
        let folder_of = |cgroups: &str, mounts: &str| {
            folder(cgroups, mounts).map(|folder| folder.display().to_string())
        };
        assert_eq!(
            folder_of(both, MOUNTS).as_deref(),
            Some("/sys/fs/cgroup/unified/user.slice/a.service")
        );
        let part = "41 31 0:38 /user.slice /cg rw - cgroup2 cgroup2 rw";
        assert_eq!(folder_of(both, part).as_deref(), Some("/cg/a.service"));
        for (cgroups, mounts) in [
            ("0::/\n", MOUNTS),
            ("6:freezer:/x\n", MOUNTS),
            (both, "36 31 0:34 / /cg rw - cgroup cgroup rw,freezer"),
            (both, "41 31 0:38 /other /cg rw - cgroup2 cgroup2 rw"),
            ("", ""),
        ] {
            assert_eq!(folder_of(cgroups, mounts), None, "{cgroups} {mounts}");
        }
    }
}
