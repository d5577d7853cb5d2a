//! A run: workers come and go, and things break, by a plan from the seed. It ends with everybody well again, everything
//! handled, and everybody leaving.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tidemill_testkit::fault::{Fault, FaultPlan};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::judge::{self, Record};
use crate::log::WorkerId;
use crate::replica::{Ended, Replica};
use crate::scenario::Scenario;
use crate::tap::Mutation;
use crate::world::World;

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Publish,
    Wait,
    Join,
    Leave,
    Scale,
    Slow,
    Kill,
    Break,
    CutAll,
    Restart { crash: bool },
}

struct Life {
    world: Arc<World>,
    random: Rng,
    faults: FaultPlan,
    running: Vec<Replica>,
    leaving: Vec<(String, u32, JoinHandle<Ended>)>,
    /// Names of workers that were killed or have left, with how many instances they had.
    absent: Vec<(String, u32)>,
    ended: Vec<Ended>,
    workers: WorkerId,
    names: u32,
    told: String,
}

/// Runs a scenario to its end. The error says what went wrong and what had been done.
pub(crate) async fn run(scenario: &Scenario, mutation: Mutation) -> Result<Record, String> {
    // What the runtime draws comes from here too.
    fastrand::seed(scenario.seed);
    let mut life = Life {
        world: World::new(scenario, mutation).await,
        random: Rng::with_seed(scenario.seed ^ 0x5EED),
        faults: FaultPlan::new(scenario.seed),
        running: Vec::new(),
        leaving: Vec::new(),
        absent: Vec::new(),
        ended: Vec::new(),
        workers: 0,
        names: 0,
        told: String::new(),
    };
    let result = match life.live().await {
        Ok(()) => judge::judge(&life.world, &life.ended),
        Err(error) => Err(error),
    };
    result.map_err(|error| format!("{error}\nwhat was done:{}", life.told))
}

impl Life {
    async fn live(&mut self) -> Result<(), String> {
        self.join();
        self.ready(0).await?;
        for number in 0..self.world.scenario.steps {
            let step = self.choose();
            self.tell(format_args!("\n{number:3} {step:?}"));
            self.take(step).await;
            self.look_after().await?;
            let pause = self.random.u64(..100);
            sleep(Duration::from_millis(pause)).await;
        }
        self.recover().await
    }

    fn tell(&mut self, what: std::fmt::Arguments<'_>) {
        tracing::info!("{}", what.to_string().trim());
        self.told.write_fmt(what).unwrap();
    }

    fn choose(&mut self) -> Step {
        let rough = !self.world.scenario.calm;
        loop {
            match self.random.u8(..100) {
                0..45 => return Step::Publish,
                45..50 => return Step::Wait,
                50..58 => return Step::Join,
                58..66 => return Step::Leave,
                66..76 => return Step::Scale,
                76..79 => return Step::Slow,
                79..83 if rough => return Step::Kill,
                83..95 if rough => return Step::Break,
                95..97 if rough => return Step::CutAll,
                97 if rough => return Step::Restart { crash: false },
                98 if rough => return Step::Restart { crash: true },
                _ => {}
            }
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Publish => {
                let events = self.random.u32(1..16);
                self.tell(format_args!(" {events}"));
                self.world.publish(&mut self.random, events).await;
            }
            Step::Wait => sleep(Duration::from_millis(self.random.u64(..5000))).await,
            Step::Join if self.running.len() < 3 => self.join(),
            Step::Leave if self.running.len() > 1 => self.leave(),
            Step::Scale if !self.running.is_empty() => {
                let at = self.random.usize(..self.running.len());
                let instances = self.random.u32(1..=3);
                self.running[at].scale(instances);
                let name = self.running[at].name.clone();
                self.tell(format_args!(" {name} to {instances}"));
            }
            Step::Slow => {
                let mut delay = || Duration::from_millis(self.random.u64(..30));
                self.world.faults.delay(delay(), delay());
            }
            Step::Kill if self.running.len() > 1 => {
                let at = self.random.usize(..self.running.len());
                let victim = self.running.swap_remove(at);
                self.tell(format_args!(" {}", victim.name));
                self.absent.push((victim.name.clone(), victim.sessions()));
                victim.kill().await;
            }
            Step::Break => {
                let fault = self.faults.fault();
                if let Some(link) = self.faults.victim(&self.world.faults) {
                    self.tell(format_args!(" {fault:?} on connection {}", link.id()));
                    if matches!(fault, Fault::Cut | Fault::HalfOpen | Fault::Reset | Fault::Delay(_)) {
                        self.world.faults.inject(fault, &link).await;
                    } else {
                        // It takes its time while life goes on.
                        let faults = self.world.faults.clone();
                        drop(tokio::spawn(async move { faults.inject(fault, &link).await }));
                    }
                }
            }
            Step::CutAll => self.world.cut_all().await,
            Step::Restart { crash } => {
                let away = Duration::from_millis(self.random.u64(..2000));
                self.world.restart(crash, away).await;
            }
            Step::Join | Step::Leave | Step::Scale | Step::Kill => {}
        }
    }

