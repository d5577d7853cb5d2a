//! The Receive Maximum that the broker announced, held against its client.
//!
//! A PUBLISH counts until its last acknowledgement has been written to the transport: not before, or a client that
//! ignores the limit would go unnoticed, and not after, or one that keeps it would be accused.

use std::collections::VecDeque;

#[derive(Debug)]
pub(super) struct Quota {
    limit: usize,
    open: usize,
    /// Bytes put into the write buffer, and bytes that left it, since the connection began.
    queued: u64,
    written: u64,
    /// How many acknowledgements end at which byte.
    settled: VecDeque<(u64, usize)>,
}

impl Quota {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, open: 0, queued: 0, written: 0, settled: VecDeque::new() }
    }

    /// Counts a PUBLISH that needs an acknowledgement; `false` when it is one too many.
    pub(super) fn receive(&mut self) -> bool {
        self.open += 1;
        self.open <= self.limit
    }

    /// Notes bytes in the write buffer, the last of which end so many acknowledgements.
    pub(super) fn queue(&mut self, bytes: usize, acks: usize) {
        self.queued += bytes as u64;
        if acks > 0 {
            self.settled.push_back((self.queued, acks));
        }
    }

    /// Notes bytes that left the write buffer.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written += bytes as u64;
        while let Some((_, acks)) = self.settled.pop_front_if(|(end, _)| *end <= self.written) {
            self.open = self.open.saturating_sub(acks);
        }
    }
}
