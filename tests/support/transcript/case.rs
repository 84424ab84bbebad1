//! One case: what codex is to be shown doing, and what has to be so for it to do that.

/// A run of codex worth keeping.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The name of its folder.
    pub name: &'static str,
    /// What it shows, in one line.
    pub about: &'static str,
    /// What codex is asked.
    pub prompt: Prompt,
    /// What happened to the thread before.
    pub before: Before,
    /// What codex finds in its home.
    pub home: Home,
    /// Which of the flags of a turn codex is given.
    pub flags: Flags,
    /// Arguments after the flags.
    pub args: &'static [&'static str],
    /// A signal for codex, sent when the first tool has begun.
    pub signal: Option<i32>,
    /// The versions that cannot show this, each with the reason.
    pub not_on: &'static [(&'static str, &'static str)],
}

/// What codex is asked, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// As an argument.
    Argument(&'static str),
    /// On standard input, this many characters.
    Stdin(usize),
}

/// What happened to the thread before the recorded turn. All but the first make it a resumed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// There is none: the turn begins one.
    Nothing,
    /// It had a turn with this prompt.
    Turn(&'static str),
    /// It had a turn with many tokens, and then one that no longer fit the context window.
    Overflowed,
    /// It never existed.
    Unknown,
    /// It had a turn and was archived.
    Archived,
    /// It had a turn, and then its rollout was emptied.
    Emptied,
    /// It had a turn, and then its rollout was overwritten with bytes that are not text.
    Garbled,
    /// It had a turn, and another codex is in the middle of the next.
    Busy,
}

/// What codex finds as its `CODEX_HOME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// The configuration of every test.
    Usual,
    /// That with this TOML at its end.
    With(&'static str),
    /// That with the MCP server `lab`.
    WithMcpServer,
    /// That with a model that nobody serves.
    WithoutNetwork,
    /// No such folder.
    Missing,
}

/// Which of the flags of a turn codex is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flags {
    /// All that the provider gives.
    All,
    /// Only `--json`, so that codex asks itself whether it trusts the folder.
    JsonOnly,
}

impl Case {
    /// A first turn, with nothing unusual about it but the prompt.
    pub(super) const fn new(name: &'static str, prompt: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            prompt: Prompt::Argument(prompt),
            before: Before::Nothing,
            home: Home::Usual,
            flags: Flags::All,
            args: &[],
            signal: None,
            not_on: &[],
        }
    }

    pub(super) const fn on_stdin(mut self, characters: usize) -> Self {
        self.prompt = Prompt::Stdin(characters);
        self
    }

    pub(super) const fn after(mut self, before: Before) -> Self {
        self.before = before;
        self
    }

    pub(super) const fn home(mut self, home: Home) -> Self {
        self.home = home;
        self
    }

    pub(super) const fn flags(mut self, flags: Flags) -> Self {
        self.flags = flags;
        self
    }

    pub(super) const fn args(mut self, args: &'static [&'static str]) -> Self {
        self.args = args;
        self
    }

    pub(super) const fn signal(mut self, signal: i32) -> Self {
        self.signal = Some(signal);
        self
    }

    pub(super) const fn not_on(mut self, not_on: &'static [(&'static str, &'static str)]) -> Self {
        self.not_on = not_on;
        self
    }

    /// Why this version of codex cannot show it; None when it can.
    #[must_use]
    pub fn missing_on(&self, version: &str) -> Option<&'static str> {
        let matching = self.not_on.iter().find(|(not, _)| *not == version);
        matching.map(|(_, reason)| *reason)
    }
}
