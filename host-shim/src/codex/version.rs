//! The version that a codex says it has.

use std::fmt;

/// A version of codex, without the part after a hyphen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u64, pub u64, pub u64);

impl Version {
    /// From what `codex --version` prints: `codex-cli 0.169.0`.
    pub fn printed(text: &str) -> Option<Self> {
        text.trim().strip_prefix("codex-cli ")?.parse().ok()
    }
}

/// This is no version.
#[derive(Debug, PartialEq, Eq)]
pub struct NoVersion;

impl std::str::FromStr for Version {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let number = text.split(['-', '+', ' ']).next().ok_or(NoVersion)?;
        let mut parts = number.split('.').map(str::parse);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch)), None) => {
                Ok(Version(major, minor, patch))
            }
            _ => Err(NoVersion),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_what_codex_prints_and_from_nothing_else() {
        for (text, version) in [
            ("codex-cli 0.169.0\n", Some(Version(0, 169, 0))),
            ("codex-cli 0.170.0-alpha.3\n", Some(Version(0, 170, 0))),
            ("codex-cli 1.2\n", None),
            ("codex-cli 1.2.3.4\n", None),
            ("v20.20.2\n", None),
            ("", None),
        ] {
            assert_eq!(Version::printed(text), version, "{text}");
        }
    }
}
