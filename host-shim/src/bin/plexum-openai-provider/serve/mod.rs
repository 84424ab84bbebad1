//! `serve`: turns for a runtime that is not Rust, in JSON-RPC 2.0 over standard input and output.
//!
//! ```text
//! stdin ─▶ json_rpc ─▶ requests ─▶ turns ─▶ json_rpc ─▶ stdout
//!                          └────── answers ────▶┘
//! ```

mod error;
mod message;
mod method;
mod metrics_page;
mod requests;
mod success;
mod turns;

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use clap::Args;

use self::requests::Requests;
use self::turns::Turns;
use super::json_rpc::connection;
use super::json_rpc::standard_streams::{STANDARD_STREAMS, StandardInput, StandardOutput};
use super::json_rpc::stdio::{Signals, exit_code};
use super::provider_args::ProviderArgs;

/// Run turns for another program: JSON-RPC 2.0, one message a line on standard input and output.
///
/// The messages follow host-shim/schemas/serve.schema.json. Standard error is the log.
#[derive(Args)]
#[command(
    after_help = r#"Examples, what the client writes (>) and what it reads (<):
  > {"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1,"clientInfo":{"name":"me"}}}
  < {"jsonrpc":"2.0","id":1,"result":{"protocolVersion":1,"serverInfo":{…},"component":{…},"capabilities":{…}}}
  > {"jsonrpc":"2.0","id":2,"method":"turn/start","params":{"workspace":"/home/me/agent","prompt":"hello"}}
  < {"jsonrpc":"2.0","id":2,"result":{"turnId":"turn-1"}}
  < {"jsonrpc":"2.0","method":"turn/event","params":{"turnId":"turn-1","event":{"type":"message_start",…}}}
  < {"jsonrpc":"2.0","method":"turn/event","params":{"turnId":"turn-1","event":{"type":"text_delta",…}}}
  < {"jsonrpc":"2.0","method":"turn/event","params":{"turnId":"turn-1","event":{"type":"message_end",…}}}
  > {"jsonrpc":"2.0","id":3,"method":"shutdown"}
  < {"jsonrpc":"2.0","id":3,"result":{}}

Methods:
  initialize   {protocolVersion, clientInfo?}    first of all
  models/list                                    the models on offer
  metrics/get                                    counters of everything so far
  turn/start   {workspace, prompt or messages, model?, session?, instructions?, options?}
                                                 answered at once; then come the events
  turn/cancel  {turnId}                          the turn still reports its end
  ping                                           is answered
  shutdown                                       cancels all turns; answered when they have ended

The end of standard input, SIGTERM, SIGHUP and Ctrl-C are a shutdown too. In a shell, to see it work:
  (echo '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1}}'
   echo '{"jsonrpc":"2.0","id":2,"method":"models/list"}') | plexum-openai-provider serve

Exit codes: 0 it was ended, 1 not everything could be written, 2 it could not begin."#
)]
pub struct Serve {
    #[command(flatten)]
    provider: ProviderArgs,
    /// Show the metrics at http://ADDRESS/metrics, for Prometheus. Only an address of this machine, such as 127.0.0.1:9464
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,
}

impl Serve {
    pub fn run(self) -> Result<ExitCode> {
        super::keep_private();
        super::open_more_files();
        let provider = self.provider.provider(None)?;
        let runtime = super::runtime(1 + STANDARD_STREAMS)?;
        let served = runtime.block_on(async {
            let signals = Signals::watch()?;
            let description = provider
                .describe()
                .await
                .map_err(|error| anyhow!("the component cannot describe itself: {error:#}"))?;
            let metrics = match self.metrics_listen {
                Some(address) => {
                    let listener = metrics_page::listen(address).await?;
                    let address = listener
                        .local_addr()
                        .context("the metrics have no address")?;
                    eprintln!("The metrics are at http://{address}/metrics.");
                    Some(tokio::spawn(metrics_page::answer(
                        listener,
                        provider.clone(),
                    )))
                }
                None => None,
            };
            let (reader, writer) = (StandardInput::new(), StandardOutput::new());
            let service = |events| {
                let turns = Turns::new(provider.clone(), events);
                Requests::new(&provider, description, turns)
            };
            let served = connection::serve(service, reader, writer, signals.stopped()).await;
            provider.close().await;
            if let Some(metrics) = metrics {
                metrics.abort();
            }
            anyhow::Ok(served)
        })?;
        // On a thread, a read of standard input cannot be cancelled, and waiting for it would mean waiting for the client.
        runtime.shutdown_background();
        Ok(exit_code(served))
    }
}
