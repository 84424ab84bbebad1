//! The images of a prompt, in a private folder where codex can read them, for as long as the
//! turn lasts.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::OFlags;
use tempfile::TempDir;

use crate::contract::request::{Content, ImageSource, Message, Request};

/// The largest image that is handed over.
pub(crate) const MAX_IMAGE_BYTES: u64 = 20 * 1024 * 1024;

/// Why an image cannot be handed over. Codex itself would only tell the model that it could not
/// read it.
#[derive(Debug, thiserror::Error)]
#[error("Image {number} of the last user message {problem}")]
pub struct ImageError {
    /// Counted from 1.
    number: usize,
    problem: String,
}

/// Copies of a request's images. Dropping this removes them.
#[derive(Debug, Default)]
pub struct StagedImages {
    /// The number of the first: how many images come before the prompt in the request.
    first: usize,
    paths: Vec<PathBuf>,
    /// Removed with everything in it; absent when there are no images.
    _folder: Option<TempDir>,
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
            Err(ImageError {
                number: 1,
                problem: format!("could not be copied: {error}"),
            })
        })
    }

    fn copy(first: usize, sources: &[ImageSource], workspace: &Path) -> Result<Self, ImageError> {
        // A temporary folder of this library is for this user only (mode 0700).
        let folder = tempfile::Builder::new().prefix("plexum-codex-").tempdir();
        let folder = folder.map_err(|error| ImageError {
            number: 1,
            problem: format!("could not be copied: {error}"),
        })?;
        let mut paths = Vec::new();
        for (index, source) in sources.iter().enumerate() {
            let path = stage_one(source, workspace, folder.path(), index).map_err(|problem| {
                ImageError {
                    number: index + 1,
                    problem,
                }
            })?;
            paths.push(path);
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
    folder: &Path,
    index: usize,
) -> Result<PathBuf, String> {
    let (bytes, origin) = match source {
        ImageSource::Path { path } => {
            let path = workspace.join(path);
            let bytes = read(&path)
                .map_err(|error| format!("cannot be read from {}: {error}", path.display()))?;
            (bytes, path.display().to_string())
        }
        ImageSource::Base64 { data, .. } => (
            STANDARD
                .decode(data.trim())
                .map_err(|error| format!("is not base64: {error}"))?,
            "base64".to_owned(),
        ),
    };
    if bytes.len() as u64 > MAX_IMAGE_BYTES {
        return Err(format!(
            "({origin}) is larger than {} MiB: send a smaller one",
            MAX_IMAGE_BYTES >> 20
        ));
    }
    let extension = extension(&bytes)
        .ok_or_else(|| format!("({origin}) is not a PNG, JPEG, GIF or WebP image"))?;
    let path = folder.join(format!("image-{index}.{extension}"));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(&bytes));
    written.map_err(|error| format!("could not be copied to {}: {error}", path.display()))?;
    Ok(path)
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

/// The file name extension that goes with the content.
fn extension(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("png"),
        [0xff, 0xd8, 0xff, ..] => Some("jpg"),
        [b'G', b'I', b'F', b'8', ..] => Some("gif"),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Some("webp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::request::Role;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\nrest";

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
        std::fs::write(workspace.path().join("a.png"), PNG).unwrap();
        let request = request(vec![
            ImageSource::Path {
                path: "a.png".into(),
            },
            ImageSource::Base64 {
                media_type: None,
                data: STANDARD.encode(b"GIF89a"),
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
        assert_eq!(std::fs::read(&args[1]).unwrap(), b"GIF89a");
        assert_eq!(std::fs::read(&staged.paths[0]).unwrap(), PNG);
        drop(staged);
        assert!(!Path::new(&args[1]).exists());
    }

    #[tokio::test]
    async fn what_is_not_an_image_is_refused_by_number() {
        let workspace = tempfile::tempdir().unwrap();
        std::fs::write(workspace.path().join("text.png"), "hello").unwrap();
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
                data: STANDARD.encode(PNG),
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
}
