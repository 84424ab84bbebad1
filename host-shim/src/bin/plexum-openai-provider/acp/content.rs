//! What a prompt is made of.

use percent_encoding::percent_decode_str;
use plexum_openai_provider::{Content, ImageSource, session_title};
use serde::Deserialize;

use crate::json_rpc::error::RpcError;

/// One block of a prompt.
#[derive(Debug, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub enum Block {
    /// Text.
    Text { text: String },
    /// An image, in base64.
    Image {
        data: String,
        #[serde(default)]
        mime_type: Option<String>,
    },
    /// Sound.
    Audio {},
    /// Something that codex can look at itself.
    ResourceLink { name: String, uri: String },
    /// Something that the client has read for it.
    Resource { resource: Resource },
}

/// The content of a [`Block::Resource`].
#[derive(Debug, Deserialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Resource {
    /// Text.
    Text { uri: String, text: String },
    /// Bytes in base64.
    Blob {
        uri: String,
        blob: String,
        #[serde(default)]
        mime_type: Option<String>,
    },
}

/// A prompt for codex: text that belongs together is one piece.
///
/// # Errors
/// If there is nothing in it, or something that codex takes in no form.
pub fn prompt(blocks: Vec<Block>) -> Result<Vec<Content>, RpcError> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    for (position, block) in blocks.into_iter().enumerate() {
        let refused = |problem: &str| {
            let field = format!("prompt[{position}]");
            Err(RpcError::invalid_params(&field, problem))
        };
        match block {
            Block::Text { text: more } => text.push_str(&more),
            Block::ResourceLink { name, uri } => text.push_str(&link(&name, &uri)),
            Block::Resource {
                resource: Resource::Text { uri, text: content },
            } => text.push_str(&embedded(&uri, &content)),
            Block::Image { data, mime_type } => {
                flush(&mut text, &mut pieces);
                pieces.push(image(data, mime_type));
            }
            Block::Resource {
                resource:
                    Resource::Blob {
                        uri,
                        blob,
                        mime_type,
                    },
            } => {
                let is_image = mime_type
                    .as_deref()
                    .is_some_and(|mime_type| mime_type.starts_with("image/"));
                if !is_image {
                    return refused(&format!(
                        "{uri} is neither text nor an image, which is all that codex takes: name the file instead, and codex looks at it itself"
                    ));
                }
                flush(&mut text, &mut pieces);
                pieces.push(image(blob, mime_type));
            }
            Block::Audio {} => return refused("codex takes no audio: send text"),
        }
    }
    flush(&mut text, &mut pieces);
    if pieces.is_empty() {
        return Err(RpcError::invalid_params(
            "prompt",
            "is empty: write something",
        ));
    }
    Ok(pieces)
}

fn flush(text: &mut String, pieces: &mut Vec<Content>) {
    let text = std::mem::take(text);
    if !text.is_empty() {
        pieces.push(Content::Text { text });
    }
}

fn image(data: String, media_type: Option<String>) -> Content {
    let source = ImageSource::Base64 { media_type, data };
    Content::Image { source }
}

/// What a conversation that begins with this is called.
pub fn title(blocks: &[Block]) -> Option<String> {
    blocks.iter().find_map(|block| match block {
        Block::Text { text } => session_title(text),
        _ => None,
    })
}

/// A file by its path, as codex can read it; anything else as a link in Markdown.
fn link(name: &str, uri: &str) -> String {
    match file(uri) {
        Some((path, "")) => format!("[@{name}]({path})"),
        // Which lines of it, for example.
        Some((path, rest)) => format!("[@{name}]({path}) ({rest})"),
        None => format!("[@{name}]({uri})"),
    }
}

/// The path in the URI of a file (RFC 8089) on this machine, and what follows it there.
fn file(uri: &str) -> Option<(String, &str)> {
    let rest = uri.strip_prefix("file://")?;
    let rest = rest.strip_prefix("localhost").unwrap_or(rest);
    if !rest.starts_with('/') {
        return None;
    }
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let (path, more) = rest.split_at_checked(end)?;
    // One that is not UTF-8 cannot be named in a text.
    let path = percent_decode_str(path).decode_utf8().ok()?;
    Some((path.into_owned(), more.trim_start_matches(['?', '#'])))
}

/// The content of something, with where it is from.
fn embedded(uri: &str, content: &str) -> String {
    let uri = uri.replace('"', "%22");
    format!("\n<context uri=\"{uri}\">\n{content}\n</context>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(blocks: &str) -> Result<Vec<Content>, String> {
        prompt(serde_json::from_str(blocks).unwrap()).map_err(|error| error.message)
    }

    fn text(text: &str) -> Content {
        Content::Text { text: text.into() }
    }

    #[test]
    fn what_is_text_in_the_end_is_one_piece() {
        let blocks = r#"[
            {"type":"text","text":"look at ","annotations":null},
            {"type":"resource_link","name":"a.rs","uri":"file:///w/a.rs","mimeType":"text/x-rust"},
            {"type":"resource","resource":{"uri":"zed:///\"x","text":"line"}},
            {"type":"image","data":"AAAA","mimeType":"image/png"},
            {"type":"resource","resource":{"uri":"u","blob":"BBBB","mimeType":"image/gif"}},
            {"type":"text","text":"?"}
        ]"#;
        let pieces = read(blocks).unwrap();
        assert_eq!(
            pieces,
            [
                text("look at [@a.rs](/w/a.rs)\n<context uri=\"zed:///%22x\">\nline\n</context>\n"),
                image("AAAA".into(), Some("image/png".into())),
                image("BBBB".into(), Some("image/gif".into())),
                text("?"),
            ]
        );
    }

    #[test]
    fn a_file_is_named_as_codex_finds_it() {
        for (uri, said) in [
            ("file:///w/my%20n%C3%B6tes.md", "[@n](/w/my nötes.md)"),
            ("file:///w/a.rs#L10:20", "[@n](/w/a.rs) (L10:20)"),
            ("file://localhost/w/100%", "[@n](/w/100%)"),
            ("file://elsewhere/w", "[@n](file://elsewhere/w)"),
            ("https://a/b%20c", "[@n](https://a/b%20c)"),
        ] {
            assert_eq!(link("n", uri), said);
        }
    }

    #[test]
    fn a_conversation_is_called_by_its_first_text() {
        let blocks = r#"[{"type":"resource","resource":{"uri":"u","text":"x"}},{"type":"text","text":"\n do it"}]"#;
        let blocks: Vec<Block> = serde_json::from_str(blocks).unwrap();
        assert_eq!(title(&blocks).as_deref(), Some("do it"));
        assert_eq!(title(&[]), None);
    }

    #[test]
    fn what_codex_does_not_take_is_refused_by_its_place() {
        for (blocks, said) in [
            ("[]", "`prompt`: is empty"),
            (r#"[{"type":"text","text":""}]"#, "`prompt`: is empty"),
            (
                r#"[{"type":"text","text":"x"},{"type":"audio","data":"","mimeType":"audio/wav"}]"#,
                "`prompt[1]`: codex takes no audio",
            ),
            (
                r#"[{"type":"resource","resource":{"uri":"file:///a.zip","blob":"","mimeType":"application/zip"}}]"#,
                "file:///a.zip is neither text nor an image",
            ),
        ] {
            let error = read(blocks).unwrap_err();
            assert!(error.contains(said), "{blocks}: {error}");
        }
    }
}
