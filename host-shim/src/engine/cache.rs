//! The component's machine code, compiled once for all processes of a user.
//!
//! Compiling takes about a tenth of a second, loading what was compiled about a millisecond. Machine code runs with all
//! rights of the host, so an entry is used only if no other user can have written it: the folder and the file belong to
//! this user and are closed to others, neither is a link, and the content is whole. Anything else is compiled again. An
//! entry's name holds the digest of the component and that of everything in the engine which the code depends on.
//!
//! The machine code is not read into memory but mapped: a start touches what it needs, and processes share it. So an
//! entry is never written to, only replaced.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::OFlags;
use wasmtime::Engine;
use wasmtime::component::Component;

/// The name of the folder, in `$XDG_CACHE_HOME` or `~/.cache`.
const FOLDER: &str = "plexum-openai-provider";

/// How an entry ends. Before it comes the checksum, and before that the machine code.
const MAGIC: [u8; 23] = *b"\nplexum machine code 2\n";

/// How much of an entry is read at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// How many entries are kept: those of a few versions side by side.
const MOST_ENTRIES: usize = 8;

/// Far more than any component's machine code.
const MOST_BYTES: u64 = 256 * 1024 * 1024;

/// Where machine code is kept, if anywhere.
#[derive(Debug, Clone, Default)]
pub struct Cache {
    folder: Option<PathBuf>,
}

impl Cache {
    /// Keeps nothing: the component is compiled each time.
    #[must_use]
    pub fn none() -> Self {
        Cache::default()
    }

    /// Keeps it in this folder, which is created if it is missing. It must be this user's alone.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Cache {
            folder: Some(folder.into()),
        }
    }

    /// Keeps it in the user's cache folder: `$XDG_CACHE_HOME/plexum-openai-provider`, or
    /// `~/.cache/plexum-openai-provider`. Keeps nothing if neither variable holds an absolute path.
    #[must_use]
    pub fn of_user() -> Self {
        let absolute = |name| {
            let path = std::env::var_os(name).map(PathBuf::from);
            path.filter(|path| path.is_absolute())
        };
        let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
        Cache {
            folder: base.map(|base| base.join(FOLDER)),
        }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Removes every entry, and the folder when nothing else is in it.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn clear(&self) -> io::Result<()> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        for (_, entry) in entries(folder)? {
            std::fs::remove_file(entry)?;
        }
        match std::fs::remove_dir(folder) {
            Err(error)
                if !matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty
                ) =>
            {
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// The component, from its stored machine code if there is any, otherwise compiled and then stored. If it cannot be
    /// stored, that is not an error: the next process compiles again.
    pub(crate) fn component(
        &self,
        engine: &Engine,
        bytes: &[u8],
        sha256: &str,
    ) -> wasmtime::Result<Component> {
        let Some(folder) = &self.folder else {
            return Component::from_binary(engine, bytes);
        };
        let path = folder.join(name(engine, sha256));
        match load(engine, folder, &path) {
            Ok(component) => return Ok(component),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "stored machine code is not used; it is compiled again");
            }
        }
        let component = Component::from_binary(engine, bytes)?;
        if let Err(error) = keep(folder, &path, &component.serialize()?) {
            tracing::warn!(path = %path.display(), %error, "the component's machine code cannot be kept; the next start compiles it again");
        }
        Ok(component)
    }
}

fn name(engine: &Engine, sha256: &str) -> String {
    let mut hasher = DefaultHasher::new();
    // Versions of this program that differ in the form of an entry must not replace each other's at each start.
    MAGIC.hash(&mut hasher);
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{sha256}-{:016x}.code", hasher.finish())
}

