//! The component and the world that it fits.

use super::Check;
use crate::audit::{Audit, Pin};

/// What the audit found about the built-in component, in two checks.
pub fn checks(audit: &Audit) -> Vec<Check> {
    let component = &audit.component;
    let digest = &component.sha256;
    let outside: Vec<_> = component
        .imports
        .iter()
        .filter(|import| !import.granted)
        .map(|import| import.name.as_str())
        .collect();
    let grant = match component.pin {
        Pin::Differs => Check::problem(
            "component",
            format!(
                "its SHA-256 is {digest}, and `component_sha256` in the configuration names another: it is not run"
            ),
            "read what `plexum-openai-provider audit` prints, and change the line if this is the component you want",
        ),
        _ if !outside.is_empty() => Check::problem(
            "component",
            format!("it wants more than the grant: {}", outside.join(", ")),
            "run `plexum-openai-provider audit`, and use a component of this program's own build",
        ),
        Pin::Matches => Check::ok(
            "component",
            format!("within the grant, SHA-256 {digest} as `component_sha256` says"),
        ),
        Pin::Unset => Check::ok(
            "component",
            format!("within the grant, SHA-256 {digest}, which `component_sha256` does not pin"),
        ),
    };
    let world = &component.world;
    let fit = if world.conformant {
        Check::ok("world", world.name.as_str())
    } else {
        let problem = world.problem.clone();
        let problem =
            problem.unwrap_or_else(|| format!("it does not export {}", world.missing.join(", ")));
        Check::problem(
            "world",
            format!("the component does not fit {}: {problem}", world.name),
            "use a component that was built for this world",
        )
    };
    vec![grant, fit]
}
