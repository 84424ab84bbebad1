//! Where things are installed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// The name of the plugin, of the program, and of the folders of both.
pub const NAME: &str = env!("CARGO_PKG_NAME");

/// The plugin's folder, from a home folder.
pub const PLUGIN: &str = concat!(".plexum/plugins/", env!("CARGO_PKG_NAME"));

/// The places below a home folder.
#[derive(Debug, Clone)]
pub struct Places {
    /// The home folder.
    pub home: PathBuf,
    /// The one in which the program will look for its configuration; `None` if there is none.
    pub own_home: Option<PathBuf>,
    /// The plugin's folder.
    pub plugin: PathBuf,
    /// The operator's configuration.
    pub config: PathBuf,
    /// What was installed.
    pub record: PathBuf,
}

impl Places {
    /// Those below the home folder that was named, or else below that of the environment.
    pub fn new(named: Option<&Path>, environment: Option<&OsStr>) -> Result<Self> {
        let environment = environment.filter(|home| !home.is_empty()).map(Path::new);
        let own_home = environment.filter(|home| home.is_absolute()).map(normal);
        let home = match (named, &own_home) {
            (Some(named), _) => usable(named)?,
            (None, Some(own)) => usable(own)?,
            (None, None) => {
                let environment =
                    environment.context("HOME is not set: name the home folder with --home DIR")?;
                anyhow::bail!(
                    "HOME is not an absolute path ('{}'): set it right, or name the home folder with --home DIR",
                    environment.display()
                )
            }
        };
        let plugin = home.join(PLUGIN);
        Ok(Places {
            config: plugin.join("config.json"),
            record: plugin.join(".installed"),
            plugin,
            own_home,
            home,
        })
    }

    /// Whether the program will look for its configuration here.
    pub fn is_own(&self) -> bool {
        self.own_home.as_ref() == Some(&self.home)
    }
}

/// A folder as it is written in the record: absolute, and without `.` and `..`.
pub fn usable(path: &Path) -> Result<PathBuf> {
    ensure!(
        !path.as_os_str().as_bytes().contains(&b'\n'),
        "a path with a line feed cannot be used: {path:?}"
    );
    let absolute = std::path::absolute(path)
        .with_context(|| format!("{} has no absolute path", path.display()))?;
    Ok(normal(&absolute))
}

/// The path without `.` and `..`; links are not looked at.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

/// The places of the program and what belongs to it.
#[derive(Debug, Clone)]
pub struct ProgramPlaces {
    /// The folder that all of them are below.
    pub prefix: PathBuf,
}

impl ProgramPlaces {
    /// The program.
    pub fn program(&self) -> PathBuf {
        self.prefix.join("bin").join(NAME)
    }

    /// The manual page with this file name.
    pub fn manual(&self, name: &str) -> PathBuf {
        self.prefix.join("share/man/man1").join(name)
    }

    /// The completions for bash, zsh and fish, in this order.
    pub fn completions(&self) -> [PathBuf; 3] {
        let share = self.prefix.join("share");
        [
            share.join("bash-completion/completions").join(NAME),
            share.join("zsh/site-functions").join(format!("_{NAME}")),
            share
                .join("fish/vendor_completions.d")
                .join(format!("{NAME}.fish")),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_absolute_and_normal() {
        let home = |named: Option<&str>, environment: Option<&str>| {
            let places = Places::new(named.map(Path::new), environment.map(OsStr::new));
            places.map(|places| places.home.display().to_string())
        };
        assert_eq!(home(None, Some("/a/../b/./c/")).unwrap(), "/b/c");
        assert_eq!(home(Some("/x"), Some("relative")).unwrap(), "/x");
        for (environment, said) in [
            (None, "HOME is not set"),
            (Some(""), "HOME is not set"),
            (Some("home"), "HOME is not an absolute path ('home')"),
        ] {
            let error = home(None, environment).unwrap_err().to_string();
            assert!(
                error.contains(said) && error.contains("--home DIR"),
                "{error}"
            );
        }
        assert!(home(Some("/a\nb"), None).is_err());
    }
}
