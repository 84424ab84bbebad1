//! `completions`: what a shell needs to complete this program's arguments.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use super::audit::write;

/// Print what a shell needs to complete the arguments of this program.
#[derive(Args)]
#[command(after_help = "\
Example:
  plexum-openai-provider completions bash > ~/.local/share/bash-completion/completions/plexum-openai-provider")]
pub struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub fn run(self) -> Result<ExitCode> {
        write(&script(self.shell))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What this shell needs.
pub fn script(shell: Shell) -> Vec<u8> {
    // In memory: the generator panics where it cannot write, and pipes are closed early.
    let mut script = Vec::new();
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut script);
    script
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn each_shell_completes_each_subcommand_that_help_shows() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(*shell)).unwrap();
            let command = Cli::command();
            let shown = |subcommand: &&clap::Command| !subcommand.is_hide_set();
            for subcommand in command.get_subcommands().filter(shown) {
                let name = subcommand.get_name();
                let words = script.split(|char: char| !(char.is_alphanumeric() || char == '-'));
                assert!(words.clone().any(|word| word == name), "{shell}: {name}");
            }
        }
    }
}
