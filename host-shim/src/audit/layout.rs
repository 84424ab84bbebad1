//! Text in lines, safe for a terminal.

/// Cut at its spaces into lines of at most `width`, unless a word is longer.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in escaped(text).split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// Control characters, which a component or a file name may hold, must not reach a terminal.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for char in text.chars() {
        if char.is_control() {
            escaped.extend(char.escape_default());
        } else {
            escaped.push(char);
        }
    }
    escaped
}

/// As a shell takes it. Text in angle brackets is a placeholder, not a word.
pub fn quoted(word: &str) -> String {
    let value = word.rsplit('=').next().unwrap_or(word);
    let place = value.starts_with('<') && value.ends_with('>');
    if place {
        word.to_owned()
    } else {
        shell_word(word)
    }
}

/// A word as a shell takes it, whatever is in it.
pub fn shell_word(word: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "-_=+:,./@%".contains(char);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_spaces() {
        assert_eq!(wrapped("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrapped("aaaaaaa b", 3), ["aaaaaaa", "b"]);
        assert_eq!(wrapped("", 3), [""]);
    }

    #[test]
    fn nothing_reaches_a_terminal_but_text() {
        assert_eq!(escaped("a\x1b[2Jb\n"), r"a\u{1b}[2Jb\n");
    }

    #[test]
    fn words_are_quoted_as_a_shell_wants_them() {
        for (word, shown) in [
            ("--model", "--model"),
            ("a b", "'a b'"),
            ("", "''"),
            ("it's", r"'it'\''s'"),
            ("<thread id>", "<thread id>"),
        ] {
            assert_eq!(quoted(word), shown);
        }
    }
}
