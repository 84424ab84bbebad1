//! How a recorded codex ended.

use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::str::FromStr;

use anyhow::{Context as _, bail};

/// How a process ended; its text is the content of `exit.txt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            // A process that has been waited for ended in one of the two ways.
            (None, None) => unreachable!("{status} is no end"),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(formatter, "code {code}"),
            Self::Signal(signal) => write!(formatter, "signal {signal}"),
        }
    }
}

impl FromStr for Exit {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let text = text.trim();
        let (kind, number) = text
            .split_once(' ')
            .with_context(|| format!("`{text}` is neither `code N` nor `signal N`"))?;
        let number = number
            .parse()
            .with_context(|| format!("`{text}` has no number"))?;
        Ok(match kind {
            "code" => Self::Code(number),
            "signal" => Self::Signal(number),
            other => bail!("`{other}` is neither `code` nor `signal`"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_survives_its_text() {
        for exit in [Exit::Code(0), Exit::Code(101), Exit::Signal(9)] {
            assert_eq!(exit.to_string().parse::<Exit>().unwrap(), exit);
        }
        assert!("broken 1".parse::<Exit>().is_err());
    }
}
