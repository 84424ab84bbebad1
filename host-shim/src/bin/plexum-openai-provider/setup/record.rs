//! What an installation has put where: the file `.installed` in the plugin's folder.
//!
//! It has a line for each: `file <sha256> <path>`, and `folder <path>` for each folder that was made, the outer one first.
//! Paths are bytes, as the system has them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use sha2::{Digest as _, Sha256};

use super::places::{NAME, PLUGIN, Places};

/// An installed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Where it is.
    pub path: PathBuf,
    /// The digest of what was written there, in hexadecimal.
    pub sha256: String,
}

impl Installed {
    /// Whether it is there as it was installed.
    pub fn is_unchanged(&self) -> bool {
        self.path.is_file() && digest(&self.path).is_ok_and(|digest| digest == self.sha256)
    }

    /// Whether it is the program.
    pub fn is_program(&self) -> bool {
        self.path.ends_with(Path::new("bin").join(NAME))
    }
}

/// What is recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// The files.
    pub files: Vec<Installed>,
    /// The folders that were made.
    pub folders: Vec<PathBuf>,
    /// What it names and another installation owns, by path: that one's folder.
    pub foreign: BTreeMap<PathBuf, PathBuf>,
}

impl Record {
    /// The record of the installation in these places; an empty one if there is none.
    pub fn read(places: &Places) -> Result<Self> {
        let text = match std::fs::read(&places.record) {
            Ok(text) => text,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(Self::default());
            }
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("{} cannot be read", places.record.display()));
            }
        };
        let mut record = Self::parse(&text).map_err(|line| {
            anyhow!(
                "{} is damaged at {:?}: remove it and the installed files by hand",
                places.record.display(),
                String::from_utf8_lossy(&line)
            )
        })?;
        record.relocate(places);
        Ok(record)
    }

    /// An error is the line that is none.
    fn parse(text: &[u8]) -> Result<Self, Vec<u8>> {
        let mut record = Record::default();
        for line in text.split(|byte| *byte == b'\n') {
            if line.is_empty() {
                continue;
            }
            let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
            if let Some(folder) = line.strip_prefix(b"folder ")
                && folder.starts_with(b"/")
            {
                record.folders.push(path(folder));
            } else if let Some((sha256, file)) = line
                .strip_prefix(b"file ")
                .and_then(|rest| rest.split_at_checked(64))
                && let Some(file) = file.strip_prefix(b" ")
                && file.starts_with(b"/")
                && let Ok(sha256) = std::str::from_utf8(sha256)
                && sha256
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            {
                record.files.push(Installed {
                    path: path(file),
                    sha256: sha256.to_owned(),
                });
            } else {
                return Err(line.to_owned());
            }
        }
        Ok(record)
    }

    /// As it is written.
    pub fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let mut line = |what: &[u8], path: &Path| {
            text.extend_from_slice(what);
            text.extend_from_slice(path.as_os_str().as_bytes());
            text.push(b'\n');
        };
        for folder in &self.folders {
            line(b"folder ", folder);
        }
        for Installed { path, sha256 } in &self.files {
            line(format!("file {sha256} ").as_bytes(), path);
        }
        text
    }

    /// The home may have been moved, copied, or be spelled in another way since this was written. What was below it then is
    /// below it now. What was elsewhere belongs to the other home, if that is still there and not this one.
    fn relocate(&mut self, places: &Places) {
        let component = Path::new(PLUGIN).join("plugin.wasm");
        let below = |path: &Path| {
            let home = path.as_os_str().as_bytes();
            let end = [b"/", component.as_os_str().as_bytes()].concat();
            home.strip_suffix(&*end)
                .map(|home| PathBuf::from(OsStr::from_bytes(home)))
        };
        let Some(then) = self.files.iter().find_map(|file| below(&file.path)) else {
            return;
        };
        if then == places.home {
            return;
        }
        let other = then.join(PLUGIN);
        let is_others = other.is_dir() && !is_same_file(&other, &places.plugin);
        let now = |path: &Path| path.strip_prefix(&then).map(|rest| places.home.join(rest));
        for mut file in std::mem::take(&mut self.files) {
            match now(&file.path) {
                Ok(path) => file.path = path,
                Err(_) if is_others => {
                    self.foreign.insert(file.path, other.clone());
                    continue;
                }
                Err(_) => {}
            }
            self.files.push(file);
        }
        for folder in std::mem::take(&mut self.folders) {
            match now(&folder) {
                Ok(folder) => self.folders.push(folder),
                Err(_) if is_others => {}
                Err(_) => self.folders.push(folder),
            }
        }
    }

    /// The folder below which the program is. In an upgrade that was killed, the new places come first.
    pub fn prefix(&self) -> Option<PathBuf> {
        let program = self.files.iter().find(|file| file.is_program())?;
        Some(program.path.parent()?.parent()?.to_owned())
    }

    /// The folders that the files are in, each once.
    pub fn folders_of_files(&self) -> BTreeSet<&Path> {
        let folders = self.files.iter().filter_map(|file| file.path.parent());
        folders.collect()
    }

    /// The files that are there and are none of these. Two names may be one file, so the files are compared.
    pub fn left_over(&self, paths: &[PathBuf]) -> Vec<&Installed> {
        let is_there = |file: &&Installed| exists(&file.path) && !is_one_of(&file.path, paths);
        self.files.iter().filter(is_there).collect()
    }
}

