//! The sides of the comparison, and how each is started.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use tempfile::TempDir;

use crate::arguments::Arguments;
use crate::codex::{Codex, Kind};

/// What every turn asks.
pub const PROMPT: &str = "hello";

/// The name of the side that all are compared with.
pub const BARE: &str = "bare";

/// This project.
pub const OURS: &str = "ours";

/// This project as it was before.
pub const BEFORE: &str = "before";

/// Where among these sides this project is, as it was before and as it is; nothing where only one of them is.
pub fn versions<'a>(sides: impl Iterator<Item = &'a str> + Clone) -> Option<[usize; 2]> {
    let of = |name| sides.clone().position(|side| side == name);
    Some([of(BEFORE)?, of(OURS)?])
}

/// Where a file is synced at no cost: the only thing that a turn there does without.
const MEMORY: &str = "/dev/shm";

/// Where the scripts of the sides in JavaScript are, and what they need.
pub const SCRIPTS_FOLDER: &str = "node";

const SCRIPTS: [(&str, &str); 4] = [
    ("side.mjs", include_str!("../../node/side.mjs")),
    (
        "official-sdk.mjs",
        include_str!("../../node/official-sdk.mjs"),
    ),
    ("ai-sdk.mjs", include_str!("../../node/ai-sdk.mjs")),
    (
        "ai-sdk-app-server.mjs",
        include_str!("../../node/ai-sdk-app-server.mjs"),
    ),
];

/// One of the things that are compared.
#[derive(Debug)]
pub struct Side {
    pub name: &'static str,
    form: Form,
    scratch: PathBuf,
    /// Where its workspaces and its state are, if they are not on the disk. Dropping it removes it.
    memory: Option<TempDir>,
}

#[derive(Debug)]
enum Form {
    Bare {
        live: PathBuf,
    },
    Script {
        node: PathBuf,
        script: PathBuf,
    },
    Rust {
        program: PathBuf,
    },
    Ours {
        live: Option<PathBuf>,
        program: Option<PathBuf>,
        without: Option<Promise>,
    },
}

/// What this project does that others leave out, and what it costs: the side does without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Promise {
    /// A conversation is on the disk before its first event.
    Sync,
    /// Whatever codex has started ends with the turn.
    Supervision,
}

/// All sides for which there is what they need, the bare one first.
pub fn all(arguments: &Arguments, scratch: &Path) -> anyhow::Result<Vec<Side>> {
    let beside = std::env::current_exe()?;
    let mut forms = vec![(
        BARE,
        Form::Bare {
            live: beside.with_file_name("side-bare"),
        },
    )];
    if let (Some(node), Some(modules), false) = (
        &arguments.node,
        &arguments.node_modules,
        arguments.compares(),
    ) {
        let folder = scratch.join(SCRIPTS_FOLDER);
        fs::create_dir(&folder)?;
        symlink(modules, folder.join("node_modules"))?;
        for (name, text) in SCRIPTS {
            fs::write(folder.join(name), text)?;
        }
        for name in ["official-sdk", "ai-sdk"] {
            let (node, script) = (node.clone(), folder.join(name).with_extension("mjs"));
            forms.push((name, Form::Script { node, script }));
        }
    }
    let program = beside.with_file_name("side-codex-wrapper");
    if program.exists() && !arguments.compares() {
        forms.push(("codex-wrapper", Form::Rust { program }));
    }
    let mut add = |name, live: &Option<PathBuf>, program: &Option<PathBuf>, without| {
        if live.is_some() || program.is_some() {
            let (live, program) = (live.clone(), program.clone());
            forms.push((
                name,
                Form::Ours {
                    live,
                    program,
                    without,
                },
            ));
        }
    };
    if arguments.compares() {
        add(BEFORE, &arguments.before_live, &arguments.before, None);
    }
    add(OURS, &arguments.ours_live, &arguments.ours, None);
    if !arguments.compares() {
        let sync = Some(Promise::Sync);
        add("ours-unsynced", &arguments.ours_live, &arguments.ours, sync);
        // A program cannot do without it.
        let supervision = Some(Promise::Supervision);
        add(
            "ours-unsupervised",
            &arguments.ours_live,
            &None,
            supervision,
        );
    }
    for folder in ["home", "tmp"] {
        fs::create_dir(scratch.join(folder))
            .with_context(|| format!("cannot create a folder in {}", scratch.display()))?;
    }
    let side = |(name, form)| Side {
        name,
        form,
        scratch: scratch.to_owned(),
        memory: None,
    };
    let mut sides: Vec<Side> = forms.into_iter().map(side).collect();
    for side in &mut sides {
        if side.without() == Some(Promise::Sync) {
            let memory = tempfile::Builder::new()
                .prefix("bench-peers-")
                .tempdir_in(MEMORY);
            side.memory = Some(memory.with_context(|| format!("{MEMORY} is not to be used"))?);
        }
    }
    Ok(sides)
}

