//! The component in a wasmtime store of your own.
//!
//! [`Provider`](crate::Provider) has its own engine and linker, and a store for each turn. A runtime that has these
//! already, because it hosts other components too, adds the imports of the world `codex-provider` to its linker, and
//! keeps a [`CodexCtx`](crate::CodexCtx) in the data of its stores:
//!
//! ```no_run
//! use plexum_openai_provider::bindings::CodexProvider;
//! use plexum_openai_provider::embed::{self, CodexView};
//! use plexum_openai_provider::{COMPONENT, CodexCtx, Config, Event, GrantedCodex, Request};
//! use wasmtime::component::{Component, Linker};
//! use wasmtime::{Engine, Store};
//!
//! struct State {
//!     codex: CodexCtx,
//!     // And whatever else the runtime keeps for a component.
//! }
//!
//! impl CodexView for State {
//!     fn codex(&mut self) -> &mut CodexCtx {
//!         &mut self.codex
//!     }
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mut settings = wasmtime::Config::new();
//! settings.epoch_interruption(true);
//! let engine = Engine::new(&settings)?;
//! let component = Component::new(&engine, COMPONENT)?;
//! let mut linker = Linker::<State>::new(&engine);
//! embed::add_to_linker(&mut linker)?;
//!
//! let codex = GrantedCodex::new(Config::read_default()?, COMPONENT)?;
//! let opened = codex.open("/path/to/workspace", Request::prompt("hello")).await;
//! let turn = opened.map_err(|end| format!("{end:?}"))?;
//! let mut store = Store::new(&engine, State { codex: turn.ctx });
//! embed::limit(&mut store);
//! let world = CodexProvider::instantiate_async(&mut store, &component, &linker).await?;
//! let turns = world.plexum_provider_turns().turn();
//! let started = turns.call_start(&mut store, &turn.request).await?;
//! let handle = started.map_err(|failure| failure.message)?;
//! loop {
//!     let events = turns.call_next(&mut store, handle).await?;
//!     if events.is_empty() {
//!         break;
//!     }
//!     for event in events {
//!         let event = Event::from(event);
//!         let all = match event {
//!             Event::MessageEnd { .. } => store.data_mut().codex.close(event).await,
//!             event => vec![event],
//!         };
//!         for event in all {
//!             store.data().codex.note(&event);
//!             println!("{event:?}");
//!         }
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`Provider`](crate::Provider) does more than this. Such a runtime has these duties itself:
//!
//! - Every turn has one end, even after a trap.
//! - Call [`CodexCtx::note`](crate::CodexCtx::note) for each event, so that the metrics know how the turn ended.
//! - Call [`CodexCtx::close`](crate::CodexCtx::close) with the end, and hand out what it returns instead: it ends what the
//!   component has left running, has the session store keep the turn, and says what went wrong with that.
//! - Hand out events at the pace at which the caller takes them.
//! - Stop a turn that its caller no longer wants.
//! - Limit the number of events.
//! - Advance the engine's epoch every 10 ms while turns run. Without that, `guest.cpu_seconds` has no effect.

pub use crate::capability::view::{CodexView, add_to_linker, limit};
