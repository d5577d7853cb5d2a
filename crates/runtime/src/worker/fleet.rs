//! The instances of a worker: how many there are, who joins, who leaves, and what happens when one ends.
//!
//! INVARIANT (G7): an instance is never simply dropped. It is told to leave, and forced only after the drain's deadline.
//! An instance that is replaced leaves after its replacement has joined, unless both need the same client ID.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tidemill_core::{QoS, report};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{error, info, warn};

use super::elastic;
use super::ending::{Cause, Ending};
use super::instance::{InstanceEnd, Outlets, Seat, Stop};
use super::io_threads::IoThreads;
use super::kill_switch;
use super::reload;
use super::run::Worker;
use crate::error::{RunError, RunErrorKind};
use crate::session::{Backoff, Parting, Phase, Reason, SessionError, Status};

/// An instance that ran for so long shows that all is well: the next wait starts small again.
const STABLE: Duration = Duration::from_secs(60);

type Ends<'a> = FuturesUnordered<Pin<Box<dyn Future<Output = (u64, InstanceEnd)> + Send + 'a>>>;

/// An instance that has not ended.
#[derive(Debug)]
struct Member {
    seat: Seat,
    stop: Stop,
    status: Arc<Status>,
    leaving: bool,
    /// When it begins to run.
    begins: Instant,
    /// When it is replaced; `None`: never.
    expires: Option<Instant>,
}

/// One instance takes over from another.
#[derive(Clone, Copy, Debug)]
struct Replacement {
    old: u64,
    new: u64,
}

/// See the module's description.
pub(super) struct Fleet<'a> {
    worker: &'a Worker,
    io: &'a IoThreads,
    outlets: &'a Outlets,
    stop: Stop,
    ends: Ends<'a>,
    members: Vec<Member>,
    next_serial: u64,
    replacement: Option<Replacement>,
    restart: Backoff,
}

impl<'a> Fleet<'a> {
    pub(super) fn new(worker: &'a Worker, io: &'a IoThreads, outlets: &'a Outlets) -> Self {
        Self {
            worker,
            io,
            outlets,
            stop: Stop::default(),
            ends: Ends::new(),
            members: Vec::new(),
            next_serial: 0,
            replacement: None,
            restart: Backoff::new(Duration::from_millis(100), Duration::from_secs(30)),
        }
    }

    /// Keeps as many instances running as are wanted until the worker is to leave, then drains them.
    pub(super) async fn run(mut self, ending: &Ending) -> Result<(), RunError> {
        let worker = self.worker;
        let mut wanted = worker.shared.scaling.watch_wanted();
        let startup = worker.startup_failed();
        let kill_switch = kill_switch::watch(&worker.config.kill_switch, &worker.shared, &worker.plan);
        let elastic = elastic::watch(&worker.shared);
        let reload = reload::watch(&worker.given, &worker.shared);
        tokio::pin!(startup, kill_switch, elastic, reload);
        let mut failure = None;
        let mut count = *wanted.borrow_and_update();
        self.scale(count);
        self.clear_ghosts(count);
        while failure.is_none() {
            let expiry = self.next_expiry();
            let joined = self.replacement_joined();
            tokio::select! {
                () = ending.leaving() => break,
                error = &mut startup => failure = Some(error),
                () = &mut kill_switch => {}
                () = &mut elastic => {}
                () = &mut reload => {}
                Ok(()) = wanted.changed() => {
                    count = *wanted.borrow_and_update();
                    self.scale(count);
                }
                () = sleep_until(expiry.unwrap_or_else(Instant::now)), if expiry.is_some() => self.replace_expired(),
                () = joined => self.finish_replacement(),
                Some((serial, end)) = self.ends.next() => failure = self.ended(serial, end, count),
            }
        }
        // Before anything is unsubscribed: whoever looks at /readyz stops counting on this worker first.
        worker.shared.begin_drain();
        ending.leave();
        let drained = self.drain(ending).await;
        match failure {
            Some(error) => Err(error),
            None => drained,
        }
    }

