//! `audit`: everything that a component may do, without running it.

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use plexum_openai_provider::audit::{
    self, Audit, AuditError, Component, Difference, Interfaces, Verdict,
};
use plexum_openai_provider::{COMPONENT, Config};

/// Show everything that a component may do under the configuration, without running it.
#[derive(Args)]
#[command(after_help = "\
Examples:
  plexum-openai-provider audit
  plexum-openai-provider audit --json > audit.json
  plexum-openai-provider audit new.wasm --check audit.json
  plexum-openai-provider audit new.wasm --diff old.wasm

Exit codes: 0 within the grant; 1 it wants more than the grant, or --check or --diff found that what it may do
differs; 2 a file cannot be read; 3 it is not a component of this world. If
several apply, the highest.")]
pub struct AuditCommand {
    /// The component [default: the one built in]
    #[arg(value_name = "COMPONENT")]
    component: Option<PathBuf>,
    /// The configuration [default: ~/.plexum/plugins/plexum-openai-provider/config.json, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON, as host-shim/schemas/audit.schema.json describes it
    #[arg(long)]
    json: bool,
    /// Compare the imports and exports with those in this file: what `--json` printed, or lines such as
    /// `import plexum:codex/log@0.1.0`
    #[arg(long, value_name = "GOLDEN")]
    check: Option<PathBuf>,
    /// Print only how COMPONENT (+) differs from this one (-)
    #[arg(long, value_name = "OTHER.wasm", conflicts_with_all = ["json", "check"])]
    diff: Option<PathBuf>,
}

pub const DIFFERENT: u8 = 1;
const UNREADABLE: u8 = 2;
pub const NOT_THIS_WORLD: u8 = 3;

impl AuditCommand {
    pub fn run(self) -> Result<ExitCode> {
        let config = super::config(self.config.as_deref())?;
        let audit = match examined(self.component.as_deref(), &config)? {
            Ok(audit) => audit,
            Err(code) => return Ok(ExitCode::from(code)),
        };
        let verdict = match audit.verdict {
            Verdict::WithinTheGrant => 0,
            Verdict::OutsideTheGrant => DIFFERENT,
            Verdict::NotThisWorld => NOT_THIS_WORLD,
        };
        let compared = match (&self.diff, &self.check) {
            (Some(other), _) => {
                let other = match examined(Some(other), &config)? {
                    Ok(other) => other,
                    Err(code) => return Ok(ExitCode::from(code)),
                };
                let (text, code) = difference(&audit.component, &other.component);
                print(&text)?;
                return Ok(ExitCode::from(code));
            }
            (None, Some(golden)) => check(&audit, golden)?,
            (None, None) => 0,
        };
        print(&if self.json {
            serde_json::to_string_pretty(&audit)?
        } else {
            audit.to_string()
        })?;
        Ok(ExitCode::from(verdict.max(compared)))
    }
}

/// The audit of a file or of the built-in component. If it is not a component, reports that and returns the exit
/// code.
pub fn examined(component: Option<&Path>, config: &Config) -> Result<Result<Audit, u8>> {
    let (bytes, name) = match component {
        None => (COMPONENT.to_owned(), "the built-in component".to_owned()),
        Some(path) => {
            let name = path.display().to_string();
            let bytes = std::fs::read(path)
                .with_context(|| format!("the component {name} cannot be read"))?;
            (bytes, name)
        }
    };
    Ok(Audit::of(&bytes, config).map_err(|error| {
        eprintln!("error: {name}: {error}");
        match error {
            AuditError::NotAComponent(_) => NOT_THIS_WORLD,
            _ => UNREADABLE,
        }
    }))
}

/// Reports on standard error how the component differs from the golden file.
fn check(audit: &Audit, golden: &Path) -> Result<u8> {
    let name = golden.display();
    let text = std::fs::read_to_string(golden).with_context(|| format!("{name} cannot be read"))?;
    let golden = Interfaces::parse(&text).with_context(|| name.to_string())?;
    let differences = Interfaces::of(&audit.component).differences(&golden);
    if differences.is_empty() {
        return Ok(0);
    }
    eprintln!(
        "error: the component's interfaces differ from {name} (+ only in the component, - only in the file):"
    );
    for difference in differences {
        eprintln!("{difference}");
    }
    eprintln!("Read the additions. If you accept them, write {name} again.");
    Ok(DIFFERENT)
}

/// How one component differs from another, and the exit code for that.
fn difference(component: &Component, other: &Component) -> (String, u8) {
    if component.sha256 == other.sha256 {
        return ("the components are the same, byte for byte".into(), 0);
    }
    let mut lines = Vec::new();
    for (sign, component) in [('-', other), ('+', component)] {
        let audit::Component { sha256, size, .. } = component;
        lines.push(format!("{sign} sha256 {sha256}, {size} bytes"));
    }
    let differences = Interfaces::of(component).differences(&Interfaces::of(other));
    lines.extend(differences.iter().map(Difference::to_string));
    if differences.is_empty() {
        lines.push("the imports and exports are the same".into());
        return (lines.join("\n"), 0);
    }
    (lines.join("\n"), DIFFERENT)
}

/// Prints a text and a line feed.
pub fn print(text: &str) -> Result<()> {
    write(format!("{text}\n").as_bytes())
}

/// Writes to standard output. A closed pipe is not an error: the reader has seen enough.
pub fn write(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("standard output cannot be written to"),
    }
}
