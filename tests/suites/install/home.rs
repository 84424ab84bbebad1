//! A scratch home, and the script run in it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use plexum_openai_provider_tests::signal::DefaultSignals as _;
use plexum_openai_provider_tests::workspace::{cache_home, copy_machine_code, program};
use tempfile::TempDir;

use super::repository;

/// All that the script may need, cargo apart; and `cp` and `mkdir` for what stands for cargo.
const TOOLS: [&str; 10] = [
    "cat",
    "cp",
    "dirname",
    "gzip",
    "mkdir",
    "mktemp",
    "rm",
    "rmdir",
    "sha256sum",
    "tar",
];

pub const PLUGIN: &str = ".plexum/plugins/plexum-openai-provider";
pub const PROGRAM: &str = ".local/bin/plexum-openai-provider";
pub const CONFIG: &str = ".plexum/plugins/plexum-openai-provider/config.json";

/// A home folder, and beside it what the script needs.
pub struct Home {
    /// The folder that all the others are in.
    pub scratch: TempDir,
    /// The home.
    pub path: PathBuf,
    /// A codex, in a folder that is on PATH.
    pub codex: PathBuf,
    tools: PathBuf,
    /// Where temporary files go.
    pub temporary: PathBuf,
    /// The machine code that is found, unless each installation is to compile it.
    machine_code: Option<TempDir>,
}

/// What the script printed, and its exit code.
#[derive(Debug)]
pub struct Ran {
    pub stdout: String,
    pub stderr: String,
    pub code: Option<i32>,
}

/// All files and folders: their modes, and a hash of their content or of where a link leads.
pub type Tree = BTreeMap<PathBuf, (u32, u64)>;

impl Home {
    pub fn new() -> Self {
        Self::named("home")
    }

    /// One in a folder of this name.
    pub fn named(name: &str) -> Self {
        Self::within(TempDir::new().unwrap(), name)
    }

    /// One in the tester's own home, unless that is a temporary one itself.
    pub fn outside_of_temporary_folders() -> Option<Self> {
        let own = std::env::home_dir()?.canonicalize().ok()?;
        if own.starts_with("/tmp") || own.starts_with(std::env::temp_dir()) {
            return None;
        }
        let scratch = tempfile::Builder::new()
            .prefix(".plexum-test-")
            .tempdir_in(own);
        Some(Self::within(scratch.ok()?, "home").without_machine_code())
    }

    /// The same, with the home's own cache.
    pub fn without_machine_code(self) -> Self {
        Home {
            machine_code: None,
            ..self
        }
    }

    fn within(scratch: TempDir, name: &str) -> Self {
        let folder = |name: &str| {
            let path = scratch.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        let (path, tools, temporary) = (folder(name), folder("tools"), folder("temporary"));
        for tool in TOOLS {
            symlink(tool_path(tool), tools.join(tool)).unwrap();
        }
        let codex = folder("codex's folder").join("codex");
        symlink(env!("CARGO_BIN_EXE_fake-codex"), &codex).unwrap();
        // Not among temporary files, where none is believed.
        let machine_code = tempfile::Builder::new()
            .prefix(".plexum-test-")
            .tempdir_in(cache_home().unwrap().parent().unwrap());
        Home {
            machine_code: Some(machine_code.unwrap()),
            scratch,
            path,
            codex,
            tools,
            temporary,
        }
    }

    /// A program to install that stands for the real one; the text tells it from others.
    pub fn program(&self, text: &str) -> PathBuf {
        let path = self.scratch.path().join("built");
        let real = program().display();
        write_script(&path, &format!("# {text}\nexec '{real}' \"$@\""));
        path
    }

    /// One that compiles nothing, which takes the real one most of its time.
    pub fn quick_program(&self, text: &str) -> PathBuf {
        let path = self.scratch.path().join("quick");
        let real = program().display();
        write_script(
            &path,
            &format!("# {text}\n[ \"$1\" = setup ] || exit 0\nexec '{real}' \"$@\""),
        );
        path
    }

    /// Adds a tool.
    pub fn add_tool(&self, name: &str, script: &str) {
        write_script(&self.tools.join(name), script);
    }

    /// The script of this repository, to be completed.
    pub fn script(&self) -> Command {
        self.script_in(repository::root())
    }

    /// The script of another one.
    pub fn script_in(&self, repository: &Path) -> Command {
        let mut command = Command::new(repository.join("scripts/install.sh"));
        command
            .env_clear()
            .env("HOME", &self.path)
            .env("PATH", self.search_path())
            .env("TMPDIR", &self.temporary)
            .stdin(Stdio::null())
            .default_signals();
        if let Some(folder) = self.machine_code() {
            command.env("XDG_CACHE_HOME", folder);
        }
        command
    }

    /// A cache that has the machine code, also after an installation has cleared it.
    pub fn machine_code(&self) -> Option<&Path> {
        let folder = self.machine_code.as_ref()?.path();
        copy_machine_code(folder);
        Some(folder)
    }

    /// PATH: the tools and codex.
    pub fn search_path(&self) -> OsString {
        std::env::join_paths([&self.tools, self.codex.parent().unwrap()]).unwrap()
    }

    /// PATH without codex.
    pub fn search_path_without_codex(&self) -> &OsStr {
        self.tools.as_os_str()
    }

    /// Installs the stand-in, with these arguments besides.
    pub fn install<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        let mut command = self.script();
        command
            .arg("--program")
            .arg(self.program("stand-in"))
            .args(args);
        self.run(&mut command)
    }

    /// Runs a script. Whatever it does, it leaves no temporary file, and it never claims success with an error.
    pub fn run(&self, command: &mut Command) -> Ran {
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let ran = Ran {
            stdout: text(output.stdout),
            stderr: text(output.stderr),
            code: output.status.code(),
        };
        assert_eq!(
            ran.code == Some(0),
            !ran.stderr.contains("error: "),
            "{ran:?}"
        );
        assert_eq!(tree(&self.temporary), Tree::new(), "{ran:?}");
        ran
    }

    /// All that is in the home, but for its cache.
    pub fn tree(&self) -> Tree {
        let mut tree = tree(&self.path);
        // A cache may stay or go.
        tree.retain(|path, _| !path.starts_with(".cache"));
        tree
    }

    /// Whether a component's machine code is kept.
    pub fn has_machine_code(&self) -> bool {
        self.path.join(".cache/plexum-openai-provider").exists()
    }

    /// The text of a file in the home.
    pub fn read(&self, relative: &str) -> String {
        std::fs::read_to_string(self.path.join(relative)).unwrap()
    }

    /// Writes a file in the home.
    pub fn write(&self, relative: &str, content: &str) {
        let path = self.path.join(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

pub fn write_script(path: &Path, script: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

fn tool_path(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{name} is not on PATH"))
}

/// All that is in a folder.
pub fn tree(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let content = if metadata.is_symlink() {
                let target = std::fs::read_link(&path).unwrap();
                target.into_os_string().into_encoded_bytes()
            } else if metadata.is_dir() {
                folders.push(path.clone());
                Vec::new()
            } else {
                std::fs::read(&path).unwrap()
            };
            let relative = path.strip_prefix(root).unwrap().to_owned();
            let mut hasher = DefaultHasher::new();
            content.hash(&mut hasher);
            tree.insert(relative, (metadata.permissions().mode(), hasher.finish()));
        }
    }
    tree
}
