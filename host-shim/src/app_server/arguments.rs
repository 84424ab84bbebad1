//! What `codex app-server` is started with.

use crate::config::ServerArguments;

/// Arguments in every start: without a network, codex 0.169 would otherwise try again for ever.
const FIXED: [&str; 3] = [
    "app-server",
    "-c",
    "features.unbounded_connection_retries=false",
];

/// The arguments of a start, without the name of the program.
pub fn arguments(configured: &ServerArguments) -> Vec<String> {
    let fixed = FIXED.iter().map(|word| (*word).to_owned());
    fixed.chain(configured.start.iter().cloned()).collect()
}
