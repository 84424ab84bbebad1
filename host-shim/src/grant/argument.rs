//! One argument of a call, whatever it holds.

/// The longest single argument that Linux takes, less the closing NUL (`MAX_ARG_STRLEN`).
///
/// The component has the same limit in `guest/src/transport/exec/argv.rs`, written twice on purpose: the host checks
/// what the component hands over, and neither relies on the other.
pub(crate) const MAX_ARGUMENT_BYTES: usize = 131_071;
