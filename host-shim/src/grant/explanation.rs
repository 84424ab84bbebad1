//! What the grant says about each argument of a call, and which configuration would let it through.

use std::fmt;

use serde_json::{Value, json};

use super::argv::{Allowed, Call, Grant, Refused, Role, split_images, split_request};
use super::request_word::RequestWord;
use crate::config::{Config, Instructions, Sandbox, SupportedModel};

/// What the grant says about a call.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// The roles of the arguments, in order, up to the one that is refused.
    pub roles: Vec<Role>,
    /// Whether the call is allowed.
    pub outcome: Result<Allowed, Refused>,
    /// Where the call is refused: what it hands over that its request does not hold. No configuration allows that.
    pub lacks: Vec<Lack>,
    /// Where the call is refused: the single changes of the configuration that would allow it, for a request that lacks
    /// nothing; none where none is needed.
    pub changes: Vec<Change>,
}

/// What a request does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lack {
    /// One of its parts.
    Part(RequestWord),
    /// An image of this number, counted from 0.
    Image(usize),
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lack::Part(part) => {
                let (flag, value) = match part {
                    RequestWord::Instructions => ("--instructions", "TEXT"),
                    RequestWord::Effort => ("--effort", "LEVEL"),
                    RequestWord::OutputSchema => ("--output-schema", "FILE"),
                };
                write!(
                    f,
                    "{}: `say {flag} {value}`; here `explain {flag}`",
                    named(*part)
                )
            }
            Lack::Image(number) => write!(
                f,
                "image {number} of the request: `say --messages FILE`; here `explain --images {}`",
                number.saturating_add(1)
            ),
        }
    }
}

/// A line of config.json that would allow a call.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// The setting.
    pub setting: &'static str,
    /// Its whole new value.
    pub value: Value,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\": {}", self.setting, self.value)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Command => f.write_str("the only command"),
            Role::Resume => f.write_str("resumes a conversation"),
            Role::Thread => f.write_str("the thread that this workspace's session holds"),
            Role::Fixed => f.write_str("in every call"),
            Role::Sandbox => f.write_str("the configured `sandbox`"),
            Role::Model(model) => write!(f, "selects the model `{}`", model.escape_debug()),
            Role::Extra => f.write_str("from `extra_args`"),
            Role::ImageFlag => f.write_str("hands over an image"),
            Role::Image(number) => write!(
                f,
                "image {number} of the request; codex gets the path of the host's copy"
            ),
            Role::RequestFlag(part) => write!(f, "hands over {}", named(*part)),
            Role::Request(RequestWord::OutputSchema) => {
                f.write_str("the request's output schema; codex gets the path of the host's copy")
            }
            Role::Request(part) => write!(f, "{}; codex gets the text, quoted", named(*part)),
            Role::Separator => f.write_str("ends the options"),
            Role::Prompt => f.write_str("the prompt, which is free"),
            Role::PromptOnStdin => {
                f.write_str("the prompt, which is free, comes on standard input")
            }
        }
    }
}

fn named(part: RequestWord) -> &'static str {
    match part {
        RequestWord::Instructions => "the request's instructions",
        RequestWord::Effort => "the request's effort",
        RequestWord::OutputSchema => "the request's output schema",
    }
}

impl Explanation {
    /// What the grant of `config` says about these arguments.
    #[must_use]
    pub fn of(config: &Config, args: &[String], call: &Call<'_>) -> Self {
        let mut roles = Vec::new();
        let outcome = Grant::new(config).walk(args, call, &mut |role| roles.push(role));
        let (mut lacks, mut changes) = (Vec::new(), Vec::new());
        if outcome.is_err() {
            lacks = lacking(args, call);
            let complete = completed(call, &lacks);
            if Grant::new(config).check(args, &complete).is_err() {
                changes = self::changes(config, args, &complete);
            }
            // The operator has it left out of every request.
            if lacks.contains(&Lack::Part(RequestWord::Instructions))
                && config.instructions == Instructions::Ignore
            {
                changes.push(Change {
                    setting: "instructions",
                    value: json!(Instructions::Developer),
                });
            }
        }
        Explanation {
            roles,
            outcome,
            lacks,
            changes,
        }
    }
}

/// The parts of a request that the arguments hand over and that it does not hold.
fn lacking(args: &[String], call: &Call<'_>) -> Vec<Lack> {
    let mut lacks = Vec::new();
    for pair in args.windows(2) {
        let [flag, word] = pair else { continue };
        let part = RequestWord::ALL
            .into_iter()
            .find(|part| part.words() == [flag.as_str(), word.as_str()]);
        let lack = match part {
            Some(part) => (!call.request.holds(part)).then_some(Lack::Part(part)),
            None if flag == "-i" => {
                let number = word.strip_prefix("image:").and_then(|it| it.parse().ok());
                let number = number.filter(|number| !call.images.contains(number));
                number.map(Lack::Image)
            }
            None => None,
        };
        lacks.extend(lack.filter(|lack| !lacks.contains(lack)));
    }
    lacks
}

