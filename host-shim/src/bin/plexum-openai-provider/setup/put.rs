//! Puts files in their places.
//!
//! **Invariant:** everything is written beside its place first, and until the last of it is, nothing has changed: an error
//! or a signal undoes what had begun. A kill leaves what [`remove`](super::remove) removes, as the record lists the old
//! files and the new ones from before the first of them changes.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};
use sha2::{Digest as _, Sha256};
use tempfile::{Builder, NamedTempFile};

use super::contents::{self, Content};
use super::folders::{self, blocked, blocked_by, missing_above};
use super::places::{NAME, Places};
use super::record::{Installed, Record, digest, exists, is_one_of};

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Something is written beside its place.
    Write,
    /// It takes its place.
    Rename,
}

/// Asked before each step whether to go on. An error stops the installation.
pub type Steps<'a> = &'a dyn Fn(Step) -> Result<()>;

/// What was put in place.
#[derive(Debug, Default)]
pub struct Done {
    /// Files of an earlier installation that are gone.
    pub removed: Vec<PathBuf>,
    /// Files of it that have no place any more and stay, as somebody changed them.
    pub kept: Vec<PathBuf>,
}

/// Undoes what had begun when it is dropped before it is disarmed.
struct Undo<'a> {
    record: &'a Path,
    /// The record as it was; `None` if there was none.
    old: Option<Vec<u8>>,
    /// Whether the record was written.
    is_recorded: bool,
    /// The folders that were made.
    made: Vec<PathBuf>,
    is_armed: bool,
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if !self.is_armed {
            return;
        }
        match &self.old {
            Some(old) if self.is_recorded => {
                if let Err(error) = write_record(self.record, old) {
                    eprintln!(
                        "warning: {} lists files that are not there: {error:#}",
                        self.record.display()
                    );
                }
            }
            None => {
                // It is gone, or was never there.
                let _gone = std::fs::remove_file(self.record);
            }
            Some(_) => {}
        }
        for folder in self.made.iter().rev() {
            folders::remove(folder);
        }
    }
}

/// Puts these files in place of those of an earlier installation, and the new configuration unless there is one. `made` are
/// the folders that were made for the record, which is then new.
pub fn put(
    places: &Places,
    old: &Record,
    made: Vec<PathBuf>,
    files: Vec<contents::File>,
    config: Option<String>,
    steps: Steps<'_>,
) -> Result<Done> {
    let all: Vec<PathBuf> = files.iter().map(|file| file.place.clone()).collect();
    let mut new = Record {
        folders: old.folders.clone(),
        ..Record::default()
    };
    let missing = made.iter().cloned();
    let missing = missing.chain(all.iter().flat_map(|place| missing_above(place)));
    for folder in missing {
        if !new.folders.contains(&folder) {
            new.folders.push(folder);
        }
    }
    for file in &files {
        let sha256 = match &file.content {
            Content::Bytes(bytes) => format!("{:x}", Sha256::digest(bytes)),
            Content::Of(path) => {
                digest(path).map_err(|error| blocked_by(path, "cannot be read", &error))?
            }
        };
        new.files.push(Installed {
            path: file.place.clone(),
            sha256,
        });
    }

    let before = (made.is_empty()).then(|| std::fs::read(&places.record).ok());
    let mut undo = Undo {
        record: &places.record,
        old: before.flatten(),
        is_recorded: false,
        made,
        is_armed: true,
    };
    steps(Step::Write)?;
    let mut both = new.clone();
    both.files.extend(old.files.iter().cloned());
    write_record(&places.record, &both.text())?;
    undo.is_recorded = true;

    let mut staged = Vec::new();
    for (file, Installed { path, sha256 }) in files.iter().zip(&new.files) {
        steps(Step::Write)?;
        make_folders_above(path, &mut undo.made)?;
        let mode = if file.is_program { 0o755 } else { 0o644 };
        let (temporary, written) = stage(&file.content, path, mode)?;
        ensure!(
            written == *sha256,
            blocked(path, "was changed while it was copied")
        );
        staged.push((temporary, path));
    }
    let config = match config {
        Some(text) => {
            steps(Step::Write)?;
            let content = Content::Bytes(text.into_bytes());
            Some(stage(&content, &places.config, 0o644)?.0)
        }
        None => None,
    };
    steps(Step::Write)?;

    undo.is_armed = false;
    let left_over: Vec<_> = old.left_over(&all).into_iter().cloned().collect();
    for (temporary, place) in staged {
        steps(Step::Rename)?;
        temporary.persist(place).map_err(|error| {
            anyhow!("{} cannot be replaced ({}), and some files are new and some are old: give this user the permission, and run this again", place.display(), error.error)
        })?;
    }
    if let Some(config) = config {
        // A file that was written meanwhile stays.
        if let Err(error) = config.persist_noclobber(&places.config)
            && error.error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error.error)
                .with_context(|| format!("{} cannot be written", places.config.display()));
        }
    }
    let mut done = Done::default();
    for file in left_over {
        // Once more, now that everything is in its place.
        if is_one_of(&file.path, &all) {
            continue;
        }
        if file.is_unchanged() {
            std::fs::remove_file(&file.path)
                .with_context(|| format!("{} cannot be removed", file.path.display()))?;
            done.removed.push(file.path);
        } else if exists(&file.path) {
            done.kept.push(file.path);
        }
    }
    for file in &new.files {
        ensure!(
            file.is_unchanged(),
            "{} is not there as it was installed: another program has changed it meanwhile; run this again",
            file.path.display()
        );
    }
    // While the record still names these folders, as the next one may not.
    for folder in old.folders_of_files() {
        for path in folders::left_by_a_kill(folder) {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error)
                        .with_context(|| format!("{} cannot be removed", path.display()));
                }
                _ => {}
            }
        }
    }
    folders::remove_unborn(places);
    write_record(&places.record, &new.text()).context(
        "everything is installed, but not recorded: run this again before you uninstall",
    )?;
    Ok(done)
}

