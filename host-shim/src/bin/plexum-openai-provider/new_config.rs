//! `new-config`: a configuration to start from.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use plexum_openai_provider::Config;
use plexum_openai_provider::grant::npm_script;
use serde::Serialize;

use super::audit::print;

/// Print a configuration to start from: the program and nothing else. Every other setting has its default.
#[derive(Args)]
#[command(after_help = "\
Example:
  plexum-openai-provider new-config --binary \"$(command -v codex)\" > config.json

Exit codes: 0 printed, 2 such a configuration would not be valid.")]
pub struct NewConfig {
    /// The codex program, an absolute path; for the script that npm installs, the program behind it is written
    /// [default: left out, so that codex is looked for on PATH]
    #[arg(long, value_name = "FILE")]
    pub binary: Option<PathBuf>,
    /// Where editors find the schema, relative to the configuration [default: left out]
    #[arg(long, value_name = "FILE")]
    pub schema: Option<String>,
}

/// What is written; everything else has its default.
#[derive(Serialize)]
struct Beginning {
    #[serde(rename = "$schema", skip_serializing_if = "Option::is_none")]
    schema: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binary: Option<PathBuf>,
}

impl NewConfig {
    pub fn run(self) -> Result<ExitCode> {
        print(&self.text()?)?;
        Ok(ExitCode::SUCCESS)
    }

    /// The text of it.
    pub fn text(self) -> Result<String> {
        let binary = self
            .binary
            .map(|path| npm_script::program_behind(&path).unwrap_or(path));
        let shown = binary.as_deref().map(|path| path.display().to_string());
        let text = serde_json::to_string_pretty(&Beginning {
            schema: self.schema,
            binary,
        })
        .with_context(|| {
            format!(
                "the path {} is not UTF-8, and so cannot be written in JSON: rename it, or create a link to it",
                shown.unwrap_or_default()
            )
        })?;
        Config::parse("the new configuration".as_ref(), &text)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn text(binary: Option<&OsStr>, schema: Option<&str>) -> Result<String> {
        let command = NewConfig {
            binary: binary.map(PathBuf::from),
            schema: schema.map(str::to_owned),
        };
        command.text()
    }

    #[test]
    fn it_holds_what_was_said_and_is_read_as_that() {
        assert_eq!(text(None, None).unwrap(), "{}");
        let binary = "/with \"quotes\" and\\ a\tspace/codex";
        let text = text(Some(binary.as_ref()), Some("config.schema.json")).unwrap();
        let config = Config::parse("c.json".as_ref(), &text).unwrap();
        assert_eq!(config.binary.unwrap().as_os_str(), binary);
        assert_eq!(config.schema.unwrap(), "config.schema.json");
    }

    #[test]
    fn a_path_that_no_configuration_can_hold_is_an_error() {
        let error = text(Some("codex".as_ref()), None).unwrap_err().to_string();
        assert!(error.contains("not an absolute path"), "{error}");
        let error = text(Some(OsStr::from_bytes(b"/\xff/codex")), None).unwrap_err();
        assert!(error.to_string().contains("UTF-8"), "{error}");
    }
}
