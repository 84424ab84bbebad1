//! What the end-to-end tests stand on: a loopback model for the real codex, a scripted stand-in
//! for codex itself, and the real binaries where they are installed.
//!
//! - [`mock_model`]: answers `POST /v1/responses`; the prompt chooses what it does.
//! - [`codex_home`]: a private `CODEX_HOME` whose configuration points at such a model.
//! - [`fake_codex`]: the script, state and call record of the `fake-codex` binary.
//! - [`agent`]: a real codex with all that it needs.
//! - [`json_schema`]: whether a value is what one of the published schemas says.
//! - [`workspace`]: a scratch workspace, and turns in it through the real program.
//! - [`chaos`]: turns with every fault that there is, many at once.
//! - [`hostile`]: a component that tries what it must not be able to do.
//! - [`random`]: choices that a seed repeats.
//! - [`wait`]: for what gives no signal.
//! - [`transcript`]: the cases of which transcripts of the real codex are kept.
//! - [`wit_semver`]: whether the contract may be released under its version.
//! - [`tool`]: programs that not every machine has; without them a test skips loudly.
//! - [`mod@real_codex`]: finds the real binaries, or skips loudly.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "test support: a broken assumption here is a broken test, and should stop it"
)]

pub mod agent;
pub mod chaos;
pub mod codex_home;
pub mod fake_codex;
pub mod hostile;
pub mod json_schema;
pub mod mock_model;
pub mod random;
pub mod real_codex;
pub mod tool;
pub mod transcript;
pub mod wait;
pub mod wit_semver;
pub mod workspace;

mod target_dir;
