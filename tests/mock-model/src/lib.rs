//! A loopback stand-in for the OpenAI Responses API, driven by the prompts it receives, and a home for a codex that
//! talks to it.
//!
//! The last user text of a request chooses what happens: `mock:<scenario>` or
//! `mock:<scenario>=<argument>` plays that [`Scenario`], anything else is echoed. The model keeps
//! nothing about a thread, so what it says about one is what codex sent.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "test support: a broken assumption here is a broken test, and should stop it"
)]

pub mod codex_home;
pub mod target_dir;

mod answer;
mod event;
mod refusal;
mod reply;
mod request;
mod scenario;
mod server;
mod tool;

use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::Context as _;
use tokio::sync::oneshot;

pub use self::request::RecordedRequest;
pub use self::scenario::Scenario;
use self::server::{Shared, router};

/// How to start a [`MockModel`].
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The port to listen on; 0 lets the system choose.
    pub port: u16,
    /// A file to which each request is appended as one line of JSON.
    pub record: Option<PathBuf>,
}

/// A running model. Dropping it breaks every connection and returns when they are gone.
pub struct MockModel {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl MockModel {
    /// Starts a model on a free port of 127.0.0.1.
    ///
    /// It runs on a thread of its own, so it answers also while the caller's runtime is blocked.
    /// Nothing is awaited at present; without a runtime, use [`MockModel::start_with`].
    ///
    /// # Errors
    /// When the port, the runtime or the thread cannot be had.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(Options::default())
    }

    /// Starts a model as `options` say, for callers with and without a runtime.
    ///
    /// # Errors
    /// As [`MockModel::start`], and when the record file cannot be opened.
    pub fn start_with(options: Options) -> anyhow::Result<Self> {
        let record = match options.record {
            Some(path) => Some(
                OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(&path)
                    .with_context(|| format!("cannot open {}", path.display()))?,
            ),
            None => None,
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))
            .with_context(|| format!("cannot listen on port {}", options.port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let shared = Arc::new(Shared::new(record));
        let service = router(Arc::clone(&shared));
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("mock-model".to_owned())
            .spawn(move || {
                // Leaving the block drops the runtime and with it every open connection: that is
                // what ends the handlers that hang on purpose.
                runtime.block_on(async {
                    tokio::select! {
                        served = axum::serve(listener, service) => served.expect("serve never ends"),
                        // An error means that the owner is gone, which ends it just the same.
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Self {
            address,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The `base_url` of a codex model provider: `http://127.0.0.1:PORT/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Everything received so far, requests to other paths included.
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.requests()
    }

    /// Returns once at least `count` requests have been received. It has no deadline of its own.
    pub async fn requests_reached(&self, count: usize) {
        self.shared
            .count()
            .wait_for(|received| *received >= count)
            .await
            .expect("the sender lives as long as self");
    }
}

impl Drop for MockModel {
    fn drop(&mut self) {
        // Dropping the sender is the signal.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !thread::panicking()
        {
            panic!("the mock model panicked; its message is above");
        }
    }
}
