//! The side `bare`: starts codex and reads what it prints. Nothing is parsed, kept or watched over.

use std::process::{Command, Stdio};

use anyhow::bail;
use bench_peers::processes;
use bench_peers::side::{self, Mode};

fn main() -> anyhow::Result<()> {
    let (codex, Mode::Live) = side::arguments()? else {
        bail!("as a program, the side `bare` is codex itself");
    };
    side::serve(|order, began| {
        let commands = order.folders.iter().map(|folder| {
            let mut command = Command::new(&codex);
            command.args(side::codex_arguments(&order.prompt));
            command.current_dir(folder).stderr(Stdio::null());
            command
        });
        let ended = processes::run(commands.collect(), began)?;
        Ok(ended.iter().map(|ended| ended.timing).collect())
    })
}
