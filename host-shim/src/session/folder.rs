//! A folder that is held open: all work on its files goes by its descriptor, so that it happens in this folder and in no
//! other, whatever is renamed or linked meanwhile.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::session::place::{at, refused};

/// The most that is written in its place: the smallest page that there is.
const IN_PLACE: usize = 4096;

/// The steps of replacing a file, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaveStep {
    /// Nothing has been touched yet.
    Begun,
    /// The temporary file exists, empty.
    Created,
    /// It holds the first half of its content.
    HalfWritten,
    /// It holds its content.
    Written,
    /// Its content is on the disk.
    Synced,
    /// It has taken the place of the real file.
    Renamed,
    /// The rename itself is on the disk.
    FolderSynced,
}

impl SaveStep {
    /// All of them, in order.
    pub const ALL: [SaveStep; 7] = [
        SaveStep::Begun,
        SaveStep::Created,
        SaveStep::HalfWritten,
        SaveStep::Written,
        SaveStep::Synced,
        SaveStep::Renamed,
        SaveStep::FolderSynced,
    ];
}

/// When a replaced file reaches the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Before anything else happens: a crash of the machine leaves the old content or the new one.
    Now,
    /// When the kernel likes: a crash of the machine may leave neither.
    Later,
}

/// What makes a folder this one and no other, even if it is renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The number of its file system. It may be another one after the machine, or a container, has been started again.
    pub device: u64,
    pub inode: u64,
    /// When it was made, in nanoseconds: inodes are used again. Some file systems do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born: Option<i64>,
}

impl Identity {
    /// Whether both have the same inode of the same age. Two file systems may both have such a one, if one is a copy of
    /// the other.
    pub fn looks_like(&self, other: &Self) -> bool {
        self.inode == other.inode && self.born == other.born
    }

    fn of(folder: impl AsFd, path: &Path) -> io::Result<Self> {
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        let status = rustix::fs::statx(folder, "", AtFlags::EMPTY_PATH, wanted)
            .map_err(|error| at(path, "cannot be examined", error.into()))?;
        let says_when = status.stx_mask & StatxFlags::BTIME.bits() != 0;
        let born = status.stx_btime;
        Ok(Identity {
            device: rustix::fs::makedev(status.stx_dev_major, status.stx_dev_minor),
            inode: status.stx_ino,
            born: says_when.then(|| {
                let seconds = born.tv_sec.saturating_mul(1_000_000_000);
                seconds.saturating_add(born.tv_nsec.into())
            }),
        })
    }

    /// The identity of the folder that is there now, if there is one.
    pub fn at(path: &Path) -> Option<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(CWD, path, flags, Mode::empty()).ok()?;
        Identity::of(folder, path).ok()
    }
}

/// An open folder. Locking it locks the folder itself, which nobody can take away from under the lock.
#[derive(Debug)]
pub struct Folder {
    file: File,
    path: PathBuf,
}

