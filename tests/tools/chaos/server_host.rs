//! Turns of a codex that stays, in a host of their own: faults that meet a host as a whole, or codex's home.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use plexum_openai_provider_tests::census::processes_below;
use plexum_openai_provider_tests::warm::WarmServe;
use serde_json::json;

use crate::fault::READY;
use crate::run::Tally;
use crate::server_bench::script;
use crate::server_fault::ServerFault;
use crate::turned::Turned;

/// A `serve` and the conversation in it.
struct Host<'a> {
    fault: ServerFault,
    program: &'a Path,
    folder: &'a Path,
    workspace: &'a Path,
    serve: WarmServe,
    thread: Option<String>,
}

/// A conversation with this fault, by this program. It may block, but not for ever.
///
/// # Errors
/// When something does not hold that must.
pub fn in_own_host(
    fault: ServerFault,
    program: &Path,
    codex: &Path,
    folder: &Path,
    workspace: &Path,
) -> Result<Tally> {
    fs::create_dir(home(folder))?;
    let limits = json!({ "grace_seconds": 1 });
    let content = json!({ "binary": codex, "transport": "app-server", "limits": limits });
    fs::write(configuration(folder), content.to_string())?;
    let mut host = Host {
        serve: start(program, folder)?,
        fault,
        program,
        folder,
        workspace,
        thread: None,
    };
    let mut tally = host.usual_turn()?;
    match fault {
        ServerFault::LoginReplaced => {
            let login = r#"{"OPENAI_API_KEY":"sk-one"}"#;
            fs::write(home(folder).join("auth.json"), login)?;
        }
        ServerFault::SettingsReplaced => {
            fs::write(home(folder).join("config.toml"), "model = \"m\"\n")?;
        }
        ServerFault::HostKilledWaiting => host.kill()?,
        ServerFault::HostEndsWaiting => {
            host.end()?;
            host.serve = start(program, folder)?;
        }
        ServerFault::HostKilledInTurn => {
            script(fault).write_to(workspace)?;
            host.serve.begin(workspace, "hello")?;
            while !workspace.join(READY).exists() {
                sleep(Duration::from_millis(5));
            }
            script(ServerFault::None).write_to(workspace)?;
            host.kill()?;
            tally += Turned::default().tally();
        }
        other => bail!("{other:?} needs no host of its own"),
    }
    tally += host.usual_turn()?;
    tally += host.usual_turn()?;
    // A new one after the fault, and no other.
    let codexes = plexum_openai_provider_tests::fake_codex::calls(workspace)?.len();
    ensure!(codexes == 2, "{codexes} codex processes were started");
    host.end()?;
    Ok(tally)
}

impl Host<'_> {
    fn usual_turn(&mut self) -> Result<Tally> {
        let mut turned = Turned::default();
        for event in self.serve.say(self.workspace, "hello")?.events {
            turned.note(self.fault, event)?;
        }
        turned.check_end(self.fault, &ServerFault::None.ends(false))?;
        ensure!(turned.text == "echo: hello", "it said {}", turned.text);
        ensure!(
            self.thread.is_none() || turned.resumed && turned.thread == self.thread,
            "{:?} was followed by {turned:?}",
            self.thread
        );
        self.thread.clone_from(&turned.thread);
        Ok(turned.tally())
    }

    /// Kills it, and starts another one.
    fn kill(&mut self) -> Result<()> {
        self.serve.process.kill()?;
        self.serve.process.wait()?;
        self.serve = start(self.program, self.folder)?;
        Ok(())
    }

    /// Has it end, which means that nothing is left.
    fn end(&mut self) -> Result<()> {
        self.serve.close_stdin();
        let ended = self.serve.process.wait()?;
        ensure!(ended.success(), "serve ended with {ended}");
        let left = processes_below(&self.folder.canonicalize()?);
        ensure!(left.is_empty(), "serve has ended, and left {left:?}");
        Ok(())
    }
}

fn start(program: &Path, folder: &Path) -> Result<WarmServe> {
    let state_home = folder.join("state");
    WarmServe::start(program, &configuration(folder), &home(folder), &state_home)
}

fn home(folder: &Path) -> PathBuf {
    folder.join("home")
}

fn configuration(folder: &Path) -> PathBuf {
    folder.join("config.json")
}