    /// Starts or takes away instances until there are `count`. Those with the highest slots go first.
    fn scale(&mut self, count: u32) {
        // One that leaves holds on to its client ID; if that stays the same, the next has to wait until it has `ended`.
        let keeps_ids = self.worker.plan.keeps_ids();
        for slot in 0..count {
            if !self.members.iter().any(|member| member.seat.slot == slot && (keeps_ids || !member.leaving)) {
                self.start(slot, Duration::ZERO, None);
            }
        }
        let surplus: Vec<u64> = self
            .members
            .iter()
            .filter(|member| member.seat.slot >= count && !member.leaving)
            .map(|member| member.seat.serial)
            .collect();
        for serial in surplus {
            self.leave(serial, Parting::Leave);
        }
    }

    /// Ends the sessions that an earlier run of this replica left on the broker.
    fn clear_ghosts(&mut self, count: u32) {
        for slot in self.worker.plan.ghosts(count) {
            info!(slot, "an earlier run left a session on the broker: it is emptied and ended");
            self.clear(slot, Duration::ZERO);
        }
    }

    /// Takes over the session that the broker keeps for a slot, handles what it holds, and ends it for good.
    fn clear(&mut self, slot: u32, delay: Duration) {
        self.start(slot, delay, Some(Parting::Leave));
    }

    /// Starts an instance after a delay, which ends early when it is told to leave; with a parting it comes only to leave.
    fn start(&mut self, slot: u32, delay: Duration, parting: Option<Parting>) -> u64 {
        let seat = Seat { slot, serial: self.next_serial };
        self.next_serial += 1;
        let stop = self.stop.child();
        let status = Arc::new(Status::default());
        let age = self.worker.config.mqtt.max_connection_age;
        let begins = Instant::now() + delay;
        let expires = (!age.is_zero()).then(|| begins + age.mul_f64(0.9 + 0.2 * fastrand::f64()));
        let (leaving, shown) = (parting.is_some(), Arc::clone(&status));
        self.members.push(Member { seat, stop: stop.clone(), status: shown, leaving, begins, expires });
        let (worker, io, outlets) = (self.worker, self.io, self.outlets);
        let deadline = worker.config.drain.deadline;
        let all_leave = self.stop.leave.clone();
        self.ends.push(Box::pin(async move {
            tokio::select! {
                () = sleep_until(begins) => {}
                // One with a session on the broker still has to give up its place there.
                () = stop.leave.cancelled() => {}
            }
            if let Some(parting) = parting {
                stop.leave(parting);
            }
            let run = worker.plan.run(io, &worker.shared, outlets, seat, status, stop.clone());
            tokio::pin!(run);
            let overdue = async {
                stop.leave.cancelled().await;
                sleep(deadline).await;
                // When the whole worker leaves, its own clock counts.
                if all_leave.is_cancelled() {
                    std::future::pending::<()>().await;
                }
            };
            let end = tokio::select! {
                end = &mut run => end,
                () = overdue => {
                    warn!(slot = seat.slot, "an instance did not leave within the drain's deadline and is forced to stop");
                    stop.cut.cancel();
                    run.await
                }
            };
            (seat.serial, end)
        }));
        seat.serial
    }

    /// Tells an instance to leave.
    fn leave(&mut self, serial: u64, parting: Parting) {
        if let Some(member) = self.members.iter_mut().find(|member| member.seat.serial == serial) {
            member.leaving = true;
            member.stop.leave(parting);
        }
    }

