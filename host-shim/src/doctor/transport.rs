//! What stays between turns.

use super::Check;
use super::api_key::reaches_codex;
use crate::config::{Config, Transport};

const ID: &str = "transport";

/// The check of a transport that keeps codex for the next turn.
pub fn check(config: &Config) -> Option<Check> {
    if config.transport() != Transport::AppServer {
        return None;
    }
    if reaches_codex(config, "CODEX_API_KEY") {
        return Some(Check::warning(
            ID,
            "CODEX_API_KEY is set, and app-server ignores it: so that no other account pays, each turn starts codex exec",
            "log codex in with that key (`codex login --with-api-key`) and keep the variable from codex with \"env\": [\"!CODEX_API_KEY\"], or set \"transport\": \"exec\"",
        ));
    }
    let limits = &config.server;
    Some(Check::ok(
        ID,
        format!(
            "a codex app-server stays for each conversation, at most {} in one program, for {} s after a turn, with 16 to 150 MB of memory each; `plexum-openai-provider servers` shows them",
            limits.processes, limits.idle_seconds
        ),
    ))
}