/// Makes the folders above a path, and notes those that were missing.
fn make_folders_above(path: &Path, made: &mut Vec<PathBuf>) -> Result<()> {
    for folder in missing_above(path) {
        match std::fs::create_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(blocked_by(&folder, "cannot be made", &error));
            }
            Err(_) => {}
            Ok(()) => made.push(folder),
        }
    }
    Ok(())
}

/// Writes it beside its place, to the disk, and returns it with the digest of what was written. Dropped, it is removed.
fn stage(content: &Content, place: &Path, mode: u32) -> Result<(NamedTempFile, String)> {
    ensure!(
        !place.is_dir(),
        blocked(place, "is a folder, where a file belongs")
    );
    let folder = place.parent().unwrap_or(Path::new("/"));
    let mut temporary = temporary_in(folder, mode)
        .map_err(|error| blocked_by(folder, "cannot be written to", &error))?;
    let mut write = || -> io::Result<String> {
        let mut sha256 = Sha256::new();
        match content {
            Content::Bytes(bytes) => {
                sha256.update(bytes);
                temporary.write_all(bytes)?;
            }
            Content::Of(path) => {
                let mut from = File::open(path)?;
                io::copy(&mut from, &mut Both(&mut sha256, &mut temporary))?;
            }
        }
        temporary.as_file().sync_all()?;
        Ok(format!("{:x}", sha256.finalize()))
    };
    let written = write().map_err(|error| blocked_by(place, "cannot be written", &error))?;
    Ok((temporary, written))
}

/// Writes to both.
struct Both<'a>(&'a mut Sha256, &'a mut NamedTempFile);

impl io::Write for Both<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        self.1.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.1.flush()
    }
}

/// A file that is removed when it is dropped; a kill leaves it under a name that begins like this.
fn temporary_in(folder: &Path, mode: u32) -> io::Result<NamedTempFile> {
    Builder::new()
        .prefix(&format!(".{NAME}.new-"))
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder)
}

