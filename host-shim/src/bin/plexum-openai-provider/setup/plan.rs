//! What an installation would do.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::contents;
use super::folders::missing_above;
use super::places::{NAME, Places};
use super::record::{Record, exists};

/// A line for each thing that would be done, and warnings.
pub fn plan(places: &Places, old: &Record, files: &[contents::File]) -> (Vec<String>, Vec<String>) {
    let (mut lines, mut warnings) = (Vec::new(), Vec::new());
    let all: Vec<PathBuf> = files.iter().map(|file| file.place.clone()).collect();
    let mut told = BTreeSet::new();
    for place in &all {
        for folder in missing_above(place) {
            if told.insert(folder.clone()) {
                lines.push(format!("would make the folder {}", folder.display()));
            }
        }
    }
    for place in &all {
        let word = if exists(place) { "replace" } else { "write" };
        lines.push(format!("would {word} {}", place.display()));
    }
    for file in old.left_over(&all) {
        let path = file.path.display();
        if file.is_unchanged() {
            lines.push(format!("would remove {path}"));
        } else {
            warnings.push(format!(
                "{path} was changed since installation, and would stay"
            ));
        }
    }
    let word = if exists(&places.config) {
        "keep"
    } else {
        "write"
    };
    lines.push(format!("would {word} {}", places.config.display()));
    lines.push(format!(
        "would list what was installed in {}",
        places.record.display()
    ));
    lines.push(format!(
        "would compile the component into the cache, for {NAME} to start sooner"
    ));
    (lines, warnings)
}