impl Side {
    /// Whether the side is worth the time with this codex. What a promise costs, the real one drowns in its noise.
    pub fn runs_on(&self, codex: Kind) -> bool {
        codex == Kind::Fake || self.without().is_none()
    }

    fn without(&self) -> Option<Promise> {
        match self.form {
            Form::Ours { without, .. } => without,
            _ => None,
        }
    }

    /// Where its workspaces are that have this name.
    pub fn workspaces(&self, codex: &Codex, name: &str) -> PathBuf {
        let memory = self.memory.as_ref().map(TempDir::path);
        let folder = memory.unwrap_or(&codex.folder);
        folder.join(format!("{name}-{}", self.name))
    }

    /// The process that carries out turns as they are ordered, if the side has one.
    pub fn live(&self, codex: &Codex) -> Option<Command> {
        let mut command = match &self.form {
            Form::Bare { live } => Command::new(live),
            Form::Script { node, script } => with_argument(node, script),
            Form::Rust { program } => Command::new(program),
            Form::Ours { live, .. } => Command::new(live.as_ref()?),
        };
        command.arg("live").arg(&codex.program);
        if self.without() == Some(Promise::Supervision) {
            command.arg("unsupervised");
        }
        self.surround(&mut command, codex);
        Some(command)
    }

    /// The program that carries out one turn in `folder` and ends, if the side has one. For the bare side
    /// it is codex.
    pub fn program(&self, codex: &Codex, folder: &Path) -> Option<Command> {
        let mut command = match &self.form {
            Form::Bare { .. } => {
                let mut command = Command::new(&codex.program);
                command.args(bench_peers::side::codex_arguments(PROMPT));
                command.current_dir(folder);
                command
            }
            Form::Script { node, script } => {
                let mut command = with_argument(node, script);
                command
                    .arg("program")
                    .arg(&codex.program)
                    .args([folder, Path::new(PROMPT)]);
                command
            }
            Form::Rust { program } => {
                let mut command = Command::new(program);
                command
                    .arg("program")
                    .arg(&codex.program)
                    .args([folder, Path::new(PROMPT)]);
                command
            }
            Form::Ours { program, .. } => {
                let mut command = Command::new(program.as_ref()?);
                command
                    .args(["say", "--json", "--config"])
                    .arg(codex.our_config());
                command.arg("--workspace").arg(folder).arg("--").arg(PROMPT);
                command
            }
        };
        self.surround(&mut command, codex);
        Some(command)
    }

    fn surround(&self, command: &mut Command, codex: &Codex) {
        surround(command, &self.scratch, &codex.home(self));
        if let Some(memory) = &self.memory {
            command.env("XDG_STATE_HOME", memory.path().join("state"));
        }
    }
}

/// The same small environment for all, but for the `CODEX_HOME`.
pub fn surround(command: &mut Command, scratch: &Path, codex_home: &Path) {
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LANG", "C.UTF-8")
        .env("HOME", scratch.join("home"))
        .env("TMPDIR", scratch.join("tmp"))
        .env("CODEX_HOME", codex_home);
}

fn with_argument(program: &Path, argument: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg(argument);
    command
}
