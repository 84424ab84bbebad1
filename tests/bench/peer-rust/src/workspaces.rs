//! Empty folders for turns to work in. Each turn gets its own: for this project a folder used
//! before means a conversation to go on with, which is another measurement.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

/// Folders that were made beforehand.
pub struct Workspaces {
    folders: Vec<PathBuf>,
}

impl Workspaces {
    /// Makes `count` of them in `parent`, and waits until the disk has them: who syncs a file during
    /// a measurement shall not pay for them.
    pub fn create(parent: &Path, count: usize) -> anyhow::Result<Self> {
        fs::create_dir_all(parent)?;
        let folders = (0..count)
            .map(|number| {
                let folder = parent.join(number.to_string());
                fs::create_dir(&folder)?;
                Ok(folder)
            })
            .collect::<anyhow::Result<_>>()?;
        let parent = File::open(parent)?;
        // SAFETY: the call takes an open descriptor.
        if unsafe { libc::syncfs(parent.as_raw_fd()) } != 0 {
            return Err(io::Error::last_os_error().into());
        }
        Ok(Workspaces { folders })
    }

    /// The next ones.
    pub fn take(&mut self, count: usize) -> Vec<PathBuf> {
        self.folders
            .split_off(self.folders.len().saturating_sub(count))
    }
}
