//! Hosts the Plexum provider for OpenAI's Codex: a WebAssembly component that is granted one
//! narrow capability, to start codex with the arguments that the operator's configuration allows.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use plexum_openai_provider::{Config, Event, Provider, Request};
//!
//! let provider = Provider::new(Config::read_default()?)?;
//! let mut turn = provider.turn("/path/to/workspace", Request::prompt("What is in this folder?"));
//! while let Some(event) = turn.next().await {
//!     if let Event::TextDelta { text, .. } = event {
//!         print!("{text}");
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Every turn gives exactly one [`Event::MessageEnd`], last, whatever codex, the component
//! or the disk does.
#![warn(missing_docs)]

pub mod audit;
pub mod bindings;
mod budget;
mod cache;
mod codex;
pub mod config;
mod ctx;
mod digest;
#[cfg(feature = "doctor")]
pub mod doctor;
pub mod embed;
pub mod environment;
mod event;
pub mod framing;
pub mod grant;
pub mod guest_limits;
mod image;
mod lock_file;
pub mod metrics;
pub mod npm_script;
mod permission;
mod process;
mod program;
mod provider;
mod record;
mod request;
mod session_file;
mod session_store;
pub mod spawner;
mod stop;
mod supervised;
#[cfg(not(fuzzing))]
mod thread_id;
#[cfg(fuzzing)]
pub mod thread_id;
mod ticker;
mod turn;

pub use cache::Cache;
pub use codex::{Codex, OpenTurn, TurnStopper};
pub use config::{Config, ConfigError, Limits};
pub use ctx::CodexCtx;
pub use event::{
    Event, Failure, FailureKind, NoticeKind, PlanStep, StopReason, ToolKind, ToolStatus, Usage,
};
pub use guest_limits::GuestLimits;
pub use metrics::Metrics;
pub use provider::{COMPONENT, Description, LoadError, Provider};
pub use record::Recorder;
pub use request::{Content, ImageSource, Message, Request, Role};
pub use session_file::{LOCK_FILE, SESSION_FILE, SaveStep, SessionFiles, USAGE_FILE};
pub use session_store::{SessionEntry, SessionGuard, SessionStore, StoreFuture};
pub use spawner::Spawner;
pub use supervised::Supervised;
pub use turn::Turn;

/// The Rust in the README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
