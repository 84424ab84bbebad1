//! The component's machine code, compiled once for all processes of a user.
//!
//! Compiling takes about a tenth of a second, loading what was compiled about a millisecond. Machine code runs with all
//! rights of the host, so an entry is used only if no other user can have written it: the folder and the file belong to
//! this user and are closed to others, neither is a link, and the content is whole. Anything else is compiled again. An
//! entry's name holds the digest of the component and that of everything in the engine which the code depends on. The
//! digest of the component is also in the entry, so that one which was copied to another name is not used.
//!
//! That does not help against what runs as this user and may write to the folder. A tool in codex's sandbox may write to
//! the workspace and where temporary files go, so nothing is kept there. And where the operator has pinned the component,
//! nothing is kept at all: what is pinned are its bytes, and they are compiled at each start.
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

use super::compile::compile;

/// The name of the folder, in `$XDG_CACHE_HOME` or `~/.cache`.
const FOLDER: &str = "plexum-openai-provider";

/// How an entry ends. Before it come the component's digest and the checksum, and before these the machine code.
const MAGIC: [u8; 23] = *b"\nplexum machine code 3\n";

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
    /// Folders that would be used if it were safe, each with what is wrong with it.
    unsafe_folders: Vec<(PathBuf, String)>,
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
            unsafe_folders: Vec::new(),
        }
    }

    /// Keeps it in the user's cache folder: `$XDG_CACHE_HOME/plexum-openai-provider`, or
    /// `~/.cache/plexum-openai-provider`. Neither is used if the variable does not hold an absolute path, or if sandboxed
    /// tools could write there: below `/tmp`, `$TMPDIR`, or a folder that everybody may write to.
    #[must_use]
    pub fn of_user() -> Self {
        let absolute = |name| {
            let path = std::env::var_os(name).map(PathBuf::from);
            path.filter(|path| path.is_absolute())
        };
        let bases = [
            absolute("XDG_CACHE_HOME"),
            absolute("HOME").map(|home| home.join(".cache")),
        ];
        let mut cache = Cache::none();
        for base in bases.into_iter().flatten() {
            let folder = base.join(FOLDER);
            match exposed(&folder, &std::env::temp_dir()) {
                None => {
                    cache.folder = Some(folder);
                    break;
                }
                Some(why) => cache.unsafe_folders.push((folder, why)),
            }
        }
        cache
    }

    /// The same, unless codex's sandbox would let the tools of this workspace write to the folder: then nothing is kept.
    #[must_use]
    pub fn outside(mut self, workspace: &Path) -> Self {
        let real = |path: &Path| nearest(path).unwrap_or_else(|| path.to_owned());
        let workspace = real(workspace);
        if let Some(folder) = self
            .folder
            .take_if(|folder| real(folder).starts_with(&workspace))
        {
            let why = format!("it lies in the workspace {}", workspace.display());
            self.unsafe_folders.push((folder, why));
        }
        self
    }

    /// The folders that are not used, because others could write there: each with the reason, a clause.
    #[must_use]
    pub fn unsafe_folders(&self) -> &[(PathBuf, String)] {
        &self.unsafe_folders
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
        // What an earlier version kept elsewhere goes too.
        let earlier = self.unsafe_folders.iter().map(|(folder, _)| folder);
        self.folder
            .iter()
            .chain(earlier)
            .try_for_each(|folder| empty(folder))
    }

    /// The component, from its stored machine code if there is any, otherwise compiled and then stored. If it cannot be
    /// stored, that is not an error: the next process compiles again.
    pub(crate) fn component(
        &self,
        engine: &Engine,
        bytes: &[u8],
        sha256: &str,
    ) -> wasmtime::Result<Component> {
        for (folder, why) in &self.unsafe_folders {
            tracing::warn!(folder = %folder.display(), why, "machine code is not kept there, because others could put something else in its place");
        }
        let Some(folder) = &self.folder else {
            return compile(engine, bytes);
        };
        let path = folder.join(name(engine, sha256));
        match load(engine, folder, &path, sha256) {
            Ok(component) => return Ok(component),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "stored machine code is not used; it is compiled again");
            }
        }
        let component = compile(engine, bytes)?;
        if let Err(error) = keep(folder, &path, &component.serialize()?, sha256) {
            tracing::warn!(path = %path.display(), %error, "the component's machine code cannot be kept; the next start compiles it again");
        }
        Ok(component)
    }
}