impl Folder {
    /// Opens the folder that is there now.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .map_err(|error| at(path, "cannot be opened", error.into()))?;
        Ok(Folder {
            file: folder.into(),
            path: path.to_owned(),
        })
    }

    /// Opens it. If it is missing, it is made, with those that it is in, and only this user may use it.
    #[cfg(feature = "fleet")]
    pub fn open_or_make(path: &Path) -> io::Result<Self> {
        match Self::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Self::make(path),
            opened => opened,
        }
    }

    /// Makes it, with those that it is in. Only this user may use it.
    pub fn make(path: &Path) -> io::Result<Self> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|error| at(path, "cannot be made", error))?;
        Self::open(path)
    }

    /// Where it was when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The descriptor, to lock.
    pub fn file(&self) -> &File {
        &self.file
    }

    pub fn identity(&self) -> io::Result<Identity> {
        Identity::of(&self.file, &self.path)
    }

    /// The text of a plain file of at most so many bytes; `None` if there is no such file.
    pub fn read(&self, name: &str, most: u64) -> io::Result<Option<String>> {
        let path = self.path.join(name);
        // NONBLOCK: a FIFO in the file's place must not hold the turn up.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.file, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => {
                return Err(refused(&path, "is a symbolic link, which is not followed"));
            }
            Err(error) => return Err(at(&path, "cannot be opened", error.into())),
        };
        let metadata = file
            .metadata()
            .map_err(|error| at(&path, "cannot be examined", error))?;
        if !metadata.is_file() {
            return Err(refused(&path, "is not a plain file"));
        }
        // Room for all of a file of ours, so that it is read at once.
        let mut bytes = Vec::with_capacity(IN_PLACE);
        file.take(most.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| at(&path, "cannot be read", error))?;
        if bytes.len() as u64 > most {
            return Err(refused(&path, "is too large to be a file of ours"));
        }
        // Bytes that are not text are not a thread id either, and are set aside.
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Replaces the content of a file, completely or not at all. `step` is told of each step.
    pub fn replace(
        &self,
        name: &str,
        content: &[u8],
        sync: Sync,
        step: &dyn Fn(&Path, SaveStep),
    ) -> io::Result<()> {
        let path = self.path.join(name);
        let step = |reached| step(&path, reached);
        let temporary_name = format!("{name}.tmp");
        let temporary = self.path.join(&temporary_name);
        step(SaveStep::Begun);
        if sync == Sync::Later {
            // On a full disk, the room that it leaves may be all that there is. And some file systems (ext4, btrfs) write
            // a file to the disk when it takes another's place, which costs more than all the rest of this.
            self.clear(name)?;
        }
        let written = (|| {
            let mut file = self.create_new(&temporary_name)?;
            step(SaveStep::Created);
            let (first, second) = content.split_at(content.len() / 2);
            file.write_all(first)?;
            step(SaveStep::HalfWritten);
            file.write_all(second)?;
            step(SaveStep::Written);
            if sync == Sync::Now {
                as_durable_as_can_be(file.sync_all(), &temporary)?;
                step(SaveStep::Synced);
            }
            Ok(())
        })();
        if let Err(error) = written {
            let error = at(&temporary, "cannot be written", error);
            // The error that counts is the first; a leftover is only untidy.
            return Err(match self.remove(&temporary_name) {
                Ok(()) => error,
                // There is no leftover.
                Err(leftover) if leftover.kind() == ErrorKind::ReadOnlyFilesystem => error,
                Err(leftover) => io::Error::new(error.kind(), format!("{error}; {leftover}")),
            });
        }
        let rename = || rustix::fs::renameat(&self.file, &temporary_name, &self.file, name);
        let renamed = match rename() {
            Err(Errno::ISDIR) => {
                self.set_aside(name)?;
                rename()
            }
            renamed => renamed,
        };
        renamed.map_err(|error| at(&path, "cannot be replaced", error.into()))?;
        step(SaveStep::Renamed);
        if sync == Sync::Now {
            self.sync_parent(name)?;
            step(SaveStep::FolderSynced);
        }
        Ok(())
    }

    /// Replaces the text of a small file in its place if there is one, and as [`Folder::replace`] with [`Sync::Later`]
    /// does otherwise. The end of this process leaves the old text or the new one: both are within one page, which the
    /// kernel copies at once. White space follows a text that is shorter than the one before.
    pub fn overwrite(&self, name: &str, text: &[u8]) -> io::Result<()> {
        match self.overwritten(name, text) {
            Ok(true) => Ok(()),
            // Whatever is there or missing, replacing it says what is wrong, if anything is.
            Ok(false) | Err(_) => self.replace(name, text, Sync::Later, &|_, _| {}),
        }
    }

    /// Whether there is a file that could be overwritten, and was.
    fn overwritten(&self, name: &str, text: &[u8]) -> io::Result<bool> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.file, name, flags, Mode::empty())?);
        let metadata = file.metadata()?;
        let before = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
        let length = before.max(text.len());
        // What has a second name is perhaps no file of ours.
        if !metadata.is_file() || metadata.nlink() != 1 || length > IN_PLACE {
            return Ok(false);
        }
        let mut padded = text.to_vec();
        padded.resize(length, b' ');
        // No less than all of it is good for anything: it is replaced then.
        Ok(file.write_at(&padded, 0)? == length)
    }

    /// Puts on the disk which files there are beside this one.
    fn sync_parent(&self, name: &str) -> io::Result<()> {
        let synced = match Path::new(name)
            .parent()
            .filter(|parent| *parent != Path::new(""))
        {
            None => self.file.sync_all(),
            Some(parent) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let parent = rustix::fs::openat(&self.file, parent, flags, Mode::empty())?;
                File::from(parent).sync_all()
            }
        };
        as_durable_as_can_be(synced, &self.path)
            .map_err(|error| at(&self.path, "cannot be synced", error))
    }

    /// Puts a file that was replaced with [`Sync::Later`] on the disk.
    pub fn sync(&self, name: &str) -> io::Result<()> {
        let path = self.path.join(name);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.file, name, flags, Mode::empty());
        file.map_err(io::Error::from)
            .and_then(|file| as_durable_as_can_be(File::from(file).sync_all(), &path))
            .map_err(|error| at(&path, "cannot be synced", error))?;
        self.sync_parent(name)
    }

    /// Renames a file of any kind to `NAME.bad`, where a person can still find it. If something of another kind is there,
    /// to `NAME.bad.2`, and so on.
    pub fn set_aside(&self, name: &str) -> io::Result<()> {
        /// Nobody sets a hundred folders aside but one who wants to fill the disk.
        const NAMES: u32 = 100;
        let mut aside = format!("{name}.bad");
        let mut number = 1;
        loop {
            match rustix::fs::renameat(&self.file, name, &self.file, &aside) {
                Err(Errno::ISDIR | Errno::NOTDIR | Errno::NOTEMPTY | Errno::EXIST)
                    if number < NAMES =>
                {
                    number += 1;
                    aside = format!("{name}.bad.{number}");
                }
                renamed => {
                    return renamed.map_err(|error| {
                        let what =
                            format!("cannot be renamed to {}", self.path.join(&aside).display());
                        at(&self.path.join(name), &what, error.into())
                    });
                }
            }
        }
    }

    /// Removes a file; that there is none is fine.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.file, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(at(&self.path.join(name), "cannot be removed", error.into())),
        }
    }

    /// Creates a new file; one left over from a crash is removed first, and so is a link that someone put there.
    fn create_new(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(&self.file, name, flags, Mode::RUSR | Mode::WUSR);
        let opened = match open() {
            Err(Errno::EXIST) => {
                self.clear(name)?;
                open()
            }
            opened => opened,
        };
        Ok(opened?.into())
    }

    /// Makes room for a file of ours where there is something else: a folder is only moved away.
    pub fn clear(&self, name: &str) -> io::Result<()> {
        if self.is_folder(name) {
            self.set_aside(name)
        } else {
            self.remove(name)
        }
    }

    fn is_folder(&self, name: &str) -> bool {
        let status = rustix::fs::statat(&self.file, name, AtFlags::SYMLINK_NOFOLLOW);
        status.is_ok_and(|status| rustix::fs::FileType::from_raw_mode(status.st_mode).is_dir())
    }

    /// Opens a file to lock, created if it is missing.
    pub fn lock_file(&self, name: &str) -> io::Result<File> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(&self.file, name, flags, Mode::RUSR | Mode::WUSR);
        let opened = match open() {
            // Nobody can hold what is not there.
            Err(Errno::ISDIR | Errno::LOOP) => {
                self.clear(name)?;
                open()
            }
            opened => opened,
        };
        opened
            .map(File::from)
            .map_err(|error| at(&self.path.join(name), "cannot be opened", error.into()))
    }

    /// Makes a folder in it that only this user may use, unless it is there.
    pub fn make_folder(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        let (name, path) = (name.as_ref(), self.path.join(name.as_ref()));
        let is_there = || match rustix::fs::statat(&self.file, name, AtFlags::empty()) {
            Ok(status) if rustix::fs::FileType::from_raw_mode(status.st_mode).is_dir() => Ok(true),
            Ok(_) => Err(refused(&path, "is in the place of a folder: move it away")),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(at(&path, "cannot be examined", error.into())),
        };
        // Looked for first: to make one that is there takes a lock on the folder, and a way to the server of a network's.
        if is_there()? {
            return Ok(());
        }
        match rustix::fs::mkdirat(&self.file, name, Mode::RWXU) {
            // Another process was faster, or it is a link that leads nowhere.
            Err(Errno::EXIST) if is_there()? => Ok(()),
            made => made.map_err(|error| at(&path, "cannot be made", error.into())),
        }
    }

    /// The same for a folder of ours: anything else in its place is moved away.
    pub fn make_own_folder(&self, name: &str) -> io::Result<()> {
        match self.make_folder(name) {
            Err(error) if is_obstacle(&error) => {
                self.set_aside(name)?;
                self.make_folder(name)
            }
            made => made,
        }
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The result of a sync. A network or foreign file system may have no such thing, for folders above all; then what was
/// written is as durable as it can be there.
fn as_durable_as_can_be(synced: io::Result<()>, path: &Path) -> io::Result<()> {
    match synced {
        Err(error) if has_no_sync(&error) => {
            tracing::debug!(path = %path.display(), "the file system cannot sync this");
            Ok(())
        }
        synced => synced,
    }
}

/// Whether this is what a file system says that has no such thing as a sync.
fn has_no_sync(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS))
}

