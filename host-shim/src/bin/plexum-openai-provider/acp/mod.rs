//! `acp`: codex for any editor that speaks the Agent Client Protocol, version 1, over standard input and output.
//!
//! ```text
//! stdin ─▶ json_rpc ─▶ requests ─▶ sessions ─▶ conversation ─▶ update ─▶ json_rpc ─▶ stdout
//! ```
//!
//! The protocol: <https://agentclientprotocol.com>. Its types are written by hand, as only few of them are needed, and its
//! crate has a new major version every few weeks; the suite `acp` checks every message against the published schema.

mod content;
mod conversation;
mod error;
mod history;
mod login;
mod message;
mod method;
mod options;
mod requests;
mod servers;
mod sessions;
mod update;

use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use plexum_openai_provider::{SessionFiles, SessionIndex, Transport};

use self::requests::Requests;
use self::servers::Others;
use self::sessions::Sessions;
use super::json_rpc::connection;
use super::json_rpc::standard_streams::{STANDARD_STREAMS, StandardInput, StandardOutput};
use super::json_rpc::stdio::{Signals, exit_code};
use super::provider_args::ProviderArgs;

/// Run codex for an editor: the Agent Client Protocol on standard input and output.
///
/// Name this command in the settings of Zed, JetBrains, Neovim or acpx. host-shim/docs/acp.md has the lines.
#[derive(Args)]
#[command(after_help = r#"In the settings of Zed, for example:
  "agent_servers": {
    "codex": {"type": "custom", "command": "plexum-openai-provider", "args": ["acp"]}
  }

What the editor writes (>) and what it reads (<):
  > {"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1}}
  < {"jsonrpc":"2.0","id":1,"result":{"protocolVersion":1,"agentCapabilities":{…},…}}
  > {"jsonrpc":"2.0","id":2,"method":"session/new","params":{"cwd":"/home/me/project","mcpServers":[]}}
  < {"jsonrpc":"2.0","id":2,"result":{"sessionId":"…"}}
  > {"jsonrpc":"2.0","id":3,"method":"session/prompt","params":{"sessionId":"…","prompt":[{"type":"text","text":"hello"}]}}
  < {"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"…","update":{"sessionUpdate":"agent_message_chunk",…}}}
  < {"jsonrpc":"2.0","id":3,"result":{"stopReason":"end_turn"}}

Unless the configuration states `transport`, codex stays between turns and passes text on as it is written
(`app-server`). Standard error is the log.

Exit codes: 0 it was ended, 1 not everything could be written, 2 it could not begin."#)]
pub struct Acp {
    #[command(flatten)]
    provider: ProviderArgs,
    /// Run `codex login` in this terminal instead; editors that offer to log in do this
    #[arg(long)]
    login: bool,
    /// Open sessions without those of the client's MCP servers that codex is not configured with, and say so, instead of
    /// refusing
    #[arg(long)]
    leave_out_mcp_servers: bool,
}

impl Acp {
    pub fn run(self) -> Result<ExitCode> {
        if self.login {
            return login::run(&self.provider.configuration()?);
        }
        super::keep_private();
        super::open_more_files();
        let mut provider = self.provider.provider_over(Transport::AppServer)?;
        let index = SessionIndex::of_user()
            .context("there is no place to keep sessions: set HOME, or XDG_STATE_HOME")?;
        // With a fleet, what codex has recorded may be on another machine.
        let files = provider.config().sessions.postgres.is_none();
        let files = files.then(|| SessionFiles::default().indexed(&index));
        if let Some(files) = &files {
            provider = provider.with_session_store(files.clone());
        }
        let runtime = super::runtime(1 + STANDARD_STREAMS)?;
        let served = runtime.block_on(async {
            let signals = Signals::watch()?;
            let description = provider
                .describe()
                .await
                .map_err(|error| anyhow!("the component cannot describe itself: {error:#}"))?;
            let (reader, writer) = (StandardInput::new(), StandardOutput::new());
            let others = if self.leave_out_mcp_servers {
                Others::LeftOut
            } else {
                Others::Refused
            };
            let service = |events| {
                let sessions =
                    Sessions::new(provider.clone(), index, files, &description, others, events);
                Requests::new(description, sessions)
            };
            let served = connection::serve(service, reader, writer, signals.stopped()).await;
            provider.close().await;
            anyhow::Ok(served)
        })?;
        // On a thread, a read of standard input cannot be cancelled, and waiting for it would mean waiting for the client.
        runtime.shutdown_background();
        Ok(exit_code(served))
    }
}
