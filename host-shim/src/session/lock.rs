//! A lock between processes, which the kernel releases when its holder dies.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::session::place::at;

/// How often to retry a lock that another process holds. The kernel could wait for it, but a thread that waits there
/// cannot be stopped.
const RETRY: Duration = Duration::from_millis(50);

/// Locks this file or folder, unless somebody else has. `path` is its name in errors.
pub fn try_lock(file: &File, path: &Path) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(at(path, "cannot be locked", error)),
    }
}

/// Waits for the lock. To give up, drop the future.
pub async fn wait(file: &File, path: &Path) -> io::Result<()> {
    while !try_lock(file, path)? {
        tokio::time::sleep(RETRY).await;
    }
    Ok(())
}

/// Whether the lock is held now. Holds it itself only while it looks.
#[cfg(feature = "doctor")]
pub fn is_held(file: &File, path: &Path) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => {
            file.unlock()
                .map_err(|error| at(path, "cannot be unlocked", error))?;
            Ok(false)
        }
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(at(path, "cannot be locked", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_second_waits_for_the_first_even_for_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let open = || File::open(folder.path()).unwrap();
        let (first, second) = (open(), open());
        assert!(try_lock(&first, folder.path()).unwrap());
        assert!(!try_lock(&second, folder.path()).unwrap());
        {
            let waiting = wait(&second, folder.path());
            tokio::pin!(waiting);
            tokio::select! {
                _ = &mut waiting => panic!("two hold the lock"),
                () = tokio::time::sleep(RETRY * 2) => drop(first),
            }
            waiting.await.unwrap();
        }
        assert!(!try_lock(&open(), folder.path()).unwrap());
    }
}
