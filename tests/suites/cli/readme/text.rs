//! The texts, and what stands in them.

use std::fs;
use std::path::Path;

use super::ROOT;

/// All texts, in reading order: what one installs, the next may use.
pub const TEXTS: [&str; 16] = [
    "README.md",
    "host-shim/docs/operator.md",
    "host-shim/docs/embedding.md",
    "host-shim/docs/fleet.md",
    "host-shim/docs/serve.md",
    "host-shim/docs/acp.md",
    "host-shim/docs/app-server.md",
    "host-shim/docs/audit.md",
    "host-shim/docs/architecture.md",
    "wit/README.md",
    "guest/README.md",
    "tests/README.md",
    "tests/faults.md",
    "tests/bench/README.md",
    "tests/bench/RESULTS.md",
    "CHANGELOG.md",
];

/// A fenced block.
pub struct Block {
    /// The text that it is in.
    pub text: &'static str,
    /// The line of its fence, counted from 1.
    pub line: usize,
    /// What follows the fence.
    pub language: String,
    /// Its lines.
    pub content: String,
}

/// A text, by its path from the root of the repository.
pub fn read(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The fenced blocks of a text.
pub fn blocks(name: &'static str) -> Vec<Block> {
    let text = read(name);
    let mut found = Vec::new();
    let mut lines = text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        let content: Vec<&str> = lines
            .by_ref()
            .map(|(line, _)| line)
            .take_while(|line| line.trim() != "```")
            .collect();
        found.push(Block {
            text: name,
            line: number,
            language: language.to_owned(),
            content: content.join("\n"),
        });
    }
    found
}

/// The lines that are in no block, with their numbers.
pub fn outside_blocks(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut inside = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        let outside = !inside && !fence;
        inside ^= fence;
        outside
    })
}

/// The anchors that GitHub gives the headings of a text.
pub fn anchors(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (_, line) in outside_blocks(text) {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let anchor: String = heading
            .trim()
            .to_lowercase()
            .chars()
            .filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'))
            .map(|char| if char == ' ' { '-' } else { char })
            .collect();
        let twins = found.iter().filter(|known| **known == anchor).count();
        found.push(match twins {
            0 => anchor,
            count => format!("{anchor}-{count}"),
        });
    }
    found
}
