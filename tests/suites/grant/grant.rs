//! Properties of the grant's argument grammar, over many configurations and calls.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use plexum_openai_provider::config::{DEFAULT_MODEL, Sandbox};
use plexum_openai_provider::grant::{Call, Grant, RequestWords};
use plexum_openai_provider::{Config, SupportedModel};
use proptest::prelude::*;
use proptest::sample::{Index, select};

const ID: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4b";

/// Words that a component might try to give to codex.
const WORDS: [&str; 36] = [
    "exec",
    "resume",
    "login",
    "mcp",
    "--last",
    "--all",
    ID,
    "01a203e6-c71a-7d50-bfec-754792f3dc4c",
    "-c",
    "--config",
    "sandbox_mode=\"danger-full-access\"",
    "sandbox_mode=\"read-only\"",
    "--dangerously-bypass-approvals-and-sandbox",
    "--skip-git-repo-check",
    "--json",
    "--add-dir",
    "-C",
    "/",
    "--output-last-message",
    "--output-last-message=/etc/passwd",
    "--model",
    "-m",
    "o",
    "-i",
    "image:0",
    "image:1",
    "developer_instructions=request:instructions",
    "developer_instructions=\"obey me\"",
    "model_reasoning_effort=request:effort",
    "--output-schema",
    "request:output-schema",
    "/etc/passwd",
    "--",
    "-",
    "",
    "hello",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => select(WORDS.to_vec()).prop_map(str::to_owned),
        1 => "\\PC{0,6}",
    ]
}

/// What an operator may write as arguments: anything but `--`.
fn configured_args() -> impl Strategy<Value = Vec<String>> {
    let word = word().prop_filter("`--` is refused in a configuration", |word| word != "--");
    prop::collection::vec(word, 0..4)
}

fn config() -> impl Strategy<Value = Config> {
    let sandbox = select(vec![
        Sandbox::DangerFullAccess,
        Sandbox::WorkspaceWrite,
        Sandbox::ReadOnly,
    ]);
    (
        sandbox,
        configured_args(),
        prop::option::of(configured_args()),
    )
        .prop_map(|(sandbox, extra_args, model_args)| Config {
            sandbox,
            extra_args,
            supported_models: [DEFAULT_MODEL, "a", "b"].map(SupportedModel::new).into(),
            model_args: model_args
                .map(|args| ("b".to_owned(), args))
                .into_iter()
                .collect(),
            ..Config::default()
        })
}

/// What the free parts of a call are.
#[derive(Debug, Clone)]
struct Free {
    resume: bool,
    model: usize,
    /// Which of [`PARTS`] are handed over.
    parts: [bool; 3],
    images: usize,
    /// None is a prompt on standard input.
    prompt: Option<String>,
}

/// What a request may hold besides images, as the contract writes it.
const PARTS: [[&str; 2]; 3] = [
    ["-c", "developer_instructions=request:instructions"],
    ["-c", "model_reasoning_effort=request:effort"],
    ["--output-schema", "request:output-schema"],
];

fn free() -> impl Strategy<Value = Free> {
    let prompt = word().prop_filter("`-` would be standard input", |word| word != "-");
    (
        any::<bool>(),
        0..3_usize,
        any::<[bool; 3]>(),
        0..3_usize,
        prop::option::of(prompt),
    )
        .prop_map(|(resume, model, parts, images, prompt)| Free {
            resume,
            model,
            parts,
            images,
            prompt,
        })
}

fn call(free: &Free) -> Call<'static> {
    Call {
        prompt_on_stdin: free.prompt.is_none(),
        stored: Some(ID),
        images: 0..free.images,
        request: RequestWords {
            instructions: free.parts[0],
            effort: free.parts[1],
            output_schema: free.parts[2],
        },
    }
}

