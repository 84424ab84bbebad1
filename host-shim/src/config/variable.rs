//! An entry of `env`: the name of an environment variable, or a pattern of names.

/// Why an entry of `env` in the configuration is not valid.
pub(super) fn check(entry: &str) -> Result<(), String> {
    let pattern = entry.strip_prefix('!').unwrap_or(entry);
    let stars = pattern.matches('*').count();
    let at_an_end = pattern.starts_with('*') || pattern.ends_with('*');
    if pattern.is_empty()
        || pattern.starts_with('!')
        || pattern.contains(['=', '\0'])
        || stars > 1
        || (stars == 1 && !at_an_end)
    {
        return Err(format!(
            "{entry:?} is not the name of an environment variable: write a name, a pattern with one star at an end such as `AWS_*`, `*` for all, and `!` in front of what codex must not get; values cannot be set here"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_name_is_refused() {
        for entry in ["A", "A_*", "*_B", "*", "!A"] {
            assert_eq!(check(entry), Ok(()), "{entry}");
        }
        for entry in ["", "!", "!!A", "A=b", "A*B", "*A*", "A\0"] {
            assert!(check(entry).is_err(), "{entry:?}");
        }
    }
}
