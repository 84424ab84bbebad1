//! Removes what was installed.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::folders;
use super::places::Places;
use super::record::{Record, exists};

/// What to remove, and what is to be said about it.
#[derive(Debug, Default)]
pub struct Removal {
    /// The files, the record last: if this is killed, it can be run again.
    pub files: Vec<PathBuf>,
    /// The folders that may be empty then, the outer one first.
    pub folders: Vec<PathBuf>,
    /// What stays although it was installed, and why.
    pub warnings: Vec<String>,
}

impl Removal {
    /// Of an installation. `purge`: the configuration goes too.
    pub fn of(places: &Places, record: &Record, purge: bool) -> Self {
        let mut removal = Removal::default();
        for (path, other) in &record.foreign {
            removal.warnings.push(format!(
                "{} stays: it belongs to the installation in {}, from which this one was copied",
                path.display(),
                other.display()
            ));
        }
        let mut searched = BTreeSet::from([places.plugin.clone()]);
        for file in &record.files {
            searched.extend(file.path.parent().map(PathBuf::from));
            // In an upgrade that was killed, each stands there twice, and either may be what is there.
            let is_listed = removal.files.contains(&file.path);
            if file.is_unchanged() && !is_listed {
                removal.files.push(file.path.clone());
            }
        }
        for file in &record.files {
            let path = file.path.display();
            let warning = format!("{path} was changed since installation, and stays");
            if exists(&file.path)
                && !removal.files.contains(&file.path)
                && !removal.warnings.contains(&warning)
            {
                removal.warnings.push(warning);
            }
        }
        // Left over from an installation that was killed.
        for folder in searched {
            removal.files.extend(folders::left_by_a_kill(&folder));
        }
        if purge && exists(&places.config) {
            removal.files.push(places.config.clone());
        }
        if exists(&places.record) {
            removal.files.push(places.record.clone());
        }
        removal.folders.clone_from(&record.folders);
        // That one was not empty when its record went, and may be no folder of ours.
        if purge && !removal.folders.contains(&places.plugin) {
            removal.folders.push(places.plugin.clone());
        }
        removal
    }

    /// What would be done, a line each.
    pub fn plan(&self) -> Vec<String> {
        let files = self
            .files
            .iter()
            .map(|path| format!("would remove {}", path.display()));
        let folders = self
            .folders
            .iter()
            .filter(|folder| folder.is_dir() && !folder.is_symlink());
        let folders = folders.map(|folder| {
            format!(
                "would remove the folder {}, if nothing else is in it",
                folder.display()
            )
        });
        files.chain(folders).collect()
    }

    /// Does it.
    pub fn run(&self, places: &Places) -> Result<()> {
        for path in &self.files {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| {
                        format!(
                            "{} cannot be removed: give this user the permission, and run this again",
                            path.display()
                        )
                    });
                }
                _ => {}
            }
        }
        for folder in self.folders.iter().rev() {
            folders::remove(folder);
        }
        folders::remove_unborn(places);
        Ok(())
    }
}
