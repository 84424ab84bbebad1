//! What a turn's request hands over to codex, held ready where the component cannot change it.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use super::image::{ImageError, StagedImages};
use super::private_folder::{PrivateFolder, SCHEMA, sweep_once};
use crate::config::Instructions;
use crate::contract::effort::is_effort;
use crate::contract::event::{Failure, FailureKind};
use crate::contract::request::Request;
use crate::grant::Allowed;
use crate::grant::request_word::{RequestWord, RequestWords, TooLong};
use crate::scarcity;

/// The longest output schema, in bytes. The component has the same limit in `guest/src/request/output_schema.rs`,
/// written twice on purpose.
pub(crate) const MAX_SCHEMA_BYTES: usize = 1024 * 1024;

/// Why a part of a request cannot be handed over.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// One of its images.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Its output schema cannot be put where codex can read it.
    #[error("The output schema could not be copied to a temporary file: {0}")]
    Schema(#[source] io::Error),
}

impl HandoverError {
    /// What the turn fails with.
    pub fn failure(&self) -> Failure {
        let (HandoverError::Image(ImageError::NotCopied { source: place, .. })
        | HandoverError::Schema(place)) = self
        else {
            return Failure::new(FailureKind::InvalidRequest, self.to_string());
        };
        // Nothing is wrong with the request.
        match scarcity::remedy(place) {
            Some(remedy) => Failure {
                retryable: true,
                ..Failure::new(FailureKind::Resources, format!("{self}: {remedy}."))
            },
            None => {
                let remedy = "set TMPDIR to a folder that is there and that this user can write to";
                Failure::new(FailureKind::Config, format!("{self}: {remedy}."))
            }
        }
    }
}

/// What is handed over. Dropping this removes the files.
#[derive(Debug, Default)]
pub struct Handover {
    images: StagedImages,
    instructions: Option<String>,
    effort: Option<String>,
    output_schema: Option<StagedSchema>,
}

/// A schema in a file.
#[derive(Debug)]
struct StagedSchema {
    path: PathBuf,
    text: Box<RawValue>,
    _folder: PrivateFolder,
}

impl Handover {
    /// Takes what the request holds, as far as the operator allows. What codex could not be given anyway is left out:
    /// the component says why. Relative paths of images start at `workspace`.
    pub async fn of(
        request: &Request,
        instructions: Instructions,
        workspace: &Path,
    ) -> Result<Self, HandoverError> {
        sweep_once();
        let images = StagedImages::stage(request, workspace).await?;
        let options = &request.options;
        let schema = options.output_schema.as_ref();
        let schema = schema.filter(|schema| schema.get().len() <= MAX_SCHEMA_BYTES);
        let output_schema = match schema.cloned() {
            None => None,
            Some(schema) => {
                let staged = tokio::task::spawn_blocking(move || stage(schema)).await;
                let staged = staged.map_err(io::Error::other).flatten();
                Some(staged.map_err(HandoverError::Schema)?)
            }
        };
        Ok(Handover {
            images,
            instructions: match instructions {
                Instructions::Developer => request.all_instructions(),
                Instructions::Ignore => None,
            },
            effort: options.effort.clone().filter(|effort| is_effort(effort)),
            output_schema,
        })
    }

    /// The numbers of the images.
    pub fn images(&self) -> Range<usize> {
        self.images.numbers()
    }

    /// The other parts.
    pub fn words(&self) -> RequestWords {
        RequestWords {
            instructions: self.instructions.is_some(),
            effort: self.effort.is_some(),
            output_schema: self.output_schema.is_some(),
        }
    }

    /// The instructions.
    pub fn instructions(&self) -> Option<&str> {
        self.instructions.as_deref()
    }

    /// The effort.
    pub fn effort(&self) -> Option<&str> {
        self.effort.as_deref()
    }

    /// The output schema.
    pub fn output_schema(&self) -> Option<&RawValue> {
        self.output_schema.as_ref().map(|schema| &*schema.text)
    }

    /// Where codex can read this image.
    pub fn image(&self, number: usize) -> Option<&Path> {
        self.images.path(number)
    }

