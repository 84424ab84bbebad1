//! Which name was most likely meant.

/// The one of these names that the written one is a misspelling of, if it is of any.
pub fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// How many letters the beginning of a name must have to stand for it.
    const BEGINNING: usize = 3;
    let written = written.to_lowercase();
    let distance = |name: &str| match name.to_lowercase() {
        name if written.len() >= BEGINNING && name.starts_with(&written) => 0,
        name => strsim::damerau_levenshtein(&written, &name),
    };
    let (distance, name) = names
        .into_iter()
        .map(|name| (distance(name), name))
        .min_by_key(|(distance, _)| *distance)?;
    // Beyond half its letters a name is not a misspelling.
    (distance * 2 <= name.chars().count()).then_some(name)
}

/// The nearest name as a question to append to a sentence, or nothing.
pub fn did_you_mean<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    nearest(written, names).map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelling_is_recognised_and_a_foreign_word_is_not() {
        let names = ["binary", "extra_args", "supported_models"];
        for (written, meant) in [
            ("binery", Some("binary")),
            ("extraArgs", Some("extra_args")),
            ("SupportedModels", Some("supported_models")),
            ("extra", Some("extra_args")),
            ("", None),
            ("zzz", None),
        ] {
            assert_eq!(nearest(written, names), meant, "{written}");
        }
        assert_eq!(nearest("a", []), None);
    }
}
