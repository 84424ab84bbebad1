//! The supervisor, a program of its own beside the host.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{cargo, variable};

const PACKAGE: &str = "plexum-openai-provider-supervisor";
const PROGRAM: &str = "plexum-codex-supervisor";

/// What makes its package a workspace: it is no member of the one whose target folder it may be in, and a package brings no
/// profile. This one is the clone's.
const WORKSPACE: &str = "
[workspace]

[profile.release]
lto = true
codegen-units = 1
strip = true
";

/// Where it is built from.
pub enum Source {
    /// The clone.
    Workspace(PathBuf),
    /// A copy of its package, as cargo has that in a folder which nothing may be written to.
    Copy {
        /// The folder of the copy.
        folder: PathBuf,
        /// Whether it is below the embedder's own folder, with the versions and the configuration that cargo has there.
        /// `cargo install` builds in the folder for temporary files, and what is above that may be anybody's.
        is_embedders: bool,
    },
}

impl Source {
    /// Copies its package, which its library comes from, into a folder of `out`.
    pub fn copy(out: &Path) -> Result<Self, String> {
        // Its build script says where it is.
        let package = PathBuf::from(variable("DEP_PLEXUM_CODEX_SUPERVISOR_FOLDER")?);
        let copy = out.join("supervisor-source");
        let source = copy.join("src");
        std::fs::create_dir_all(&source)
            .map_err(|error| format!("{}: {error}", source.display()))?;
        let manifest = read(&package.join("Cargo.toml"))?;
        crate::write(
            &copy.join("Cargo.toml"),
            format!("{manifest}{WORKSPACE}").as_bytes(),
        )?;
        put(&package.join("build.rs"), &copy)?;
        let files = package.join("src");
        let entries =
            std::fs::read_dir(&files).map_err(|error| format!("{}: {error}", files.display()))?;
        for entry in entries {
            put(&entry.map_err(|error| error.to_string())?.path(), &source)?;
        }
        // The versions that the embedder chose. Without them, cargo chooses among those that it has.
        let lock = embedders_lock(out)?;
        match &lock {
            Some(lock) => {
                println!("cargo::rerun-if-changed={}", lock.display());
                put(lock, &copy)?;
            }
            None => {
                let earlier = copy.join("Cargo.lock");
                if earlier.exists() {
                    std::fs::remove_file(&earlier)
                        .map_err(|error| format!("{}: {error}", earlier.display()))?;
                }
            }
        }
        Ok(Self::Copy {
            folder: copy,
            is_embedders: lock.is_some(),
        })
    }
}

/// The embedder's `Cargo.lock`: the next above the target folder, if it is this user's and nobody else's.
fn embedders_lock(out: &Path) -> Result<Option<PathBuf>, String> {
    let of = |path: &Path| {
        std::fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let user = of(out)?.uid();
    let mut locks = out
        .ancestors()
        .map(|folder| (folder, folder.join("Cargo.lock")));
    let Some((folder, lock)) = locks.find(|(_, lock)| lock.is_file()) else {
        return Ok(None);
    };
    for path in [folder, &lock] {
        let metadata = of(path)?;
        if metadata.uid() != user || metadata.mode() & 0o002 != 0 {
            return Ok(None);
        }
    }
    Ok(Some(lock))
}

/// Builds it, and returns the path of the program.
///
/// It is started for most turns, so what counts is how soon it runs. With musl that is 0.3 ms sooner than with a
/// static glibc, which first asks what the processor can do: in a virtual machine, the hypervisor answers each
/// such question. A dynamic linker takes longer still.
pub fn build(source: &Source, target_dir: &Path, remapped: &[String]) -> Result<PathBuf, String> {
    let (folder, from, versions) = match source {
        Source::Workspace(folder) => (folder, folder.as_path(), "--locked"),
        // All of its crates are there: the host has the same.
        Source::Copy {
            folder,
            is_embedders: true,
        } => (folder, folder.as_path(), "--offline"),
        Source::Copy { folder, .. } => (folder, Path::new("/"), "--offline"),
    };
    let target = variable("TARGET")?;
    let with_musl = target.replace("-linux-gnu", "-linux-musl");
    let mut ways = Vec::new();
    // The target is a download of its own, and the static glibc a package of its own on some systems.
    if with_musl != target && is_installed(&with_musl)? {
        ways.push((with_musl.as_str(), "+crt-static"));
    }
    ways.extend([(target.as_str(), "+crt-static"), (&target, "-crt-static")]);
    let mut mistakes = String::new();
    for (target, crt) in ways {
        // Panics need no unwinding there, which halves its size.
        let mut flags = vec![
            format!("-Ctarget-feature={crt}"),
            "-Cpanic=abort".to_owned(),
        ];
        flags.extend_from_slice(remapped);
        let options = [
            versions.to_owned(),
            cargo::rustflags(target, &flags),
            "--config=profile.release.opt-level=\"s\"".to_owned(),
        ];
        match cargo::release_build(folder, from, PACKAGE, target, target_dir, &options) {
            Ok(built) => return Ok(built.join(PROGRAM)),
            Err(mistake) => mistakes = mistake,
        }
    }
    Err(mistakes)
}

/// Whether the standard library for this target is there.
fn is_installed(target: &str) -> Result<bool, String> {
    let rustc = variable("RUSTC")?;
    let output = Command::new(&rustc)
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .map_err(|error| format!("{rustc}: {error}"))?;
    let folder = String::from_utf8_lossy(&output.stdout);
    Ok(output.status.success() && Path::new(folder.trim()).is_dir())
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Copies a text, but not its mode: files of cargo's may be read-only.
fn put(file: &Path, folder: &Path) -> Result<(), String> {
    let name = file.file_name().unwrap_or_default();
    crate::write(&folder.join(name), read(file)?.as_bytes())
}