/// The call for a request that lacks none of these.
fn completed<'a>(call: &Call<'a>, lacks: &[Lack]) -> Call<'a> {
    let mut complete = call.clone();
    for lack in lacks {
        match lack {
            Lack::Part(RequestWord::Instructions) => complete.request.instructions = true,
            Lack::Part(RequestWord::Effort) => complete.request.effort = true,
            Lack::Part(RequestWord::OutputSchema) => complete.request.output_schema = true,
            Lack::Image(number) => {
                let images = &mut complete.images;
                if images.start >= images.end {
                    *images = *number..*number;
                }
                let end = number.saturating_add(1).max(images.end);
                *images = images.start.min(*number)..end;
            }
        }
    }
    complete
}

/// The single changes that allow the call. Each is tried, so the guesses need not be good.
fn changes(config: &Config, args: &[String], call: &Call<'_>) -> Vec<Change> {
    let mut found = Vec::new();
    let mut try_change = |setting, value: Value, change: &dyn Fn(&mut Config)| {
        let mut changed = config.clone();
        change(&mut changed);
        if changed.check().is_ok() && Grant::new(&changed).check(args, call).is_ok() {
            found.push(Change { setting, value });
        }
    };
    for sandbox in [
        Sandbox::ReadOnly,
        Sandbox::WorkspaceWrite,
        Sandbox::DangerFullAccess,
    ] {
        try_change("sandbox", json!(sandbox), &|config| {
            config.sandbox = sandbox;
        });
    }
    let words = between(args, call);
    if let [flag, model, ..] = words
        && flag == "--model"
    {
        let mut models = config.supported_models.clone();
        models.push(SupportedModel::new(model));
        try_change("supported_models", json!(models), &|config| {
            config.supported_models = models.clone();
        });
    }
    // A word of the request is no argument of the operator's, wherever it stands: codex would get it as it is.
    let stands_for_a_part = |word: &String| {
        let parts = RequestWord::ALL.into_iter().map(|part| part.words()[1]);
        word.starts_with("image:") || parts.into_iter().any(|part| part == word)
    };
    if words.iter().any(stands_for_a_part) {
        return found;
    }
    // The model that the call most likely means is the one whose arguments are longest.
    let models = config.supported_models.iter();
    let mut args: Vec<_> = models.map(|model| config.args_of(&model.id)).collect();
    args.sort_by_key(|args| std::cmp::Reverse(args.len()));
    let extra = args
        .iter()
        .find_map(|args| words.strip_prefix(args.as_slice()));
    if let Some(extra) = extra {
        try_change("extra_args", json!(extra), &|config| {
            config.extra_args = extra.to_vec();
        });
    }
    if let Some(own) = words.strip_suffix(config.extra_args.as_slice())
        && let Some(model) = config.supported_models.first()
    {
        let mut model_args = config.model_args.clone();
        model_args.insert(model.id.clone(), own.to_vec());
        try_change("model_args", json!(model_args), &|config| {
            config.model_args = model_args.clone();
        });
    }
    found
}

