//! `setup`: puts the plugin into a user's home, and takes it out again.
//!
//! The script `install.sh`, the Debian package and a program that cargo has installed share it.

mod contents;
mod folders;
mod places;
mod plan;
mod put;
mod record;
mod remove;

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use clap::Args;
use plexum_openai_provider::audit::shell_word;
use tokio::signal::unix::{SignalKind, signal};

use self::places::{NAME, Places, ProgramPlaces, usable};
use self::put::{Step, put};
use self::record::{Record, exists, is_one_of};
use self::remove::Removal;
use super::audit::print;
use super::harmless::harmless;
use super::new_config::NewConfig;
use super::plexum_allow::{self, Change};
use super::{ignored_signals, sentence};

/// Put the plugin into this user's ~/.plexum: component, manifest, WIT, and config.json if there is none.
#[derive(Args)]
#[command(after_help = "\
It installs for this user:

  ~/.plexum/plugins/plexum-openai-provider/   component, manifest, WIT, schema, and config.json if there is none
  ~/.cache/plexum-openai-provider/            the component's machine code
  with --program FILE also
  ~/.local/bin/plexum-openai-provider         the program
  ~/.local/share/…                            completions for bash, zsh and fish, manual pages

Run it again to upgrade. A config.json that is there is never changed.

Exit codes: 0 done, 1 it could not be done, 2 wrong arguments, 129, 130 or 143 a signal stopped it before
anything had changed.")]
pub struct Setup {
    /// Also add the plugin to `plugins.allow` in FILE, the configuration of Plexum; with --uninstall, take it out
    #[arg(long, value_name = "FILE")]
    plexum_config: Option<PathBuf>,
    /// Program, completions and manual pages below DIR instead of ~/.local; an upgrade leaves them where they are,
    /// unless this says otherwise
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
    /// The home folder, instead of $HOME
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
    /// Install this program too, with its completions and manual pages; it has to be this version
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Install this component instead of the one in the program
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Remove what was installed, wherever that was; config.json stays
    #[arg(long)]
    uninstall: bool,
    /// With --uninstall: remove config.json too
    #[arg(long, requires = "uninstall")]
    purge: bool,
}

/// Has stopped an installation: the number of the signal.
#[derive(Debug, thiserror::Error)]
#[error("a signal stopped the installation, and nothing was installed")]
struct Stopped(u8);

impl Setup {
    pub fn run(mut self) -> Result<ExitCode> {
        for path in [&mut self.prefix, &mut self.home].into_iter().flatten() {
            *path = usable(path)?;
        }
        let places = Places::new(self.home.as_deref(), std::env::var_os("HOME").as_deref());
        let done = places.and_then(|places| {
            if self.uninstall {
                self.remove(&places)
            } else {
                self.install(&places)
            }
        });
        let Err(error) = done else {
            return Ok(ExitCode::SUCCESS);
        };
        eprintln!("error: {}", harmless(&sentence(&error)));
        Ok(match error.downcast_ref() {
            Some(Stopped(signal)) => ExitCode::from(128 + signal),
            None => ExitCode::FAILURE,
        })
    }

