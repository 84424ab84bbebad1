//! The MCP servers that a client wants codex to have.
//!
//! **Invariant:** a client does not decide which programs run here. Codex has those that the operator has configured.

use plexum_openai_provider::audit::shell_word;
use plexum_openai_provider::{Config, mcp};

use super::error;
use super::method::{McpServer, Variable};
use crate::json_rpc::error::RpcError;

/// Whether codex has these servers already, because the operator has configured them.
///
/// # Errors
/// If it does not have one, or if that is not known.
pub async fn check(config: &Config, wanted: &[McpServer]) -> Result<(), RpcError> {
    let configured = mcp::servers(config).await;
    // No fault of the client's.
    let configured = configured.map_err(|problem| {
        error::internal(&format!(
            "which MCP servers codex has is not known: {problem}; `codex mcp list` in a terminal shows it"
        ))
    })?;
    for (position, server) in wanted.iter().enumerate() {
        if configured.iter().any(|known| is_it(known, server)) {
            continue;
        }
        let field = format!("mcpServers[{position}]");
        // The command comes last, as it may be long and be cut off.
        let problem = format!(
            "a client does not decide which MCP servers codex has: take {:?} out of the client's settings for this agent{}",
            server.name,
            remedy(server)
        );
        return Err(RpcError::invalid_params(&field, &problem));
    }
    Ok(())
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
