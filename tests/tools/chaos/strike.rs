//! What comes over a turn while codex runs.

use std::fmt::Debug;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use plexum_openai_provider::SESSION_FILE;
use plexum_openai_provider_tests::attack::{Attack, supervisor_of};
use plexum_openai_provider_tests::fake_codex::calls;
use plexum_openai_provider_tests::random::Random;
use plexum_openai_provider_tests::wait::is_running;
use tempfile::TempDir;

use crate::fault::{Fault, GO, READY};

/// A thread of nobody's, to be planted.
const PLANTED: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4b";

/// Where a turn runs: a workspace, the state of its host, and a file that is nobody's business.
pub struct Place {
    folder: TempDir,
    /// The workspace, wherever it is by now.
    pub workspace: PathBuf,
    /// Whether a file of the state is hit after the turn and not during it.
    later: bool,
}

impl Place {
    /// A new one below this folder.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(root: &Path, random: &mut Random) -> Result<Self> {
        let folder = TempDir::new_in(root)?;
        let place = Place {
            workspace: folder.path().join("workspace"),
            folder,
            later: random.unit() < 0.5,
        };
        fs::create_dir(&place.workspace)?;
        fs::write(place.victim(), "untouched")?;
        Ok(place)
    }

    /// The folder with all of it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What `XDG_STATE_HOME` is for its host.
    #[must_use]
    pub fn state_home(&self) -> PathBuf {
        self.folder().join("state")
    }

    /// The state of its host.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.state_home().join("plexum-openai-provider")
    }

    /// A file outside of the workspace.
    #[must_use]
    pub fn victim(&self) -> PathBuf {
        self.folder().join("victim")
    }

    /// Waits until codex is at work, has the fault come over it, and lets it go on.
    ///
    /// # Errors
    /// When that does not work.
    pub async fn strike(&mut self, fault: Fault, random: &mut Random) -> Result<()> {
        while !self.workspace.join(READY).exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Where codex believes that it is.
        let here = self.workspace.clone();
        match fault {
            Fault::SupervisorKilled => attack(&here, Attack::Kill).await?,
            Fault::SupervisorStopped => attack(&here, Attack::Stop).await?,
            Fault::SupervisorFlooded => attack(&here, Attack::Flood).await?,
            Fault::SupervisorKeptStopped => {
                let (supervisor, codex) = (supervisor(&here)?, codex(&here)?);
                // Until this codex is gone: the supervisor may serve another turn then, whose fault is another one.
                tokio::task::spawn_blocking(move || {
                    while is_running(codex) && Attack::Stop.on(supervisor).is_ok() {}
                });
            }
            Fault::StateDamaged | Fault::StateObstructed if !self.later => {
                self.hit_state(fault, random)?;
            }
            Fault::WorkspaceRenamed => {
                let renamed = self.folder().join("renamed");
                fs::rename(&here, &renamed)?;
                fs::create_dir(&here)?;
                self.workspace = renamed;
            }
            _ => self.hit_session(fault)?,
        }
        // Of a supervisor that was killed, codex is about to end.
        if fault != Fault::SupervisorKilled {
            fs::write(here.join(GO), "")?;
        }
        Ok(())
    }

    /// What comes over it between two turns.
    ///
    /// # Errors
    /// When that does not work.
    pub fn strike_later(&self, fault: Fault, random: &mut Random) -> Result<()> {
        let is_states = matches!(fault, Fault::StateDamaged | Fault::StateObstructed);
        match is_states && self.later {
            true => self.hit_state(fault, random),
            false => Ok(()),
        }
    }

    /// Checks that nothing was written where it does not belong.
    ///
    /// # Errors
    /// When something was.
    pub fn nothing_else_is_written(&self, fault: impl Debug) -> Result<()> {
        let victim = fs::read_to_string(self.victim())?;
        ensure!(victim == "untouched", "{fault:?}: {victim} was written");
        let impostor = self.folder().join("workspace");
        if impostor != self.workspace {
            let written = impostor.join(SESSION_FILE).exists();
            ensure!(!written, "{fault:?}: another folder has the session file");
        }
        Ok(())
    }

    fn hit_session(&self, fault: Fault) -> Result<()> {
        let file = self.workspace.join(SESSION_FILE);
        let is_replaced = matches!(
            fault,
            Fault::SessionRemoved
                | Fault::SessionBecomesFolder
                | Fault::SessionBecomesFifo
                | Fault::SessionBecomesLink
        );
        if is_replaced {
            fs::remove_file(&file)?;
        }
        match fault {
            Fault::SessionPlanted => fs::write(&file, PLANTED)?,
            Fault::SessionBecomesFolder => full_folder(&file)?,
            Fault::SessionBecomesFifo => fifo(&file)?,
            Fault::SessionBecomesLink => symlink(self.victim(), &file)?,
            _ => {}
        }
        Ok(())
    }

    fn hit_state(&self, fault: Fault, random: &mut Random) -> Result<()> {
        let mut files = Vec::new();
        for folder in ["threads", "workspaces"] {
            for entry in fs::read_dir(self.state().join(folder))? {
                files.push(entry?.path());
            }
        }
        let file = random.choose(&files).context("the state has files")?;
        let kind = random.choose(&[0, 1, 2]).copied();
        if fault == Fault::StateDamaged {
            let content = fs::read(file)?;
            let half = content.len() / 2;
            let damaged: &[u8] = match kind {
                Some(0) => b"\0\xff{",
                Some(1) => content.get(..half).unwrap_or_default(),
                _ => b"",
            };
            return Ok(fs::write(file, damaged)?);
        }
        fs::remove_file(file)?;
        match kind {
            Some(0) => full_folder(file),
            Some(1) => fifo(file),
            _ => Ok(symlink(self.victim(), file)?),
        }
    }
}

fn full_folder(path: &Path) -> Result<()> {
    fs::create_dir(path)?;
    Ok(fs::write(path.join("inside"), "")?)
}

fn fifo(path: &Path) -> Result<()> {
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: reads a string that lives until the call is over.
    match unsafe { libc::mkfifo(path.as_ptr(), 0o600) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error().into()),
    }
}

/// The supervisor of the codex that runs in this workspace.
///
/// # Errors
/// When there is none.
pub fn supervisor(workspace: &Path) -> Result<i32> {
    supervisor_of(codex(workspace)?)
}

/// The codex that runs in this workspace.
///
/// # Errors
/// When there is none.
pub fn codex(workspace: &Path) -> Result<i32> {
    Ok(calls(workspace)?.last().context("codex has begun")?.pid)
}

async fn attack(workspace: &Path, attack: Attack) -> Result<()> {
    let supervisor = supervisor(workspace)?;
    tokio::task::spawn_blocking(move || attack.on(supervisor)).await?
}