/// Whether something else than a small plain file is in the place of one of ours.
pub fn is_obstacle(error: &io::Error) -> bool {
    error.kind() == ErrorKind::InvalidData
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(at: &tempfile::TempDir) -> Folder {
        Folder::open(at.path()).unwrap()
    }

    #[test]
    fn what_is_renamed_in_its_place_gets_nothing() {
        let above = tempfile::tempdir().unwrap();
        let (here, away) = (above.path().join("here"), above.path().join("away"));
        std::fs::create_dir(&here).unwrap();
        let opened = Folder::open(&here).unwrap();
        std::fs::rename(&here, &away).unwrap();
        std::fs::create_dir(&here).unwrap();
        opened
            .replace("file", b"content", Sync::Now, &|_, _| {})
            .unwrap();
        assert!(away.join("file").exists());
        assert_eq!(std::fs::read_dir(&here).unwrap().count(), 0);
        assert_eq!(
            opened.read("file", 100).unwrap().as_deref(),
            Some("content")
        );
    }

    #[test]
    fn a_folder_stays_the_same_when_it_is_renamed_and_a_new_one_is_another() {
        let above = tempfile::tempdir().unwrap();
        let (here, away) = (above.path().join("here"), above.path().join("away"));
        std::fs::create_dir(&here).unwrap();
        let first = Identity::at(&here).unwrap();
        std::fs::rename(&here, &away).unwrap();
        assert_eq!(Identity::at(&away), Some(first));
        assert_eq!(Identity::at(&here), None);
        // On many file systems it gets the same inode.
        std::fs::remove_dir(&away).unwrap();
        std::fs::create_dir(&here).unwrap();
        assert_ne!(Identity::at(&here), Some(first));
    }

    #[test]
    fn links_folders_pipes_and_huge_files_are_not_read() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("file");
        let refused = |expected: &str| {
            let error = folder(&at).read("file", 100).unwrap_err();
            assert!(is_obstacle(&error), "{error}");
            let text = error.to_string();
            assert!(text.contains("/file") && text.contains(expected), "{text}");
        };
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        refused("is a symbolic link");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        refused("not a plain file");
        std::fs::remove_dir(&path).unwrap();
        std::fs::write(&path, vec![b'x'; 101]).unwrap();
        refused("too large");
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(CWD, &path, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        refused("not a plain file");
    }

    #[test]
    fn a_small_file_is_overwritten_in_its_place_and_anything_else_replaced() {
        use std::os::unix::fs::{MetadataExt, symlink};
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("file");
        let inode = || path.symlink_metadata().unwrap().ino();
        let overwrite = |text: &str| {
            folder(&at).overwrite("file", text.as_bytes()).unwrap();
            let read = folder(&at).read("file", 100_000).unwrap().unwrap();
            assert_eq!(read.trim_end(), text);
        };
        overwrite("made");
        let first = inode();
        overwrite("longer than before");
        overwrite("short");
        assert_eq!(inode(), first);
        let large = "x".repeat(IN_PLACE + 1);
        overwrite(&large);
        overwrite("small again");
        // Neither of these two is written to.
        let other = at.path().join("other");
        std::fs::hard_link(&path, &other).unwrap();
        overwrite("of its own");
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "small again");
        std::fs::remove_file(&path).unwrap();
        symlink(&other, &path).unwrap();
        overwrite("no link");
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "small again");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        overwrite("no folder");
        assert!(at.path().join("file.bad").is_dir());
    }

    #[test]
    fn obstacles_in_the_place_of_the_temporary_file_cost_nothing() {
        let at = tempfile::tempdir().unwrap();
        let secret = at.path().join("secret");
        std::fs::write(&secret, "untouched").unwrap();
        let temporary = at.path().join("file.tmp");
        let replaced = || {
            let replaced = folder(&at).replace("file", b"new", Sync::Now, &|_, _| {});
            replaced.unwrap();
            assert_eq!(
                folder(&at).read("file", 100).unwrap().as_deref(),
                Some("new")
            );
            assert_eq!(std::fs::read_to_string(&secret).unwrap(), "untouched");
            assert!(temporary.symlink_metadata().is_err());
        };
        std::os::unix::fs::symlink(&secret, &temporary).unwrap();
        replaced();
        std::os::unix::fs::symlink(&secret, at.path().join("file.moved")).unwrap();
        std::fs::rename(at.path().join("file.moved"), at.path().join("file")).unwrap();
        replaced();
        // A full one, which cannot be removed.
        std::fs::create_dir(&temporary).unwrap();
        std::fs::write(temporary.join("inside"), "").unwrap();
        replaced();
        assert!(at.path().join("file.tmp.bad/inside").exists());
        rustix::fs::mknodat(CWD, &temporary, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        replaced();
    }

    #[test]
    fn a_folder_that_is_gone_is_an_error_that_names_the_file() {
        let at = tempfile::tempdir().unwrap();
        let opened = folder(&at);
        let path = at.path().to_owned();
        drop(at);
        let error = opened.replace("file", b"new", Sync::Now, &|_, _| {});
        let error = error.unwrap_err().to_string();
        let expected = format!("{} cannot be written", path.join("file.tmp").display());
        assert!(error.contains(&expected), "{error}");
    }
}
