//! An object's bytes in pieces of one size, so that none is copied while they grow and each can be a part of an upload.

use std::io;

use bytes::Bytes;

/// Stores want parts of at least 5 MiB, some of them all of the same size.
pub(super) const PIECE_BYTES: usize = 8 * 1024 * 1024;

/// Bytes that are written once and then only handed on. All pieces but the last have the same length.
#[derive(Default)]
pub(super) struct Body {
    whole: Vec<Bytes>,
    open: Vec<u8>,
}

impl Body {
    /// The length in bytes.
    pub(super) fn len(&self) -> u64 {
        (self.whole.len() * PIECE_BYTES + self.open.len()) as u64
    }

    pub(super) fn into_pieces(mut self) -> Vec<Bytes> {
        if !self.open.is_empty() {
            self.whole.push(self.open.into());
        }
        self.whole
    }
}

impl io::Write for Body {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE_BYTES - self.open.len());
        self.open.extend_from_slice(&bytes[..taken]);
        if self.open.len() == PIECE_BYTES {
            self.whole.push(std::mem::take(&mut self.open).into());
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