    /// A new worker joins, or, with a name of its own to come back to, one that was there before.
    fn join(&mut self) {
        let durable = self.world.scenario.durable;
        let (name, instances) = match self.absent.pop() {
            Some(absent) if durable => absent,
            _ => {
                self.names += 1;
                (format!("w{}", self.names), self.random.u32(1..=3))
            }
        };
        self.workers += 1;
        self.tell(format_args!(" {name} with {instances}"));
        self.running.push(Replica::join(&self.world, self.workers, &name, instances));
    }

    /// One leaves if another one stays that is ready: a group without members has no events.
    fn leave(&mut self) {
        let at = self.random.usize(..self.running.len());
        let stays =
            self.running.iter().enumerate().any(|(other, replica)| other != at && replica.handle.status().ready);
        if !stays {
            return;
        }
        let replica = self.running.swap_remove(at);
        self.tell(format_args!(" {}", replica.name));
        let sessions = replica.sessions();
        self.leaving.push((replica.name.clone(), sessions, replica.leave()));
    }

    /// Takes note of those that have left, and that nobody else has ended.
    async fn look_after(&mut self) -> Result<(), String> {
        let mut at = 0;
        while at < self.leaving.len() {
            if !self.leaving[at].2.is_finished() {
                at += 1;
                continue;
            }
            let (name, wanted, task) = self.leaving.swap_remove(at);
            self.absent.push((name, wanted));
            self.ended.push(task.await.unwrap());
        }
        match self.running.iter().position(Replica::has_ended) {
            Some(at) => {
                let replica = self.running.swap_remove(at);
                let name = replica.name.clone();
                let result = replica.leave().await.unwrap().result;
                Err(format!("{name} ended by itself: {result:?}"))
            }
            None => Ok(()),
        }
    }

    async fn ready(&self, at: usize) -> Result<(), String> {
        let replica = &self.running[at];
        match timeout(Duration::from_secs(120), replica.handle.settled()).await {
            Ok(()) => Ok(()),
            Err(_) => Err(format!("{} does not get ready: {:?}", replica.name, replica.handle.status())),
        }
    }

    /// All is well again: who has a session comes back to it, everything is handled, everybody leaves.
    async fn recover(&mut self) -> Result<(), String> {
        self.tell(format_args!("\nall is well again"));
        self.world.faults.refuse(false);
        self.world.faults.delay(Duration::ZERO, Duration::ZERO);
        for (name, wanted, task) in std::mem::take(&mut self.leaving) {
            self.ended.push(task.await.unwrap());
            self.absent.push((name, wanted));
        }
        while self.running.is_empty() || (self.world.scenario.durable && !self.absent.is_empty()) {
            self.join();
        }
        // Nobody is replaced meanwhile for good reasons, so some may be leaving at any time: look until it is so.
        for at in 0..self.running.len() {
            if self.world.scenario.max_connection_age.is_zero() {
                self.ready(at).await?;
            }
        }
        self.drained().await?;
        self.look_after().await?;
        for replica in std::mem::take(&mut self.running) {
            let sessions = replica.sessions();
            self.leaving.push((replica.name.clone(), sessions, replica.leave()));
        }
        for (name, _, task) in std::mem::take(&mut self.leaving) {
            match timeout(Duration::from_secs(600), task).await {
                Ok(ended) => self.ended.push(ended.unwrap()),
                Err(_) => return Err(format!("G10: {name} does not leave")),
            }
        }
        Ok(())
    }

    /// Waits until the broker has nothing left, and until connections that went silent have been found out.
    async fn drained(&self) -> Result<(), String> {
        // Twice in a row: what a lost member held may be on its way back to the group.
        let mut idle = 0;
        for _ in 0..3000 {
            let stats = self.world.stats();
            let busy = stats.queued + stats.inflight > 0
                || self.world.faults.links().iter().any(tidemill_testkit::fault::Link::is_silent);
            idle = if busy { 0 } else { idle + 1 };
            if idle == 5 {
                return Ok(());
            }
            sleep(Duration::from_millis(100)).await;
        }
        let workers: Vec<_> = self.running.iter().map(|replica| (&replica.name, replica.handle.status())).collect();
        Err(format!("not everything is handled: {:?}\n{workers:#?}", self.world.stats()))
    }
}
