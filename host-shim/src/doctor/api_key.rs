//! Keys in the environment that change who pays.

use super::Check;
use crate::config::{Config, Transport};
use crate::grant::environment::EnvironmentRule;

/// Whether codex would get a variable of this name, and one that holds something.
pub fn reaches_codex(config: &Config, name: &str) -> bool {
    let set = std::env::var_os(name).is_some_and(|value| !value.is_empty());
    set && EnvironmentRule::new(&config.env).allows(name)
}

/// The check for a key that codex would take from the environment.
pub fn check(config: &Config) -> Vec<Check> {
    // Where codex stays, it does not take the key; the check of the transport says what happens then.
    if !reaches_codex(config, "CODEX_API_KEY") || config.transport() == Transport::AppServer {
        return Vec::new();
    }
    vec![Check::warning(
        "api-key",
        "CODEX_API_KEY is set, and codex takes it instead of a stored login: another account may pay",
        "unset it, or keep it from codex with \"env\": [\"!CODEX_API_KEY\"], unless that is what you want",
    )]
}
