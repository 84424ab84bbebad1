//! A copy of what the script takes from the repository, to be changed by a test.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The one under test.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The files of the WIT packages, by their places in the repository. What wkg writes beside them is none of them.
pub fn wit() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for package in ["provider", "codex"] {
        let folder = Path::new("wit").join(package);
        for file in std::fs::read_dir(root().join(&folder)).unwrap() {
            let name = file.unwrap().file_name();
            let extension = Path::new(&name).extension();
            if name == "wkg.toml" || extension.is_some_and(|extension| extension == "wit") {
                files.push(folder.join(name));
            }
        }
    }
    files
}

/// A copy.
pub struct Repository(TempDir);

impl Repository {
    /// Copies the script and the WIT.
    pub fn new() -> Self {
        let repository = Repository(TempDir::new().unwrap());
        for file in wit().into_iter().chain(["scripts/install.sh".into()]) {
            let copy = repository.path(&file);
            std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
            std::fs::copy(root().join(&file), copy).unwrap();
        }
        repository
    }

    /// A path in it.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(relative)
    }
}
