//! A copy of what the script takes from the repository, to be changed by a test.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The one under test.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// A copy.
pub struct Repository(TempDir);

impl Repository {
    /// Copies the script and the WIT.
    pub fn new() -> Self {
        let repository = Repository(TempDir::new().unwrap());
        std::fs::create_dir(repository.path("scripts")).unwrap();
        std::fs::create_dir(repository.path("wit")).unwrap();
        let mut files = vec![PathBuf::from("scripts/install.sh")];
        for file in std::fs::read_dir(root().join("wit")).unwrap() {
            files.push(Path::new("wit").join(file.unwrap().file_name()));
        }
        for file in files {
            std::fs::copy(root().join(&file), repository.path(&file)).unwrap();
        }
        repository
    }

    /// A path in it.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(relative)
    }

    /// Writes a file in it.
    pub fn write(&self, relative: &str, content: &str) {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}