    /// An instance has ended. Gives the failure that must end the worker.
    fn ended(&mut self, serial: u64, end: InstanceEnd, wanted: u32) -> Option<RunError> {
        let at = self.members.iter().position(|member| member.seat.serial == serial)?;
        let member = self.members.swap_remove(at);
        let slot = member.seat.slot;
        if self.replacement.is_some_and(|replacement| replacement.old == serial || replacement.new == serial) {
            self.replacement = None;
        }
        if !member.leaving && member.begins.elapsed() >= STABLE {
            self.restart.reset();
        }
        let filled = self.members.iter().any(|other| other.seat.slot == slot && !other.leaving);
        let keeps_ids = self.worker.plan.keeps_ids();
        let mut delay = Duration::ZERO;
        let mut is_gone = false;
        match end {
            InstanceEnd::Ended | InstanceEnd::Blocked => {}
            InstanceEnd::Failed(error) => {
                let taken_over = error.reason() == Some(Reason::TAKEN_OVER);
                if member.leaving {
                    warn!(slot, error = report(&error), "an instance failed while leaving");
                    // Another process runs under its ID, and has its session.
                    is_gone = taken_over;
                } else if taken_over && !keeps_ids {
                    warn!(slot, "another client took over this instance's ID; it joins again under a new one");
                } else {
                    return Some(unusable(error));
                }
                delay = self.restart.next();
            }
            InstanceEnd::Crashed(crash) => {
                error!(slot, error = %crash, "an instance crashed; this is a defect; starting it again");
                delay = self.restart.next();
            }
        }
        if filled {
            return None;
        }
        if slot < wanted {
            // It left for another of the same client ID to come, was left over, or broke.
            self.start(slot, delay, None);
        } else if self.worker.config.is_durable() && member.stop.owes_farewell() && !is_gone {
            if delay.is_zero() {
                delay = self.restart.next();
            }
            warn!(slot, ?delay, "an instance did not end its session on the broker; it tries again");
            self.clear(slot, delay);
        } else if member.stop.keeps_place() {
            // It would be back, but is not wanted any more: what the broker keeps for it must not stay there.
            self.clear(slot, delay);
        }
        None
    }

    fn next_expiry(&self) -> Option<Instant> {
        if self.replacement.is_some() {
            return None;
        }
        self.members.iter().filter(|member| !member.leaving).filter_map(|member| member.expires).min()
    }

    /// Replaces the instance whose connection is too old: one at a time, so that the group always has members.
    fn replace_expired(&mut self) {
        let now = Instant::now();
        let expired = self
            .members
            .iter()
            .filter(|member| !member.leaving && member.expires.is_some_and(|at| at <= now))
            .min_by_key(|member| member.expires)
            .map(|member| member.seat);
        let Some(old) = expired else { return };
        info!(slot = old.slot, "an instance's connection is old: it is replaced");
        if self.worker.plan.keeps_ids() {
            // The same client ID cannot be connected twice: leave first, `ended` starts the next.
            // What is at QoS 0 does not wait for anybody.
            let waits = self.worker.config.mqtt.qos == QoS::AtLeastOnce;
            self.leave(old.serial, if waits { Parting::KeepPlace } else { Parting::Leave });
            return;
        }
        let new = self.start(old.slot, Duration::ZERO, None);
        self.replacement = Some(Replacement { old: old.serial, new });
    }

    /// Waits until the replacement under way has joined the group; for ever when there is none.
    fn replacement_joined(&self) -> impl Future<Output = ()> + Send + use<> {
        let new = self
            .replacement
            .and_then(|replacement| self.members.iter().find(|member| member.seat.serial == replacement.new));
        let phase = new.map(|member| member.status.watch());
        async move {
            if let Some(mut phase) = phase
                && phase.wait_for(|phase| *phase == Phase::Ready).await.is_ok()
            {
                return;
            }
            std::future::pending::<()>().await;
        }
    }

    fn finish_replacement(&mut self) {
        if let Some(replacement) = self.replacement.take() {
            self.leave(replacement.old, Parting::Leave);
        }
    }

