//! A reader that gives its bytes in pieces.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

/// Gives pieces of these sizes, over and over; at a size of 0 it lets the reader wait once.
pub struct Pieces<'a> {
    bytes: &'a [u8],
    sizes: std::iter::Cycle<std::vec::IntoIter<usize>>,
}

impl<'a> Pieces<'a> {
    /// Without sizes, or with none but 0, a piece is all that there is.
    pub fn new(bytes: &'a [u8], sizes: Vec<usize>) -> Self {
        let sizes = if sizes.iter().any(|size| *size > 0) {
            sizes
        } else {
            vec![usize::MAX]
        };
        Pieces {
            bytes,
            sizes: sizes.into_iter().cycle(),
        }
    }

    /// How many bytes have not been read.
    pub fn left(&self) -> usize {
        self.bytes.len()
    }
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let size = match self.sizes.next() {
            Some(0) => return Poll::Pending,
            size => size.unwrap_or(usize::MAX),
        };
        let (piece, rest) = self
            .bytes
            .split_at(size.min(self.bytes.len()).min(buffer.remaining()));
        buffer.put_slice(piece);
        self.bytes = rest;
        Poll::Ready(Ok(()))
    }
}
