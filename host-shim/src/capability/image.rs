//! The images of a prompt, in a private folder where codex can read them, for as long as the
//! turn lasts.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::OFlags;

use super::image_format::{Unusable, extension};
use super::private_folder::PrivateFolder;
use crate::contract::request::{Content, ImageSource, Message, Request};

/// The largest image that is handed over.
pub(crate) const MAX_IMAGE_BYTES: u64 = 20 * 1024 * 1024;

/// How many are handed over: each takes two of codex's arguments, of which there may be 4096.
pub(crate) const MAX_IMAGES: usize = 1000;

/// Why an image cannot be handed over, its number counted from 1. Codex itself would only tell the model that it could not
/// read it.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// What is wrong with it.
    #[error("Image {number} of the last user message {problem}")]
    Unusable { number: usize, problem: String },
    /// There is no place for a copy of it.
    #[error(
        "Image {number} of the last user message could not be copied to a temporary file: {source}"
    )]
    NotCopied { number: usize, source: io::Error },
}

/// The same of an image whose number is known elsewhere.
enum Problem {
    OfImage(String),
    OfPlace(io::Error),
}

impl From<String> for Problem {
    fn from(problem: String) -> Self {
        Problem::OfImage(problem)
    }
}

/// Copies of a request's images. Dropping this removes them.
#[derive(Debug, Default)]
pub struct StagedImages {
    /// The number of the first: how many images come before the prompt in the request.
    first: usize,
    paths: Vec<PathBuf>,
    /// Removed with everything in it; absent when there are no images.
    _folder: Option<PrivateFolder>,
}

impl StagedImages {
    /// Copies the images of the request's prompt. Relative paths start at `workspace`.
    pub async fn stage(request: &Request, workspace: &Path) -> Result<Self, ImageError> {
        let position = request.prompt_position().unwrap_or_default();
        let (earlier, prompt) = request.messages.split_at(position);
        let first = earlier.iter().flat_map(images_of).count();
        let prompt = prompt.first().into_iter();
        let sources: Vec<ImageSource> = prompt.flat_map(images_of).cloned().collect();
        if sources.is_empty() {
            return Ok(Self::default());
        }
        let workspace = workspace.to_owned();
        let staged =
            tokio::task::spawn_blocking(move || Self::copy(first, &sources, &workspace)).await;
        staged.unwrap_or_else(|error| {
            Err(ImageError::NotCopied {
                number: 1,
                source: io::Error::other(error),
            })
        })
    }

    fn copy(first: usize, sources: &[ImageSource], workspace: &Path) -> Result<Self, ImageError> {
        if sources.len() > MAX_IMAGES {
            return Err(ImageError::Unusable {
                number: MAX_IMAGES + 1,
                problem: format!("is one too many: send at most {MAX_IMAGES}"),
            });
        }
        let folder =
            PrivateFolder::new().map_err(|source| ImageError::NotCopied { number: 1, source })?;
        let mut paths = Vec::new();
        for (index, source) in sources.iter().enumerate() {
            let number = index + 1;
            let staged = stage_one(source, workspace, &folder, index);
            paths.push(staged.map_err(|problem| match problem {
                Problem::OfImage(problem) => ImageError::Unusable { number, problem },
                Problem::OfPlace(source) => ImageError::NotCopied { number, source },
            })?);
        }
        Ok(StagedImages {
            first,
            paths,
            _folder: Some(folder),
        })
    }

    /// Their numbers, counted through the whole request.
    pub fn numbers(&self) -> Range<usize> {
        self.first..self.first + self.paths.len()
    }

    /// The path of an image, by its number.
    pub fn path(&self, number: usize) -> Option<&Path> {
        let position = number.checked_sub(self.first)?;
        self.paths.get(position).map(PathBuf::as_path)
    }

    /// Replaces arguments by the paths of images. Each of `places` is the index of an argument and the number of an
    /// image.
    pub fn put_paths(&self, args: &mut [String], places: &[(usize, usize)]) {
        for (index, image) in places {
            let position = image.checked_sub(self.first);
            let path = position.and_then(|position| self.paths.get(position));
            if let (Some(arg), Some(path)) = (args.get_mut(*index), path) {
                *arg = path.to_string_lossy().into_owned();
            }
        }
    }
}

fn images_of(message: &Message) -> impl Iterator<Item = &ImageSource> {
    message.content.iter().filter_map(|piece| match piece {
        Content::Image { source } => Some(source),
        Content::Text { .. } => None,
    })
}