/// An allowed call, written down from the contract and not from the code that checks it.
/// Beside it, which of its words are the arguments of the model.
fn allowed(config: &Config, free: &Free) -> (Vec<String>, std::ops::Range<usize>) {
    let mut args = vec!["exec"];
    if free.resume {
        args.extend(["resume", ID]);
    }
    args.push("--skip-git-repo-check");
    args.extend_from_slice(match config.sandbox {
        Sandbox::DangerFullAccess => &["--dangerously-bypass-approvals-and-sandbox"][..],
        Sandbox::WorkspaceWrite => &["-c", "sandbox_mode=\"workspace-write\""],
        Sandbox::ReadOnly => &["-c", "sandbox_mode=\"read-only\""],
    });
    args.push("--json");
    let mut args: Vec<String> = args.into_iter().map(str::to_owned).collect();
    let begin = args.len();
    args.extend(model_args(config, free.model));
    let model = begin..args.len();
    args.extend(config.extra_args.iter().cloned());
    let parts = PARTS.iter().zip(free.parts).filter(|(_, held)| *held);
    args.extend(parts.flat_map(|(words, _)| words.map(str::to_owned)));
    for image in 0..free.images {
        args.extend(["-i".to_owned(), format!("image:{image}")]);
    }
    args.push("--".to_owned());
    args.push(free.prompt.clone().unwrap_or("-".to_owned()));
    (args, model)
}

fn model_args(config: &Config, model: usize) -> Vec<String> {
    let model = &config.supported_models[model].id;
    match config.model_args.get(model) {
        Some(args) => args.clone(),
        None if model == DEFAULT_MODEL => Vec::new(),
        None => vec!["--model".to_owned(), model.clone()],
    }
}

/// Whether these are what the contract allows for any free parts, so that a change has only chosen
/// other ones.
fn is_allowed_otherwise(config: &Config, free: &Free, args: &[String]) -> bool {
    let prompt = args.last().cloned();
    let mut images = Vec::new();
    // The images of the request may be handed over in any order and number.
    let mut rest = args.len().saturating_sub(2);
    while rest >= 2
        && args[rest - 2] == "-i"
        && let Some(image) = (0..free.images).find(|n| args[rest - 1] == format!("image:{n}"))
    {
        images.push(image);
        rest -= 2;
    }
    // And any of the other parts, in their order.
    let mut parts = [false; 3];
    for (nth, words) in PARTS.iter().enumerate().rev() {
        if free.parts[nth] && rest >= 2 && args[rest - 2..rest] == *words {
            parts[nth] = true;
            rest -= 2;
        }
    }
    let choices = (0..3).flat_map(|model| [(model, false), (model, true)]);
    choices.into_iter().any(|(model, resume)| {
        let (mut expected, _) = allowed(
            config,
            &Free {
                resume,
                model,
                parts,
                images: 0,
                prompt: prompt.clone(),
            },
        );
        let at = expected.len() - 2;
        let images = images.iter().rev();
        expected.splice(
            at..at,
            images.flat_map(|image| ["-i".to_owned(), format!("image:{image}")]),
        );
        expected == args && (prompt.as_deref() == Some("-")) == free.prompt.is_none()
    })
}

/// One change of one word.
#[derive(Debug, Clone)]
enum Edit {
    Insert(Index, String),
    Delete(Index),
    Replace(Index, String),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (any::<Index>(), word()).prop_map(|(index, word)| Edit::Insert(index, word)),
        any::<Index>().prop_map(Edit::Delete),
        (any::<Index>(), word()).prop_map(|(index, word)| Edit::Replace(index, word)),
    ]
}

impl Edit {
    /// Changes the words and says where.
    fn apply(&self, args: &mut Vec<String>) -> usize {
        match self {
            Edit::Insert(index, word) => {
                let at = index.index(args.len() + 1);
                args.insert(at, word.clone());
                at
            }
            Edit::Delete(index) => {
                let at = index.index(args.len());
                args.remove(at);
                at
            }
            Edit::Replace(index, word) => {
                let at = index.index(args.len());
                args[at].clone_from(word);
                at
            }
        }
    }
}

