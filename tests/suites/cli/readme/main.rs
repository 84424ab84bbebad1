//! The README and the texts in each room stay true: their `sh` blocks run, their `json` blocks are configurations, their
//! `rust` blocks are compiled as documentation tests of the library, and the commands, links and paths that they show
//! exist.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

mod console;
mod faults;
mod links;
mod text;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use plexum_openai_provider::Config;
use plexum_openai_provider_tests::component::target_folder;
use plexum_openai_provider_tests::tool;
use plexum_openai_provider_tests::workspace::{cache_home, program};

use text::{Block, TEXTS, blocks, read};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// What a newcomer reads on one screen after the other, in bytes.
const README_BYTES: usize = 12 * 1024;

fn blocks_of(language: &str) -> Vec<Block> {
    let blocks = TEXTS.iter().flat_map(|name| blocks(name));
    blocks.filter(|block| block.language == language).collect()
}

/// The command as it is run here. None for those that run all tests, this one too, and the try-out, which builds a
/// release.
fn adapted(line: &str) -> Option<String> {
    let command = line.split(" #").next().unwrap_or_default().trim_end();
    match command {
        "./scripts/try.sh" | "./scripts/test.sh" => None,
        // With a program that exists, instead of one that is built.
        "./scripts/install.sh" | "./scripts/install.sh --dry-run" => {
            Some(format!("{command} --program \"$PROGRAM\""))
        }
        _ => Some(line.to_owned()),
    }
}

/// All `sh` blocks, in reading order, in one home folder.
#[test]
fn commands_work() {
    let test = "commands_work";
    let (Some(node), Some(_)) = (tool::node(test), tool::python(test)) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let real_home = PathBuf::from(env::var_os("HOME").unwrap());
    let or_below = |variable: &str, name: &str| {
        env::var_os(variable).map_or_else(|| real_home.join(name), PathBuf::from)
    };
    let mut path = vec![node.parent().unwrap().to_owned()];
    path.extend(env::split_paths(&env::var_os("PATH").unwrap()));
    let blocks = blocks_of("sh");
    assert!(!blocks.is_empty());
    let script: Vec<String> = blocks
        .iter()
        .map(|block| {
            let lines: Vec<String> = block.content.lines().filter_map(adapted).collect();
            format!(": {}:{}\n{}", block.text, block.line, lines.join("\n"))
        })
        .collect();
    let output = Command::new("bash")
        .args(["-euxo", "pipefail", "-c", &script.join("\n")])
        .current_dir(ROOT)
        .env("HOME", home.path())
        .env("CARGO_HOME", or_below("CARGO_HOME", ".cargo"))
        .env("RUSTUP_HOME", or_below("RUSTUP_HOME", ".rustup"))
        .env("PATH", env::join_paths(path).unwrap())
        .env("PROGRAM", program())
        // One command builds the component.
        .env("CARGO_TARGET_DIR", target_folder())
        // None is kept in a home below the folder for temporary files: each command would compile the component.
        .envs(cache_home().map(|cache| ("XDG_CACHE_HOME", cache)))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn json_blocks_are_configurations() {
    let blocks = blocks_of("json");
    assert!(!blocks.is_empty());
    for block in blocks {
        let place = format!("{}:{}", block.text, block.line);
        Config::parse(place.as_ref(), &block.content).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// rustdoc compiles the texts that `lib.rs` includes.
#[test]
fn rust_blocks_are_compiled() {
    let library = fs::read_to_string(Path::new(ROOT).join("host-shim/src/lib.rs")).unwrap();
    let blocks = blocks_of("rust");
    assert!(!blocks.is_empty());
    for block in blocks {
        // The package has a link to the README beside its manifest.
        let inside = block.text.strip_prefix("host-shim/").unwrap_or(block.text);
        let included = format!("#[doc = include_str!(\"../{inside}\")]");
        assert!(
            library.contains(&included),
            "{}:{}: nothing compiles this block: add {included} to host-shim/src/lib.rs",
            block.text,
            block.line
        );
    }
}

#[test]
fn every_block_is_checked_or_marked_as_text() {
    for block in TEXTS.iter().flat_map(|name| blocks(name)) {
        assert!(
            ["sh", "json", "rust", "console", "text"].contains(&block.language.as_str())
                || is_the_embedder(&block),
            "{}:{}: nothing checks a block in {:?}; mark it `text` if nothing can",
            block.text,
            block.line,
            block.language
        );
    }
    for name in TEXTS {
        let text = read(name);
        let indented = text::outside_blocks(&text)
            .zip(text::outside_blocks(&text).skip(1))
            .find(|((_, before), (_, line))| before.is_empty() && line.starts_with("    "));
        if let Some((_, (number, _))) = indented {
            panic!("{name}:{number}: an indented block has no language: put it between fences");
        }
    }
}

/// What the suite `release` makes a crate with.
fn is_the_embedder(block: &Block) -> bool {
    block.text == "host-shim/docs/embedding.md" && block.language == "toml"
}

#[test]
fn shown_commands_exist() {
    let blocks = blocks_of("console");
    assert!(!blocks.is_empty());
    let problems: Vec<String> = blocks.iter().flat_map(console::problems).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn links_and_paths_resolve() {
    let problems: Vec<String> = TEXTS
        .iter()
        .flat_map(|name| links::problems(name))
        .collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Those of the hosts in other languages and engines.
#[test]
fn the_versions_in_the_text_are_those_that_are_run() {
    let text = read("host-shim/docs/serve.md");
    for (file, before, after, named) in [
        (
            "host-shim/examples/jco/package.json",
            "\"@bytecodealliance/jco-transpile\": \"",
            "\"",
            "jco-transpile {}",
        ),
        ("scripts/tool.sh", "node_version=", "\n", "Node.js {}"),
        (
            "host-shim/examples/python/requirements.txt",
            "wasmtime==",
            "\n",
            "wasmtime {} for Python",
        ),
        (
            "tests/next-wasmtime/Cargo.lock",
            "name = \"wasmtime\"\nversion = \"",
            "\"",
            "Rust's wasmtime {}",
        ),
    ] {
        let content = read(file);
        let (_, rest) = content.split_once(before).unwrap();
        let (version, _) = rest.split_once(after).unwrap();
        let named = named.replace("{}", version);
        assert!(text.contains(&named), "serve.md does not say {named}");
    }
}

#[test]
fn every_fault_has_a_row_and_its_tests_exist() {
    let problems = faults::problems();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn no_text_is_forgotten() {
    let mut found: Vec<String> = links::files()
        .iter()
        .filter(|file| file.ends_with(".md"))
        .cloned()
        .collect();
    found.sort_unstable();
    let mut known = TEXTS.map(str::to_owned);
    known.sort_unstable();
    assert_eq!(found, known, "TEXTS lists every text of the repository");
}

#[test]
fn the_readme_is_short() {
    let bytes = read("README.md").len();
    assert!(
        bytes <= README_BYTES,
        "README.md has {bytes} bytes, more than {README_BYTES}: move the rest to the room that it is about"
    );
}