fn stage_one(
    source: &ImageSource,
    workspace: &Path,
    folder: &PrivateFolder,
    index: usize,
) -> Result<PathBuf, Problem> {
    let (bytes, origin) = match source {
        ImageSource::Path { path } => {
            let path = workspace.join(path);
            let bytes = read(&path)
                .map_err(|error| format!("cannot be read from {}: {error}", path.display()))?;
            (bytes, path.display().to_string())
        }
        ImageSource::Base64 { data, .. } => (
            STANDARD
                .decode(without_prefix(data.trim()))
                .map_err(|error| format!("is not base64: {error}"))?,
            "base64".to_owned(),
        ),
    };
    if bytes.len() as u64 > MAX_IMAGE_BYTES {
        let most = MAX_IMAGE_BYTES >> 20;
        let problem = format!("({origin}) is larger than {most} MiB: send a smaller one");
        return Err(problem.into());
    }
    let extension = extension(&bytes).map_err(|unusable| match unusable {
        Unusable::Foreign => format!("({origin}) is not a PNG, JPEG, GIF or WebP image"),
        Unusable::Broken(format, what) => format!(
            "({origin}) begins like a {format} image and {what}: it may still be in the making, or its copy may have broken off. Send the whole image"
        ),
    })?;
    let name = format!("image-{index}.{extension}");
    let written = folder.write(&name, &bytes);
    written.map_err(Problem::OfPlace)
}

/// The data of a `data:` URL, which browsers make of images; anything else is data already.
fn without_prefix(data: &str) -> &str {
    let url = data
        .strip_prefix("data:")
        .and_then(|url| url.split_once(";base64,"));
    url.map_or(data, |(_, data)| data)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // NONBLOCK: a FIFO must not hold the turn up.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a plain file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_IMAGE_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::image_format::tests::{GIF, png_of};
    use super::*;
    use crate::contract::request::Role;

    fn request(sources: Vec<ImageSource>) -> Request {
        let content = sources
            .into_iter()
            .map(|source| Content::Image { source })
            .collect();
        let earlier = Content::Image {
            source: ImageSource::Path {
                path: "not copied".into(),
            },
        };
        Request::new(vec![
            Message::new(Role::User, vec![earlier]),
            Message::new(Role::User, content),
        ])
    }

    #[tokio::test]
    async fn images_are_copied_where_only_this_user_reads_and_removed_in_the_end() {
        let workspace = tempfile::tempdir().unwrap();
        std::fs::write(workspace.path().join("a.png"), png_of(9)).unwrap();
        let request = request(vec![
            ImageSource::Path {
                path: "a.png".into(),
            },
            ImageSource::Base64 {
                media_type: None,
                data: format!("data:image/gif;base64,{}", STANDARD.encode(GIF)),
            },
        ]);
        let staged = StagedImages::stage(&request, workspace.path())
            .await
            .unwrap();
        assert_eq!(staged.numbers(), 1..3);
        let mut args: Vec<String> = ["-i", "image:2", "--", "image:2"]
            .map(str::to_owned)
            .to_vec();
        staged.put_paths(&mut args, &[(1, 2)]);
        assert_eq!(args[3], "image:2");
        assert_eq!(std::fs::read(&args[1]).unwrap(), GIF);
        assert_eq!(std::fs::read(&staged.paths[0]).unwrap(), png_of(9));
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        let image = Path::new(&args[1]);
        assert_eq!((mode(image), mode(image.parent().unwrap())), (0o600, 0o700));
        drop(staged);
        assert!(!Path::new(&args[1]).exists());
    }

    #[tokio::test]
    async fn what_is_not_an_image_is_refused_by_number() {
        let workspace = tempfile::tempdir().unwrap();
        std::fs::write(workspace.path().join("text.png"), "hello").unwrap();
        std::fs::write(workspace.path().join("half.png"), &png_of(900)[..500]).unwrap();
        for (source, expected) in [
            (
                ImageSource::Path {
                    path: "gone.png".into(),
                },
                "gone.png: No such file",
            ),
            (
                ImageSource::Path {
                    path: "text.png".into(),
                },
                "is not a PNG, JPEG, GIF or WebP image",
            ),
            (
                ImageSource::Path {
                    path: "half.png".into(),
                },
                "begins like a PNG image and breaks off",
            ),
            (ImageSource::Path { path: ".".into() }, "not a plain file"),
            (
                ImageSource::Base64 {
                    media_type: None,
                    data: "~~".into(),
                },
                "is not base64",
            ),
        ] {
            let good = ImageSource::Base64 {
                media_type: None,
                data: STANDARD.encode(png_of(9)),
            };
            let error = StagedImages::stage(&request(vec![good, source]), workspace.path())
                .await
                .unwrap_err();
            let error = error.to_string();
            assert!(
                error.starts_with("Image 2 of") && error.contains(expected),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn more_than_codex_can_be_given_are_refused_as_images() {
        let workspace = tempfile::tempdir().unwrap();
        std::fs::write(workspace.path().join("a.gif"), GIF).unwrap();
        let images = |count| {
            request(vec![
                ImageSource::Path {
                    path: "a.gif".into(),
                };
                count
            ])
        };
        let most = StagedImages::stage(&images(MAX_IMAGES), workspace.path()).await;
        assert_eq!(most.unwrap().numbers().len(), MAX_IMAGES);
        let more = StagedImages::stage(&images(MAX_IMAGES + 1), workspace.path()).await;
        let error = more.unwrap_err().to_string();
        assert!(
            error.starts_with("Image 1001 of") && error.contains("at most 1000"),
            "{error}"
        );
    }
}