fn load(engine: &Engine, folder: &Path, path: &Path) -> io::Result<Component> {
    owned(&std::fs::symlink_metadata(folder)?, 0o700)?;
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    let metadata = file.metadata()?;
    owned(&metadata, 0o600)?;
    if !metadata.is_file() || metadata.len() > MOST_BYTES {
        return Err(invalid("it is not a cache entry"));
    }
    let length = whole(&file, metadata.len())?;
    // The file that was checked, whatever is at its path by now.
    let looked_at = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: this is what `Component::serialize` gave to a process of this user, as [`keep`] wrote it: only this user may
    // write to the folder and the file, and the checksum shows that it is whole. Nor does this user's own process
    // write to it while it is mapped: entries are only replaced. The engine checks its version and settings itself.
    let mapped = unsafe { Component::deserialize_file(engine, looked_at) };
    let component = mapped.or_else(|error| {
        tracing::debug!(
            error = format!("{error:#}"),
            "machine code cannot be mapped, and is read"
        );
        // Where a file system is mounted `noexec`, what is on it may be read and not mapped to be run.
        let mut code = vec![0; length];
        file.read_exact_at(&mut code, 0)?;
        // SAFETY: as above.
        unsafe { Component::deserialize(engine, code) }
    });
    component.map_err(|error| io::Error::other(format!("{error:#}")))
}

/// The length of the machine code in an entry of this length. An entry that is not whole is an error.
fn whole(file: &File, length: u64) -> io::Result<usize> {
    let damaged = || invalid("it is damaged");
    let mut end = End::default();
    let code = length.checked_sub(end.len() as u64).ok_or_else(damaged)?;
    let mut checksum = crc32fast::Hasher::new();
    let mut reader = BufReader::with_capacity(CHUNK_BYTES, file.take(code));
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            break;
        }
        checksum.update(chunk);
        let read = chunk.len();
        reader.consume(read);
    }
    file.read_exact_at(&mut end, code)?;
    if end == end_with(checksum.finalize()) {
        usize::try_from(code).map_err(io::Error::other)
    } else {
        Err(damaged())
    }
}

/// The end of an entry, after the machine code.
type End = [u8; size_of::<u32>() + MAGIC.len()];

/// The end of an entry with this checksum. Not a digest: anyone who may write the file could write
/// that too. It only has to show damage, and a checksum takes a tenth of the time.
fn end_with(checksum: u32) -> End {
    let mut end = End::default();
    let (sum, magic) = end.split_at_mut(size_of::<u32>());
    sum.copy_from_slice(&checksum.to_le_bytes());
    magic.copy_from_slice(&MAGIC);
    end
}

/// Refuses a file or folder that someone else may change.
fn owned(metadata: &std::fs::Metadata, mode: u32) -> io::Result<()> {
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(invalid("it belongs to another user"));
    }
    if metadata.file_type().is_symlink() || metadata.permissions().mode() & 0o777 != mode {
        return Err(invalid("others may change it"));
    }
    Ok(())
}

fn keep(folder: &Path, path: &Path, code: &[u8]) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    owned(&std::fs::symlink_metadata(folder)?, 0o700)?;
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)?;
    file.write_all(code)?;
    file.write_all(&end_with(crc32fast::hash(code)))?;
    // A crash of the machine may leave less than all of it, which the checksum shows.
    file.persist(path).map_err(|error| error.error)?;
    let mut all = entries(folder)?;
    all.sort();
    let too_many = all.len().saturating_sub(MOST_ENTRIES);
    for (_, entry) in all.into_iter().take(too_many) {
        std::fs::remove_file(entry)?;
    }
    Ok(())
}

