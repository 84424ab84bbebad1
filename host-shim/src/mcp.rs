//! The MCP servers that codex is configured with: which programs these are is the operator's decision, and no client's.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::codex::query;
use crate::config::Config;
use crate::grant::program::resolve;

/// An MCP server that codex starts or calls.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum McpServer {
    /// A command, which codex speaks to over its standard input and output.
    Stdio {
        /// The program.
        command: String,
        /// Its arguments.
        #[serde(default)]
        args: Vec<String>,
        /// The variables that are set for it.
        #[serde(default)]
        env: Option<BTreeMap<String, String>>,
    },
    /// A server that is there already.
    StreamableHttp {
        /// Where.
        url: String,
    },
    /// One of a kind that is newer than this.
    #[serde(other)]
    Other,
}

/// An entry of `codex mcp list --json`, 0.135 to 0.169.
#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    enabled: bool,
    transport: McpServer,
}

/// The servers that codex uses in every turn, as `codex mcp list` tells.
///
/// # Errors
/// If codex cannot be asked, or its answer is not understood: why, in a sentence.
pub async fn servers(config: &Config) -> Result<Vec<McpServer>, String> {
    let search_path = std::env::var_os("PATH");
    let program = resolve(config.binary.as_deref(), search_path.as_deref())
        .map_err(|error| error.to_string())?;
    let mut args: Vec<&str> = settings(&config.extra_args).collect();
    args.extend(["mcp", "list", "--json"]);
    let answer = query::ask_for_document(&program, &args, config).await;
    let answer = answer.map_err(|error| error.said)?;
    if !answer.status.success() {
        let said = answer.stderr.lines().next().unwrap_or("nothing");
        let status = answer.status;
        return Err(format!("`codex mcp list --json` fails ({status}): {said}"));
    }
    let entries: Vec<Entry> = serde_json::from_str(&answer.stdout)
        .map_err(|error| format!("`codex mcp list --json` is not understood: {error}"))?;
    let entries = entries.into_iter().filter(|entry| entry.enabled);
    Ok(entries.map(|entry| entry.transport).collect())
}

/// Those of these arguments that are settings (`-c KEY=VALUE`), which every command of codex takes.
fn settings(args: &[String]) -> impl Iterator<Item = &str> {
    let pairs = args.windows(2).filter_map(|pair| match pair {
        [flag, value] if flag == "-c" || flag == "--config" => Some([&**flag, &**value]),
        _ => None,
    });
    pairs.flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_codex_lists_is_read() {
        let listed = r#"[
            {"name":"lab","enabled":true,"disabled_reason":null,"transport":{"type":"stdio","command":"/bin/lab","args":["-x"],"env":{"A":"b"},"env_vars":[],"cwd":null},"startup_timeout_sec":null},
            {"name":"web","enabled":true,"transport":{"type":"streamable_http","url":"http://127.0.0.1:1/mcp","bearer_token_env_var":null}},
            {"name":"new","enabled":true,"transport":{"type":"pigeon","coop":7}}
        ]"#;
        let entries: Vec<Entry> = serde_json::from_str(listed).unwrap();
        let servers: Vec<_> = entries.into_iter().map(|entry| entry.transport).collect();
        let env = BTreeMap::from([("A".to_owned(), "b".to_owned())]);
        assert_eq!(
            servers,
            [
                McpServer::Stdio {
                    command: "/bin/lab".into(),
                    args: vec!["-x".into()],
                    env: Some(env),
                },
                McpServer::StreamableHttp {
                    url: "http://127.0.0.1:1/mcp".into()
                },
                McpServer::Other,
            ]
        );
    }

    #[test]
    fn only_settings_are_passed_on() {
        let args = ["-c", "a=1", "--search", "--config", "b=2", "-c"].map(str::to_owned);
        assert!(settings(&args).eq(["-c", "a=1", "--config", "b=2"]));
    }
}