    fn install(&self, places: &Places) -> Result<()> {
        if let Some(program) = &self.program {
            let is_program = program.metadata().is_ok_and(|metadata| {
                metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
            });
            ensure!(
                is_program,
                "{} is not a program: see --program",
                program.display()
            );
        }
        let codex = on_path("codex");
        let old = Record::read(places)?;
        let program = self.program_to_install(&old)?;
        let program_places = self.program_places(places, &old);
        let mut files = contents::of_plugin(places, self.component.as_deref())?;
        if let Some(program) = &program {
            files.extend(contents::of_program(program, &program_places)?);
        }
        for file in &files {
            folders::check(file.place.parent().unwrap_or(Path::new("/")))?;
        }
        if self.dry_run {
            let (lines, warnings) = plan::plan(places, &old, &files);
            print(&lines.join("\n"))?;
            if let Some(plexum_config) = &self.plexum_config {
                print(&format!(
                    "would add {NAME} to `plugins.allow` in {}",
                    plexum_config.display()
                ))?;
            }
            warnings.iter().for_each(|warning| warn(warning));
            if codex.is_none() && !exists(&places.config) {
                warn_of_codex(places);
            }
            return Ok(());
        }
        let config = self.new_config(places, codex.as_deref())?;
        let is_new = config.is_some();
        if let Some(file) = &self.plexum_config {
            plexum_allow::change_file(file, Change::Add, true).context("nothing was installed")?;
        }
        let watched = Watched::start()?;
        let made = folders::make_plugin_folder(places)?;
        let lock = folders::lock(places, "Nothing was installed")?;
        // Another one may have come and gone since.
        let old = match made.is_empty() {
            true => Record::read(places)?,
            false => Record::default(),
        };
        let done = put(places, &old, made, files, config, &|step| {
            watched.go_on(step)
        })?;
        drop(lock);
        for path in &done.removed {
            print(&format!(
                "removed {}, which has no place in this version or under this prefix",
                path.display()
            ))?;
        }
        for path in &done.kept {
            warn(&format!(
                "{} was changed since installation, and stays",
                path.display()
            ));
        }
        let installed = match program {
            Some(_) => program_places.program(),
            None => own_program()?,
        };
        // So that no start has to compile the component, the first neither.
        if let Err(error) = cache(places, &installed, &[]) {
            warn(&format!(
                "the component's machine code is not kept ({error:#}), so that every start compiles it, which takes a tenth of a second"
            ));
        }
        if let Some(file) = &self.plexum_config {
            let said = plexum_allow::change_file(file, Change::Add, false).with_context(|| {
                format!("everything else is installed; add \"{NAME}\" to `plugins.allow` by hand")
            })?;
            print(&said)?;
        }
        if is_new {
            if codex.is_none() {
                warn_of_codex(places);
            }
        } else if let Err(problem) = accepted(places, &installed) {
            warn(&format!(
                "your config.json was kept, and it does not let the new component run: {problem}"
            ));
        }
        self.show_next(places, &installed)
    }

    /// The program that was named; or this one, if it is the installed one, as it must not remove itself.
    fn program_to_install(&self, old: &Record) -> Result<Option<PathBuf>> {
        if self.program.is_some() {
            return Ok(self.program.clone());
        }
        let own = own_program()?;
        let programs = old.files.iter().filter(|file| file.is_program());
        let programs: Vec<_> = programs.map(|file| file.path.clone()).collect();
        Ok(is_one_of(&own, &programs).then_some(own))
    }

    fn program_places(&self, places: &Places, old: &Record) -> ProgramPlaces {
        let prefix = self.prefix.clone().or_else(|| old.prefix());
        ProgramPlaces {
            prefix: prefix.unwrap_or_else(|| places.home.join(".local")),
        }
    }

    /// A configuration to start from, unless there is one.
    fn new_config(&self, places: &Places, codex: Option<&Path>) -> Result<Option<String>> {
        if exists(&places.config) {
            return Ok(None);
        }
        let new = NewConfig {
            binary: codex.map(Path::to_owned),
            schema: Some(format!("./{}", contents::SCHEMA_NAME)),
        };
        let text = new.text().context("nothing was installed")?;
        Ok(Some(format!("{text}\n")))
    }

