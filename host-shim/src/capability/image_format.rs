//! Whether the bytes of an image are all there: PNG, JPEG, GIF and WebP, by the chain of their parts.
//!
//! Nothing is decoded. Codex would only tell the model that an image could not be processed, and the turn would seem to
//! be a success. What is told here is a file that is still being written, a download that broke off, and the like.

/// Why an image is not handed over, to go behind "Image 1 … ".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// Of another format, or no image at all.
    Foreign,
    /// It begins like one, and the rest is not there or damaged: the name of the format, and what is wrong.
    Broken(&'static str, &'static str),
}

/// The file name extension that goes with the content, if the image is whole.
pub fn extension(bytes: &[u8]) -> Result<&'static str, Unusable> {
    let broken = |format| move |what| Unusable::Broken(format, what);
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => png(bytes).map(|()| "png").map_err(broken("PNG")),
        [0xff, 0xd8, 0xff, ..] => jpeg(bytes).map(|()| "jpg").map_err(broken("JPEG")),
        [b'G', b'I', b'F', b'8', ..] => gif(bytes).map(|()| "gif").map_err(broken("GIF")),
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
        ] => webp(bytes).map(|()| "webp").map_err(broken("WebP")),
        _ => Err(Unusable::Foreign),
    }
}

const BREAKS_OFF: &str = "breaks off";
const DAMAGED: &str = "is damaged";
const EMPTY: &str = "holds no picture";

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(BREAKS_OFF)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(BREAKS_OFF)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, &'static str> {
        let [byte] = self.array()?;
        Ok(byte)
    }
}

/// A length in a file, as one in memory. One that does not fit there is longer than any file.
fn length(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A signature, and chunks from `IHDR` to `IEND`, each with its length and a checksum.
fn png(bytes: &[u8]) -> Result<(), &'static str> {
    let mut rest = Rest(bytes);
    if rest.array()? != *b"\x89PNG\r\n\x1a\n" {
        return Err(DAMAGED);
    }
    let (mut first, mut pictures) = (true, false);
    loop {
        let size = length(u32::from_be_bytes(rest.array()?));
        let kind: [u8; 4] = rest.array()?;
        if !kind.iter().all(u8::is_ascii_alphabetic) {
            return Err(DAMAGED);
        }
        let content = rest.take(size)?;
        let sum = u32::from_be_bytes(rest.array()?);
        // A small letter marks what a reader may do without.
        if kind[0].is_ascii_uppercase() {
            let mut computed = crc32fast::Hasher::new();
            computed.update(&kind);
            computed.update(content);
            if computed.finalize() != sum {
                return Err(DAMAGED);
            }
        }
        match &kind {
            b"IHDR" if first && size == 13 => {
                let mut header = Rest(content);
                if header.array()? == [0; 4] || header.array()? == [0; 4] {
                    return Err(EMPTY);
                }
            }
            _ if first => return Err(DAMAGED),
            b"IDAT" => pictures |= size > 0,
            b"IEND" if pictures => return Ok(()),
            b"IEND" => return Err(EMPTY),
            _ => {}
        }
        first = false;
    }
}

/// Segments between markers, and compressed data up to the marker of the end.
fn jpeg(bytes: &[u8]) -> Result<(), &'static str> {
    let mut rest = Rest(bytes);
    rest.take(2)?;
    let (mut header, mut pictures) = (false, false);
    loop {
        if rest.byte()? != 0xff {
            return Err(DAMAGED);
        }
        let mut marker = rest.byte()?;
        // Any number of them may stand before a marker.
        while marker == 0xff {
            marker = rest.byte()?;
        }
        match marker {
            0xd9 if pictures => return Ok(()),
            0xd9 => return Err(EMPTY),
            // No length follows these.
            0x01 | 0xd0..=0xd8 => continue,
            0x00 => return Err(DAMAGED),
            _ => {}
        }
        let size = usize::from(u16::from_be_bytes(rest.array()?));
        let content = rest.take(size.checked_sub(2).ok_or(DAMAGED)?)?;
        match marker {
            // The frame, in one of its kinds; 0xc4, 0xc8 and 0xcc are tables.
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                header = true;
                if content.get(3..5).ok_or(DAMAGED)? == [0, 0] {
                    return Err(EMPTY);
                }
            }
            0xda if header => {
                pictures = true;
                rest.0 = behind_scan(rest.0).ok_or(BREAKS_OFF)?;
            }
            0xda => return Err(DAMAGED),
            _ => {}
        }
    }
}

/// What follows the compressed data that stands here: there, 0xff is followed by zero or by the mark of a restart.
fn behind_scan(data: &[u8]) -> Option<&[u8]> {
    let ends = |pair: &[u8]| matches!(pair, [0xff, next] if !matches!(next, 0x00 | 0xd0..=0xd7));
    let end = data.windows(2).position(ends)?;
    data.get(end..)
}

/// A screen, and blocks up to the trailer; a block's data come in pieces with their lengths.
fn gif(bytes: &[u8]) -> Result<(), &'static str> {
    let mut rest = Rest(bytes);
    let version: [u8; 6] = rest.array()?;
    if version != *b"GIF87a" && version != *b"GIF89a" {
        return Err(DAMAGED);
    }
    let [_, _, _, _, flags, _, _] = rest.array()?;
    colours(&mut rest, flags)?;
    let mut pictures = false;
    loop {
        match rest.byte()? {
            // An extension, and its kind.
            0x21 => {
                rest.byte()?;
                pieces(&mut rest)?;
            }
            // A picture.
            0x2c => {
                let [_, _, _, _, width, wide, height, high, flags] = rest.array()?;
                if (width, wide) == (0, 0) || (height, high) == (0, 0) {
                    return Err(EMPTY);
                }
                colours(&mut rest, flags)?;
                rest.byte()?;
                if pieces(&mut rest)? == 0 {
                    return Err(EMPTY);
                }
                pictures = true;
            }
            0x3b if pictures => return Ok(()),
            0x3b => return Err(EMPTY),
            _ => return Err(DAMAGED),
        }
    }
}

