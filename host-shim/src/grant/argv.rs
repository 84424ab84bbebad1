//! The grant: the calls of codex that the operator's configuration allows.
//!
//! ```text
//! exec [resume <thread id>] <fixed flags> <args of one model> <extra args>
//!     [-c developer_instructions=request:instructions] [-c model_reasoning_effort=request:effort]
//!     [--output-schema request:output-schema] [-i image:<n>]… -- <prompt or ->
//! ```
//!
//! The only free words are the thread id, which must be the one that the store held when the turn began,
//! which of the configured models, and the prompt after `--`. The words with `request:` and `image:` stand for parts of
//! the request, which the host puts in their place. This decides and never spawns; the `process` module
//! spawns and never decides.

use std::ops::Range;

use super::argument::MAX_ARGUMENT_BYTES;
use super::request_word::{RequestWord, RequestWords};
use crate::config::{Config, Sandbox};
use crate::contract::thread_id::is_uuid;

/// The calls that are allowed.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    pub(super) fixed: Vec<(String, Role)>,
    /// For each model its name, and the arguments between the fixed flags and `--`.
    pub(super) models: Vec<(String, Vec<String>)>,
    /// How many of those, at their end, are `extra_args`.
    pub(super) extra: usize,
}

/// What an argument is in an allowed call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// `exec`, the only command.
    Command,
    /// `resume`.
    Resume,
    /// The thread that this workspace's session holds.
    Thread,
    /// One of the flags that are in every call.
    Fixed,
    /// The flags of the configured sandbox mode.
    Sandbox,
    /// One of the arguments that select this model.
    Model(String),
    /// One of `extra_args`.
    Extra,
    /// `-i`.
    ImageFlag,
    /// Where the host puts the path of this image of the request, counted from 0.
    Image(usize),
    /// The flag before this part of the request.
    RequestFlag(RequestWord),
    /// Where the host puts this part of the request.
    Request(RequestWord),
    /// `--`.
    Separator,
    /// The prompt, which may be anything.
    Prompt,
    /// `-`: the prompt travels on standard input.
    PromptOnStdin,
}

/// What a call is checked against, besides the configuration.
#[derive(Debug, Clone, Default)]
pub struct Call<'a> {
    /// Whether the prompt travels on standard input.
    pub prompt_on_stdin: bool,
    /// The thread id that the store held when the turn began.
    pub stored: Option<&'a str>,
    /// The numbers of the images that the prompt has.
    pub images: Range<usize>,
    /// The other parts of the request that may be handed over.
    pub request: RequestWords,
}

/// A call that is allowed.
#[derive(Debug, Clone, PartialEq)]
pub struct Allowed {
    /// Which arguments stand for which images: the index of the argument and the number of the image.
    pub images: Vec<(usize, usize)>,
    /// Which arguments stand for which other parts of the request.
    pub request: Vec<(usize, RequestWord)>,
}

/// A call that is not allowed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("argument {position} of codex is not in the grant: {reason}")]
pub struct Refused {
    /// The argument that does not fit, counted from 1 as in `$1`.
    pub position: usize,
    /// Why it does not fit, and which configuration would allow it, if any.
    pub reason: String,
}

