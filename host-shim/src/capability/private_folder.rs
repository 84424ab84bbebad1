//! A folder for what a turn hands to codex as files: for this user only, whatever the umask, and gone with the turn.
//!
//! A host that is killed cannot remove its folder. It holds a lock on it, which goes with the process, so another host
//! knows what nobody needs any more: each removes such folders when its first turn begins.

use std::fs::{File, OpenOptions, Permissions, read_dir, set_permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::process::geteuid;
use tempfile::TempDir;

/// What the names of these folders begin with.
const PREFIX: &str = "plexum-codex-turn-";

/// A folder of mode 0700. Dropping it removes it with everything in it.
#[derive(Debug)]
pub struct PrivateFolder {
    folder: TempDir,
    /// Locked as long as the process lives.
    _lock: File,
}

impl PrivateFolder {
    /// Makes one where temporary files go.
    pub fn new() -> io::Result<Self> {
        Self::within(&std::env::temp_dir())
    }

    fn within(place: &Path) -> io::Result<Self> {
        // Another host may find the folder before it is locked, and remove it. It is not that fast twice.
        let mut attempts = 0;
        loop {
            attempts += 1;
            let folder = tempfile::Builder::new()
                .prefix(PREFIX)
                .permissions(Permissions::from_mode(0o700))
                .tempdir_in(place)?;
            // The umask may have taken away what this user needs.
            let locked = set_permissions(&folder, Permissions::from_mode(0o700))
                .and_then(|()| open(folder.path()));
            match locked {
                Ok(lock) if is_locked(&lock)? && is_at(&lock, folder.path()) => {
                    return Ok(PrivateFolder {
                        folder,
                        _lock: lock,
                    });
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ if attempts > 10 => {
                    return Err(io::Error::other(
                        "another program removes what is made there",
                    ));
                }
                _ => {}
            }
        }
    }

    /// Writes a new file that only this user can read. Returns its path, which is UTF-8: codex gets it as an argument.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.folder.path().join(name);
        if path.to_str().is_none() {
            return Err(io::Error::other(
                "the path of the folder for temporary files is not UTF-8: set TMPDIR to another",
            ));
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(bytes)?;
        Ok(path)
    }
}

/// Opens a folder itself: no link, no file.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

/// Locks a folder, unless another process has locked it. Where there are no locks, nobody can tell, and it counts as
/// locked.
fn is_locked(folder: &File) -> io::Result<bool> {
    use rustix::io::Errno;
    match flock(folder, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) | Err(Errno::NOLCK | Errno::NOTSUP | Errno::NOSYS | Errno::INVAL) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn is_at(open: &File, path: &Path) -> bool {
    let identity = |metadata: &std::fs::Metadata| (metadata.dev(), metadata.ino());
    let (open, there) = (open.metadata(), path.symlink_metadata());
    matches!((open, there), (Ok(open), Ok(there)) if identity(&open) == identity(&there))
}

/// Removes what killed hosts have left where temporary files go, once in a process. Nothing waits for it. Needs a runtime.
pub fn sweep_once() {
    static BEGUN: AtomicBool = AtomicBool::new(false);
    if !BEGUN.swap(true, Ordering::Relaxed) {
        drop(tokio::task::spawn_blocking(|| {
            sweep_within(&std::env::temp_dir());
        }));
    }
}

fn sweep_within(place: &Path) {
    // What cannot be read or removed stays: nobody else has a use for this.
    let entries = read_dir(place).into_iter().flatten().flatten();
    for entry in entries {
        if entry.file_name().to_string_lossy().starts_with(PREFIX)
            && let Err(error) = sweep_one(&entry.path())
        {
            let path = entry.path();
            tracing::debug!(path = %path.display(), %error, "a folder of another turn stays");
        }
    }
}

/// Removes a folder, if it is one of this user's that no process has locked, and holds nothing but files of a turn.
fn sweep_one(path: &Path) -> io::Result<()> {
    let folder = open(path)?;
    let metadata = folder.metadata()?;
    let ours = metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o077 == 0;
    let unused = || flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok();
    if !ours || !unused() || !is_at(&folder, path) {
        return Ok(());
    }
    for entry in read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("image-") || name == SCHEMA {
            std::fs::remove_file(entry.path())?;
        }
    }
    std::fs::remove_dir(path)
}

/// The name of a file with an output schema.
pub const SCHEMA: &str = "output-schema.json";

#[cfg(test)]
mod tests {
    use super::*;

    fn left(place: &Path) -> Vec<PathBuf> {
        let entries = read_dir(place).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn what_a_killed_host_left_goes_and_what_is_in_use_or_not_ours_stays() {
        let place = tempfile::tempdir().unwrap();
        let used = PrivateFolder::within(place.path()).unwrap();
        let file = used.write("image-0.png", b"x").unwrap();
        // Without its process, a folder has no lock.
        let orphan = |name: &str| {
            let path = place.path().join(format!("{PREFIX}{name}"));
            std::fs::create_dir(&path).unwrap();
            set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
            path
        };
        let (dead, empty) = (orphan("dead"), orphan("empty"));
        std::fs::write(dead.join("image-0.png"), "x").unwrap();
        std::fs::write(dead.join(SCHEMA), "x").unwrap();
        let (foreign, open) = (orphan("foreign"), orphan("open"));
        std::fs::write(foreign.join("notes"), "x").unwrap();
        set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        let victim = tempfile::tempdir().unwrap();
        std::fs::write(victim.path().join("image-0.png"), "x").unwrap();
        let link = place.path().join(format!("{PREFIX}link"));
        std::os::unix::fs::symlink(victim.path(), &link).unwrap();
        sweep_within(place.path());
        assert!(!dead.exists() && !empty.exists());
        assert!(file.exists() && foreign.join("notes").exists() && open.exists());
        assert!(link.is_symlink() && victim.path().join("image-0.png").exists());
        drop(used);
        assert!(!file.exists());
        assert_eq!(left(place.path()).len(), 3);
    }
}
