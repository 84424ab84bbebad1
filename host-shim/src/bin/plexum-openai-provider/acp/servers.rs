//! The MCP servers that a client wants codex to have.
//!
//! **Invariant:** a client does not decide which programs run here. Codex has those that the operator has configured.
//! Others are refused, or left out: which of the two, the command line says.

use plexum_openai_provider::audit::shell_word;
use plexum_openai_provider::{Config, mcp};

use super::error;
use super::method::{McpServer, Variable};
use crate::json_rpc::error::{RpcError, shortened};

/// What becomes of a session with servers that codex does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// It is not opened.
    Refused,
    /// It does without them.
    LeftOut,
}

/// Whether codex has these servers already, because the operator has configured them. If others are left out, returns what
/// to say about that.
///
/// # Errors
/// If it does not have one and others are refused, or if that is not known.
pub async fn check(
    config: &Config,
    wanted: &[McpServer],
    others: Others,
) -> Result<Option<String>, RpcError> {
    let configured = mcp::servers(config).await;
    // No fault of the client's.
    let configured = configured.map_err(|problem| {
        error::in_vain(&format!(
            "which MCP servers codex has is not known: {problem}; `codex mcp list` in a terminal shows it"
        ))
    })?;
    let mut left_out = Vec::new();
    for (position, server) in wanted.iter().enumerate() {
        if configured.iter().any(|known| is_it(known, server)) {
            continue;
        }
        if others == Others::LeftOut {
            left_out.push(shortened(&server.name));
            continue;
        }
        let field = format!("mcpServers[{position}]");
        // The command comes last, as it may be long and be cut off.
        let problem = format!(
            "a client does not decide which MCP servers codex has: take {:?} out of the client's settings, or have this agent do without it (`acp --leave-out-mcp-servers`){}",
            server.name,
            remedy(server)
        );
        return Err(RpcError::invalid_params(&field, &problem));
    }
    Ok((!left_out.is_empty()).then(|| {
        format!(
            "Codex does without these MCP servers of the client, as it is not configured with them: {}. `codex mcp add` in a terminal adds one.",
            left_out.join(", ")
        )
    }))
}

/// Whether codex's server does what the client wants of its own.
fn is_it(known: &mcp::McpServer, wanted: &McpServer) -> bool {
    match known {
        mcp::McpServer::Stdio { command, args, env } => {
            let has = |variable: &Variable| {
                let value = env.as_ref().and_then(|env| env.get(&variable.name));
                value == Some(&variable.value)
            };
            Some(command) == wanted.command.as_ref()
                && *args == wanted.args
                && wanted.env.iter().all(has)
        }
        // Headers may be secrets, which codex does not tell, so that nobody can say whether it has the same.
        mcp::McpServer::StreamableHttp { url } => {
            wanted.r#type.as_deref() == Some("http")
                && Some(url) == wanted.url.as_ref()
                && wanted.headers.is_empty()
        }
        _ => false,
    }
}

/// What else can be done about a server that codex does not have.
fn remedy(server: &McpServer) -> String {
    if server.r#type.as_deref() == Some("sse") {
        return ", as codex has no servers over SSE".to_owned();
    }
    if !server.headers.is_empty() {
        return ", as codex does not tell whether it has one with these headers; if it is configured in codex, it is used anyway".to_owned();
    }
    format!(", or have codex use it with `{}`", adding(server))
}

/// The command that adds it to codex's configuration. Values of variables may be secrets, and are left out.
fn adding(server: &McpServer) -> String {
    let mut words = vec!["codex".to_owned(), "mcp".to_owned(), "add".to_owned()];
    words.push(shell_word(&server.name));
    if let Some(url) = &server.url {
        words.extend(["--url".to_owned(), shell_word(url)]);
    }
    for variable in &server.env {
        words.extend([
            "--env".to_owned(),
            format!("{}=…", shell_word(&variable.name)),
        ]);
    }
    if let Some(command) = &server.command {
        words.push("--".to_owned());
        words.push(shell_word(command));
        words.extend(server.args.iter().map(|word| shell_word(word)));
    }
    words.join(" ")
}