    async fn drain(&mut self, ending: &Ending) -> Result<(), RunError> {
        let (worker, all) = (self.worker, self.members.len());
        info!(deadline = ?ending.deadline, "worker leaves its group");
        self.stop.leave(Parting::Leave);
        // Nobody will be back in a moment.
        for member in self.members.iter().filter(|member| member.stop.keeps_place()) {
            member.stop.leave(Parting::Leave);
        }
        let cut = self.stop.cut.clone();
        let drained = async {
            let mut blocked = false;
            while let Some((serial, end)) = self.ends.next().await {
                let at = self.members.iter().position(|member| member.seat.serial == serial);
                let member = at.map(|at| self.members.swap_remove(at));
                match end {
                    // It had gone before it could be told: it comes back to give up its place.
                    InstanceEnd::Ended => {
                        if let Some(member) = member.filter(|member| member.stop.has_kept_place()) {
                            self.start(member.seat.slot, Duration::ZERO, Some(Parting::Leave));
                        }
                    }
                    InstanceEnd::Blocked => blocked = true,
                    InstanceEnd::Failed(error) => {
                        warn!(serial, error = report(&error), "an instance failed while leaving");
                    }
                    InstanceEnd::Crashed(crash) => error!(serial, error = %crash, "an instance crashed while leaving"),
                }
            }
            blocked
        };
        tokio::pin!(drained);
        let cause = tokio::select! {
            biased;
            _ = &mut drained => return Ok(()),
            cause = ending.forced() => cause,
        };
        let before = worker.shared.status().abandoned;
        let open = worker.shared.unfinished_by_route();
        cut.cancel();
        let blocked = drained.await;
        let status = worker.shared.status();
        let events = status.unfinished + status.abandoned - before;
        let cut = Cut { cause, deadline: ending.deadline, open, events, blocked };
        Err(cut.error(all))
    }
}

/// What was cut when a worker was forced to end.
struct Cut {
    cause: Cause,
    deadline: Duration,
    /// Unfinished events when it was forced, by route; what the last call has saved is among them.
    open: Vec<(Box<str>, u64)>,
    /// Events that stay unacknowledged.
    events: u64,
    /// A handler blocks its thread: what it was given last is not counted yet.
    blocked: bool,
}

impl Cut {
    fn error(&self, instances: usize) -> RunError {
        let routes: Vec<String> = self.open.iter().map(|(route, events)| format!("{route}: {events}")).collect();
        let (events, routes) = (self.events, routes.join(", "));
        warn!(events, instances, unfinished = routes, "worker was cut off; what is unfinished stays unacknowledged");
        let when = match self.cause {
            Cause::Deadline => format!("the drain's deadline of {:?} passed", self.deadline),
            Cause::Asked => "the worker was asked a second time to end".to_owned(),
        };
        let text = match (events, self.cause) {
            _ if self.blocked => format!(
                "{when} while a handler blocked its thread; what it was given stays unacknowledged; \
                 move what blocks to `tokio::task::spawn_blocking`"
            ),
            (0, Cause::Deadline) => format!(
                "{when} before the broker let every instance go; no event was unfinished, nothing is lost; \
                 look at the broker, or raise `drain.deadline`"
            ),
            (0, Cause::Asked) => format!("{when}; no event was unfinished, nothing is lost"),
            (_, Cause::Deadline) => format!(
                "{when} with {events} event(s) unfinished ({routes}); they stay unacknowledged; \
                 raise `drain.deadline` above what a handler may take"
            ),
            (_, Cause::Asked) => {
                format!("{when} with {events} event(s) unfinished ({routes}); they stay unacknowledged")
            }
        };
        let kind = match self.cause {
            Cause::Deadline => RunErrorKind::DrainDeadline,
            Cause::Asked => RunErrorKind::Forced,
        };
        RunError::new(kind, text)
    }
}

fn unusable(error: SessionError) -> RunError {
    RunError::new(RunErrorKind::Broker, "the broker cannot be used").with_source(error)
}
