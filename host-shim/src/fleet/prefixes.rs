//! What this process knows of the records that it has kept, so that no turn reads them again from their beginning.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::Sha256;

/// How many are known at once. Each takes some 200 bytes.
const MOST: usize = 10_000;

/// Which file it is. A record only grows, so the same file has the same beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId(u64, u64);

impl From<&Metadata> for FileId {
    fn from(metadata: &Metadata) -> Self {
        FileId(metadata.dev(), metadata.ino())
    }
}

/// The beginning of a record, as this process has seen it.
#[derive(Clone)]
pub struct Prefix {
    /// In which file.
    pub file: FileId,
    /// How many bytes.
    pub bytes: u64,
    /// The digest of them, to go on with.
    pub digest: Sha256,
}

/// The beginnings of all records.
#[derive(Clone, Default)]
pub struct Prefixes(Arc<Mutex<HashMap<PathBuf, Prefix>>>);

impl Prefixes {
    /// What is known of this one.
    pub fn get(&self, path: &Path) -> Option<Prefix> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(path).cloned()
    }

    /// Notes one.
    pub fn note(&self, path: &Path, prefix: Prefix) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST && !known.contains_key(path) {
            known.clear();
        }
        known.insert(path.to_owned(), prefix);
    }
}
