//! The part of codex's command line that `fake-codex` understands.

use std::ffi::OsString;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// `--version`.
    Version,
    /// `login status`.
    LoginStatus,
    /// `exec`.
    Exec(Exec),
    /// `app-server`.
    AppServer,
}

/// A turn.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exec {
    /// The word after `resume`.
    pub(crate) resume: Option<String>,
    pub(crate) prompt: Prompt,
}

/// Where the prompt is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Prompt {
    Argument(String),
    Stdin,
}

/// Why a command line is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) String);

/// Reads the arguments, without the program's name. Flags are not judged, only passed over.
pub(crate) fn read(argv: &[OsString]) -> Result<Request, Refused> {
    let words: Vec<&str> = argv
        .iter()
        .map(|word| word.to_str())
        .collect::<Option<_>>()
        .ok_or_else(|| Refused("invalid UTF-8 was detected in one or more arguments".into()))?;
    match words.as_slice() {
        ["--version" | "-V"] => Ok(Request::Version),
        ["login", "status"] => Ok(Request::LoginStatus),
        ["app-server", ..] => Ok(Request::AppServer),
        ["exec", "resume", id, rest @ ..] => exec(Some(id), rest),
        ["exec", rest @ ..] => exec(None, rest),
        _ => Err(Refused(format!("cannot do {words:?}"))),
    }
}

fn exec(resume: Option<&str>, words: &[&str]) -> Result<Request, Refused> {
    let prompt = match words {
        [.., "-"] => Prompt::Stdin,
        [.., "--", text] => Prompt::Argument((*text).to_owned()),
        // Without `--` the real one reads a flag here, and does something else entirely.
        [.., text] if !text.starts_with('-') => Prompt::Argument((*text).to_owned()),
        _ => return Err(Refused(format!("no prompt in {words:?}"))),
    };
    Ok(Request::Exec(Exec {
        resume: resume.map(str::to_owned),
        prompt,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_words(words: &[&str]) -> Result<Request, Refused> {
        let argv: Vec<OsString> = words.iter().map(OsString::from).collect();
        read(&argv)
    }

    fn asked(resume: Option<&str>, prompt: Prompt) -> Result<Request, Refused> {
        Ok(Request::Exec(Exec {
            resume: resume.map(str::to_owned),
            prompt,
        }))
    }

    #[test]
    fn the_prompt_and_the_thread_are_found() {
        let hello = || Prompt::Argument("hello".into());
        for (words, want) in [
            (&["exec", "--json", "--", "hello"][..], asked(None, hello())),
            (&["exec", "--json", "hello"], asked(None, hello())),
            (&["exec", "--json", "-"], asked(None, Prompt::Stdin)),
            (
                &["exec", "resume", "id", "--json", "--", "hello"],
                asked(Some("id"), hello()),
            ),
            (
                &["exec", "--", "--json"],
                asked(None, Prompt::Argument("--json".into())),
            ),
            (&["--version"], Ok(Request::Version)),
            (&["app-server", "-c", "x=y"], Ok(Request::AppServer)),
        ] {
            assert_eq!(read_words(words), want, "{words:?}");
        }
    }

    #[test]
    fn what_codex_would_not_take_for_a_turn_is_refused() {
        for words in [&[][..], &["exec"], &["exec", "--json"], &["review"]] {
            assert!(read_words(words).is_err(), "{words:?}");
        }
    }
}
