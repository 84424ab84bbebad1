//! A lock between processes, which the kernel releases when its holder dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;

use crate::session::place::{at, blocking, refused};
use crate::session::store::SessionGuard;

/// How often to retry a lock that another process holds. The kernel could wait for it, but a thread that waits there
/// cannot be stopped.
const RETRY: Duration = Duration::from_millis(50);

/// A locked file. Dropping it releases the lock.
#[derive(Debug)]
pub struct LockFile {
    file: File,
}

impl SessionGuard for LockFile {
    fn lock(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }
}

impl LockFile {
    /// Whether the lock is held now. Creates nothing, and holds the lock itself only while it looks.
    #[cfg(feature = "doctor")]
    pub fn is_held(path: &Path) -> io::Result<bool> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path);
        let file = match file {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened.map_err(|error| at(path, "cannot be opened", error))?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(at(path, "cannot be examined", error)),
        }
    }

    /// Waits for the lock. To give up, drop the future.
    pub async fn acquire(path: &Path) -> io::Result<Self> {
        let path = path.to_owned();
        let (file, path) = blocking(move || open(&path).map(|file| (file, path))).await?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(LockFile { file }),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(RETRY).await,
                Err(TryLockError::Error(error)) => {
                    return Err(at(&path, "cannot be locked", error));
                }
            }
        }
    }
}

/// The file to lock, created if it is missing.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(|error| at(path, "cannot be opened", error))?;
    let metadata = file
        .metadata()
        .map_err(|error| at(path, "cannot be examined", error))?;
    if !metadata.is_file() {
        return Err(refused(path, "is not a plain file: remove it"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_second_waits_for_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = LockFile::acquire(&path).await.unwrap();
        let second = LockFile::acquire(&path);
        tokio::pin!(second);
        tokio::select! {
            _ = &mut second => panic!("two hold the lock"),
            () = tokio::time::sleep(RETRY * 2) => drop(first),
        }
        second.await.unwrap();
    }

    #[tokio::test]
    async fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &path).unwrap();
        let error = LockFile::acquire(&path).await.unwrap_err();
        assert!(error.to_string().contains("cannot be opened"), "{error}");
        assert!(!folder.path().join("elsewhere").exists());
    }
}