    /// Puts the parts in the place of the words that stand for them.
    pub fn put(&self, args: &mut [String], allowed: &Allowed) -> Result<(), TooLong> {
        self.images.put_paths(args, &allowed.images);
        for (index, word) in &allowed.request {
            let value = match word {
                RequestWord::Instructions => self.instructions.as_deref(),
                RequestWord::Effort => self.effort.as_deref(),
                RequestWord::OutputSchema => {
                    let file = self.output_schema.as_ref();
                    file.and_then(|file| file.path.to_str())
                }
            };
            if let (Some(argument), Some(value)) = (args.get_mut(*index), value) {
                *argument = word.argument(value)?;
            }
        }
        Ok(())
    }
}

/// Writes a schema where only this user, and so codex, can read it.
fn stage(text: Box<RawValue>) -> io::Result<StagedSchema> {
    let folder = PrivateFolder::new()?;
    Ok(StagedSchema {
        path: folder.write(SCHEMA, text.get().as_bytes())?,
        text,
        _folder: folder,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::contract::request::{Content, Message, Role};

    async fn handover(request: &Request, instructions: Instructions) -> Handover {
        let handover = Handover::of(request, instructions, Path::new("/")).await;
        handover.unwrap()
    }

    fn request() -> Request {
        let system = |text: &str| {
            let content = vec![Content::Text { text: text.into() }];
            Message::new(Role::System, content)
        };
        let mut request = Request::new(vec![system("be kind"), Message::user("hi"), system("now")]);
        request.instructions = Some("be just".into());
        request.options.effort = Some("high".into());
        let schema = RawValue::from_string(r#"{ "type": "object" }"#.into());
        request.options.output_schema = Some(schema.unwrap());
        request
    }

    #[test]
    fn a_place_that_is_missing_is_no_fault_of_the_request() {
        let of = |errno: rustix::io::Errno| {
            let source = io::Error::from(errno);
            HandoverError::from(ImageError::NotCopied { number: 2, source }).failure()
        };
        let full = of(rustix::io::Errno::NOSPC);
        assert_eq!((full.kind, full.retryable), (FailureKind::Resources, true));
        assert!(
            full.message.contains("the disk is full: free some of it"),
            "{full:?}"
        );
        let missing = of(rustix::io::Errno::NOENT);
        assert_eq!(
            (missing.kind, missing.retryable),
            (FailureKind::Config, false)
        );
        assert!(missing.message.contains("TMPDIR"), "{missing:?}");
        let schema = HandoverError::Schema(rustix::io::Errno::DQUOT.into()).failure();
        assert_eq!(schema.kind, FailureKind::Resources);
        let problem = "is not base64".to_owned();
        let unusable = HandoverError::from(ImageError::Unusable { number: 1, problem });
        assert_eq!(unusable.failure().kind, FailureKind::InvalidRequest);
    }

    #[tokio::test]
    async fn each_part_takes_the_place_of_its_word() {
        let handover = handover(&request(), Instructions::Developer).await;
        assert_eq!(handover.words(), RequestWords::ALL);
        let words = RequestWord::ALL.iter().flat_map(|word| word.words());
        let mut args: Vec<String> = words.map(str::to_owned).collect();
        let allowed = Allowed {
            images: vec![],
            request: vec![
                (1, RequestWord::Instructions),
                (3, RequestWord::Effort),
                (5, RequestWord::OutputSchema),
            ],
        };
        handover.put(&mut args, &allowed).unwrap();
        let expected = [
            "-c",
            "developer_instructions=\"\"\"\nbe just\n\nbe kind\n\nnow\"\"\"",
            "-c",
            "model_reasoning_effort=\"\"\"high\"\"\"",
            "--output-schema",
        ];
        assert_eq!(args[..5], expected);
        let schema = std::fs::read_to_string(&args[5]).unwrap();
        assert_eq!(schema, r#"{ "type": "object" }"#);
        let mode = std::fs::metadata(&args[5]).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(handover);
        assert!(!Path::new(&args[5]).exists());
    }

    #[tokio::test]
    async fn what_the_request_lacks_or_may_not_hand_over_is_not_there() {
        let nothing = handover(&Request::prompt("hi"), Instructions::Developer).await;
        assert_eq!(nothing.words(), RequestWords::default());
        let mut request = request();
        request.options.effort = Some("high\"\nsandbox_mode=\"x".into());
        let ignored = handover(&request, Instructions::Ignore).await;
        let words = RequestWords {
            output_schema: true,
            ..RequestWords::default()
        };
        assert_eq!(ignored.words(), words);
    }
}