    fn show_next(&self, places: &Places, installed: &Path) -> Result<()> {
        let mut lines = vec![
            format!("Installed {NAME} {}:", env!("CARGO_PKG_VERSION")),
            format!("  plugin   {}", places.plugin.display()),
            format!("  program  {}", installed.display()),
            format!("  config   {}", places.config.display()),
        ];
        let folder = installed.parent().unwrap_or(Path::new("/"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let command = if std::env::split_paths(&path).any(|entry| entry == folder) {
            NAME.to_owned()
        } else {
            warn(&format!(
                "{} is not on PATH: add it in the profile of your shell, or call the program by its path",
                folder.display()
            ));
            quoted(installed)
        };
        lines.push("Next:".to_owned());
        if self.plexum_config.is_none() {
            lines.push(format!(
                "  .plugins.allow += [\"{NAME}\"]   in the configuration of Plexum, or let --plexum-config FILE do it"
            ));
        }
        lines.push("  plexum agent-add --model codex my-agent".to_owned());
        lines.push("  systemctl --user restart plexum".to_owned());
        lines.push("  plexum say …".to_owned());
        let options = if places.is_own() {
            String::new()
        } else {
            format!(" --config {}", quoted(&places.config))
        };
        lines.push(format!(
            "To check the installation: {command} doctor{options}"
        ));
        print(&lines.join("\n"))
    }

    fn remove(&self, places: &Places) -> Result<()> {
        let can_lock = places.plugin.is_dir() && !self.dry_run;
        let lock = can_lock
            .then(|| folders::lock(places, "Nothing was removed"))
            .transpose()?;
        let record = Record::read(places)?;
        let is_there = !record.files.is_empty();
        if !is_there {
            print(&format!(
                "Nothing is installed in {}.",
                places.plugin.display()
            ))?;
        }
        let removal = Removal::of(places, &record, self.purge);
        removal.warnings.iter().for_each(|warning| warn(warning));
        if let Some(file) = &self.plexum_config {
            let said = plexum_allow::change_file(file, Change::Remove, self.dry_run)
                .context("nothing was removed")?;
            print(&said)?;
        }
        if exists(&places.config) && !self.purge {
            print(&format!(
                "{} stays; --purge removes it.",
                places.config.display()
            ))?;
        }
        if self.dry_run {
            if is_there {
                print("would remove the machine code that is kept in the cache")?;
            }
            return print(&removal.plan().join("\n"));
        }
        if is_there
            && let Err(error) = own_program().and_then(|own| cache(places, &own, &["--clear"]))
        {
            warn(&format!(
                "the machine code in the cache could not be removed: {error:#}"
            ));
        }
        removal.run(places)?;
        drop(lock);
        if places.plugin.is_symlink() {
            print(&format!(
                "{} is a link, which was not made here, and stays.",
                places.plugin.display()
            ))?;
        }
        if is_there {
            print(&format!("{NAME} is removed."))?;
            if self.plexum_config.is_none() {
                print(&format!(
                    "Take \"{NAME}\" out of `plugins.allow` in the configuration of Plexum, and run: systemctl --user restart plexum"
                ))?;
            }
        }
        Ok(())
    }
}

/// This program.
fn own_program() -> Result<PathBuf> {
    std::env::current_exe().context("the program does not know its own path")
}

/// The signals that stop an installation, as long as nothing has changed. It watches until this process ends.
struct Watched(Arc<AtomicU8>);

impl Watched {
    fn start() -> Result<Self> {
        let arrived = Arc::new(AtomicU8::new(0));
        let runtime = super::runtime(0)?;
        let watch = || -> io::Result<_> {
            let _inside = runtime.enter();
            Ok((
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                ignored_signals::watch_hangup()?,
            ))
        };
        let (mut interrupt, mut terminate, mut hangup) =
            watch().context("signals cannot be watched")?;
        let noted = Arc::clone(&arrived);
        std::thread::Builder::new()
            .spawn(move || {
                let number = runtime.block_on(async {
                    tokio::select! {
                        _ = interrupt.recv() => 2,
                        _ = terminate.recv() => 15,
                        () = ignored_signals::arrives(&mut hangup) => 1,
                    }
                });
                noted.store(number, Ordering::Relaxed);
            })
            .context("signals cannot be watched")?;
        Ok(Watched(arrived))
    }

    /// Whether to go on. What takes its place takes it whatever comes: it is done in a moment.
    fn go_on(&self, step: Step) -> Result<()> {
        match self.0.load(Ordering::Relaxed) {
            number if number > 0 && step == Step::Write => bail!(Stopped(number)),
            _ => Ok(()),
        }
    }
}

/// Fills the user's cache of machine code, or clears it.
fn cache(places: &Places, program: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(program);
    command.arg("cache").args(arguments);
    if !places.is_own() {
        // Another home has a cache of its own.
        command
            .env("HOME", &places.home)
            .env_remove("XDG_CACHE_HOME");
    }
    run(command).map_err(|said| anyhow!(said))
}

/// Whether the operator's configuration lets the installed component run.
fn accepted(places: &Places, program: &Path) -> Result<()> {
    let mut command = Command::new(program);
    command.arg("audit").arg("--config").arg(&places.config);
    command.arg("--").arg(places.plugin.join("plugin.wasm"));
    run(command).map_err(|said| match &*said {
        "" => anyhow!("its `component_sha256` names another one"),
        _ => anyhow!(said),
    })
}

/// Runs a program to its end. An error is what it said.
fn run(mut command: Command) -> Result<(), String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{} cannot be run: {error}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim();
    Err(said.strip_prefix("error: ").unwrap_or(said).to_owned())
}

/// The first program of this name on PATH, by an absolute path.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| {
            let executes = rustix::fs::access(file, rustix::fs::Access::EXEC_OK);
            file.is_file() && executes.is_ok()
        });
    std::path::absolute(found?).ok()
}

fn warn(text: &str) {
    eprintln!("warning: {}", harmless(text));
}

fn warn_of_codex(places: &Places) {
    warn(&format!(
        "codex is not on PATH, so config.json does not name it. Install it (npm install -g @openai/codex), log in (codex login), and set `binary` in {} to what `command -v codex` prints",
        places.config.display()
    ));
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    shell_word(&path.display().to_string())
}
