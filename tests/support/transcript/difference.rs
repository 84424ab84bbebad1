//! How two lists of events differ, for a person.

/// How much of a line is shown.
const SHOWN_CHARACTERS: usize = 600;

/// The lines that differ, without those that are the same at the beginning and at the end: `-` those of
/// `old`, `+` those of `new`.
#[must_use]
pub fn difference(old: &str, new: &str) -> String {
    let old: Vec<_> = old.lines().collect();
    let new: Vec<_> = new.lines().collect();
    let same = |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| {
        pairs.take_while(|(old, new)| old == new).count()
    };
    let head = same(&mut old.iter().zip(&new));
    let tail = same(&mut old.iter().skip(head).rev().zip(new.iter().skip(head).rev()));
    let mut text = String::new();
    for (sign, lines) in [('-', &old), ('+', &new)] {
        for line in lines.iter().take(lines.len() - tail).skip(head) {
            let shown: String = line.chars().take(SHOWN_CHARACTERS).collect();
            let cut = if shown.len() < line.len() { "…" } else { "" };
            text += &format!("  {sign} {shown}{cut}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_only_the_lines_that_differ() {
        assert_eq!(
            difference("a\nb\nc\nd\n", "a\nx\nd\n"),
            "  - b\n  - c\n  + x\n"
        );
        assert_eq!(difference("", "a\n"), "  + a\n");
        assert_eq!(difference("a\na\n", "a\n"), "  - a\n");
    }
}
