//! Token counts, and the running total that codex keeps for each thread.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// The state's name in the workspace.
pub const STATE_FILE: &str = ".fake-codex-state.json";

/// The `usage` of a `turn.completed`: the thread's running total, as codex reports it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Input tokens, the cached ones included.
    pub input_tokens: u64,
    /// Input tokens that came from the cache.
    pub cached_input_tokens: u64,
    /// Input tokens that were put into the cache.
    pub cache_write_input_tokens: u64,
    /// Output tokens, those for reasoning included.
    pub output_tokens: u64,
    /// Output tokens for reasoning.
    pub reasoning_output_tokens: u64,
}

impl Usage {
    /// What one turn of `fake-codex` costs: the same as a request to the mock model.
    pub const TURN: Self = Self {
        input_tokens: 1200,
        cached_input_tokens: 1000,
        cache_write_input_tokens: 0,
        output_tokens: 34,
        reasoning_output_tokens: 7,
    };

    /// The sum of both, kind by kind.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens + other.input_tokens,
            cached_input_tokens: self.cached_input_tokens + other.cached_input_tokens,
            cache_write_input_tokens: self.cache_write_input_tokens
                + other.cache_write_input_tokens,
            output_tokens: self.output_tokens + other.output_tokens,
            reasoning_output_tokens: self.reasoning_output_tokens + other.reasoning_output_tokens,
        }
    }
}

/// The running totals of the threads of a workspace, by thread id.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// The totals; a thread without one has reported nothing yet.
    pub totals: BTreeMap<String, Usage>,
}

impl State {
    /// The state of a workspace, empty when there is none yet.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read_from(workspace: &Path) -> anyhow::Result<Self> {
        let path = workspace.join(STATE_FILE);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            read => read.with_context(|| format!("cannot read {}", path.display()))?,
        };
        serde_json::from_str(&text).with_context(|| format!("{} is no state", path.display()))
    }

    /// Puts the state into a workspace.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_to(&self, workspace: &Path) -> anyhow::Result<()> {
        // Replaced, because a fake of a killed host may still be reading or writing it.
        let path = workspace.join(STATE_FILE);
        let temporary = workspace.join(format!("{STATE_FILE}.{}", std::process::id()));
        fs::write(&temporary, serde_json::to_string(self)?)
            .and_then(|()| fs::rename(&temporary, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}
