//! Folders that an installation makes.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, ensure};
use rustix::fs::{Access, CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::places::{NAME, Places};
use super::record::{Record, exists};

/// The error of a place that cannot be used.
pub fn blocked(path: &Path, what: &str) -> anyhow::Error {
    anyhow!(
        "{} {what}. Nothing was installed. Give this user the permission, or choose other folders: --home DIR for the plugin, --prefix DIR for the program",
        path.display()
    )
}

/// The same for an error of the system.
pub fn blocked_by(path: &Path, what: &str, error: &io::Error) -> anyhow::Error {
    blocked(path, &format!("{what} ({error})"))
}

/// Whether a folder can be made, or written to.
pub fn check(folder: &Path) -> Result<()> {
    let there = folder.ancestors().find(|folder| exists(folder));
    let there = there.unwrap_or(Path::new("/"));
    ensure!(there.is_dir(), blocked(there, "is not a folder"));
    rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|_| blocked(there, "cannot be written to by this user"))
}

/// The folders above this path that are not there, the outermost first.
pub fn missing_above(path: &Path) -> Vec<PathBuf> {
    let above = path.ancestors().skip(1);
    let mut missing: Vec<_> = above
        .take_while(|folder| !folder.is_dir())
        .map(Path::to_owned)
        .collect();
    missing.reverse();
    missing
}

/// Removes a folder if it is empty, and no link to one.
pub fn remove(folder: &Path) {
    // One that is not empty stays, and so does what is no folder.
    let _stays = std::fs::remove_dir(folder);
}

/// Makes the plugin's folder with a record in it that says which folders are new, and returns those. A kill leaves both or
/// neither: at most a hidden folder above, which [`remove_unborn`] knows.
pub fn make_plugin_folder(places: &Places) -> Result<Vec<PathBuf>> {
    let missing = missing_above(&places.record);
    let Some(outermost) = missing.first() else {
        return Ok(Vec::new());
    };
    let above = outermost.parent().unwrap_or(Path::new("/"));
    // The home itself may be missing, and those above it.
    let unborn = tempfile::Builder::new()
        .prefix(&format!(".{NAME}.unborn-"))
        // As `mkdir` makes it: others may look into it.
        .permissions(PermissionsExt::from_mode(0o777))
        .tempdir_in(above)
        .map_err(|error| blocked_by(above, "cannot be written to", &error))?;
    let within = places
        .plugin
        .strip_prefix(outermost)
        .unwrap_or(Path::new(""));
    let inner = unborn.path().join(within);
    let make = || -> io::Result<()> {
        std::fs::create_dir_all(&inner)?;
        let record = Record {
            folders: missing.clone(),
            ..Record::default()
        };
        std::fs::write(inner.join(".installed"), record.text())?;
        match renameat_with(CWD, unborn.path(), CWD, outermost, RenameFlags::NOREPLACE) {
            // A file system that cannot keep what is there: another one at the same moment is not to be expected.
            Err(Errno::INVAL) if !exists(outermost) => std::fs::rename(unborn.path(), outermost),
            renamed => renamed.map_err(Into::into),
        }
    };
    match make() {
        Ok(()) => {
            // It is where it belongs, and not to be removed.
            let _there = unborn.keep();
            Ok(missing)
        }
        // Another one was faster.
        Err(_) if places.plugin.is_dir() => Ok(Vec::new()),
        Err(error) => Err(blocked_by(&places.plugin, "cannot be made", &error)),
    }
}

/// Removes what a kill left of [`make_plugin_folder`].
pub fn remove_unborn(places: &Places) {
    let prefix = format!(".{NAME}.unborn-");
    for folder in places.plugin.ancestors().skip(1) {
        for unborn in hidden(folder, &prefix) {
            // Nothing else is ever put into it.
            let inner = places.plugin.strip_prefix(folder).unwrap_or(Path::new(""));
            let inner: PathBuf = inner.components().skip(1).collect();
            let inner = unborn.join(inner);
            let _gone = std::fs::remove_file(inner.join(".installed"));
            for folder in inner.ancestors().take_while(|at| at.starts_with(&unborn)) {
                remove(folder);
            }
        }
        if folder == places.home {
            break;
        }
    }
}

/// What is in a folder under a name that begins like this.
fn hidden(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().as_bytes().starts_with(prefix.as_bytes()))
        .map(|entry| entry.path())
        .collect()
}

/// What an installation that was killed, of this version or an earlier one, has left in a folder.
pub fn left_by_a_kill(folder: &Path) -> Vec<PathBuf> {
    let prefixes = [".new-", ".lock."].map(|prefix| format!(".{NAME}{prefix}"));
    let prefixes = prefixes.iter();
    prefixes.flat_map(|prefix| hidden(folder, prefix)).collect()
}

/// Keeps other installations and removals out of the plugin's folder until it is dropped.
pub fn lock(places: &Places, nothing: &str) -> Result<File> {
    let plugin = &places.plugin;
    let cannot = |error: io::Error| match error.kind() {
        ErrorKind::PermissionDenied => anyhow!(
            "{} cannot be written to by this user. {nothing}: give this user the permission, and run this again",
            plugin.display()
        ),
        _ => anyhow!("{} cannot be opened ({error}). {nothing}", plugin.display()),
    };
    rustix::fs::access(plugin, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| cannot(error.into()))?;
    let folder = File::open(plugin).map_err(cannot)?;
    match folder.try_lock() {
        Ok(()) => Ok(folder),
        Err(TryLockError::WouldBlock) => Err(anyhow!(
            "another installation or removal is at work on {}. {nothing}: wait until it has ended, then run this again",
            plugin.display()
        )),
        Err(TryLockError::Error(error)) => Err(anyhow!(
            "{} cannot be locked ({error}), so that no other installation could be kept out. {nothing}",
            plugin.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plugin_folder_is_made_once_and_its_record_lists_what_is_new() {
        let scratch = tempfile::tempdir().unwrap();
        let home = scratch.path().join("home");
        let places = Places::new(Some(&home), None).unwrap();
        let made = make_plugin_folder(&places).unwrap();
        let above: Vec<_> = [
            ".plexum",
            ".plexum/plugins",
            ".plexum/plugins/plexum-openai-provider",
        ]
        .iter()
        .map(|folder| home.join(folder))
        .collect();
        assert_eq!(made, [vec![home.clone()], above].concat());
        let record = std::fs::read_to_string(&places.record).unwrap();
        assert_eq!(record.lines().count(), 4);
        assert_eq!(make_plugin_folder(&places).unwrap(), Vec::<PathBuf>::new());
        let first = lock(&places, "Nothing was done").unwrap();
        let second = lock(&places, "Nothing was done").unwrap_err().to_string();
        assert!(second.contains("is at work on"), "{second}");
        drop(first);
        lock(&places, "Nothing was done").unwrap();
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_kill_left_of_it_is_removed() {
        let scratch = tempfile::tempdir().unwrap();
        let places = Places::new(Some(scratch.path()), None).unwrap();
        let unborn = scratch.path().join(".plexum-openai-provider.unborn-abc");
        let inner = unborn.join("plugins/plexum-openai-provider");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::write(inner.join(".installed"), "").unwrap();
        remove_unborn(&places);
        assert!(!unborn.exists());
    }
}
