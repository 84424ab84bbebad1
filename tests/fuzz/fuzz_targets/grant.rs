//! The grant against the contract, written again, independently of the code that checks it.
//!
//! An input is four records: letters (see [`config`] and [`call`]), `extra_args`, the arguments of the model
//! `b`, and the arguments of a call, each as [`words`].
#![no_main]

use libfuzzer_sys::fuzz_target;
use plexum_openai_provider::config::Sandbox;
use plexum_openai_provider::grant::{Call, Explanation, Grant, Refused, RequestWords};
use plexum_openai_provider::{Config, SupportedModel};
use plexum_openai_provider_fuzz::fields::{RECORD, number, split};

const ID: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4b";

fuzz_target!(|data: &[u8]| {
    let [letters, extra_args, model_args, args] = split(data, RECORD);
    let Some(config) = config(letters, words(extra_args), words(model_args)) else {
        return;
    };
    let call = call(letters);
    let args = words(args);

    let explained = Explanation::of(&config, &args, &call);
    let outcome = Grant::new(&config).check(&args, &call);
    assert_eq!(explained.outcome, outcome);
    match outcome {
        Ok(allowed) => {
            assert!(is_granted(&config, &call, &args), "{args:?} is allowed");
            assert_eq!(explained.roles.len(), args.len());
            for (at, number) in allowed.images {
                assert!(call.images.contains(&number) && args[at] == format!("image:{number}"));
                assert_eq!(args[at - 1], "-i");
            }
            for (at, part) in allowed.request {
                assert!(call.request.holds(part));
                assert_eq!(args[at - 1..=at], part.words());
            }
        }
        Err(Refused { position, .. }) => {
            // `extra_args` that end like a part of the request are taken for one, which is safe.
            if !all_models(&config).any(|args| ends_like_a_part(&args, &call)) {
                assert!(!is_granted(&config, &call, &args), "{args:?} is refused");
            }
            assert!((1..=args.len() + 2).contains(&position));
            if args.iter().all(|arg| can_be_given(arg)) {
                assert_eq!(position, explained.roles.len() + 1, "{args:?}");
            }
        }
    }
});

/// A word a letter, so that one change of an input is one of a word; others stand between quotes.
fn words(text: &[u8]) -> Vec<String> {
    let mut rest = text;
    let mut words = Vec::new();
    while let [letter, behind @ ..] = rest {
        rest = behind;
        words.push(match letter {
            b'e' => "exec".to_owned(),
            b'r' => "resume".to_owned(),
            b't' => ID.to_owned(),
            b'u' => ID.replace('a', "b"),
            b'l' => "--last".to_owned(),
            b'g' => "--skip-git-repo-check".to_owned(),
            b'd' => "--dangerously-bypass-approvals-and-sandbox".to_owned(),
            b'c' => "-c".to_owned(),
            b'w' => "sandbox_mode=\"workspace-write\"".to_owned(),
            b'o' => "sandbox_mode=\"read-only\"".to_owned(),
            b'j' => "--json".to_owned(),
            b'm' => "--model".to_owned(),
            b'i' => "-i".to_owned(),
            b'0'..=b'9' => format!("image:{}", letter - b'0'),
            b's' => "--".to_owned(),
            b'n' => "-".to_owned(),
            b'D' => "developer_instructions=request:instructions".to_owned(),
            b'E' => "model_reasoning_effort=request:effort".to_owned(),
            b'O' => "--output-schema".to_owned(),
            b'S' => "request:output-schema".to_owned(),
            b'\'' => {
                let end = rest.iter().position(|byte| *byte == b'\'');
                let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
                rest = behind.get(1..).unwrap_or_default();
                String::from_utf8_lossy(word).into_owned()
            }
            other => char::from(*other).to_string(),
        });
    }
    words
}

/// `w` and `o` are the sandbox's modes; none if an operator could not write this.
fn config(letters: &[u8], extra_args: Vec<String>, model_args: Vec<String>) -> Option<Config> {
    let has = |letter| letters.contains(&letter);
    let config = Config {
        extra_args,
        supported_models: ["codex", "a", "b"].map(SupportedModel::new).into(),
        model_args: [("b".to_owned(), model_args)].into(),
        sandbox: match (has(b'w'), has(b'o')) {
            (true, _) => Sandbox::WorkspaceWrite,
            (_, true) => Sandbox::ReadOnly,
            _ => Sandbox::DangerFullAccess,
        },
        ..Config::default()
    };
    // Not through JSON, whose many ways would draw the fuzzer's attention away from the grant.
    let is_valid = [&config.extra_args, &config.model_args["b"]]
        .into_iter()
        .flatten()
        .all(|arg| arg != "--" && !arg.contains('\0'));
    is_valid.then_some(config)
}

