//! The world that this host offers: what a component of it exports, and what it may import.

/// The world that this host offers.
pub const WORLD: &str = "plexum:codex/codex-provider@0.1.0";

/// What a component of that world must export.
pub const EXPORTS: [&str; 1] = ["plexum:provider/turns@0.1.0"];

/// What it may import, and what for.
pub const IMPORTS: [(&str, &str); 5] = [
    (
        "plexum:codex/codex@0.1.0",
        "start codex, read its lines, stop it",
    ),
    (
        "plexum:codex/codex-server@0.1.0",
        "prompt a codex that stays running, read its lines",
    ),
    (
        "plexum:codex/session@0.1.0",
        "remember this workspace's conversation",
    ),
    (
        "plexum:codex/settings@0.1.0",
        "read the operator's settings",
    ),
    ("plexum:codex/log@0.1.0", "write to the host's log"),
];

/// Whether an interface is the one that the world has: the engine takes 0.1.1 for 0.1.0.
pub fn compatible(known: &str, name: &str) -> bool {
    let parts = |name: &str| -> Option<(String, String)> {
        let (interface, version) = name.split_once('@')?;
        let (version, _patch) = version.rsplit_once('.')?;
        Some((interface.to_owned(), version.to_owned()))
    };
    known == name || (parts(known).is_some() && parts(known) == parts(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_takes_one_patch_version_for_another() {
        let known = "a:b/c@0.1.0";
        assert!(compatible(known, "a:b/c@0.1.0") && compatible(known, "a:b/c@0.1.7"));
        for name in ["a:b/c@0.2.0", "a:b/c", "a:b/d@0.1.0", "a:b/c@0.1.0.0"] {
            assert!(!compatible(known, name), "{name}");
        }
    }
}