/// The entries, each with the time when it was made.
fn entries(folder: &Path) -> io::Result<Vec<(SystemTime, PathBuf)>> {
    let read = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        read => read?,
    };
    let mut found = Vec::new();
    for entry in read {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".code") || name.starts_with(".new-") {
            let made = std::fs::symlink_metadata(&path)?.modified()?;
            found.push((made, path));
        }
    }
    Ok(found)
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty component: what is in it makes no difference here.
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    struct Kept {
        _scratch: tempfile::TempDir,
        engine: Engine,
        cache: Cache,
        folder: PathBuf,
    }

    impl Kept {
        /// A cache with one entry.
        fn new() -> (Self, PathBuf) {
            let scratch = tempfile::tempdir().unwrap();
            let folder = scratch.path().join("cache");
            let kept = Kept {
                _scratch: scratch,
                engine: Engine::default(),
                cache: Cache::in_folder(&folder),
                folder,
            };
            kept.get();
            let entry = kept.only();
            (kept, entry)
        }

        fn get(&self) {
            let sha256 = crate::engine::builtin::sha256(COMPONENT);
            let component = self.cache.component(&self.engine, COMPONENT, &sha256);
            component.unwrap();
        }

        /// The only entry.
        fn only(&self) -> PathBuf {
            let mut entries = entries(&self.folder).unwrap();
            let (_, path) = entries.pop().unwrap();
            assert!(entries.is_empty());
            path
        }

        /// Whether the entry is used as it is.
        fn used(&self, entry: &Path) -> bool {
            load(&self.engine, &self.folder, entry).is_ok()
        }
    }

    #[test]
    fn what_was_compiled_is_used_and_only_its_user_may_touch_it() {
        let (kept, entry) = Kept::new();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&kept.folder), mode(&entry)), (0o700, 0o600));
        assert!(kept.used(&entry));
        let before = entry.metadata().unwrap().ino();
        kept.get();
        assert_eq!(kept.only().metadata().unwrap().ino(), before);
    }

    #[test]
    fn what_is_damaged_or_may_be_foreign_is_compiled_again() {
        type Harm = fn(&Path);
        fn change(entry: &Path, at: fn(usize) -> usize) {
            let mut content = std::fs::read(entry).unwrap();
            let at = at(content.len());
            content[at] ^= 1;
            std::fs::write(entry, content).unwrap();
        }
        let harms: [Harm; 9] = [
            |entry| change(entry, |_| 0),
            |entry| change(entry, |length| length / 2),
            |entry| change(entry, |length| length - MAGIC.len() - 1),
            |entry| change(entry, |length| length - 1),
            |entry| std::fs::write(entry, "").unwrap(),
            |entry| std::fs::write(entry, MAGIC).unwrap(),
            |entry| std::fs::set_permissions(entry, Permissions::from_mode(0o644)).unwrap(),
            |entry| {
                let elsewhere = entry.with_extension("elsewhere");
                std::fs::rename(entry, &elsewhere).unwrap();
                std::os::unix::fs::symlink(elsewhere, entry).unwrap();
            },
            // Whole and ours, but not machine code for this engine.
            |entry| keep(entry.parent().unwrap(), entry, b"x").unwrap(),
        ];
        for (number, harm) in harms.into_iter().enumerate() {
            let (kept, entry) = Kept::new();
            harm(&entry);
            assert!(!kept.used(&entry), "{number}");
            kept.get();
            assert!(kept.used(&kept.only()), "{number}");
        }
        let (kept, entry) = Kept::new();
        std::fs::set_permissions(&kept.folder, Permissions::from_mode(0o777)).unwrap();
        assert!(!kept.used(&entry));
        // It runs all the same.
        kept.get();
    }

    #[test]
    fn an_entry_that_is_replaced_or_removed_still_works_where_it_is_in_use() {
        let (kept, entry) = Kept::new();
        let component = load(&kept.engine, &kept.folder, &entry).unwrap();
        keep(&kept.folder, &entry, b"x").unwrap();
        kept.cache.clear().unwrap();
        let code = component.serialize().unwrap();
        // SAFETY: what `serialize` has just given.
        unsafe { Component::deserialize(&kept.engine, code) }.unwrap();
    }

    #[test]
    fn it_is_cleared_and_does_not_grow_forever() {
        let (kept, entry) = Kept::new();
        for number in 0..20 {
            keep(
                &kept.folder,
                &kept.folder.join(format!("{number}.code")),
                b"x",
            )
            .unwrap();
        }
        assert_eq!(entries(&kept.folder).unwrap().len(), MOST_ENTRIES);
        assert!(!entry.exists());
        kept.cache.clear().unwrap();
        assert!(!kept.folder.exists());
        kept.cache.clear().unwrap();
    }

    #[test]
    fn where_nothing_can_be_kept_it_is_compiled() {
        let engine = Engine::default();
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("file");
        std::fs::write(&file, "as it was").unwrap();
        let open_to_all = scratch.path().join("open to all");
        std::fs::create_dir(&open_to_all).unwrap();
        std::fs::set_permissions(&open_to_all, Permissions::from_mode(0o777)).unwrap();
        for cache in [
            Cache::none(),
            Cache::in_folder(file.join("below")),
            Cache::in_folder(&open_to_all),
        ] {
            cache.component(&engine, COMPONENT, "0").unwrap();
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "as it was");
        assert_eq!(std::fs::read_dir(&open_to_all).unwrap().count(), 0);
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 2);
    }
}
