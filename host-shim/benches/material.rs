//! What a codex prints, for as long as one likes: events that the real one printed, as
//! `tests/transcripts` keeps them, with their longest text repeated until the line has the wanted length.

use std::path::Path;

use serde_json::Value;

/// The output of one turn.
pub struct Output {
    /// Its lines, each ended by a line feed.
    pub text: String,
    /// How many of them are items.
    pub items: usize,
    /// Where in the text these begin.
    pub items_at: usize,
    /// Where they end.
    pub items_end: usize,
}

/// A turn with at least `total` bytes of items, in lines of about `length` bytes.
pub fn output(length: usize, total: usize) -> Output {
    let recorded = recorded_items();
    // Only items that fit with all their lines and that end: others would stay open for the whole turn.
    let fits = |item: &&Item| {
        let lines = || recorded.iter().filter(|line| line.key() == item.key());
        lines().all(|line| line.line.len() <= length) && lines().any(Item::is_end)
    };
    let fitting: Vec<_> = recorded.iter().filter(fits).collect();
    let mut text = String::from(concat!(
        r#"{"type":"thread.started","thread_id":"01a20000-0000-7000-8000-000000000001"}"#,
        "\n",
        r#"{"type":"turn.started"}"#,
        "\n"
    ));
    let items_at = text.len();
    let mut items = 0;
    for round in 0.. {
        if text.len() >= total {
            break;
        }
        for item in &fitting {
            text.push_str(&item.line(length, round));
            text.push('\n');
            items += 1;
        }
    }
    let items_end = text.len();
    text.push_str(concat!(
        r#"{"type":"turn.completed","usage":{"input_tokens":24763,"cached_input_tokens":24448,"output_tokens":122}}"#,
        "\n"
    ));
    Output {
        text,
        items,
        items_at,
        items_end,
    }
}

/// A line that the real codex printed about an item.
struct Item {
    line: String,
    /// The item's id, as it is in the line.
    id: String,
    /// Its longest text, as it is in the line, escapes and all.
    text: String,
    /// Makes its id another one than those of other transcripts.
    transcript: usize,
}

impl Item {
    fn new(line: &str, transcript: usize) -> Option<Self> {
        let document: Value = serde_json::from_str(line).ok()?;
        let item = document.get("item")?;
        let id = item.get("id")?.as_str()?;
        let text = quoted(longest(item)?);
        // Written in another way than here, it could not be found in the line.
        line.contains(&text).then(|| Item {
            line: line.to_owned(),
            id: quoted(id),
            text,
            transcript,
        })
    }

    /// Which item it is about.
    fn key(&self) -> (usize, &str) {
        (self.transcript, &self.id)
    }

    /// Whether the item is complete with it.
    fn is_end(&self) -> bool {
        self.line.contains(r#""type":"item.completed""#)
    }

    /// The line with about this length.
    fn line(&self, length: usize, round: usize) -> String {
        let missing = length.saturating_sub(self.line.len());
        let words = inner(&self.text);
        let text = format!("\"{}\"", words.repeat(1 + missing / words.len()));
        // As codex does it: each item has an id of its own, and all lines about one item have the same.
        let id = format!("\"{}_{round}_{}\"", inner(&self.id), self.transcript);
        let line = self.line.replacen(&self.text, &text, 1);
        line.replacen(&self.id, &id, 1)
    }
}

/// What is between the quotes.
fn inner(quoted: &str) -> &str {
    &quoted[1..quoted.len() - 1]
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The longest text in a document, words that name things left out.
fn longest(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text),
        Value::Array(items) => longest_of(items.iter()),
        Value::Object(members) => {
            let words = members
                .iter()
                .filter(|(name, _)| !matches!(name.as_str(), "id" | "type" | "status"));
            longest_of(words.map(|(_, value)| value))
        }
        _ => None,
    }
}

fn longest_of<'a>(values: impl Iterator<Item = &'a Value>) -> Option<&'a str> {
    values.filter_map(longest).max_by_key(|text| text.len())
}

fn recorded_items() -> Vec<Item> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/transcripts/0.169.0");
    let mut transcripts: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("stdout.jsonl"))
        .collect();
    // Each run measures the same.
    transcripts.sort();
    let mut items = Vec::new();
    for (number, transcript) in transcripts.iter().enumerate() {
        let text = std::fs::read_to_string(transcript).unwrap();
        items.extend(text.lines().filter_map(|line| Item::new(line, number)));
    }
    assert!(!items.is_empty(), "there are transcripts with items");
    items
}