/// `i` the prompt is on standard input, `r` a thread is stored, `x` something else is, `D` `E` `S` the request holds
/// instructions, an effort, an output schema, and the number of images.
fn call(letters: &[u8]) -> Call<'static> {
    let has = |letter| letters.contains(&letter);
    Call {
        prompt_on_stdin: has(b'i'),
        stored: match (has(b'r'), has(b'x')) {
            (true, _) => Some(ID),
            (_, true) => Some("--last"),
            _ => None,
        },
        images: 0..number(letters, 0).min(11),
        request: RequestWords {
            instructions: has(b'D'),
            effort: has(b'E'),
            output_schema: has(b'S'),
        },
    }
}

/// Whether the contract allows these arguments.
fn is_granted(config: &Config, call: &Call<'_>, args: &[String]) -> bool {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let [before @ .., "--", prompt] = args.as_slice() else {
        return false;
    };
    let flags: &[&str] = match config.sandbox {
        Sandbox::DangerFullAccess => &["--dangerously-bypass-approvals-and-sandbox"],
        Sandbox::WorkspaceWrite => &["-c", "sandbox_mode=\"workspace-write\""],
        Sandbox::ReadOnly => &["-c", "sandbox_mode=\"read-only\""],
    };
    let rest = match before {
        ["exec", "resume", ID, rest @ ..] if call.stored == Some(ID) => rest,
        ["exec", rest @ ..] => rest,
        _ => return false,
    };
    let rest = rest
        .strip_prefix(&["--skip-git-repo-check"])
        .and_then(|rest| rest.strip_prefix(flags))
        .and_then(|rest| rest.strip_prefix(&["--json"]));
    let is_one_model = rest.is_some_and(|rest| {
        all_models(config).any(|args| {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let parts = rest.strip_prefix(args.as_slice());
            parts.is_some_and(|mut words| {
                for (held, part) in parts_of(call) {
                    if held && let Some(behind) = words.strip_prefix(&part) {
                        words = behind;
                    }
                }
                words.chunks(2).all(|pair| is_image(pair, call))
            })
        })
    });
    is_one_model
        && (*prompt == "-") == call.prompt_on_stdin
        && args.iter().all(|arg| can_be_given(arg))
}

/// What selects each model, `extra_args` included.
fn all_models(config: &Config) -> impl Iterator<Item = Vec<String>> {
    config.supported_models.iter().map(|model| {
        let mut args = match model.id.as_str() {
            "codex" => Vec::new(),
            "b" => config.model_args["b"].clone(),
            other => vec!["--model".to_owned(), other.to_owned()],
        };
        args.extend_from_slice(&config.extra_args);
        args
    })
}

/// The parts of a request but its images, in their order: whether this one holds them, and how they are asked for.
fn parts_of(call: &Call<'_>) -> [(bool, [&'static str; 2]); 3] {
    let RequestWords {
        instructions,
        effort,
        output_schema,
    } = call.request;
    [
        (
            instructions,
            ["-c", "developer_instructions=request:instructions"],
        ),
        (effort, ["-c", "model_reasoning_effort=request:effort"]),
        (output_schema, ["--output-schema", "request:output-schema"]),
    ]
}

fn is_image(pair: &[&str], call: &Call<'_>) -> bool {
    let mut images = call.images.clone();
    matches!(pair, ["-i", image] if images.any(|n| *image == format!("image:{n}")))
}

fn ends_like_a_part(words: &[String], call: &Call<'_>) -> bool {
    let [.., flag, value] = words else {
        return false;
    };
    let pair = [flag.as_str(), value.as_str()];
    let mut parts = parts_of(call).into_iter();
    is_image(&pair, call) || parts.any(|(held, part)| held && part == pair)
}

/// What Linux can give a program as an argument.
fn can_be_given(arg: &str) -> bool {
    !arg.contains('\0') && arg.len() < 128 * 1024
}