/// Skips a table of colours, if there is one.
fn colours(rest: &mut Rest<'_>, flags: u8) -> Result<(), &'static str> {
    if flags & 0x80 != 0 {
        rest.take(3 << ((flags & 7) + 1))?;
    }
    Ok(())
}

/// Skips pieces up to the empty one. Returns their bytes.
fn pieces(rest: &mut Rest<'_>) -> Result<usize, &'static str> {
    let mut total = 0;
    loop {
        let size = usize::from(rest.byte()?);
        if size == 0 {
            return Ok(total);
        }
        rest.take(size)?;
        total += size;
    }
}

/// One chunk with chunks inside.
fn webp(bytes: &[u8]) -> Result<(), &'static str> {
    let mut rest = Rest(bytes);
    rest.take(4)?;
    let size = length(u32::from_le_bytes(rest.array()?));
    let mut chunks = Rest(rest.take(size)?);
    chunks.take(4)?;
    let mut pictures = false;
    while !chunks.0.is_empty() {
        let kind: [u8; 4] = chunks.array()?;
        let size = length(u32::from_le_bytes(chunks.array()?));
        let content = chunks.take(size)?;
        if size % 2 == 1 && !chunks.0.is_empty() {
            chunks.byte()?;
        }
        match &kind {
            b"VP8 " => {
                if content.get(3..6) != Some(b"\x9d\x01\x2a") {
                    return Err(DAMAGED);
                }
                pictures = true;
            }
            b"VP8L" => {
                if content.first() != Some(&0x2f) {
                    return Err(DAMAGED);
                }
                pictures = true;
            }
            // A picture of an animation, behind its place and its time.
            b"ANMF" => pictures |= size > 16,
            _ => {}
        }
    }
    if pictures { Ok(()) } else { Err(EMPTY) }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let mut sum = crc32fast::Hasher::new();
        sum.update(kind);
        sum.update(content);
        let size = u32::try_from(content.len()).unwrap().to_be_bytes();
        [
            &size,
            kind.as_slice(),
            content,
            &sum.finalize().to_be_bytes(),
        ]
        .concat()
    }

    /// A whole PNG of this many bytes of data.
    pub fn png_of(size: usize) -> Vec<u8> {
        let header = [0, 0, 0, 1, 0, 0, 0, 1, 8, 6, 0, 0, 0];
        let signature = b"\x89PNG\r\n\x1a\n".to_vec();
        let parts = [
            signature,
            chunk(b"IHDR", &header),
            chunk(b"tEXt", b"a\0b"),
            chunk(b"IDAT", &vec![7; size]),
            chunk(b"IEND", b""),
        ];
        parts.concat()
    }

    /// A whole GIF.
    pub const GIF: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\xff\xff\xff\0\0\0\x21\xf9\x04\0\0\0\0\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b";

    const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x04ab\xff\xdb\0\x03c\xff\xff\xc0\0\x0b\x08\0\x01\0\x01\x01\x01\x11\0\xff\xda\0\x04de\x12\xff\0\x34\xff\xd3\x56\xff\xd9";

    const WEBP: &[u8] = b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f0123456789ab\0";

    fn whole() -> [(Vec<u8>, &'static str); 4] {
        [
            (png_of(20), "png"),
            (JPEG.to_vec(), "jpg"),
            (GIF.to_vec(), "gif"),
            (WEBP.to_vec(), "webp"),
        ]
    }

    #[test]
    fn a_whole_image_has_its_extension_whatever_follows_it() {
        for (mut bytes, expected) in whole() {
            assert_eq!(extension(&bytes), Ok(expected));
            bytes.extend(b"more");
            assert_eq!(extension(&bytes), Ok(expected));
        }
    }

    #[test]
    fn wherever_it_breaks_off_it_is_unusable() {
        for (bytes, name) in whole() {
            // The last byte of a WebP only fills up.
            let most = bytes.len() - usize::from(name == "webp");
            for length in 0..most {
                assert!(
                    extension(&bytes[..length]).is_err(),
                    "{name} of {length} bytes"
                );
            }
            // As a file that was given its size before its content.
            for length in 4..most.saturating_sub(1) {
                let mut hollow = bytes.clone();
                hollow[length..].fill(0);
                let told = name == "webp" && length >= 21;
                assert!(
                    told || extension(&hollow).is_err(),
                    "{name}, {length} bytes and zeroes"
                );
            }
        }
    }

    #[test]
    fn damage_and_emptiness_are_told_from_what_is_no_image() {
        let mut damaged = png_of(20);
        let middle = damaged.len() - 20;
        damaged[middle] ^= 1;
        assert_eq!(extension(&damaged), Err(Unusable::Broken("PNG", DAMAGED)));
        assert_eq!(extension(&png_of(0)), Err(Unusable::Broken("PNG", EMPTY)));
        let gif = b"GIF89a\x01\0\x01\0\0\0\0\x3b";
        assert_eq!(extension(gif), Err(Unusable::Broken("GIF", EMPTY)));
        let jpeg = b"\xff\xd8\xff\xd9";
        assert_eq!(extension(jpeg), Err(Unusable::Broken("JPEG", EMPTY)));
        for text in [&b"hello"[..], b"", b"RIFF\0\0\0\0WAVE", b"<svg/>"] {
            assert_eq!(extension(text), Err(Unusable::Foreign));
        }
    }
}