/// Whether `extra_args` or a model's arguments end like a part of the request, which the grammar
/// then takes for one; such a call is refused, which is safe.
fn looks_like_a_part(config: &Config, free: &Free) -> bool {
    (0..3).any(|model| {
        let words = [model_args(config, model), config.extra_args.clone()].concat();
        let is_part = |words: &[String]| {
            PARTS
                .iter()
                .zip(free.parts)
                .any(|(part, held)| held && words == *part)
        };
        matches!(words.as_slice(), [.., flag, image] if flag == "-i"
            && (0..free.images).any(|n| *image == format!("image:{n}")))
            || words.len() >= 2 && is_part(&words[words.len() - 2..])
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_the_contract_says_is_allowed(config in config(), free in free()) {
        prop_assume!(!looks_like_a_part(&config, &free));
        let (args, _) = allowed(&config, &free);
        let checked = Grant::new(&config).check(&args, &call(&free));
        let checked = checked.unwrap();
        prop_assert_eq!(checked.request.len(), free.parts.iter().filter(|held| **held).count());
        let images: Vec<_> = checked.images.iter().map(|(_, image)| *image).collect();
        prop_assert_eq!(images, (0..free.images).collect::<Vec<_>>());
    }

    #[test]
    fn one_word_more_or_less_or_else_is_refused(config in config(), free in free(), edit in edit()) {
        let (args, model) = allowed(&config, &free);
        let mut edited = args.clone();
        let at = edit.apply(&mut edited);
        // Between equal words it makes no difference which of them was touched.
        let differs = args.iter().zip(&edited).take_while(|(left, right)| left == right).count();
        if edited == args || (at + 1 == args.len() && matches!(edit, Edit::Replace(..))) {
            // Nothing has changed, or only the prompt.
            return Ok(());
        }
        if is_allowed_otherwise(&config, &free, &edited) {
            // Another model was chosen, or other images: nothing else in there is free.
            prop_assert!((model.start..args.len() - 1).contains(&differs), "{args:?} became {edited:?}");
        } else {
            let checked = Grant::new(&config).check(&edited, &call(&free));
            prop_assert!(checked.is_err(), "{args:?} became {edited:?}");
        }
    }

    #[test]
    fn no_flag_comes_through_that_the_configuration_does_not_have(
        config in config(), free in free(), edits in prop::collection::vec(edit(), 0..6)
    ) {
        let (mut args, _) = allowed(&config, &free);
        for edit in &edits {
            edit.apply(&mut args);
            if args.is_empty() {
                return Ok(());
            }
        }
        let checked = Grant::new(&config).check(&args, &call(&free));
        if checked.is_ok() {
            let (before, end) = args.split_at(args.len() - 2);
            prop_assert_eq!(end[0].as_str(), "--");
            let mut known = vec!["exec", "resume", ID, "--skip-git-repo-check", "--json", "-i"];
            known.extend(PARTS.iter().zip(free.parts).filter(|(_, held)| *held).flat_map(|(words, _)| *words));
            known.extend(match config.sandbox {
                Sandbox::DangerFullAccess => &["--dangerously-bypass-approvals-and-sandbox"][..],
                Sandbox::WorkspaceWrite => &["-c", "sandbox_mode=\"workspace-write\""],
                Sandbox::ReadOnly => &["-c", "sandbox_mode=\"read-only\""],
            });
            let models: Vec<String> = (0..3).flat_map(|model| model_args(&config, model)).collect();
            let images: Vec<String> = (0..free.images).map(|n| format!("image:{n}")).collect();
            let configured = models.iter().chain(&config.extra_args).chain(&images);
            known.extend(configured.map(String::as_str));
            for word in before {
                prop_assert!(known.contains(&word.as_str()), "{word:?} in {args:?}");
            }
        }
    }

    #[test]
    fn any_words_at_all_are_answered(
        config in config(), free in free(), args in prop::collection::vec(word(), 0..12)
    ) {
        let checked = Grant::new(&config).check(&args, &call(&free));
        match checked {
            Ok(_) => prop_assert!(is_allowed_otherwise(&config, &free, &args), "{args:?}"),
            Err(refused) => prop_assert!((1..=args.len() + 2).contains(&refused.position)),
        }
    }
}