/// Empties a folder, and removes it when nothing else is in it.
fn empty(folder: &Path) -> io::Result<()> {
    for (_, entry) in entries(folder)? {
        remove(&entry)?;
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

/// Why something that is sandboxed could write to a folder, if it could. It need not exist.
///
/// Another user is no matter here: what belongs to one is never used. But a sandbox lets what runs as this user write to
/// the folder for temporary files, and nothing keeps it from a folder that is open to all.
fn exposed(folder: &Path, temporary: &Path) -> Option<String> {
    let is_temporary = |path: &Path| {
        let same = |other: &Path| {
            let identity = |path: &Path| path.metadata().map(|it| (it.dev(), it.ino())).ok();
            path == other || identity(path).is_some_and(|this| identity(other) == Some(this))
        };
        same(Path::new("/tmp")) || same(temporary)
    };
    let real = nearest(folder)?;
    let above = folder.ancestors().chain(real.ancestors());
    above.into_iter().find_map(|path| {
        let shown = path.display();
        if is_temporary(path) {
            return Some(format!(
                "{shown} is for temporary files, where sandboxed tools may write"
            ));
        }
        let mode = path.metadata().ok()?.permissions().mode();
        (mode & 0o002 != 0).then(|| format!("everybody may write to {shown}"))
    })
}

/// The path without links, as far as it exists.
fn nearest(path: &Path) -> Option<PathBuf> {
    let mut rest = Vec::new();
    for ancestor in path.ancestors() {
        if let Ok(mut real) = ancestor.canonicalize() {
            real.extend(rest.iter().rev());
            return Some(real);
        }
        rest.push(ancestor.file_name()?);
    }
    None
}

fn name(engine: &Engine, sha256: &str) -> String {
    let mut hasher = DefaultHasher::new();
    // Versions of this program that differ in the form of an entry must not replace each other's at each start.
    MAGIC.hash(&mut hasher);
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{sha256}-{:016x}.code", hasher.finish())
}

fn load(engine: &Engine, folder: &Path, path: &Path, sha256: &str) -> io::Result<Component> {
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
    let length = whole(&file, metadata.len(), sha256)?;
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

/// The length of the machine code in an entry of this length. An entry that is not whole, or is another component's, is
/// an error.
fn whole(file: &File, length: u64, sha256: &str) -> io::Result<usize> {
    let damaged = || invalid("it is damaged, or of another component");
    let mut end = end_with(0, sha256);
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
    if end == end_with(checksum.finalize(), sha256) {
        usize::try_from(code).map_err(io::Error::other)
    } else {
        Err(damaged())
    }
}

/// The end of an entry with this checksum, for a component with this digest. The checksum is not a digest: anyone who may
/// write the file could write that too. It only has to show damage, and takes a tenth of the time.
fn end_with(checksum: u32, sha256: &str) -> Vec<u8> {
    [&checksum.to_le_bytes(), sha256.as_bytes(), &MAGIC].concat()
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

fn keep(folder: &Path, path: &Path, code: &[u8], sha256: &str) -> io::Result<()> {
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
    file.write_all(&end_with(crc32fast::hash(code), sha256))?;
    // A crash of the machine may leave less than all of it, which the checksum shows.
    file.persist(path).map_err(|error| error.error)?;
    let mut all = entries(folder)?;
    all.sort();
    let too_many = all.len().saturating_sub(MOST_ENTRIES);
    for (_, entry) in all.into_iter().take(too_many) {
        remove(&entry)?;
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
            match std::fs::symlink_metadata(&path) {
                // Another process has removed it, or given it its name, since the folder was read.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                metadata => found.push((metadata?.modified()?, path)),
            }
        }
    }
    Ok(found)
}

/// Removes an entry, which may be gone by now.
fn remove(entry: &Path) -> io::Result<()> {
    match std::fs::remove_file(entry) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty component: what is in it makes no difference here.
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    /// What stands for its digest.
    const SHA256: &str = "0123456789abcdef";

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
            let component = self.cache.component(&self.engine, COMPONENT, SHA256);
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
            load(&self.engine, &self.folder, entry, SHA256).is_ok()
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
            |entry| keep(entry.parent().unwrap(), entry, b"x", SHA256).unwrap(),
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
    fn an_entry_that_was_copied_to_the_name_of_another_component_is_not_used() {
        let (kept, entry) = Kept::new();
        let other = "fedcba9876543210";
        let copy = kept.folder.join(name(&kept.engine, other));
        // With its mode, as `cp -p` does it.
        std::fs::copy(&entry, &copy).unwrap();
        assert!(load(&kept.engine, &kept.folder, &copy, SHA256).is_ok());
        assert!(load(&kept.engine, &kept.folder, &copy, other).is_err());
    }

    #[test]
    fn where_a_sandboxed_tool_may_write_is_no_place_for_machine_code() {
        let nowhere = Path::new("/nowhere");
        let safe = Path::new("/usr/lib/plexum-openai-provider/not/there");
        assert_eq!(exposed(safe, nowhere), None);
        assert!(exposed(safe, Path::new("/usr/lib")).is_some());
        for folder in ["/tmp/x/cache", "/usr/../tmp/x", "/dev/shm/cache"] {
            assert!(exposed(Path::new(folder), nowhere).is_some(), "{folder}");
        }
        // Through a link, too.
        let scratch = tempfile::tempdir_in("/var/lib")
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        let link = scratch.path().join("link");
        std::os::unix::fs::symlink("/tmp", &link).unwrap();
        assert!(exposed(&link.join("cache"), nowhere).is_some());
    }

    #[test]
    fn a_folder_in_the_workspace_is_not_used() {
        let workspace = tempfile::tempdir().unwrap();
        let inside = Cache::in_folder(workspace.path().join("a/.cache"));
        let other = tempfile::tempdir().unwrap();
        assert!(inside.clone().outside(other.path()).folder().is_some());
        let refused = inside.outside(workspace.path());
        assert!(refused.folder().is_none() && refused.unsafe_folders().len() == 1);
    }

    #[test]
    fn an_entry_that_is_replaced_or_removed_still_works_where_it_is_in_use() {
        let (kept, entry) = Kept::new();
        let component = load(&kept.engine, &kept.folder, &entry, SHA256).unwrap();
        keep(&kept.folder, &entry, b"x", SHA256).unwrap();
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
                SHA256,
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
    fn what_another_process_removes_meanwhile_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for name in ["a.code", "b.code", ".new-c"] {
                let (path, done) = (folder.path().join(name), &done);
                scope.spawn(move || {
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        std::fs::write(&path, "").unwrap();
                        remove(&path).unwrap();
                    }
                });
            }
            let all = (0..2000).map(|_| {
                let found = entries(folder.path())?;
                found.iter().try_for_each(|(_, entry)| remove(entry))
            });
            let result: io::Result<()> = all.collect();
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            result.unwrap();
        });
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
