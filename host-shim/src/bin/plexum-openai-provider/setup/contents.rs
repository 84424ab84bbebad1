//! What is installed.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap_complete::Shell;
use plexum_openai_provider::COMPONENT;

use super::places::{Places, ProgramPlaces};
use crate::{completions, man, manifest};

/// The files of the WIT packages, by their places in the plugin's folder. They keep those of the repository, and with
/// `wkg.toml` the one package finds the other: what is installed can be built against.
const WIT: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/wit_files.rs"));

/// The schema of the configuration, which that names.
const SCHEMA: &str = include_str!("../../../../schemas/config.schema.json");

/// The file name of it.
pub const SCHEMA_NAME: &str = "config.schema.json";

/// A file to install.
#[derive(Debug)]
pub struct File {
    /// What is in it.
    pub content: Content,
    /// Where it belongs.
    pub place: PathBuf,
    /// Whether it is a program.
    pub is_program: bool,
}

/// What is in a file.
#[derive(Debug)]
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// What is in this file.
    Of(PathBuf),
}

/// What the plugin's folder gets: this component, or the one that is built in, and what belongs to it.
pub fn of_plugin(places: &Places, component: Option<&Path>) -> Result<Vec<File>> {
    let wasm = match component {
        Some(path) => {
            ensure!(
                path.is_file(),
                "{} is not a file: see --component",
                path.display()
            );
            std::fs::read(path)
                .with_context(|| format!("the component {} cannot be read", path.display()))?
        }
        None => COMPONENT.to_owned(),
    };
    let manifest = manifest::text(&wasm)
        .context("this component cannot be installed; nothing was installed")?;
    let mut files = Vec::new();
    let mut add = |name: &str, bytes: Vec<u8>| {
        files.push(File {
            content: Content::Bytes(bytes),
            place: places.plugin.join(name),
            is_program: false,
        });
    };
    add("plugin.wasm", wasm);
    add("plugin.json", format!("{manifest}\n").into_bytes());
    for (name, text) in WIT {
        add(name, text.as_bytes().to_owned());
    }
    add(SCHEMA_NAME, SCHEMA.as_bytes().to_owned());
    Ok(files)
}

/// This program, and what belongs to it.
pub fn of_program(program: &Path, places: &ProgramPlaces) -> Result<Vec<File>> {
    let mut files = Vec::new();
    let mut add = |place: PathBuf, bytes: Vec<u8>| {
        files.push(File {
            content: Content::Bytes(bytes),
            place,
            is_program: false,
        });
    };
    let shells = [Shell::Bash, Shell::Zsh, Shell::Fish];
    for (shell, place) in shells.into_iter().zip(places.completions()) {
        add(place, completions::script(shell));
    }
    for (name, page) in man::pages()? {
        add(places.manual(&name), page);
    }
    files.push(File {
        content: Content::Of(program.to_owned()),
        place: places.program(),
        is_program: true,
    });
    Ok(files)
}
