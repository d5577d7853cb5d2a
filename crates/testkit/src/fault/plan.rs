//! What fails when, from a seed: the same seed gives the same faults in the same order.

use std::time::Duration;

use tokio::time::sleep;

use super::link::Link;
use super::network::Faults;
use super::pump::AT_ONCE;

/// Something that goes wrong on a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A connection ends; what was under way is lost.
    Cut,
    /// A connection ends with RST.
    Reset,
    /// A connection goes silent and neither side is told.
    HalfOpen,
    /// What a client sends is lost for so long, then its connection ends.
    LoseAcks(Duration),
    /// Bytes of a connection take so long from here on.
    Delay(Duration),
    /// New connections are refused for so long.
    Refuse(Duration),
}

/// Faults from a seed.
#[derive(Clone, Debug)]
pub struct FaultPlan {
    random: fastrand::Rng,
    longest: Duration,
}

impl FaultPlan {
    /// The faults of that seed. Nothing in it takes longer than a second, unless [told](Self::longest) otherwise.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), longest: Duration::from_secs(1) }
    }

    /// How long a wait, a delay or a refusal lasts at most.
    #[must_use]
    pub fn longest(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// A length of time that does not exceed the longest one.
    pub fn duration(&mut self) -> Duration {
        self.longest.mul_f64(self.random.f64())
    }

    /// The next thing that goes wrong.
    pub fn fault(&mut self) -> Fault {
        match self.random.u8(..10) {
            0..3 => Fault::Cut,
            3 => Fault::Reset,
            4..6 => Fault::HalfOpen,
            6..8 => Fault::LoseAcks(self.duration() / 10),
            8 => Fault::Delay(self.duration() / 10),
            _ => Fault::Refuse(self.duration()),
        }
    }

    /// One of the connections that live and were left alone so far.
    pub fn victim(&mut self, faults: &Faults) -> Option<Link> {
        let links: Vec<Link> = faults.links().into_iter().filter(|link| !link.is_silent()).collect();
        (!links.is_empty()).then(|| links[self.random.usize(..links.len())].clone())
    }

    /// Makes so many things go wrong, with pauses between them, and heals the network at the end. Connections that went
    /// silent stay so. Not cancel-safe: a network that was refusing goes on refusing.
    pub async fn play(&mut self, faults: &Faults, steps: usize) {
        for _ in 0..steps {
            sleep(self.duration()).await;
            let fault = self.fault();
            if let Some(victim) = self.victim(faults) {
                faults.inject(fault, &victim).await;
            }
        }
        faults.delay(AT_ONCE, AT_ONCE);
    }
}

impl Faults {
    /// Makes something go wrong, on this connection as far as it concerns one. Comes back when it is over: at once, but
    /// for faults that take their time.
    pub async fn inject(&self, fault: Fault, link: &Link) {
        match fault {
            Fault::Cut => link.cut(),
            Fault::Reset => link.reset(),
            Fault::HalfOpen => link.half_open(),
            Fault::LoseAcks(time) => {
                link.lose_acks();
                sleep(time).await;
                link.cut();
            }
            Fault::Delay(time) => link.delay(time, time),
            Fault::Refuse(time) => {
                self.refuse(true);
                sleep(time).await;
                self.refuse(false);
            }
        }
    }
}
