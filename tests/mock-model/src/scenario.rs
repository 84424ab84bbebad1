//! What a prompt can ask of the model: the table of scenarios, and how a prompt names one.

use serde_json::Value;

/// Declares [`Scenario`] from one table, so that a name, its argument and its explanation cannot
/// drift apart.
macro_rules! scenarios {
    ($($variant:ident $name:literal $argument:literal $doc:literal)+) => {
        /// One behaviour of the model, asked for by a prompt that starts with `mock:<name>`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Scenario {
            $(#[doc = $doc] $variant,)+
        }

        impl Scenario {
            /// Every scenario, in the order of `mock-model --help`.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word after `mock:`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The shape of its argument, empty when it takes none.
            #[must_use]
            pub fn argument(self) -> &'static str {
                match self { $(Self::$variant => $argument,)+ }
            }

            /// What it does, in one line.
            #[must_use]
            pub fn explanation(self) -> &'static str {
                match self { $(Self::$variant => $doc,)+ }
            }
        }
    };
}

scenarios! {
    Text "text" "<answer>" "Answers with the argument."
    History "history" "" "Answers with a JSON list of the prompts that the thread holds."
    Tokens "tokens" "<in>,<cached>,<out>,<reasoning>" "Answers `ok` and reports exactly these tokens."
    Messages "messages" "" "Two messages in one response."
    Reasoning "reasoning" "" "A reasoning summary, then a message."
    Thoughts "thoughts" "" "A reasoning summary in two parts, each written in pieces, then a message."
    Mismatch "mismatch" "" "A message whose text is not what its deltas were."
    NoDeltas "nodeltas" "" "A message that comes whole, without an announcement or deltas."
    Slow "slow" "<n>[,<ms>]" "A message in n deltas, 100 ms apart or as many as named."
    Big "big" "<bytes>" "One message of that many bytes."
    Empty "empty" "" "Completes without any output item."
    EmptyText "emptytext" "" "One message without a text."
    NoUsage "nousage" "" "Completes without reporting tokens."
    Incomplete "incomplete" "" "A message, then the response ends as incomplete (max_output_tokens)."
    Shell "shell" "<command>" "Runs one command, then answers `done`."
    Shell2 "shell2" "<command>||<command>" "Runs two commands asked for in one response, then answers `done`."
    Comment "comment" "<command>" "A message and a command in one response, then answers `done`."
    Patch "patch" "<path>" "Adds a file with apply_patch, then answers `done`."
    Mcp "mcp" "<server>/<tool> <json>" "Calls a tool of an MCP server, then answers `done`."
    Web "web" "<query>" "A web search, then a message."
    Plan "plan" "" "Sets a plan of two steps, completes the first, then answers `done`."
    Agents "agents" "" "Starts a sub-agent, waits for it, then answers `done`."
    UnknownTool "unknowntool" "" "Calls a tool that does not exist, then answers `done`."
    UnknownItem "unknownitem" "" "An output item of a type that nobody knows, then a message."
    BadJson "badjson" "" "An event that is not JSON, then a message."
    Drop "drop" "" "Cuts every connection in the middle of the message."
    DropN "dropn" "<n>" "Cuts the first n connections of this prompt, then answers."
    DropMessage "dropmsg" "" "Cuts the first connection after a whole message, then answers with another."
    DropRepeat "droprepeat" "" "Cuts the first connection after a whole message, then says it again."
    DropThought "dropthought" "" "Cuts the first connection in the middle of a reasoning summary, then answers."
    DropTool "droptool" "<command>" "Runs one command, cuts the first connection in the middle of the answer, then answers."
    NoCompleted "nocompleted" "" "Ends the stream after a whole message, without saying completed."
    Hang "hang" "" "Accepts the request and never answers."
    HangHeaders "hanghdr" "" "Sends the headers and nothing more."
    FailN "failn" "<n>,<status>" "Refuses the first n requests of this prompt with that status, then answers."
    FailTool "failtool" "<command>" "Runs one command, then refuses with 400."
    ContextTool "ctxtool" "<command>" "Runs one command, then response.failed: context_length_exceeded."
    HangTool "hangtool" "<command>" "Runs one command, then never answers."
    E400Model "e400model" "" "400: the model is not for this account, as an error object."
    E400Detail "e400detail" "" "400: the same as a `detail`."
    E400Plain "e400plain" "" "400: the same as plain text."
    E401 "e401" "" "401 Unauthorized."
    E403 "e403" "" "403 Forbidden."
    E404 "e404" "" "404 Not Found."
    E429 "e429" "" "429 without a Retry-After."
    E429RetryAfter "e429ra" "" "429 with `Retry-After: 2`."
    E429Quota "e429quota" "" "429 usage_limit_reached with a plan, and a reset in an hour."
    E500 "e500" "" "500 Internal Server Error."
    E503 "e503" "" "503 Service Unavailable."
    Context "ctx" "" "response.failed: context_length_exceeded."
    Quota "quota" "" "response.failed: insufficient_quota."
    Overloaded "overloaded" "" "response.failed: server_is_overloaded."
    Policy "policy" "" "response.failed: invalid_prompt."
    RateLimit "ratelimit" "" "response.failed: rate_limit_exceeded, try again in 1s."
}

