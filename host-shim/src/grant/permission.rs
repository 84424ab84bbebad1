//! Who else may change a file.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// What would let others than root and this user change the file at `path`, or put another one in its
/// place: a sentence with the remedy for each.
pub fn changeable_by_others(path: &Path) -> io::Result<Vec<String>> {
    let ways = ways_to_change(path)?;
    Ok(ways.into_iter().map(|way| way.warning).collect())
}

/// A way for others to change a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Whether it is open to every user of the machine, and not only to a group or to one other user.
    pub everybody: bool,
    /// Who may change what: a sentence with the remedy.
    pub warning: String,
}

/// Every way for others than root and this user to change the file at `path`, or to put another one in its place.
pub fn ways_to_change(path: &Path) -> io::Result<Vec<Way>> {
    let canonical = path.canonicalize()?;
    // The folders of a relative path, too.
    let path = &std::path::absolute(path)?;
    // Anyone who may write to a folder may replace a file in it.
    let folders = path.ancestors().skip(1);
    let folders = folders.chain(canonical.ancestors().skip(1));
    let mut seen: Vec<&Path> = Vec::new();
    let mut ways = Vec::new();
    for looked_at in std::iter::once(canonical.as_path()).chain(folders) {
        if !seen.contains(&looked_at) {
            seen.push(looked_at);
            ways.extend(changeable(looked_at, &looked_at.metadata()?));
        }
    }
    Ok(ways)
}

/// How others than root and this user may change a file or folder.
fn changeable(path: &Path, metadata: &Metadata) -> Option<Way> {
    let mode = metadata.permissions().mode();
    // In a sticky folder such as /tmp users cannot replace each other's files.
    let sticky = metadata.is_dir() && mode & 0o1000 != 0;
    let who = match mode & 0o022 {
        _ if sticky => None,
        0 => None,
        0o020 => Some("its group"),
        _ => Some("everybody"),
    };
    let shown = path.to_string_lossy();
    if let Some(who) = who {
        let mode = octal(metadata);
        return Some(Way {
            everybody: who == "everybody",
            warning: format!("{who} may change {shown} (mode {mode}): run `chmod go-w {shown}`"),
        });
    }
    let owner = metadata.uid();
    (owner != 0 && owner != rustix::process::geteuid().as_raw()).then(|| Way {
        everybody: false,
        warning: format!(
            "{shown} belongs to user {owner}, who may change it: use a copy of your own or root's"
        ),
    })
}

/// The permissions, such as `0755`.
pub fn octal(metadata: &Metadata) -> String {
    format!("{:04o}", metadata.permissions().mode() & 0o7777)
}
