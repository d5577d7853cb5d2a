//! A thread that gives sessions a turn when the threads that should have not: handlers may block all of them.
//!
//! Sessions that run beside handlers cost no switch between threads, but get no turn while handlers block. So each can be
//! polled from two sides: by its own task, and by the stand-in, which looks some times per second for sessions that were
//! woken or that have had no turn for a while. Its turns do what every turn does. Besides, a session looks at its clocks
//! then without waiting for its timer, because nobody may drive timers.
//!
//! INVARIANT (G6): whatever handlers do, a session gets a turn at least every [`PATIENCE`] and [`LOOK`]. Never two at once.

use std::any::Any;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::wake::Bell;

/// How often it looks: what has waited from one look to the next waits too long.
const LOOK: Duration = Duration::from_millis(50);
/// How long a session may be without a turn although nothing woke it: well below a quarter of the shortest keep-alive of
/// one second, which is what is left of it when a ping is due.
const PATIENCE: Duration = Duration::from_millis(150);

/// Whose turn it is on this thread.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Own,
    /// The stand-in's, and the session has not noticed.
    Given,
    Noticed,
}

thread_local! {
    static TURN: Cell<Turn> = const { Cell::new(Turn::Own) };
}

/// Ready once in every turn that the stand-in gives.
pub(super) async fn given_turn() {
    let given = |_: &mut Context<'_>| match TURN.get() {
        Turn::Given => {
            TURN.set(Turn::Noticed);
            Poll::Ready(())
        }
        Turn::Own | Turn::Noticed => Poll::Pending,
    };
    poll_fn(given).await;
}

/// Whether the stand-in polls. Nobody may have asked the system then which sockets are ready.
pub(super) fn stands_in() -> bool {
    TURN.get() != Turn::Own
}

/// See the module's description. Dropping it ends its thread.
#[derive(Debug)]
pub(crate) struct StandIn {
    newcomers: Arc<Mutex<Vec<Weak<dyn Ward>>>>,
    /// Taken away to end the thread.
    open: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    /// Starts its thread. `runtime`: where its sessions live.
    ///
    /// # Errors
    /// There are no threads left.
    pub(crate) fn start(runtime: Handle) -> std::io::Result<Self> {
        let newcomers = Arc::default();
        let (open, closed) = sync_channel(0);
        let watched = Arc::clone(&newcomers);
        let thread = std::thread::Builder::new()
            .name("tidemill-stand-in".into())
            .spawn(move || look_after(&watched, &closed, &runtime))?;
        Ok(Self { newcomers, open: Some(open), thread: Some(thread) })
    }

    /// The same future, which from its first turn on also gets turns from here.
    pub(crate) fn attend<F>(&self, future: F) -> Attended<F>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let bell = Arc::new(Bell::default());
        let shift = Arc::new(Shift {
            stage: Mutex::new(Stage::Running(Box::pin(future))),
            bell: Arc::clone(&bell),
            turns: AtomicU64::new(0),
        });
        let ward: Weak<Shift<F>> = Arc::downgrade(&shift);
        lock(&self.newcomers).push(ward);
        Attended { shift, waker: Waker::from(bell) }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.open.take());
        if let Some(thread) = self.thread.take() {
            // Its panics have gone to the owners of what it polled.
            let _ = thread.join();
        }
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

enum Stage<F: Future> {
    Running(Pin<Box<F>>),
    Ended(F::Output),
    Panicked(Box<dyn Any + Send>),
    Taken,
}

/// A future that can be polled from two sides.
struct Shift<F: Future> {
    stage: Mutex<Stage<F>>,
    bell: Arc<Bell>,
    turns: AtomicU64,
}

impl<F: Future> Shift<F> {
    /// One turn.
    fn turn(&self, stage: &mut Stage<F>, waker: &Waker) {
        let Stage::Running(future) = stage else { return };
        self.bell.silence();
        self.turns.fetch_add(1, Ordering::Relaxed);
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(waker)) {
            *stage = Stage::Ended(output);
        }
    }
}

/// A future in its owner's hands. Dropping it drops the future, after a turn that is being given.
pub(crate) struct Attended<F: Future> {
    shift: Arc<Shift<F>>,
    waker: Waker,
}

impl<F: Future> Future for Attended<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.shift.bell.register(cx.waker());
        let mut stage = lock(&self.shift.stage);
        self.shift.turn(&mut stage, &self.waker);
        if matches!(*stage, Stage::Running(_)) {
            return Poll::Pending;
        }
        let ended = std::mem::replace(&mut *stage, Stage::Taken);
        drop(stage);
        match ended {
            Stage::Ended(output) => Poll::Ready(output),
            Stage::Panicked(panic) => resume_unwind(panic),
            // Polled after its end: as good as never.
            Stage::Running(_) | Stage::Taken => Poll::Pending,
        }
    }
}

impl<F: Future> Drop for Attended<F> {
    fn drop(&mut self) {
        *lock(&self.shift.stage) = Stage::Taken;
    }
}

/// What the stand-in knows of a session.
#[derive(Clone, Copy, Debug)]
struct Look {
    turns: u64,
    rung: bool,
    since: Instant,
}

/// A session, as the stand-in sees it.
trait Ward: Send + Sync {
    fn bell(&self) -> &Bell;
    /// How many it has had.
    fn turns(&self) -> u64;
    /// Gives it a turn, unless it is having one.
    fn stand_in(&self);
}

impl<F> Ward for Shift<F>
where
    F: Future + Send,
    F::Output: Send,
{
    fn bell(&self) -> &Bell {
        &self.bell
    }

    fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    fn stand_in(&self) {
        let Ok(mut stage) = self.stage.try_lock() else { return };
        let waker = Waker::from(Arc::clone(&self.bell));
        TURN.set(Turn::Given);
        let turn = catch_unwind(AssertUnwindSafe(|| self.turn(&mut stage, &waker)));
        TURN.set(Turn::Own);
        if let Err(panic) = turn {
            *stage = Stage::Panicked(panic);
        }
        if !matches!(*stage, Stage::Running(_)) {
            drop(stage);
            self.bell.wake_owner();
        }
    }
}

impl std::fmt::Debug for dyn Ward {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ward").field("bell", self.bell()).finish()
    }
}

#[expect(clippy::disallowed_methods, reason = "it works by real time: paused clocks are for programs on one thread")]
fn now() -> Instant {
    Instant::now()
}

/// The thread's work, until `closed` is.
fn look_after(newcomers: &Mutex<Vec<Weak<dyn Ward>>>, closed: &Receiver<()>, runtime: &Handle) {
    let _context = runtime.enter();
    let mut wards: Vec<(Weak<dyn Ward>, Look)> = Vec::new();
    while closed.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        let now = now();
        let new = std::mem::take(&mut *lock(newcomers));
        wards.extend(new.into_iter().map(|ward| (ward, Look { turns: 0, rung: false, since: now })));
        wards.retain_mut(|(ward, before)| {
            let Some(ward) = ward.upgrade() else { return false };
            let (turns, rung) = (ward.turns(), ward.bell().has_rung());
            // One without a first turn has a task that nobody has begun, and no waker.
            if turns == 0 || turns != before.turns {
                *before = Look { turns, rung, since: now };
            } else if (rung && before.rung) || now - before.since >= PATIENCE {
                ward.stand_in();
                *before = Look { turns: ward.turns(), rung: false, since: now };
            } else {
                before.rung = rung;
            }
            true
        });
    }
}

#[cfg(test)]
mod tests;
