//! The ledger: what was published and what was handled, event by event, so that the verdict rests on every single one.
//!
//! Event number `n` of the run is reading `n / devices` of device `n % devices`. Each event has one bit for "the broker
//! has it" and one for "a handler has seen it", which tells lost and duplicated; each instance remembers the next
//! reading of every device, which tells whether it saw them in order. Memory is bounded by the plan. An instance's part
//! has a lock of its own that nobody else wants, but for a glance now and then.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hdrhistogram::{CreationError, Histogram};

use super::bits::Bits;

/// Latencies from a microsecond to an hour, to two digits.
const LOWEST_NS: u64 = 1_000;
const HIGHEST_NS: u64 = 3_600_000_000_000;
const DIGITS: u8 = 2;
/// An instance that had to be replaced has a new number; more than so many replacements are not a demo any more.
const SPARE_MEMBERS: u32 = 16;

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Ledger {
    devices: u32,
    rounds: u32,
    instances: usize,
    published: Bits,
    handled: Bits,
    members: Box<[Mutex<Member>]>,
}

/// What one instance did.
#[derive(Debug)]
struct Member {
    id: String,
    count: Count,
    /// The next reading of each device; empty until the first event.
    next: Vec<u32>,
    latency: Histogram<u64>,
    unreturned: u32,
}

/// Events of one instance, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Seen for the first time.
    pub(crate) handled: u64,
    /// Seen again.
    pub(crate) duplicated: u64,
    /// Seen for the first time, but after a later one of the same device.
    pub(crate) out_of_order: u64,
    /// Readings above the limit.
    pub(crate) alerts: u64,
    /// When the last one was handled, in nanoseconds since the demo began.
    pub(crate) last_ns: u64,
}

impl Count {
    /// Handlings, first ones and others.
    pub(crate) fn events(&self) -> u64 {
        self.handled + self.duplicated
    }

    fn add(&mut self, other: &Self) {
        self.handled += other.handled;
        self.duplicated += other.duplicated;
        self.out_of_order += other.out_of_order;
        self.alerts += other.alerts;
        self.last_ns = self.last_ns.max(other.last_ns);
    }
}

/// One instance at the end.
#[derive(Clone, Debug)]
pub(crate) struct MemberReport {
    /// Its ID; empty when it never handled anything.
    pub(crate) id: String,
    pub(crate) count: Count,
    pub(crate) p50_ns: u64,
    pub(crate) p99_ns: u64,
}

/// An event that a handler has in hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) device: u32,
    pub(crate) seq: u32,
    pub(crate) sent_ns: u64,
    pub(crate) now_ns: u64,
    pub(crate) alert: bool,
}

impl Ledger {
    /// An empty ledger for so many events of so many devices.
    ///
    /// # Errors
    /// Only if the bounds of the latencies were wrong.
    pub(crate) fn new(events: u64, devices: u32, instances: u32) -> Result<Self, CreationError> {
        let rounds = events.div_ceil(u64::from(devices.max(1)));
        let bits = rounds * u64::from(devices);
        Ok(Self {
            devices,
            rounds: u32::try_from(rounds).unwrap_or(u32::MAX),
            instances: instances as usize,
            published: Bits::new(bits),
            handled: Bits::new(bits),
            members: (0..instances + SPARE_MEMBERS).map(|_| Member::new().map(Mutex::new)).collect::<Result<_, _>>()?,
        })
    }

    /// The broker has this event.
    pub(crate) fn published(&self, device: u32, seq: u32) {
        self.published.set(self.bit(device, seq));
    }

    /// Instance number `member` handles this event. Returns how many places on the way are free again: `chunk` at a
    /// time, so that this costs little. `None` when there is no such event in this run.
    pub(crate) fn handled(&self, member: usize, id: &str, seen: Seen, chunk: u32) -> Option<u32> {
        if seen.device >= self.devices || seen.seq >= self.rounds {
            return None;
        }
        let first = self.handled.set(self.bit(seen.device, seen.seq));
        let mut member = lock(self.members.get(member)?);
        if member.id.is_empty() {
            id.clone_into(&mut member.id);
            member.next = vec![0; self.devices as usize];
        }
        let next = member.next.get_mut(seen.device as usize)?;
        let late = seen.seq < *next;
        *next = (*next).max(seen.seq + 1);
        member.latency.saturating_record(seen.now_ns.saturating_sub(seen.sent_ns));
        let count = &mut member.count;
        count.last_ns = count.last_ns.max(seen.now_ns);
        if !first {
            count.duplicated += 1;
            return Some(0);
        }
        count.handled += 1;
        count.out_of_order += u64::from(late);
        count.alerts += u64::from(seen.alert);
        member.unreturned += 1;
        if member.unreturned < chunk {
            return Some(0);
        }
        Some(std::mem::take(&mut member.unreturned))
    }

    /// Events that the broker has and that no handler has seen.
    pub(crate) fn missing(&self) -> u64 {
        self.published.count_without(&self.handled)
    }

    /// All instances together.
    pub(crate) fn total(&self) -> Count {
        let mut total = Count::default();
        for member in &self.members {
            total.add(&lock(member).count);
        }
        total
    }

    /// How many events each instance has handled so far.
    pub(crate) fn shares(&self) -> Vec<u64> {
        self.members.iter().take(self.instances).map(|member| lock(member).count.events()).collect()
    }

    /// Each instance, for the report: those of the plan, and those that replaced one.
    pub(crate) fn members(&self) -> Vec<MemberReport> {
        let report = |member: &Mutex<Member>| {
            let member = lock(member);
            MemberReport {
                id: member.id.clone(),
                count: member.count,
                p50_ns: member.latency.value_at_quantile(0.5),
                p99_ns: member.latency.value_at_quantile(0.99),
            }
        };
        let members = self.members.iter().map(report).enumerate();
        members.filter(|(at, member)| *at < self.instances || !member.id.is_empty()).map(|(_, member)| member).collect()
    }

    /// All readings of a device side by side: devices that are handled at the same time share no words.
    fn bit(&self, device: u32, seq: u32) -> u64 {
        u64::from(device) * u64::from(self.rounds) + u64::from(seq)
    }
}

impl Member {
    fn new() -> Result<Self, CreationError> {
        Ok(Self {
            id: String::new(),
            count: Count::default(),
            next: Vec::new(),
            latency: Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, DIGITS)?,
            unreturned: 0,
        })
    }
}

fn lock(member: &Mutex<Member>) -> MutexGuard<'_, Member> {
    // Nothing panics while it is held; if it did, the numbers would still be whole.
    member.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