/// Replaces the record.
fn write_record(record: &Path, text: &[u8]) -> Result<()> {
    let folder = record.parent().unwrap_or(Path::new("/"));
    let write = || -> io::Result<()> {
        let mut temporary = temporary_in(folder, 0o644)?;
        temporary.write_all(text)?;
        temporary.as_file().sync_all()?;
        temporary.persist(record).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|error| blocked_by(record, "cannot be written", &error))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;
    use std::process::Command;

    use anyhow::bail;

    use super::super::folders::make_plugin_folder;
    use super::super::remove::Removal;
    use super::*;

    /// Names the home and the step for a process that dies.
    const HOME: &str = "PLEXUM_TEST_DIES_IN";
    const STEP: &str = "PLEXUM_TEST_DIES_AT";

    fn files(places: &Places, version: &str) -> Vec<contents::File> {
        let bin = places.home.join(".local/bin").join(NAME);
        let old = places.plugin.join("wit").join(format!("{version}.wit"));
        [
            places.plugin.join("plugin.wasm"),
            places.plugin.join("plugin.json"),
            old,
            bin,
        ]
        .into_iter()
        .map(|place| contents::File {
            content: Content::Bytes(format!("{version} of {}", place.display()).into_bytes()),
            is_program: place.ends_with(NAME),
            place,
        })
        .collect()
    }

    fn install(home: &Path, version: &str, steps: Steps<'_>) -> Result<Done> {
        let places = Places::new(Some(home), None)?;
        let made = make_plugin_folder(&places)?;
        let old = if made.is_empty() {
            Record::read(&places)?
        } else {
            Record::default()
        };
        let config = (!exists(&places.config)).then(|| "{}\n".to_owned());
        put(&places, &old, made, files(&places, version), config, steps)
    }

    fn remove(home: &Path) {
        let places = Places::new(Some(home), None).unwrap();
        let record = Record::read(&places).unwrap();
        Removal::of(&places, &record, true).run(&places).unwrap();
    }

    /// Each file and folder, with what is in it.
    fn tree(root: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let mut tree = BTreeMap::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let content = (!path.is_dir()).then(|| std::fs::read(&path).unwrap());
                if content.is_none() {
                    folders.push(path.clone());
                }
                tree.insert(path, content);
            }
        }
        tree
    }

    #[test]
    fn an_upgrade_removes_what_has_no_place_any_more_and_keeps_what_was_changed() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let go_on: Steps<'_> = &|_| Ok(());
        install(home, "one", go_on).unwrap();
        let wit = Places::new(Some(home), None).unwrap().plugin.join("wit");
        let done = install(home, "two", go_on).unwrap();
        assert_eq!(done.removed, [wit.join("one.wit")]);
        std::fs::write(wit.join("two.wit"), "by the operator").unwrap();
        let done = install(home, "three", go_on).unwrap();
        assert_eq!(done.kept, [wit.join("two.wit")]);
        let before = tree(home);
        install(home, "three", go_on).unwrap();
        assert!(tree(home) == before, "the second time changed something");
        std::fs::remove_file(wit.join("two.wit")).unwrap();
        remove(home);
        assert!(tree(home).is_empty(), "{:?}", tree(home).keys());
    }

    #[test]
    fn stopped_before_the_first_file_changes_it_has_changed_nothing() {
        for upgrade in [false, true] {
            for stop in 0.. {
                let home = tempfile::tempdir().unwrap();
                let home = home.path();
                if upgrade {
                    install(home, "one", &|_| Ok(())).unwrap();
                }
                let before = tree(home);
                let (count, renames) = (Cell::new(0), Cell::new(0));
                let installed = install(home, "two", &|step| {
                    if step == Step::Rename {
                        renames.set(renames.get() + 1);
                        return Ok(());
                    }
                    count.set(count.get() + 1);
                    if count.get() > stop {
                        bail!("No space left on device");
                    }
                    Ok(())
                });
                if installed.is_ok() {
                    assert!(stop > 5 && renames.get() == 4);
                    break;
                }
                assert_eq!(renames.get(), 0);
                assert!(tree(home) == before, "{stop}: {:?}", tree(home).keys());
            }
        }
    }

    #[test]
    fn a_folder_in_the_place_of_a_file_is_named_and_undoes_what_had_begun() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        std::fs::create_dir_all(home.join(".local/bin").join(NAME)).unwrap();
        let before = tree(home);
        let error = install(home, "one", &|_| Ok(())).unwrap_err().to_string();
        assert!(
            error.contains("is a folder, where a file belongs"),
            "{error}"
        );
        assert!(tree(home) == before);
    }

    #[test]
    fn it_fails_when_one_of_its_files_is_gone_in_the_end() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let wasm = Places::new(Some(home), None)
            .unwrap()
            .plugin
            .join("plugin.wasm");
        let error = install(home, "one", &|step| {
            // Somebody removes it in the moment in which it was put in place.
            if step == Step::Rename && wasm.exists() {
                std::fs::remove_file(&wasm)?;
            }
            Ok(())
        });
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("is not there as it was installed"),
            "{error}"
        );
    }

    /// No test: what `killed_at_any_step` starts.
    #[test]
    fn dies() {
        let variable = std::env::var_os;
        let (Some(home), Some(step)) = (variable(HOME), variable(STEP)) else {
            return;
        };
        let step: u32 = step.to_str().unwrap().parse().unwrap();
        let count = Cell::new(0);
        install(Path::new(&home), "two", &|_| {
            count.set(count.get() + 1);
            if count.get() == step {
                std::process::abort();
            }
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn killed_at_any_step_it_can_be_run_again_or_undone() {
        let mut kills = 0;
        for step in 1.. {
            let mut done = true;
            for (upgrade, again) in [(false, false), (false, true), (true, false), (true, true)] {
                let home = tempfile::tempdir().unwrap();
                let home = home.path();
                if upgrade {
                    install(home, "one", &|_| Ok(())).unwrap();
                }
                let name = concat!(module_path!(), "::dies");
                let name = name.split_once("::").unwrap().1;
                let output = Command::new(std::env::current_exe().unwrap())
                    .args([name, "--exact", "--test-threads=1"])
                    .env(HOME, home)
                    .env(STEP, step.to_string())
                    .output()
                    .unwrap();
                done &= output.status.success();
                kills += u32::from(!output.status.success());
                if again {
                    install(home, "two", &|_| Ok(())).unwrap();
                    let places = Places::new(Some(home), None).unwrap();
                    for file in files(&places, "two") {
                        assert!(file.place.is_file(), "killed at step {step}");
                    }
                }
                remove(home);
                let left = tree(home);
                assert!(left.is_empty(), "killed at step {step}: {:?}", left.keys());
            }
            if done {
                break;
            }
        }
        assert!(kills > 30, "{kills}");
    }
}