/// What a prompt asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked<'a> {
    /// No `mock:` word: echo the text.
    Echo(&'a str),
    /// A scenario with its argument, which is empty when there was none.
    Scenario(Scenario, String),
    /// A `mock:` word that names none.
    Unknown(&'a str),
}

impl<'a> Asked<'a> {
    /// Reads the first word of `text`. The argument of a scenario is the rest of the line, or one
    /// JSON value that may span lines; a JSON string is taken for what it stands for.
    pub(super) fn of(text: &'a str) -> Self {
        let Some(rest) = text.trim_start().strip_prefix("mock:") else {
            return Self::Echo(text);
        };
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let Some(scenario) = Scenario::ALL.iter().find(|known| known.name() == name) else {
            return Self::Unknown(name);
        };
        let argument = rest.strip_prefix('=').map(argument).unwrap_or_default();
        Self::Scenario(*scenario, argument)
    }
}

fn argument(rest: &str) -> String {
    let line = rest.split('\n').next().unwrap_or_default();
    if !rest.starts_with(['{', '[', '"']) {
        return line.to_owned();
    }
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
    let value = values.next();
    let after = rest.get(values.byte_offset()..).unwrap_or_default();
    match value {
        // A shell command may well begin with a quoted word: only a value that ends its line counts.
        Some(Ok(value))
            if after.trim_start_matches([' ', '\t', '\r']).is_empty()
                || after.starts_with('\n') =>
        {
            match value {
                Value::String(text) => text,
                value => value.to_string(),
            }
        }
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(scenario: Scenario, argument: &str) -> Asked<'_> {
        Asked::Scenario(scenario, argument.to_owned())
    }

    #[test]
    fn a_prompt_names_its_scenario_with_the_first_word() {
        for (prompt, want) in [
            ("hello", Asked::Echo("hello")),
            ("say mock:drop", Asked::Echo("say mock:drop")),
            ("mock:drop", asked(Scenario::Drop, "")),
            (" mock:drop and more", asked(Scenario::Drop, "")),
            ("mock:dropn=2", asked(Scenario::DropN, "2")),
            ("mock:text=a b\nc", asked(Scenario::Text, "a b")),
            (r#"mock:text="a\nb""#, asked(Scenario::Text, "a\nb")),
            (
                r#"mock:shell="ls" -l"#,
                asked(Scenario::Shell, r#""ls" -l"#),
            ),
            ("mock:shell=[ -e x ]", asked(Scenario::Shell, "[ -e x ]")),
            ("mock:nonesuch=1", Asked::Unknown("nonesuch")),
        ] {
            assert_eq!(Asked::of(prompt), want, "{prompt:?}");
        }
    }

    #[test]
    fn no_two_scenarios_share_a_name() {
        let mut names: Vec<_> = Scenario::ALL.iter().map(|known| known.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Scenario::ALL.len());
    }
}
