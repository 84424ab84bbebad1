//! `man`: the manual pages.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Command, CommandFactory};

use super::Cli;
use super::audit::write;

/// Print the manual page, or write the pages of all subcommands to a folder.
#[derive(Args)]
#[command(after_help = "\
Examples:
  plexum-openai-provider man | man -l -
  plexum-openai-provider man --dir ~/.local/share/man/man1

Exit codes: 0 done, 2 the pages cannot be written.")]
pub struct Man {
    /// Write all pages here, one for the program and one for each subcommand; the folder is created if needed
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    pub fn run(self) -> Result<ExitCode> {
        match &self.dir {
            None => {
                let mut page = Vec::new();
                clap_mangen::Man::new(all_shown()).render(&mut page)?;
                write(&page)?;
            }
            Some(dir) => {
                std::fs::create_dir_all(dir)
                    .and_then(|()| clap_mangen::generate_to(all_shown(), dir))
                    .with_context(|| {
                        format!("the manual pages cannot be written to {}", dir.display())
                    })?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// All pages, with their file names.
pub fn pages() -> Result<Vec<(String, Vec<u8>)>> {
    let write = || -> io::Result<_> {
        // The generator writes files and nothing else.
        let folder = tempfile::tempdir()?;
        clap_mangen::generate_to(all_shown(), folder.path())?;
        let mut pages = Vec::new();
        for entry in std::fs::read_dir(folder.path())? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            pages.push((name, std::fs::read(entry.path())?));
        }
        pages.sort();
        Ok(pages)
    };
    write().context(
        "the manual pages cannot be written to a temporary folder: free some space, or set TMPDIR",
    )
}

/// The program with all its subcommands: those that `--help` leaves out have pages too.
fn all_shown() -> Command {
    Cli::command().mut_subcommands(|subcommand| subcommand.hide(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_the_program_and_for_each_subcommand() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("share/man/man1");
        let man = Man {
            dir: Some(dir.clone()),
        };
        man.run().unwrap();
        let page = |name: &str| std::fs::read_to_string(dir.join(format!("{name}.1"))).unwrap();
        let program = page("plexum-openai-provider");
        for subcommand in Cli::command().get_subcommands() {
            let name = format!("plexum-openai-provider-{}", subcommand.get_name());
            // Roff would take a bare hyphen for a typographic one.
            assert!(program.contains(&name.replace('-', "\\-")), "{name}");
            let page = page(&name);
            assert!(page.contains(".TH ") && page.contains(".SH DESCRIPTION"));
        }
        // The actions of `session` have pages of their own.
        page("plexum-openai-provider-session-reset");
    }
}
