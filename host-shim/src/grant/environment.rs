//! Which environment variables codex gets.
//!
//! The runtime's process may hold other providers' keys, and codex runs shell commands that a model
//! chose, so codex gets what it needs and no more. Only names are ever shown, never values.

use std::ffi::{OsStr, OsString};

/// What codex gets unless the operator says otherwise. A star stands for any text, at one end.
pub const DEFAULT: [&str; 29] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TERM",
    "COLORTERM",
    "TZ",
    "TMPDIR",
    "XDG_*",
    // Codex's own: where it lives, how it logs in, where its service is.
    "CODEX_*",
    "OPENAI_*",
    // Network access.
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    // The desktop's keyring, where codex may keep its login.
    "DBUS_SESSION_BUS_ADDRESS",
];

/// An allow-list of names.
#[derive(Debug, Clone, PartialEq)]
pub struct EnvironmentRule {
    allowed: Vec<String>,
    denied: Vec<String>,
}

impl EnvironmentRule {
    /// The default list and the operator's: a name or a pattern is allowed as well, and one after `!` is denied
    /// whatever else allows it.
    #[must_use]
    pub fn new(configured: &[String]) -> Self {
        let (denied, allowed): (Vec<&String>, _) =
            configured.iter().partition(|entry| entry.starts_with('!'));
        let allowed = DEFAULT
            .iter()
            .map(|name| (*name).to_owned())
            .chain(allowed.into_iter().cloned());
        EnvironmentRule {
            allowed: allowed.collect(),
            denied: denied
                .into_iter()
                .map(|entry| entry.trim_start_matches('!').to_owned())
                .collect(),
        }
    }

    /// Whether codex gets the variable of this name.
    #[must_use]
    pub fn allows(&self, name: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, name));
        any(&self.allowed) && !any(&self.denied)
    }

    /// A name that is not UTF-8 matches `*` and no other pattern.
    fn allows_os(&self, name: &OsStr) -> bool {
        let all = |patterns: &[String]| patterns.iter().any(|pattern| pattern == "*");
        match name.to_str() {
            Some(name) => self.allows(name),
            None => all(&self.allowed) && !all(&self.denied),
        }
    }

    /// The variables of these that codex gets.
    pub fn filter(
        &self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> impl Iterator<Item = (OsString, OsString)> {
        variables
            .into_iter()
            .filter(|(name, _)| self.allows_os(name))
    }

    /// The patterns that allow, in order.
    #[must_use]
    pub fn allowed(&self) -> &[String] {
        &self.allowed
    }

    /// The patterns that deny, without their `!`.
    #[must_use]
    pub fn denied(&self) -> &[String] {
        &self.denied
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (_, Some(prefix)) => name.starts_with(prefix),
        (Some(suffix), None) => name.ends_with(suffix),
        (None, None) => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(configured: &[&str]) -> EnvironmentRule {
        EnvironmentRule::new(
            &configured
                .iter()
                .map(|entry| (*entry).to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn other_keys_stay_here() {
        let rule = rule(&[]);
        for name in [
            "PATH",
            "HOME",
            "LC_ALL",
            "CODEX_HOME",
            "OPENAI_BASE_URL",
            "https_proxy",
        ] {
            assert!(rule.allows(name), "{name}");
        }
        for name in [
            "ANTHROPIC_API_KEY",
            "AWS_SECRET_ACCESS_KEY",
            "LD_PRELOAD",
            "MY_CODEX_HOME",
            "path",
            "",
        ] {
            assert!(!rule.allows(name), "{name}");
        }
    }

    #[test]
    fn the_operator_adds_and_takes_away() {
        let rule = rule(&["AWS_*", "*_TOKEN", "!AWS_SECRET*", "!CODEX_API_KEY"]);
        assert!(rule.allows("AWS_REGION") && rule.allows("GH_TOKEN") && rule.allows("CODEX_HOME"));
        assert!(!rule.allows("AWS_SECRET_ACCESS_KEY") && !rule.allows("CODEX_API_KEY"));
        assert!(super::tests::rule(&["*"]).allows("ANYTHING"));
    }

    #[test]
    fn a_name_that_is_not_utf8_matches_the_star_alone() {
        use std::os::unix::ffi::OsStrExt;
        let variable = || {
            let name = OsStr::from_bytes(b"CODEX_\xff_TOKEN").to_owned();
            [(name, OsString::new())]
        };
        assert_eq!(rule(&[]).filter(variable()).count(), 0);
        assert_eq!(rule(&["*_TOKEN"]).filter(variable()).count(), 0);
        assert_eq!(rule(&["*"]).filter(variable()).count(), 1);
        assert_eq!(rule(&["*", "!*"]).filter(variable()).count(), 0);
    }
}
