//! `wit-semver BASE NEW`: whether each package in the folder NEW may be released under the version that it bears, after
//! that of BASE. Both hold a folder of WIT files for each package. `scripts/wit-semver.sh` calls it.
//!
//! A package that BASE does not have is new: it may bear any version.
//!
//! Exits with 0 when they may, with 1 when one of them may not, with 2 when that is unknown, and with 3 when BASE has
//! none of them.

mod contract;
mod problems;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};

use self::contract::contracts;
use self::problems::problems;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [base, new] = arguments.as_slice() else {
        eprintln!("usage: wit-semver BASE NEW");
        return ExitCode::from(2);
    };
    match compare(Path::new(base), Path::new(new)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

fn compare(base: &Path, new: &Path) -> Result<u8> {
    let before = contracts(base, "the last release")?;
    let now = contracts(new, "this contract")?;
    ensure!(
        !now.is_empty(),
        "{} has no folder with WIT files",
        new.display()
    );
    let mut compared = 0;
    let mut fit = true;
    for (folder, now) in &now {
        let Some(before) = before.get(folder) else {
            eprintln!(
                "{} is new: the last release has no folder {folder}/.",
                now.name()
            );
            continue;
        };
        compared += 1;
        let problems = problems(before, now).with_context(|| format!("the folder {folder}/"))?;
        for problem in &problems {
            eprintln!("{problem}");
        }
        if !problems.is_empty() {
            fit = false;
            eprintln!(
                "The version in {} has to say so: a patch more for what was only added, a minor more (a major, from \
                 1.0 on) for what was changed or removed.",
                now.file.display()
            );
        }
    }
    Ok(match (compared, fit) {
        (0, _) => 3,
        (_, true) => 0,
        (_, false) => 1,
    })
}
