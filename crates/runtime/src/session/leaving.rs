//! How a session leaves: give up the subscriptions, finish and acknowledge what came, make sure that the broker holds
//! nothing more, say goodbye.
//!
//! INVARIANT (G7): DISCONNECT is written only when everything that was received is acknowledged, and, unless the session
//! is to be taken up again or the broker refuses to end a subscription, when a ping has shown that nothing more is on its
//! way.

use super::error::SessionError;
use super::handshake::{write_disconnect, write_disconnect_for_good};
use super::parting::Parting;
use super::reason::Reason;
use super::running::{Running, Turn};
use super::status::Phase;

/// How far leaving has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    No,
    /// UNSUBSCRIBE is sent; the last UNSUBACK is awaited.
    Unsubscribing,
    /// Finishing what was received; the broker may still send what it holds for this member.
    Draining,
    /// Nothing is unfinished and a ping is on its way: when its answer comes before any event, the broker has no more.
    Barrier,
    /// Finishing what was received and reading nothing more: the broker keeps the rest, and the subscriptions.
    Pausing,
    /// The same after a refused UNSUBSCRIBE, because events might come without end: DISCONNECT releases the rest,
    /// unacknowledged.
    CuttingOff,
    /// DISCONNECT is written.
    Goodbye,
}

impl Running<'_> {
    /// Begins to leave, as the parting says.
    pub(super) fn start_leaving(&mut self, turn: &mut Turn) -> Result<(), SessionError> {
        self.status.set_phase(Phase::Leaving);
        if self.parting.get() == Parting::KeepPlace {
            self.stopped_reading = true;
            turn.subscriptions.forget_change();
            turn.leaving = Leaving::Pausing;
            return Ok(());
        }
        self.stopped_reading = false;
        turn.undecoded = true;
        turn.subscriptions.leave();
        turn.leaving = Leaving::Unsubscribing;
        self.reconcile(turn)
    }

    /// Nothing is left to unsubscribe.
    pub(super) fn unsubscribed(&mut self, turn: &mut Turn) {
        turn.leaving = if turn.subscriptions.is_any_refused() {
            self.stopped_reading = true;
            Leaving::CuttingOff
        } else {
            Leaving::Draining
        };
    }

    /// Whether everything that was taken in was finished and acknowledged.
    fn is_finished(&self) -> bool {
        self.window.occupied() == 0 && self.released.events == 0
    }

    /// Whether everything that came was finished and acknowledged, and nothing waits to be decoded or sent.
    fn is_idle(&self, turn: &Turn) -> bool {
        self.is_finished() && self.outgoing.is_idle() && !turn.undecoded
    }

    /// Goes when everything is finished, if the place is still to be kept; otherwise it begins to leave anew. Before
    /// anything is decoded: that is to be taken in then.
    pub(super) fn continue_pausing(&mut self, turn: &mut Turn) -> Result<(), SessionError> {
        if turn.leaving != Leaving::Pausing {
            return Ok(());
        }
        if self.is_finished() && self.parting.conclude(Parting::KeepPlace) {
            write_disconnect(self.settings.version, Reason::SUCCESS, &mut self.wire.output);
            turn.leaving = Leaving::Goodbye;
        } else if self.parting.get() != Parting::KeepPlace {
            self.start_leaving(turn)?;
        }
        Ok(())
    }

    /// The next step of leaving, if it is time for it.
    pub(super) fn continue_leaving(&mut self, turn: &mut Turn) {
        match turn.leaving {
            Leaving::Draining if !turn.clocks.awaits_answer() && self.is_idle(turn) => {
                turn.clocks.ping(&mut self.wire.output);
                turn.leaving = Leaving::Barrier;
            }
            Leaving::Barrier if !turn.clocks.awaits_answer() && self.is_idle(turn) => self.say_goodbye(turn),
            Leaving::CuttingOff if self.is_finished() => self.say_goodbye(turn),
            _ => {}
        }
    }

    /// Writes the DISCONNECT, which ends the session on the broker too.
    fn say_goodbye(&mut self, turn: &mut Turn) {
        if self.outlives {
            write_disconnect_for_good(self.settings.version, &mut self.wire.output);
        } else {
            write_disconnect(self.settings.version, Reason::SUCCESS, &mut self.wire.output);
        }
        turn.leaving = Leaving::Goodbye;
    }
}
