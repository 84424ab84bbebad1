//! How a codex that stays is kept, and what of the arguments it can be given.

use std::time::Duration;

use super::numbers::numbers;

const DAY_SECONDS: u32 = 24 * 60 * 60;
const MOST_PROCESSES: u32 = 1000;
const MOST_TURNS: u32 = 1_000_000;

numbers! {
    /// How long a `codex app-server` is kept between turns. Only for `"transport": "app-server"`.
    ServerLimits {
        /// How many seconds one may wait for its next turn.
        idle_seconds = 600, 1, DAY_SECONDS;
        /// How many may wait at once in one process. The one that has waited longest is closed first. 0: none is kept.
        processes = 8, 0, MOST_PROCESSES;
        /// After how many turns one is replaced.
        turns = 500, 1, MOST_TURNS;
    }
}

impl ServerLimits {
    pub(crate) fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_seconds.into())
    }
}

/// What arguments for codex mean to a codex that stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServerArguments {
    /// What it is started with.
    pub start: Vec<String>,
    /// The model, which is stated with each conversation; the last one counts.
    pub model: Option<String>,
}

impl ServerArguments {
    /// Sorts arguments that are meant for `codex exec`.
    ///
    /// # Errors
    /// The index of one that `codex app-server` does not take.
    pub fn of<'a>(args: impl IntoIterator<Item = &'a String>) -> Result<Self, usize> {
        let mut sorted = ServerArguments::default();
        let mut args = args.into_iter().enumerate();
        while let Some((index, arg)) = args.next() {
            let (flag, value) = match arg.split_once('=') {
                Some((flag, value)) if flag.starts_with("--") => (flag, Some(value.to_owned())),
                _ => (arg.as_str(), None),
            };
            let known = ["-c", "--config", "-m", "--model", "--enable", "--disable"];
            if !known.contains(&flag) {
                return Err(index);
            }
            let value = match value {
                Some(value) => value,
                None => args.next().map(|(_, value)| value.clone()).ok_or(index)?,
            };
            match flag {
                "-m" | "--model" => sorted.model = Some(value),
                "-c" | "--config" => sorted.start.extend(["-c".to_owned(), value]),
                flag => sorted.start.extend([flag.to_owned(), value]),
            }
        }
        Ok(sorted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(args: &[&str]) -> Result<ServerArguments, usize> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        ServerArguments::of(&args)
    }

    #[test]
    fn settings_and_features_go_to_the_start_and_the_model_with_the_conversation() {
        let sorted = of(&[
            "-m",
            "a",
            "--model=b",
            "-c",
            "x=1",
            "--config=y=2",
            "--enable",
            "f",
            "--disable=g",
        ]);
        let expected = ["-c", "x=1", "-c", "y=2", "--enable", "f", "--disable", "g"];
        let sorted = sorted.unwrap();
        assert_eq!(sorted.start, expected);
        assert_eq!(sorted.model.as_deref(), Some("b"));
    }

    #[test]
    fn what_it_does_not_take_is_named_by_its_place() {
        assert_eq!(of(&["-c", "x=1", "--profile", "p"]), Err(2));
        assert_eq!(of(&["--add-dir=/x"]), Err(0));
        assert_eq!(of(&["-c"]), Err(0));
        assert_eq!(of(&["word"]), Err(0));
    }
}
