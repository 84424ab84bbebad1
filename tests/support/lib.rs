//! What the end-to-end tests stand on: a loopback model for the real codex, a scripted stand-in
//! for codex itself, and the real binaries where they are installed.
//!
//! - [`mock_model`]: answers `POST /v1/responses`; the prompt chooses what it does.
//! - [`codex_home`]: a private `CODEX_HOME` whose configuration points at such a model.
//! - [`fake_codex`]: the script, state and call record of the `fake-codex` binary.
//! - [`agent`]: a real codex with all that it needs.
//! - [`attack`]: what a tool can do to the supervisor of its turn.
//! - [`json_schema`]: whether a value is what one of the published schemas says.
//! - [`workspace`]: a scratch workspace, and turns in it through the real program.
//! - [`census`]: what a run holds and leaves: processes, descriptors, files, memory.
//! - [`faulty_fleet`]: a store of a fleet that fails when a test says so.
//! - [`fleet_database`]: a PostgreSQL for hosts of a fleet, which notes who writes what.
//! - [`fleet_host`]: hosts of a fleet in this process.
//! - [`fleet_process`]: hosts of a fleet as processes.
//! - [`faulty_store`]: a store of the conversation that hangs or fails.
//! - [`jail`]: a run in which something of the machine is scarce.
//! - [`component`]: builds of components.
//! - [`hostile`]: a component that tries what it must not be able to do.
//! - [`echo_provider`]: a second provider, which knows nothing of codex.
//! - [`jco_host`], [`python_host`]: the hosts in other languages.
//! - [`mod@side_by_side`]: cases of one test, some at once.
//! - [`signal`]: a child that can be sent a signal, whatever this process ignores.
//! - [`once`]: folders that many processes share.
//! - [`cpu_time`]: a clock that another load on the machine does not move.
//! - [`postgres`]: a PostgreSQL of a test's own.
//! - [`registry`]: a registry of containers of a test's own.
//! - [`json_rpc`]: clients of `serve` and `acp`, and what no service may stumble over.
//! - [`random`]: choices that a seed repeats.
//! - [`wait`]: for what gives no signal.
//! - [`transcript`]: the cases of which transcripts of the real codex are kept.
//! - [`warm`]: hosts whose codex stays for the next turn.
//! - [`whole_request`]: a request with everything that codex can be given, and what the model gets of it.
//! - [`tool`]: programs that not every machine has; without them a test skips loudly.
//! - [`mod@real_codex`]: finds the real binaries, or skips loudly.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "test support: a broken assumption here is a broken test, and should stop it"
)]

pub mod agent;
pub mod attack;
pub mod census;
pub mod cgroup;
pub mod component;
pub mod cpu_time;
pub mod echo_provider;
pub mod fake_codex;
pub mod faulty_fleet;
pub mod faulty_store;
pub mod fleet_database;
pub mod fleet_host;
pub mod fleet_process;
pub mod hostile;
pub mod jail;
pub mod jco_host;
pub mod json_rpc;
pub mod json_schema;
pub mod once;
pub mod postgres;
pub mod python_host;
pub mod random;
pub mod real_codex;
pub mod registry;
mod running;
pub mod side_by_side;
pub mod signal;
pub mod tool;
pub mod transcript;
pub mod wait;
pub mod warm;
pub mod whole_request;
pub mod workspace;

pub use plexum_openai_provider_mock_model as mock_model;
pub use plexum_openai_provider_mock_model::codex_home;

use plexum_openai_provider_mock_model::target_dir;
