//! Folders that are made once, however many processes of tests want them at the same time.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Has `make` fill an empty `folder`, unless an earlier call with the same `key` has. Other processes wait meanwhile.
///
/// The folder stays, so that the next run finds it. What it is made from belongs in the key.
///
/// # Panics
/// When the folder or the files beside it cannot be written.
pub fn folder(folder: &Path, key: &str, make: impl FnOnce(&Path)) {
    fs::create_dir_all(folder.parent().expect("a folder in a folder"))
        .expect("the folder's parent can be made");
    let lock = File::create(folder.with_extension("lock")).expect("the lock can be made");
    lock.lock().expect("the lock can be taken");
    let made = folder.with_extension("key");
    if fs::read_to_string(&made).is_ok_and(|made| made == key) {
        return;
    }
    // Before the folder, so that none that is made half passes for whole.
    gone(fs::remove_file(&made));
    gone(fs::remove_dir_all(folder));
    fs::create_dir(folder).expect("the folder can be made");
    make(folder);
    fs::write(&made, key).expect("the key can be written");
}

/// What was there is removed; what was not there need not be.
fn gone(removed: io::Result<()>) {
    if let Err(error) = removed {
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_for_each_key() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("made");
        let mut calls = 0;
        for key in ["a", "a", "b", "b", "a"] {
            folder(&path, key, |path| {
                calls += 1;
                fs::write(path.join(key), "").unwrap();
            });
            assert_eq!(fs::read_dir(&path).unwrap().count(), 1, "{key}");
            assert!(path.join(key).exists(), "{key}");
        }
        assert_eq!(calls, 3);
    }

    #[test]
    fn one_that_failed_half_way_is_made_again() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("made");
        folder(&path, "a", |_| ());
        let failed = std::panic::catch_unwind(|| folder(&path, "b", |_| panic!("half-way")));
        assert!(failed.is_err());
        let mut calls = 0;
        folder(&path, "b", |_| calls += 1);
        assert_eq!(calls, 1);
    }
}