impl Grant {
    /// Compiles what a configuration allows.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let fixed = |word: &str| (word.to_owned(), Role::Fixed);
        let sandbox = sandbox_flags(config.sandbox)
            .iter()
            .map(|word| ((*word).to_owned(), Role::Sandbox));
        let models = config.supported_models.iter().map(|model| {
            let mut args = config.args_of(&model.id);
            args.extend_from_slice(&config.extra_args);
            (model.id.clone(), args)
        });
        Grant {
            fixed: [fixed("--skip-git-repo-check")]
                .into_iter()
                .chain(sandbox)
                .chain([fixed("--json")])
                .collect(),
            models: models.collect(),
            extra: config.extra_args.len(),
        }
    }

    /// Checks a call's arguments.
    pub fn check(&self, args: &[String], call: &Call<'_>) -> Result<Allowed, Refused> {
        self.walk(args, call, &mut |_| ())
    }

    /// Checks a call's arguments and passes the role of each to `role`, in order, up to the one that is refused.
    pub(super) fn walk(
        &self,
        args: &[String],
        call: &Call<'_>,
        role: &mut dyn FnMut(Role),
    ) -> Result<Allowed, Refused> {
        let refuse = |index: usize, reason: String| {
            Err(Refused {
                position: index + 1,
                reason,
            })
        };
        let word = |index: usize| args.get(index).map(String::as_str);
        if let Some(index) = args
            .iter()
            .position(|arg| arg.len() > MAX_ARGUMENT_BYTES || arg.contains('\0'))
        {
            return refuse(
                index,
                format!(
                    "it holds NUL or more than {MAX_ARGUMENT_BYTES} bytes, which no program can be given"
                ),
            );
        }
        if word(0) != Some("exec") {
            return refuse(0, "only `exec` is granted".into());
        }
        role(Role::Command);
        let mut at = 1;
        if word(at) == Some("resume") {
            role(Role::Resume);
            if call
                .stored
                .is_none_or(|stored| !is_uuid(stored) || word(at + 1) != Some(stored))
            {
                return refuse(
                    at + 1,
                    "only the thread that this workspace's session holds can be resumed".into(),
                );
            }
            role(Role::Thread);
            at += 2;
        }
        for (fixed, fixed_role) in &self.fixed {
            if word(at) != Some(fixed) {
                return refuse(
                    at,
                    format!(
                        "`{fixed}` must come here (`sandbox` in config.json selects the sandbox)"
                    ),
                );
            }
            role(fixed_role.clone());
            at += 1;
        }
        // From the end: the prompt is free and may look like anything.
        let Some(separator) = args
            .len()
            .checked_sub(2)
            .filter(|separator| *separator >= at)
        else {
            return refuse(at, "`--` and the prompt must follow".into());
        };
        let rest = args.get(at..separator).unwrap_or_default();
        let (rest, images) = split_images(rest, &call.images);
        let (words, parts) = split_request(rest, call.request);
        let matching = self.models.iter().map(|model| {
            let common = common_prefix(&model.1, words);
            (model, common, model.1 == words)
        });
        // The first of those that fit best, and the one that fits, if there is one.
        let best = matching
            .rev()
            .max_by_key(|(_, common, fits)| (*fits, *common));
        if let Some(((model, model_args), common, _)) = best {
            let own = model_args.len().saturating_sub(self.extra);
            for index in 0..common {
                role(if index < own {
                    Role::Model(model.clone())
                } else {
                    Role::Extra
                });
            }
        }
        if !best.is_some_and(|(_, _, fits)| fits) {
            return refuse(
                at + best.map_or(0, |(_, common, _)| common),
                "between the fixed flags and `--` only these are allowed: the arguments of one model, then `extra_args`, exactly as in config.json (`model_args`, `extra_args`), and then what the request holds: its instructions, effort, output schema and images".into(),
            );
        }
        let first_part = at + words.len() + 1;
        let first_image = first_part + 2 * parts.len();
        for part in &parts {
            role(Role::RequestFlag(*part));
            role(Role::Request(*part));
        }
        for image in &images {
            role(Role::ImageFlag);
            role(Role::Image(*image));
        }
        if word(separator) != Some("--") {
            return refuse(separator, "`--` must come before the prompt".into());
        }
        role(Role::Separator);
        if (word(separator + 1) == Some("-")) != call.prompt_on_stdin {
            return refuse(
                separator + 1,
                "`-` and a prompt on standard input go together".into(),
            );
        }
        role(if call.prompt_on_stdin {
            Role::PromptOnStdin
        } else {
            Role::Prompt
        });
        let images = images
            .into_iter()
            .enumerate()
            .map(|(nth, image)| (first_image + 2 * nth, image));
        let parts = parts.into_iter().enumerate();
        Ok(Allowed {
            images: images.collect(),
            request: parts
                .map(|(nth, part)| (first_part + 2 * nth, part))
                .collect(),
        })
    }

    /// The flags that are in every call, in order, with their roles.
    #[cfg(feature = "audit")]
    pub(crate) fn fixed(&self) -> &[(String, Role)] {
        &self.fixed
    }

    /// The names of the models and the arguments that each gets, `extra_args` included.
    #[must_use]
    pub fn models(&self) -> &[(String, Vec<String>)] {
        &self.models
    }
}

