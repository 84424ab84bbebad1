//! Who else may change a file.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// What would let others than root and this user change the file at `path`, or put another one in its
/// place: a sentence with the remedy for each.
pub fn changeable_by_others(path: &Path) -> io::Result<Vec<String>> {
    let canonical = path.canonicalize()?;
    // The folders of a relative path, too.
    let path = &std::path::absolute(path)?;
    // Anyone who may write to a folder may replace a file in it.
    let folders = path.ancestors().skip(1);
    let folders = folders.chain(canonical.ancestors().skip(1));
    let mut seen: Vec<&Path> = Vec::new();
    let mut warnings = Vec::new();
    for looked_at in std::iter::once(canonical.as_path()).chain(folders) {
        if !seen.contains(&looked_at) {
            seen.push(looked_at);
            warnings.extend(changeable(looked_at, &looked_at.metadata()?));
        }
    }
    Ok(warnings)
}

/// The warning about a file or folder that others than root and this user may change.
fn changeable(path: &Path, metadata: &Metadata) -> Option<String> {
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
        return Some(format!(
            "{who} may change {shown} (mode {mode}): run `chmod go-w {shown}`"
        ));
    }
    let owner = metadata.uid();
    (owner != 0 && owner != rustix::process::geteuid().as_raw()).then(|| {
        format!(
            "{shown} belongs to user {owner}, who may change it: use a copy of your own or root's"
        )
    })
}

/// The permissions, such as `0755`.
pub fn octal(metadata: &Metadata) -> String {
    format!("{:04o}", metadata.permissions().mode() & 0o7777)
}
