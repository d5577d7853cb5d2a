//! What is unfinished beside the ack window, and whether both together leave room.
//!
//! INVARIANT (G5): an event at QoS 0 counts from the moment that it is handed over until it is finished, over all sessions.

use super::link::Finished;
use super::settings::Settings;
use super::window::AckWindow;

/// QoS 0 events that were handed over and are not finished.
#[derive(Debug, Default)]
pub(crate) struct Unreleased {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

impl Unreleased {
    /// Notes what was finished, here and in the window.
    #[inline]
    pub(crate) fn take_back(&mut self, window: &mut AckWindow, finished: &mut Finished) {
        self.events -= finished.released.min(self.events);
        self.bytes -= finished.released_bytes.min(self.bytes);
        for seq in finished.numbers.drain(..) {
            window.finish(seq);
        }
    }

    /// Whether there is room for another event beside these and those of the window.
    #[inline]
    pub(crate) fn leave_room(&self, window: &AckWindow, settings: &Settings) -> bool {
        window.occupied() + self.events < settings.high_water
            && window.unfinished_bytes() + self.bytes < settings.max_unfinished_bytes
    }
}
