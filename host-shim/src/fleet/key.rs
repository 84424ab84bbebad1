//! How a conversation is named in the store.

use std::os::unix::ffi::OsStrExt as _;

use sha2::{Digest as _, Sha256};

use crate::session::store::SessionKey;

/// A longer key is kept as a digest.
pub const MAX_BYTES: usize = 512;

/// The key of a conversation in the store: the caller's name for it if it has one, in whatever workspace, and else the
/// path of the workspace. So two hosts mean the same conversation if they use the same name, or the same path.
pub fn of(key: &SessionKey) -> String {
    let (kind, bytes) = match &key.session {
        Some(name) => ("session", name.as_bytes()),
        None => ("workspace", key.workspace.as_os_str().as_bytes()),
    };
    match str::from_utf8(bytes) {
        Ok(text) if text.len() < MAX_BYTES - 16 && !text.contains(char::is_control) => {
            format!("{kind}:{text}")
        }
        _ => format!("{kind}-sha256:{:x}", Sha256::digest(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_readable_short_and_never_those_of_another() {
        let named = |name: &str| of(&SessionKey::new("/w", Some(name.into())));
        assert_eq!(
            of(&SessionKey::of_workspace("/srv/a b")),
            "workspace:/srv/a b"
        );
        assert_eq!(named("/srv/a b"), "session:/srv/a b");
        assert_eq!(named("ü"), of(&SessionKey::new("/other", Some("ü".into()))));
        let odd = ["a\0", "a\n", &"x".repeat(5000), &"x".repeat(5001)];
        for name in odd {
            let key = named(name);
            assert!(
                key.starts_with("session-sha256:") && key.len() < 100,
                "{key}"
            );
        }
        assert_ne!(named(odd[2]), named(odd[3]));
        // A name cannot pass for the digest of another.
        assert!(named(&named("a\0")).starts_with("session:session-sha256:"));
    }
}
