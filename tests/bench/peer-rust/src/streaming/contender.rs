//! The sides that pass text on, or are compared with those that do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::arguments::Arguments;
use crate::codex::Model;
use crate::sides::{self, BEFORE, OURS};

use super::dialect::Dialect;

/// The side that the others are paired with: codex and nothing between.
pub const DIRECT: &str = "direct";
/// This project, with a new codex for each turn.
pub const EXEC: &str = "ours-exec";
/// This project, for a client of the Agent Client Protocol.
const ACP: &str = "ours-acp";

/// What is told in place of a version where codex answers at once.
const FAKE: &str = "fake";

/// In how many folders a side works at the same time.
pub const FOLDERS: usize = 10;

/// One of the things that are compared, on one version of codex.
#[derive(Debug)]
pub struct Contender {
    pub name: &'static str,
    /// The version of codex.
    pub version: String,
    pub dialect: Dialect,
    pub codex: PathBuf,
    program: PathBuf,
    words: Vec<PathBuf>,
    scratch: PathBuf,
    home: PathBuf,
}

/// What is driven.
struct Driven<'a> {
    codex: &'a Path,
    /// Its version, or [`FAKE`].
    version: String,
    /// The configuration of its model.
    config: Option<&'a Path>,
    /// Whether others drive it too.
    others: bool,
}

/// All for which there is what they need. The first of each version is the direct one.
pub fn all(arguments: &Arguments, scratch: &Path, model: &Model) -> anyhow::Result<Vec<Contender>> {
    let mut all = Vec::new();
    // The others are measured on the newer codex only.
    for (codex, newest) in [(&arguments.real_codex, true), (&arguments.old_codex, false)] {
        let Some(codex) = codex else { continue };
        if arguments.compares() && !newest {
            continue;
        }
        let driven = Driven {
            codex,
            version: version(codex)?,
            config: Some(&model.config),
            others: newest && !arguments.compares(),
        };
        all.extend(of(arguments, scratch, &driven)?);
    }
    Ok(all)
}

/// The direct one and this project's, on a codex that answers at once. Others ask more of it than it knows.
pub fn on_fake(
    arguments: &Arguments,
    scratch: &Path,
    codex: &Path,
) -> anyhow::Result<Vec<Contender>> {
    let driven = Driven {
        codex,
        version: FAKE.to_owned(),
        config: None,
        others: false,
    };
    let mut all = of(arguments, scratch, &driven)?;
    all.retain(|side| side.name != EXEC);
    Ok(all)
}

fn of(
    arguments: &Arguments,
    scratch: &Path,
    driven: &Driven<'_>,
) -> anyhow::Result<Vec<Contender>> {
    let Driven { codex, version, .. } = driven;
    let mut all = Vec::new();
    let mut add = |name, dialect, program: &Path, words: Vec<PathBuf>| -> anyhow::Result<()> {
        let home = scratch.join(format!("streaming/home-{name}-{version}"));
        fs::create_dir_all(&home)?;
        if let Some(config) = driven.config {
            fs::copy(config, home.join("config.toml"))?;
        }
        all.push(Contender {
            name,
            version: version.clone(),
            dialect,
            codex: codex.to_path_buf(),
            program: program.to_owned(),
            words,
            scratch: scratch.to_owned(),
            home,
        });
        Ok(())
    };
    // As this project's host starts it.
    let words = [
        "app-server",
        "-c",
        "features.unbounded_connection_retries=false",
    ];
    let words = words.map(PathBuf::from).to_vec();
    add(DIRECT, Dialect::AppServer, codex, words)?;
    let processes = FOLDERS.max(arguments.at_once);
    let staying = serde_json::json!({
        "binary": codex,
        "transport": "app-server",
        "server": { "processes": processes },
    });
    let exec = serde_json::json!({ "binary": codex, "transport": "exec" });
    let ours = match arguments.compares() {
        true => [
            (BEFORE, &staying, &arguments.before),
            (OURS, &staying, &arguments.ours),
        ],
        false => [
            (OURS, &staying, &arguments.ours),
            (EXEC, &exec, &arguments.ours),
        ],
    };
    for (name, settings, program) in ours {
        let Some(program) = program else { continue };
        let config = scratch.join(format!("streaming/{name}-{version}.json"));
        fs::write(&config, settings.to_string())?;
        let words = vec!["serve".into(), "--config".into(), config.clone()];
        add(name, Dialect::Serve, program, words)?;
        // Beside codex-acp, and so where that is measured, and to see what it adds to `serve`.
        if name == OURS && (driven.others || driven.config.is_none()) && !arguments.compares() {
            let words = vec!["acp".into(), "--config".into(), config];
            add(ACP, Dialect::Acp, program, words)?;
        }
    }
    if let (true, Some(node), Some(_)) = (driven.others, &arguments.node, &arguments.node_modules) {
        let folder = scratch.join(sides::SCRIPTS_FOLDER);
        let acp = "node_modules/@agentclientprotocol/codex-acp/dist/index.js";
        add("codex-acp", Dialect::Acp, node, vec![folder.join(acp)])?;
        for (name, script) in [
            ("ai-sdk", "ai-sdk-app-server.mjs"),
            ("codex-sdk", "official-sdk.mjs"),
        ] {
            let words = vec![folder.join(script), "stream".into(), codex.to_path_buf()];
            add(name, Dialect::Orders, node, words)?;
        }
    }
    Ok(all)
}

impl Contender {
    /// Whether its codex is the one that answers at once.
    pub fn is_fake(&self) -> bool {
        self.version == FAKE
    }

    /// Whether it carries out many turns at once, each with a codex that stays.
    pub fn is_many(&self) -> bool {
        self.dialect != Dialect::Orders && self.name != EXEC
    }

    /// What starts a process of it, in or for this folder.
    pub fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.words).current_dir(folder);
        sides::surround(&mut command, &self.scratch, &self.home);
        if self.dialect == Dialect::Acp {
            command
                .env("CODEX_PATH", &self.codex)
                // Without a sandbox, and without questions: as the others.
                .env("INITIAL_AGENT_MODE", "agent-full-access");
        }
        command
    }
}

/// The version that a codex says it is of.
fn version(codex: &Path) -> anyhow::Result<String> {
    let output = Command::new(codex).arg("--version").output()?;
    ensure!(output.status.success(), "{} does not run", codex.display());
    let text = String::from_utf8(output.stdout)?;
    let version = text
        .split_whitespace()
        .last()
        .context("a codex without a version")?;
    Ok(version.to_owned())
}
