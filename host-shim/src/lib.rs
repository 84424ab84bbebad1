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

mod app_server;
#[cfg(feature = "audit")]
pub mod audit;
mod capability;
mod codex;
pub mod config;
mod contract;
#[cfg(feature = "doctor")]
pub mod doctor;
pub mod embed;
mod engine;
#[cfg(feature = "fleet")]
pub mod fleet;
pub mod grant;
#[cfg(feature = "doctor")]
pub mod mcp;
mod open_files;
mod places;
mod provider;
#[doc(hidden)]
pub mod scarcity;
mod session;
mod telemetry;
mod turn;

pub use capability::CodexCtx;
pub use capability::bindings;
pub use codex::supervised::Supervised;
pub use codex::{framing, spawner};
pub use config::guest_limits::{self, GuestLimits};
pub use config::{Config, ConfigError, Limits, ServerLimits, SupportedModel, Transport};
pub use contract::description::{Capability, Description, Model};
pub use contract::event::{
    BlockKind, BlockOutcome, Event, Failure, FailureKind, NoticeKind, PlanStep, ReplacementReason,
    RequestPart, StepStatus, StopReason, ToolKind, ToolStatus, Usage,
};
pub use contract::request::{Content, ImageSource, Message, Request, RequestOptions, Role};
pub use contract::tool_input::ToolInput;
pub use engine::builtin::COMPONENT;
pub use engine::cache::Cache;
pub use engine::load_error::LoadError;
pub use open_files::raise_limit as raise_open_files_limit;
pub use provider::Provider;
pub use session::files::{SESSION_FILE, SessionFiles};
pub use session::folder::SaveStep;
pub use session::history::{History, Said};
pub use session::index::{IndexedSession, SessionIndex, SessionPage, title as session_title};
pub use session::store::{
    Acquired, Loaded, LostFuture, Session, SessionEntry, SessionError, SessionErrorKind,
    SessionKey, SessionStore, StoreFuture,
};
pub use spawner::Spawner;
pub use telemetry::fleet::FleetMetrics;
pub use telemetry::metrics::{self, Metrics};
pub use telemetry::record::Recorder;
pub use turn::Turn;
pub use turn::open::{GrantedCodex, OpenTurn, TurnStopper};

/// The Rust in the texts; the suite `readme` checks that no text with Rust is missing here.
#[cfg(doctest)]
mod texts {
    #[doc = include_str!("../README.md")]
    struct Readme;

    #[doc = include_str!("../docs/embedding.md")]
    struct Embedding;
}