/// The flags of a sandbox mode. They are in every call, because a resumed conversation would otherwise continue with
/// those that it began with.
///
/// The component has the same table in `guest/src/transport/exec/argv.rs`, written twice on purpose: see
/// [`MAX_ARGUMENT_BYTES`].
fn sandbox_flags(sandbox: Sandbox) -> &'static [&'static str] {
    match sandbox {
        Sandbox::DangerFullAccess => &["--dangerously-bypass-approvals-and-sandbox"],
        Sandbox::WorkspaceWrite => &["-c", "sandbox_mode=\"workspace-write\""],
        Sandbox::ReadOnly => &["-c", "sandbox_mode=\"read-only\""],
    }
}

/// Takes the pairs `-i image:<n>` off the end, and returns their numbers.
pub(super) fn split_images<'a>(
    words: &'a [String],
    images: &Range<usize>,
) -> (&'a [String], Vec<usize>) {
    let mut rest = words;
    let mut numbers = Vec::new();
    while let [before @ .., flag, image] = rest
        && flag == "-i"
        && let Some(number) = image_number(image).filter(|number| images.contains(number))
    {
        numbers.push(number);
        rest = before;
    }
    numbers.reverse();
    (rest, numbers)
}

/// The number in `image:<n>`, written as the component has to write it.
fn image_number(word: &str) -> Option<usize> {
    let number = word.strip_prefix("image:")?.parse().ok()?;
    (word == format!("image:{number}")).then_some(number)
}

/// Takes the pairs that stand for other parts of the request off the end, each at most once and in their order.
pub(super) fn split_request(words: &[String], held: RequestWords) -> (&[String], Vec<RequestWord>) {
    let mut rest = words;
    let mut parts = Vec::new();
    for part in RequestWord::ALL.into_iter().rev() {
        if held.holds(part)
            && let [before @ .., flag, word] = rest
            && part.words() == [flag, word]
        {
            parts.push(part);
            rest = before;
        }
    }
    parts.reverse();
    (rest, parts)
}

