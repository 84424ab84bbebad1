//! Which environment variables codex gets.

use crate::config::Config;
use crate::grant::environment::EnvironmentRule;

/// What of this process's environment codex gets, a sentence a line: names and patterns, never
/// values.
#[must_use]
pub fn environment_lines(config: &Config) -> Vec<String> {
    let rule = EnvironmentRule::new(&config.env);
    let mut lines = vec![format!(
        "the component sees none of it; codex gets {}",
        rule.allowed().join(" ")
    )];
    if !rule.denied().is_empty() {
        lines.push(format!("and never {}", rule.denied().join(" ")));
    }
    lines
}
