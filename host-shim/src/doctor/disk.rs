//! What the disks of a turn can do, tried: locks, writes that last, and room.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock, statvfs};
use rustix::io::Errno;

use super::Check;
use crate::scarcity;
use crate::session::place::{FLOCK_FORBIDDEN, is_forbidden};

/// The checks of the workspace's disk. Nothing with a name is made there.
pub fn workspace(workspace: &Path) -> Vec<Check> {
    if !workspace.is_dir() {
        return Vec::new();
    }
    vec![locks(workspace), sync(workspace)]
}

fn locks(workspace: &Path) -> Check {
    const ID: &str = "workspace-locks";
    let shown = workspace.display();
    let tried = || -> io::Result<()> {
        let (file, folder) = (tempfile::tempfile_in(workspace)?, File::open(workspace)?);
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        match flock(&folder, FlockOperation::NonBlockingLockShared) {
            // A turn that is under way has it.
            Ok(()) | Err(Errno::WOULDBLOCK) => Ok(()),
            Err(error) => Err(error.into()),
        }
    };
    match tried() {
        Ok(()) => Check::ok(ID, "files and folders can be locked"),
        Err(error) if is_forbidden(&error) => Check::problem(
            ID,
            format!("nothing can be locked in {shown}: {error}"),
            FLOCK_FORBIDDEN,
        ),
        Err(error) if has_none(&error) => Check::problem(
            ID,
            format!("the file system of {shown} has no locks ({error})"),
            "mount it with locks (for NFS, `local_lock=flock` or a running lock service), or take another workspace",
        ),
        Err(error) => failed(ID, &format!("nothing can be locked in {shown}"), &error),
    }
}

fn sync(workspace: &Path) -> Check {
    const ID: &str = "workspace-sync";
    let shown = workspace.display();
    let tried = || -> io::Result<()> {
        let mut file = tempfile::tempfile_in(workspace)?;
        file.write_all(b"plexum")?;
        file.sync_all()?;
        File::open(workspace)?.sync_all()
    };
    match tried() {
        Ok(()) => Check::ok(ID, "what is written there can be made to last"),
        Err(error) if has_none(&error) => Check::warning(
            ID,
            format!(
                "the file system of {shown} cannot say when something has reached the disk ({error})"
            ),
            "nothing, if losing the last turn's session is bearable when the machine crashes; else take another workspace",
        ),
        Err(error) => failed(
            ID,
            &format!("nothing can be made to last in {shown}"),
            &error,
        ),
    }
}

/// Whether a file system does not have what was asked for.
fn has_none(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(Errno::INVAL | Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP)
    )
}

fn failed(id: &'static str, what: &str, error: &io::Error) -> Check {
    let remedy = match error.raw_os_error().map(Errno::from_raw_os_error) {
        _ if scarcity::limit(error).is_some() => "make room, or raise that limit",
        Some(Errno::ACCESS | Errno::PERM) => {
            "give this user the permission, or run it as the user that the folder belongs to"
        }
        Some(Errno::ROFS) => "mount it for writing, or take another folder",
        _ => "repair what the error names, or take another folder",
    };
    let limit = scarcity::limit(error);
    let limit = limit.map_or_else(String::new, |limit| format!(": {limit}"));
    Check::problem(id, format!("{what}: {error}{limit}"), remedy)
}

/// How little room is worth a word. A conversation takes some megabytes.
const LITTLE: u64 = 100 * 1024 * 1024;

/// As much as a turn writes at least.
const TRIED: usize = 256 * 1024;

/// The check of the disk that codex keeps its conversations on.
pub fn codex_home() -> Option<Check> {
    const ID: &str = "codex-disk";
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let home = set("CODEX_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(set("HOME")?).join(".codex")))?;
    // Codex makes the usual one itself.
    let folder = home.ancestors().find(|folder| folder.is_dir())?;
    let shown = folder.display();
    let tried = || -> io::Result<u64> {
        let mut file = tempfile::tempfile_in(folder)?;
        file.write_all(&vec![0; TRIED])?;
        // Some disks find out only now that they are full.
        match file.sync_all() {
            Err(error) if !has_none(&error) => return Err(error),
            _ => {}
        }
        let room = statvfs(folder)?;
        Ok(room.f_bavail.saturating_mul(room.f_frsize))
    };
    Some(match tried() {
        Ok(free) if free < LITTLE => Check::warning(
            ID,
            format!(
                "{} MiB are free on the disk of {shown}, where codex keeps its conversations",
                free >> 20
            ),
            "make room: when it is full, turns fail and conversations are lost",
        ),
        Ok(free) => Check::ok(
            ID,
            format!("{} MiB are free on the disk of {shown}", free >> 20),
        ),
        Err(error) => failed(
            ID,
            &format!("codex cannot keep its conversations in {shown}"),
            &error,
        ),
    })
}