/// Whether the path is one of these, or names the same file as one of them.
pub fn is_one_of(path: &Path, paths: &[PathBuf]) -> bool {
    paths
        .iter()
        .any(|other| other == path || is_same_file(path, other))
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let identity = |path: &Path| {
        let metadata = path.metadata().ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    identity(one).is_some_and(|one| Some(one) == identity(other))
}

/// Whether something is there, be it a link to nowhere.
pub fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The digest of a file, in hexadecimal.
pub fn digest(path: &Path) -> io::Result<String> {
    let mut digest = Sha256::new();
    io::copy(&mut File::open(path)?, &mut digest)?;
    Ok(format!("{:x}", digest.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(home: &Path) -> Places {
        Places::new(Some(home), None).unwrap()
    }

    #[test]
    fn what_was_written_is_read_and_a_damaged_line_is_named() {
        let digest = "0a".repeat(32);
        let text = format!("folder /a b \t\nfolder /a/\u{e9}\nfile {digest} /a b \t/c\n");
        let record = Record::parse(text.as_bytes()).unwrap();
        assert_eq!(record.text(), text.as_bytes());
        assert_eq!(record.folders.len(), 2);
        for bad in [
            "fold /x".to_owned(),
            "folder x".to_owned(),
            format!("file {digest}  x"),
            format!("file {} /x", "0A".repeat(32)),
            "file 00 /x".to_owned(),
        ] {
            let text = format!("folder /a\n{bad}\n");
            assert_eq!(Record::parse(text.as_bytes()), Err(bad.into_bytes()));
        }
    }

    #[test]
    fn a_home_that_was_moved_has_its_files_where_it_is_now_and_a_copy_owns_nothing_elsewhere() {
        let scratch = tempfile::tempdir().unwrap();
        let (then, now) = (scratch.path().join("then"), scratch.path().join("now"));
        let file = |path: PathBuf| Installed {
            path,
            sha256: "00".repeat(32),
        };
        let record = Record {
            files: vec![
                file(then.join(PLUGIN).join("plugin.wasm")),
                file("/elsewhere/bin/plexum-openai-provider".into()),
            ],
            folders: vec![then.join(".plexum"), "/elsewhere".into()],
            foreign: BTreeMap::new(),
        };
        std::fs::create_dir_all(now.join(PLUGIN)).unwrap();
        let places = places(&now);
        std::fs::write(&places.record, record.text()).unwrap();
        let moved = Record::read(&places).unwrap();
        assert_eq!(moved.files[0].path, now.join(PLUGIN).join("plugin.wasm"));
        assert_eq!(moved.prefix().unwrap(), Path::new("/elsewhere"));
        assert_eq!(moved.folders[0], now.join(".plexum"));
        // The other one is still there: this is a copy of it.
        std::fs::create_dir_all(then.join(PLUGIN)).unwrap();
        let copied = Record::read(&places).unwrap();
        assert_eq!((copied.files.len(), copied.folders.len()), (1, 1));
        assert_eq!(copied.foreign.len(), 1);
        assert_eq!(copied.prefix(), None);
    }
}
