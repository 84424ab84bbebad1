//! The framer against a model that has all bytes at once.
//!
//! An input is a line `<max_line> <max_bytes> <waits before the end> <piece size>…`, each
//! of which may be missing, and behind it the bytes to frame.
#![no_main]

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use libfuzzer_sys::fuzz_target;
use plexum_openai_provider::framing::{Framer, Lines};
use plexum_openai_provider_fuzz::fields::{number, split};
use plexum_openai_provider_fuzz::now::now;
use plexum_openai_provider_fuzz::pieces::Pieces;
use tokio::io::{AsyncRead, ReadBuf};

fuzz_target!(|data: &[u8]| {
    let [head, bytes] = split(data, b'\n');
    let mut head = head.split(|byte| *byte == b' ');
    let mut next = |otherwise| {
        head.next()
            .map_or(otherwise, |word| number(word, otherwise))
    };
    let (max_line, max_bytes, waits) = (next(64), next(1024), next(usize::MAX));
    let sizes = head.map(|word| number(word, 1)).collect();

    let pieces = RefCell::new(Pieces::new(bytes, sizes));
    let batches = frame(&pieces, max_line, max_bytes, waits);
    let read = &bytes[..bytes.len() - pieces.borrow().left()];
    if waits == usize::MAX {
        assert_eq!(read, bytes, "not all was read");
    }
    check(&batches, read, max_line, max_bytes);
});

/// Everything that comes out. Each time the reader waits, the future is dropped and another one made;
/// after so many `waits`, reading stops.
fn frame(
    pieces: &RefCell<Pieces<'_>>,
    max_line: usize,
    max_bytes: usize,
    waits: usize,
) -> Vec<Lines> {
    let mut framer = Framer::new(Shared(pieces), max_line);
    let mut batches = Vec::new();
    let mut waited = 0;
    loop {
        match now(framer.lines(max_bytes)) {
            None if waited == waits => framer.end(),
            None => waited += 1,
            Some(lines) => {
                let lines = lines.expect("the reader never fails");
                if lines.is_end() {
                    let again = now(framer.lines(max_bytes)).map(Result::unwrap);
                    assert!(
                        again.is_some_and(|lines| lines.is_end()),
                        "the end has an end"
                    );
                    return batches;
                }
                batches.push(lines);
            }
        }
    }
}

/// Lines at line feeds, one at a time, in order; what is too long is left out and reported.
fn check(batches: &[Lines], read: &[u8], max_line: usize, max_bytes: usize) {
    let mut lines: Vec<&[u8]> = read.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    let mut expected = lines.into_iter().peekable();
    for batch in batches {
        let mut skipped = batch.skipped.iter();
        let mut texts = batch.text.split_inclusive('\n').peekable();
        let (mut taken, mut size) = (0, 0);
        // A batch ends behind its last line, or behind the overlong ones that follow it.
        while texts.peek().is_some() || skipped.len() > 0 {
            let line = expected.next().expect("more came out than went in");
            if line.len() > max_line {
                assert_eq!(skipped.next(), Some(&(line.len() as u64)), "a length");
                continue;
            }
            let text = texts
                .next()
                .expect("a line is missing, or a length came too early");
            assert_eq!(text, format!("{}\n", String::from_utf8_lossy(line)));
            taken += 1;
            size += line.len() + 1;
        }
        assert!(
            taken <= 1 || size <= max_bytes,
            "{size} bytes in {taken} lines"
        );
    }
    assert_eq!(expected.next(), None, "less came out than went in");
}

/// The reader stays ours, to see how much of it was read.
struct Shared<'a, 'b>(&'a RefCell<Pieces<'b>>);

impl AsyncRead for Shared<'_, '_> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_read(context, buffer)
    }
}
