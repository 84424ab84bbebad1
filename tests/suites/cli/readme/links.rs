//! Whether the links of a text, and the paths that it names, lead anywhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use regex_lite::Regex;

use super::ROOT;
use super::text::{anchors, outside_blocks, read};

/// What begins a path from the root of the repository.
const ROOMS: [&str; 7] = [
    "host-shim/",
    "guest/",
    "wit/",
    "tests/",
    "scripts/",
    ".ci/",
    ".cargo/",
];

/// How the name of a source file ends. Others (`config.json`) may be a user's.
const SOURCES: [&str; 5] = [".rs", ".wit", ".sh", ".mjs", ".c"];

/// Every link and path of a text that leads nowhere.
pub fn problems(name: &str) -> Vec<String> {
    let text = read(name);
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let code = Regex::new(r"`([^`]+)`").unwrap();
    let mut problems = Vec::new();
    for (number, line) in outside_blocks(&text) {
        let without_code = code.replace_all(line, "");
        for found in link.captures_iter(&without_code) {
            if let Some(problem) = broken(name, &text, &found[1]) {
                problems.push(format!("{name}:{number}: {problem}"));
            }
        }
        for found in code.captures_iter(line) {
            if !exists(name, &found[1]) {
                problems.push(format!("{name}:{number}: there is no {}", &found[1]));
            }
        }
    }
    problems
}

fn broken(name: &str, text: &str, link: &str) -> Option<String> {
    if link.starts_with("https://") {
        return None;
    }
    let (path, anchor) = match link.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (link, None),
    };
    let target = Path::new(ROOT).join(name).parent().unwrap().join(path);
    if !path.is_empty() && !target.exists() {
        return Some(format!("the link {link} leads to no file"));
    }
    let anchor = anchor?;
    let anchors = if path.is_empty() {
        anchors(text)
    } else {
        anchors(&fs::read_to_string(target).ok()?)
    };
    let known = anchors.iter().any(|known| known == anchor);
    (!known).then(|| format!("the link {link} leads to no heading; there are: {anchors:?}"))
}

/// Whether the path in this code span exists; one that names no path does.
fn exists(name: &str, span: &str) -> bool {
    let plain = |char: char| char.is_ascii_alphanumeric() || "_-./".contains(char);
    let from_root = ROOMS.iter().any(|room| span.starts_with(room));
    let named = from_root || span.ends_with('/') || SOURCES.iter().any(|end| span.ends_with(end));
    if !named || !span.chars().all(plain) || span.starts_with("target/") {
        return true;
    }
    let here = Path::new(name).parent().unwrap().join(span);
    if [PathBuf::from(span), here]
        .iter()
        .any(|path| Path::new(ROOT).join(path).exists())
    {
        return true;
    }
    // A name such as `argv.rs`, in a text that says which room it is in.
    let end = format!("/{}", span.trim_end_matches('/'));
    let inside = format!("{end}/");
    !from_root
        && files()
            .iter()
            .any(|file| file.ends_with(&end) || (span.ends_with('/') && file.contains(&inside)))
}

/// Every file of the repository, by its path from the root.
pub fn files() -> &'static [String] {
    static FILES: OnceLock<Vec<String>> = OnceLock::new();
    FILES.get_or_init(|| {
        let mut found = Vec::new();
        collect(Path::new(ROOT), "", &mut found);
        found
    })
}

fn collect(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{prefix}{name}");
        // A link is another name, for the package, of what is here already.
        if entry.file_type().unwrap().is_symlink() {
            continue;
        }
        if !entry.file_type().unwrap().is_dir() {
            found.push(path);
        } else if !["target", "node_modules", ".git"].contains(&name.as_str()) {
            collect(&entry.path(), &format!("{path}/"), found);
        }
    }
}