/// The arguments between the fixed flags and what the request holds, or `--`.
fn between<'a>(args: &'a [String], call: &Call<'_>) -> &'a [String] {
    let begin = args.iter().position(|arg| arg == "--json");
    let end = args.len().saturating_sub(2);
    let words = begin.and_then(|begin| args.get(begin + 1..end));
    let (words, _) = split_images(words.unwrap_or_default(), &call.images);
    split_request(words, call.request).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::request_word::RequestWords;

    const FLAGS: &str = "--skip-git-repo-check --dangerously-bypass-approvals-and-sandbox --json";
    const ID: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4b";

    fn explain(line: &str) -> Explanation {
        let config = Config {
            extra_args: vec!["-c".into(), "a=1".into()],
            supported_models: ["codex", "m"].map(SupportedModel::new).into(),
            ..Config::default()
        };
        let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let call = Call {
            prompt_on_stdin: line.ends_with(" -"),
            stored: Some(ID),
            images: 0..1,
            request: RequestWords::ALL,
        };
        Explanation::of(&config, &args, &call)
    }

    #[test]
    fn every_argument_of_an_allowed_call_has_its_role() {
        let explained = explain(&format!(
            "exec resume {ID} {FLAGS} --model m -c a=1 --output-schema request:output-schema -i image:0 -- hello"
        ));
        explained.outcome.unwrap();
        let model = || Role::Model("m".into());
        assert_eq!(
            explained.roles,
            [
                Role::Command,
                Role::Resume,
                Role::Thread,
                Role::Fixed,
                Role::Sandbox,
                Role::Fixed,
                model(),
                model(),
                Role::Extra,
                Role::Extra,
                Role::RequestFlag(RequestWord::OutputSchema),
                Role::Request(RequestWord::OutputSchema),
                Role::ImageFlag,
                Role::Image(0),
                Role::Separator,
                Role::Prompt,
            ]
        );
        let explained = explain(&format!("exec {FLAGS} -c a=1 -- -"));
        assert_eq!(explained.roles.last(), Some(&Role::PromptOnStdin));
    }

    #[test]
    fn the_roles_end_where_the_call_is_refused() {
        for line in [
            "login".to_owned(),
            "exec".to_owned(),
            "exec resume x".to_owned(),
            format!("exec {FLAGS} --model m -c a=2 -- hello"),
            format!("exec {FLAGS} --model m -c a=1 -c b=2 -- hello"),
            format!("exec {FLAGS} -c a=1 hello"),
            format!("exec {FLAGS} -c a=1 -i image:0 -x hello"),
        ] {
            let explained = explain(&line);
            let refused = explained.outcome.expect_err(&line);
            assert_eq!(explained.roles.len() + 1, refused.position, "{line}");
        }
    }

    #[test]
    fn what_the_request_lacks_is_named_and_no_setting_is_advised_for_it() {
        let config = Config::default();
        let explain = |config: &Config, line: &str| {
            let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let call = Call {
                prompt_on_stdin: false,
                stored: None,
                images: 0..1,
                request: RequestWords::default(),
            };
            let explained = Explanation::of(config, &args, &call);
            let lacks = explained.lacks.iter().map(Lack::to_string);
            let changes = explained.changes.iter().map(Change::to_string);
            (lacks.collect::<Vec<_>>(), changes.collect::<Vec<_>>())
        };
        let words = |part: RequestWord| part.words().join(" ");
        for (part, flag) in [
            (RequestWord::Instructions, "say --instructions TEXT"),
            (RequestWord::Effort, "say --effort LEVEL"),
            (RequestWord::OutputSchema, "say --output-schema FILE"),
        ] {
            let line = format!("exec {FLAGS} {} -- hello", words(part));
            let (lacks, changes) = explain(&config, &line);
            assert!(lacks.len() == 1 && lacks[0].contains(flag), "{lacks:?}");
            assert_eq!(changes, [""; 0], "{line}");
        }
        let (lacks, _) = explain(
            &config,
            &format!("exec {FLAGS} -i image:0 -i image:1 -- hello"),
        );
        assert!(
            lacks.len() == 1 && lacks[0].contains("--images 2"),
            "{lacks:?}"
        );
        // Besides it, a setting.
        let effort = words(RequestWord::Effort);
        let (lacks, changes) = explain(
            &config,
            &format!("exec {FLAGS} --model m {effort} -- hello"),
        );
        assert_eq!(lacks.len(), 1);
        assert!(changes.contains(&r#""supported_models": ["codex","m"]"#.to_owned()));
        assert!(
            changes.iter().all(|change| !change.contains("request:")),
            "{changes:?}"
        );
        // In the wrong place, no flag helps, and no setting either.
        let (_, changes) = explain(
            &config,
            &format!("exec {FLAGS} {effort} --model m -- hello"),
        );
        assert_eq!(changes, [""; 0]);
        // Left out by the operator.
        let config = Config {
            instructions: Instructions::Ignore,
            ..Config::default()
        };
        let line = format!("exec {FLAGS} {} -- hello", words(RequestWord::Instructions));
        assert_eq!(
            explain(&config, &line).1,
            [r#""instructions": "developer""#]
        );
    }

    #[test]
    fn the_changes_are_those_that_allow_the_call() {
        for (line, expected) in [
            (
                "exec --skip-git-repo-check -c sandbox_mode=\"read-only\" --json -c a=1 -- hello"
                    .to_owned(),
                vec![r#""sandbox": "read-only""#],
            ),
            (
                format!("exec {FLAGS} --model o -c a=1 -- hello"),
                vec![
                    r#""supported_models": ["codex","m","o"]"#,
                    r#""extra_args": ["--model","o","-c","a=1"]"#,
                    r#""model_args": {"codex":["--model","o"]}"#,
                ],
            ),
            (
                format!("exec {FLAGS} -c a=1 -c b=2 -- hello"),
                vec![r#""extra_args": ["-c","a=1","-c","b=2"]"#],
            ),
            (
                format!("exec {FLAGS} -c b=2 -c a=1 -i image:0 -- hello"),
                vec![
                    r#""extra_args": ["-c","b=2","-c","a=1"]"#,
                    r#""model_args": {"codex":["-c","b=2"]}"#,
                ],
            ),
            (format!("exec -C / {FLAGS} -c a=1 -- hello"), vec![]),
            (
                format!("exec resume --last {FLAGS} -c a=1 -- hello"),
                vec![],
            ),
            ("login".to_owned(), vec![]),
        ] {
            let changes = explain(&line).changes;
            let changes: Vec<String> = changes.iter().map(Change::to_string).collect();
            assert_eq!(changes, expected, "{line}");
        }
    }
}
