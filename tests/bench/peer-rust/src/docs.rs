//! The documents that have tables of figures: what is between two marks is written by programs, the rest by people.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

/// Puts a text between `<!-- bench: NAME -->` and `<!-- /bench: NAME -->`, in place of what is there.
///
/// # Errors
/// When the document cannot be read or written, or has no such marks.
pub fn write(document: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = document.display();
    let old = fs::read_to_string(document).with_context(|| format!("cannot read {path}"))?;
    let new = replaced(&old, name, text).with_context(|| {
        format!(
            "{path} has no `<!-- bench: {name} -->` with its end: add both, where the table belongs"
        )
    })?;
    fs::write(document, new).with_context(|| format!("cannot write {path}"))
}

fn replaced(old: &str, name: &str, text: &str) -> Option<String> {
    let (begin, end) = (
        format!("<!-- bench: {name} -->\n"),
        format!("<!-- /bench: {name} -->\n"),
    );
    let (before, rest) = old.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    let text = text.trim();
    Some(format!("{before}{begin}\n{text}\n\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::replaced;

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let old = "a\n<!-- bench: x -->\nold\n<!-- /bench: x -->\nb\n";
        let new = "a\n<!-- bench: x -->\n\nnew\n\n<!-- /bench: x -->\nb\n";
        assert_eq!(replaced(old, "x", "new\n").as_deref(), Some(new));
        assert_eq!(replaced(new, "x", "new").as_deref(), Some(new));
        assert_eq!(replaced(old, "y", "new"), None);
        assert_eq!(replaced("<!-- bench: x -->\n", "x", "new"), None);
    }
}