fn common_prefix(left: &[String], right: &[String]) -> usize {
    left.iter()
        .zip(right)
        .take_while(|(left, right)| left == right)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SupportedModel;

    const ID: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4b";
    const OTHER: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4c";

    fn grant() -> Grant {
        let mut config = Config {
            extra_args: vec!["-c".into(), "a=1".into()],
            ..Config::default()
        };
        config.supported_models.push(SupportedModel::new("m"));
        Grant::new(&config)
    }

    fn check(line: &str, prompt: &str) -> Result<Allowed, Refused> {
        let args: Vec<String> = line
            .split(' ')
            .filter(|word| !word.is_empty())
            .chain([prompt])
            .map(str::to_owned)
            .collect();
        grant().check(
            &args,
            &Call {
                prompt_on_stdin: prompt == "-",
                stored: Some(ID),
                images: 0..2,
                request: RequestWords {
                    output_schema: false,
                    ..RequestWords::ALL
                },
            },
        )
    }

    const INSTRUCTIONS: &str = "-c developer_instructions=request:instructions";
    const EFFORT: &str = "-c model_reasoning_effort=request:effort";
    const SCHEMA: &str = "--output-schema request:output-schema";

    const FLAGS: &str = "--skip-git-repo-check --dangerously-bypass-approvals-and-sandbox --json";

    #[test]
    fn the_contract_is_allowed_with_any_prompt() {
        for prompt in ["hello", "--help", "-", "", "--", "exec resume --last"] {
            check(&format!("exec {FLAGS} -c a=1 --"), prompt).unwrap();
            check(
                &format!("exec resume {ID} {FLAGS} --model m -c a=1 --"),
                prompt,
            )
            .unwrap();
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_position() {
        for (line, position) in [
            (String::new(), 1),
            (format!("login {FLAGS} -c a=1 --"), 1),
            (format!("exec resume {OTHER} {FLAGS} -c a=1 --"), 3),
            (format!("exec resume --last {FLAGS} -c a=1 --"), 3),
            (format!("exec -C / {FLAGS} -c a=1 --"), 2),
            (format!("exec {FLAGS} -c a=2 --"), 6),
            (format!("exec {FLAGS} --model other -c a=1 --"), 6),
            (format!("exec {FLAGS} -c a=1 -c b=2 --"), 7),
            (format!("exec {FLAGS} -c a=1 -i /etc/passwd --"), 7),
            (format!("exec {FLAGS} -c a=1 -i image:2 --"), 7),
            (format!("exec {FLAGS} -i image:0 -c a=1 --"), 5),
            (format!("exec {FLAGS} -c a=1 -i image:00 --"), 7),
            // What the request does not hold, in another order, twice, or with a value of the component's own.
            (format!("exec {FLAGS} -c a=1 {SCHEMA} --"), 7),
            (format!("exec {FLAGS} -c a=1 {EFFORT} {INSTRUCTIONS} --"), 7),
            (format!("exec {FLAGS} -c a=1 {EFFORT} {EFFORT} --"), 7),
            (format!("exec {FLAGS} -c a=1 -i image:0 {EFFORT} --"), 7),
            (format!("exec {FLAGS} {EFFORT} -c a=1 --"), 6),
            (
                format!("exec {FLAGS} -c a=1 -c developer_instructions=x --"),
                7,
            ),
            (
                format!("exec {FLAGS} -c a=1 --output-schema /etc/passwd --"),
                7,
            ),
            (format!("exec {FLAGS} --"), 5),
            (format!("exec {FLAGS} -c a=1"), 6),
            (format!("exec {FLAGS} -c a=1 -- x"), 7),
            (format!("exec {FLAGS}"), 5),
            ("exec".to_owned(), 2),
        ] {
            let refused = check(&line, "prompt").expect_err(&line);
            assert_eq!(refused.position, position, "{line}: {refused}");
        }
    }

    #[test]
    fn images_of_the_request_are_found_where_they_are() {
        let allowed = check(
            &format!("exec {FLAGS} -c a=1 -i image:1 -i image:0 --"),
            "image:0",
        )
        .unwrap();
        assert_eq!(allowed.images, [(7, 1), (9, 0)]);
    }

    #[test]
    fn parts_of_the_request_are_found_where_they_are() {
        let call = format!("exec {FLAGS} -c a=1 {INSTRUCTIONS} {EFFORT} -i image:1 --");
        let allowed = check(&call, "request:effort").unwrap();
        let parts = [(7, RequestWord::Instructions), (9, RequestWord::Effort)];
        assert_eq!(allowed.request, parts);
        assert_eq!(allowed.images, [(11, 1)]);
    }

    #[test]
    fn stdin_and_the_dash_go_together() {
        let mut args: Vec<String> = format!("exec {FLAGS} -c a=1 -- -")
            .split(' ')
            .map(str::to_owned)
            .collect();
        assert!(grant().check(&args, &Call::default()).is_err());
        args.pop();
        args.push("words".into());
        assert!(
            grant()
                .check(
                    &args,
                    &Call {
                        prompt_on_stdin: true,
                        ..Call::default()
                    }
                )
                .is_err()
        );
    }

    #[test]
    fn a_stored_id_that_is_not_a_uuid_is_never_resumed() {
        let args: Vec<String> = format!("exec resume --last {FLAGS} -c a=1 -- x")
            .split(' ')
            .map(str::to_owned)
            .collect();
        assert_eq!(
            grant()
                .check(
                    &args,
                    &Call {
                        stored: Some("--last"),
                        ..Call::default()
                    }
                )
                .unwrap_err()
                .position,
            3
        );
    }
}
