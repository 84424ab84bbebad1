//! The operator's file: read, checked, and all its mistakes reported at once.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::Deserialize;

use super::document::Node;
use super::fault::Place;
use super::key_path::KeyPath;
use super::reader::Reader;
use super::{Config, ConfigError, Mistake, Problem, default_path, rules};

/// Far more than a configuration needs.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// How many problems of one file are reported.
const MAX_PROBLEMS: usize = 100;

impl Config {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let failed = |source| ConfigError::Read {
            path: path.to_owned(),
            source,
        };
        // NONBLOCK: a FIFO must not hold anything up.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(path)
            .map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(Errno::ISDIR.into()));
        }
        if !metadata.is_file() {
            return Err(failed(std::io::Error::other("it is not a plain file")));
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            let said = format!(
                "it is larger than {MAX_FILE_BYTES} bytes, far more than a configuration needs"
            );
            return Err(failed(std::io::Error::other(said)));
        }
        match str::from_utf8(&bytes) {
            Ok(text) => Self::parse(path, text),
            Err(error) => {
                let (valid, rest) = bytes.split_at(error.valid_up_to());
                let valid = String::from_utf8_lossy(valid);
                let byte = rest.first().copied().unwrap_or_default();
                let message = format!(
                    "the byte 0x{byte:02X} is not UTF-8, which JSON requires: save the file as UTF-8"
                );
                let mistake = Mistake::of_document(&valid, valid.len(), message);
                Err(not_a_document(path, mistake))
            }
        }
    }

    /// Reads the operator's file at its usual place, `~/.plexum/plugins/plexum-openai-provider/config.json`, or takes
    /// the defaults if there is none.
    pub fn read_default() -> Result<Self, ConfigError> {
        let Some(path) = default_path() else {
            return Ok(Config::default());
        };
        match Self::read(&path) {
            // A broken link means that someone wanted a file here.
            Err(ConfigError::Read { source, .. })
                if matches!(
                    source.kind(),
                    ErrorKind::NotFound | ErrorKind::NotADirectory
                ) && path.symlink_metadata().is_err() =>
            {
                Ok(Config::default())
            }
            read => read,
        }
    }

    /// Reads and checks the text of a file; `path` is only for the errors. All that is wrong with a text
    /// is reported at once, unless it is not JSON at all.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        if text.starts_with('\u{feff}') {
            let message = "the file begins with a byte order mark, which JSON does not allow: save it as UTF-8 without one";
            let mistake = Mistake::of_document(text, 0, message.into());
            return Err(not_a_document(path, mistake));
        }
        let document = Node::parse(text).map_err(|mistake| not_a_document(path, mistake))?;
        let (config, mut problems) = lenient(&document, text);
        problems.sort_by_key(|(offset, _)| *offset);
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(ConfigError::Invalid {
                path: path.to_owned(),
                mistakes: problems
                    .into_iter()
                    .map(|(offset, problem)| Mistake::at(text, offset, problem))
                    .collect(),
            }),
        }
    }
}

/// Everything that is wrong with a document, each with its offset in bytes, and the configuration without
/// that, unless the document is not an object.
///
/// Serde stops at the first value that it cannot take. That value is struck out, which leaves its key at its
/// default, and the rest is read again.
fn lenient<'a>(document: &'a Node<'a>, text: &str) -> (Option<Config>, Vec<(usize, Problem)>) {
    let mut struck = BTreeSet::new();
    let mut wrong: Vec<KeyPath> = Vec::new();
    let mut problems = Vec::new();
    for (node, first) in document.repeated() {
        let Mistake { line, column, .. } = Mistake::at(text, first.key_offset, Problem::default());
        struck.insert(node.offset);
        problems.push((
            node.key_offset,
            Problem {
                key: node.path.to_string(),
                message: format!(
                    "is repeated here, after line {line}, column {column}: keep one of them"
                ),
            },
        ));
    }
    let config = loop {
        let reader = Reader {
            node: document,
            struck: &struck,
        };
        let (fault, place) = match Config::deserialize(reader) {
            Ok(config) => break config,
            Err(fault) => (fault.problem(), fault.place()),
        };
        let Some(Place { node, about_key }) = place else {
            problems.push((document.offset, fault));
            return (None, problems);
        };
        problems.push((
            if about_key {
                node.key_offset
            } else {
                node.offset
            },
            fault,
        ));
        wrong.push(node.path.clone());
        // Without the whole there is nothing left, and each is read once more for every one before it.
        if node.offset == document.offset || problems.len() >= MAX_PROBLEMS {
            return (None, problems);
        }
        struck.insert(node.offset);
    };
    for broken in rules::broken(&config) {
        let follows = |from: &KeyPath| {
            wrong
                .iter()
                .any(|path| path.steps().starts_with(from.steps()))
        };
        if broken.follows_from.as_ref().is_some_and(follows) {
            continue;
        }
        let node = document.find(&broken.path, &|node| !struck.contains(&node.offset));
        // A default is never wrong, so the value is in the document.
        let node = node.unwrap_or(document);
        let offset = if broken.about_key {
            node.key_offset
        } else {
            node.offset
        };
        let problem = Problem {
            // Its place in the text, which counts what was struck out too.
            key: node.path.to_string(),
            message: broken.message,
        };
        problems.push((offset, problem));
    }
    (Some(config), problems)
}

fn not_a_document(path: &Path, mistake: Mistake) -> ConfigError {
    ConfigError::Invalid {
        path: path.to_owned(),
        mistakes: vec![mistake],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_full_of_mistakes_is_reported_in_bounded_time() {
        let text = format!("{{\"extra_args\": [{}1]}}", "1,".repeat(100_000));
        let error = Config::parse(Path::new("/c.json"), &text).unwrap_err();
        assert_eq!(error.to_string().lines().count(), MAX_PROBLEMS);
    }
}
