//! Turns with random faults: `chaos exec PROGRAM CODEX HOSTILE.wasm TURNS AT_ONCE [SEED]`, and
//! `chaos app-server PROGRAM CODEX TURNS AT_ONCE [SEED]` for a codex that stays.
//!
//! Most turns run in this process. Where the fault meets a process as a whole, PROGRAM runs the turn, with `say` or `serve`.
//!
//! Every turn must have one end, of a kind that its fault allows, before its clocks run out twice; and must leave no
//! process, descriptor or temporary file. Where the fault is about the conversation, another turn must go on with it, and
//! so it must whatever has happened to a codex that stays. The memory at the end may be 1.2 times that after the first tenth.

mod bench;
mod fault;
mod run;
mod say;
mod server_bench;
mod server_fault;
mod server_host;
mod strike;
mod turned;

use anyhow::{Context as _, Result, bail};
use tokio::task::LocalSet;

use self::bench::ExecBench;
use self::run::Run;
use self::server_bench::ServerBench;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: chaos exec PROGRAM CODEX HOSTILE.wasm TURNS AT_ONCE [SEED], \
                 chaos app-server PROGRAM CODEX TURNS AT_ONCE [SEED]";
    let transport = args.next().context(usage)?;
    let program = std::path::absolute(args.next().context(usage)?)?;
    let codex = std::path::absolute(args.next().context(usage)?)?;
    let hostile = match &*transport {
        "exec" => Some(std::fs::read(args.next().context(usage)?)?),
        "app-server" => None,
        _ => bail!(usage),
    };
    let run = Run {
        turns: args.next().context(usage)?.parse()?,
        at_once: args.next().context(usage)?.parse()?,
        seed: args.next().map_or(Ok(1), |seed| seed.parse())?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = LocalSet::new();
    let done = match hostile {
        Some(hostile) => {
            let bench = ExecBench::new(&program, &codex, &hostile)?;
            local.block_on(&runtime, run.on(bench))
        }
        None => {
            let bench = ServerBench::new(&program, &codex)?;
            local.block_on(&runtime, run.on(bench))
        }
    };
    // Not by waiting for a turn that hangs.
    runtime.shutdown_background();
    done
}
