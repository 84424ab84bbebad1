//! `wit-semver BASE NEW`: whether the WIT files in the folder NEW may be released under the version that they bear,
//! after those in BASE. `scripts/wit-semver.sh` calls it.
//!
//! Exits with 0 when they may, with 1 when they may not, and with 2 when that is unknown.

mod problems;

use std::path::Path;
use std::process::ExitCode;

use self::problems::problems;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [base, new] = arguments.as_slice() else {
        eprintln!("usage: wit-semver BASE NEW");
        return ExitCode::from(2);
    };
    match problems(Path::new(base), Path::new(new)) {
        Ok(problems) if problems.is_empty() => ExitCode::SUCCESS,
        Ok(problems) => {
            for problem in problems {
                eprintln!("{problem}");
            }
            eprintln!(
                "The version in wit/provider.wit has to say so: a patch more for what was only added, a minor more \
                 (a major, from 1.0 on) for what was changed or removed."
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}
