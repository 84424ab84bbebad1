//! Whether the commands that are only shown exist. They need codex, a login, Plexum or much time, so nothing runs them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use plexum_openai_provider_tests::workspace::program;
use serde_json::Value;

use super::ROOT;
use super::text::Block;

/// Programs that are not ours.
const OTHERS: [&str; 10] = [
    "acpx",
    "cat",
    "git",
    "node",
    "plexum",
    "python",
    "sha256sum",
    "systemctl",
    "tar",
    "wkg",
];

/// What the folder in an archive of a release begins with; its installer is the clone's.
const ARCHIVE: &str = concat!("./plexum-openai-provider-", env!("CARGO_PKG_VERSION"), "-");

/// Everything in a `console` block that does not exist.
pub fn problems(block: &Block) -> Vec<String> {
    let lines = block.content.lines().zip(block.line + 1..);
    lines
        .filter_map(|(line, number)| {
            let problem = match line.strip_prefix("$ ") {
                None => Some("a line does not begin with `$ `".to_owned()),
                Some(commands) => commands
                    .split("  #")
                    .next()
                    .unwrap_or_default()
                    .split(" | ")
                    .flat_map(|commands| commands.split(" && "))
                    .find_map(problem),
            };
            problem.map(|problem| format!("{}:{number}: {problem}", block.text))
        })
        .collect()
}

fn problem(command: &str) -> Option<String> {
    let assignment = |word: &&str| word.contains('=') && !word.starts_with('-');
    let mut words = command.split_whitespace().skip_while(assignment);
    let name = words.next()?;
    let words: Vec<&str> = words.take_while(|word| *word != "--").collect();
    let problem = match name {
        "plexum-openai-provider" => of_the_program(&words),
        "cargo" => of_cargo(&words),
        _ if name.starts_with("./") => of_a_script(name, &words),
        _ => {
            let base = name.rsplit('/').next().unwrap_or_default();
            (!OTHERS.contains(&base)).then(|| "is not a known program".to_owned())
        }
    };
    problem.map(|problem| format!("{name} {problem}"))
}

fn options<'a>(words: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let long = words.iter().filter(|word| word.starts_with("--"));
    long.map(|word| word.split('=').next().unwrap_or_default())
}

fn of_the_program(words: &[&str]) -> Option<String> {
    let command = words.first()?;
    let output = Command::new(program())
        .args([command, "--help"])
        .output()
        .unwrap();
    if !output.status.success() {
        return Some(format!("has no command {command}"));
    }
    let help = String::from_utf8(output.stdout).unwrap();
    let knows = |word: &str| help.split([' ', ',', '\n']).any(|known| known == word);
    if help.contains("Commands:")
        && let Some(action) = words.get(1)
        && !knows(action)
    {
        return Some(format!("{command} has no {action}"));
    }
    let unknown = options(words).find(|option| !knows(option));
    unknown.map(|option| format!("{command} has no {option}"))
}

fn of_a_script(name: &str, words: &[&str]) -> Option<String> {
    let unpacked = name
        .strip_prefix(ARCHIVE)
        .and_then(|name| name.split_once('/'));
    let path = match unpacked {
        Some((_, file)) => Path::new("scripts").join(file),
        None => name.into(),
    };
    let Ok(script) = fs::read_to_string(Path::new(ROOT).join(path)) else {
        return Some("does not exist".to_owned());
    };
    let unknown = options(words).find(|option| !script.contains(option));
    unknown.map(|option| format!("has no {option}"))
}

/// The targets that cargo is asked for, and packages.
fn of_cargo(words: &[&str]) -> Option<String> {
    let after = |option: &str| {
        let at = words.iter().position(|word| *word == option)?;
        words.get(at + 1).copied()
    };
    for kind in ["example", "test", "bench", "bin"] {
        if let Some(name) = after(&format!("--{kind}"))
            && !has(|package| {
                let targets = package["targets"].as_array().unwrap();
                targets
                    .iter()
                    .any(|target| target["kind"][0] == kind && target["name"] == name)
            })
        {
            return Some(format!("has no {kind} {name}"));
        }
    }
    let package = after("-p").filter(|name| !has(|package| package["name"] == *name));
    package.map(|name| format!("has no package {name}"))
}

fn has(is_it: impl Fn(&Value) -> bool) -> bool {
    static PACKAGES: OnceLock<Value> = OnceLock::new();
    let metadata = PACKAGES.get_or_init(|| {
        let output = Command::new(env!("CARGO"))
            .args([
                "metadata",
                "--no-deps",
                "--offline",
                "--format-version",
                "1",
            ])
            .current_dir(ROOT)
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    });
    metadata["packages"].as_array().unwrap().iter().any(is_it)
}
