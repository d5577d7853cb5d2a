//! A group on a machine, event by event: publishers, broker and worker are threads that share cores; windows are places;
//! handlers wait. It is made of known capacities, so it can be asked what twice of one of them is worth.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::Point;

/// Events that are counted, once the queues have filled.
const COUNTED: u64 = 4_000;
/// Other programs let go of a core after so long.
const SLICE_NS: u64 = 200_000;

const PUBLISHERS: usize = 0;
const BROKER: usize = 1;
const WORKER: usize = 2;
const OTHERS: usize = 3;

/// What there is. Times in nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) instances: u32,
    pub(super) window: u16,
    pub(super) ahead: u64,
    pub(super) cores: usize,
    /// Programs besides that never rest.
    pub(super) others: usize,
    /// Time that a handler waits.
    pub(super) wait_ns: u64,
    /// One way between broker and worker.
    pub(super) way_ns: u64,
    /// CPU time per event; the broker's twice: for what comes in, and for the acknowledgement and what goes out. The
    /// worker's twice: before the handler waits, and after.
    pub(super) publish_ns: u64,
    pub(super) broker_ns: u64,
    pub(super) work_ns: u64,
    /// Threads of the worker and the broker.
    pub(super) worker_threads: usize,
    pub(super) broker_threads: usize,
    /// The broker is on a machine of its own and cannot be looked into.
    pub(super) is_elsewhere: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Publish,
    In,
    Before(u64),
    After(u64),
    Ack,
    Slice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happens {
    Ran { process: usize, step: Step, ns: u64 },
    Comes { process: usize, step: Step },
}

#[derive(Default)]
struct Process {
    threads: usize,
    used: usize,
    queue: VecDeque<Step>,
    ran_ns: u64,
    waited_ns: u64,
}

struct Run<'a> {
    world: &'a World,
    now: u64,
    number: u64,
    agenda: BinaryHeap<Reverse<(u64, u64, Happens)>>,
    processes: [Process; 4],
    /// Free cores here, and what waits for one since when.
    free: usize,
    ready: VecDeque<(usize, Step, u64)>,
    places: u64,
    queued: u64,
    published: u64,
    handled: u64,
    publishing: bool,
    handler_ns: u64,
    /// Time that events were with the worker.
    held_ns: u64,
    random: u64,
}

impl World {
    /// What a measurement of it says.
    pub(super) fn measure(&self) -> Point {
        let threads = [1, self.broker_threads, self.worker_threads, self.others];
        let mut run = Run {
            world: self,
            now: 0,
            number: 0,
            agenda: BinaryHeap::new(),
            processes: threads.map(|threads| Process { threads, ..Process::default() }),
            free: self.cores,
            ready: VecDeque::new(),
            places: u64::from(self.instances) * u64::from(self.window),
            queued: 0,
            published: 0,
            handled: 0,
            publishing: false,
            handler_ns: 0,
            held_ns: 0,
            random: 1,
        };
        for _ in 0..self.others {
            run.enqueue(OTHERS, Step::Slice);
        }
        run.publish();
        let warm = 2 * self.ahead;
        run.until(warm);
        let began = run.now;
        (run.handler_ns, run.held_ns) = (0, 0);
        for process in &mut run.processes {
            (process.ran_ns, process.waited_ns) = (0, 0);
        }
        run.until(warm + COUNTED);
        run.point((run.now - began) as f64)
    }

    /// Events per second.
    pub(super) fn throughput(&self) -> f64 {
        self.measure().events_per_s
    }
}

impl Run<'_> {
    fn point(&self, wall_ns: f64) -> Point {
        let world = self.world;
        let cores = |process: usize| self.processes[process].ran_ns as f64 / wall_ns;
        let thread = |process: usize| cores(process) / self.processes[process].threads as f64;
        // A kernel that counts waiting always counts some.
        let waits = |process: usize| {
            (self.processes[process].waited_ns as f64 / wall_ns / self.processes[process].threads as f64).max(0.001)
        };
        let here = |figure: f64| (!world.is_elsewhere).then_some(figure);
        let own = if world.is_elsewhere { 0.0 } else { cores(BROKER) };
        Point {
            instances: world.instances,
            window: world.window,
            events_per_s: COUNTED as f64 / wall_ns * 1e9,
            ahead: Some(world.ahead),
            handler_mean_ms: self.handler_ns as f64 / COUNTED as f64 / 1e6,
            window_use: self.held_ns as f64 / wall_ns / (f64::from(world.instances) * f64::from(world.window)),
            cores: world.cores,
            worker_cores: cores(WORKER),
            worker_thread: thread(WORKER),
            worker_thread_waits: waits(WORKER),
            publishers_cores: cores(PUBLISHERS),
            publishers_thread: thread(PUBLISHERS),
            publishers_thread_waits: waits(PUBLISHERS),
            broker_cores: here(cores(BROKER)),
            broker_thread: here(thread(BROKER)),
            broker_thread_waits: here(waits(BROKER)),
            machine: Some((cores(PUBLISHERS) + cores(WORKER) + own + cores(OTHERS)) / world.cores as f64),
            ..Point::default()
        }
    }

    fn until(&mut self, handled: u64) {
        while self.handled < handled {
            let Some(Reverse((at, _, happens))) = self.agenda.pop() else {
                panic!("nothing moves in {:?}", self.world)
            };
            self.now = at;
            match happens {
                Happens::Comes { process, step } => self.enqueue(process, step),
                Happens::Ran { process, step, ns } => self.ran(process, step, ns),
            }
        }
    }

    fn at(&mut self, in_ns: u64, happens: Happens) {
        self.number += 1;
        self.agenda.push(Reverse((self.now + in_ns, self.number, happens)));
    }

    /// Half as long to half as long again.
    fn about(&mut self, ns: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ns / 2 + ns * (self.random >> 40) / (1 << 24)
    }

    fn publish(&mut self) {
        if !self.publishing && self.published < self.handled + self.world.ahead {
            self.publishing = true;
            self.enqueue(PUBLISHERS, Step::Publish);
        }
    }

    fn enqueue(&mut self, process: usize, step: Step) {
        let of = &mut self.processes[process];
        if of.used == of.threads {
            return of.queue.push_back(step);
        }
        of.used += 1;
        self.wants_core(process, step);
    }

    fn wants_core(&mut self, process: usize, step: Step) {
        if self.world.is_elsewhere && process == BROKER {
            return self.runs(process, step);
        }
        self.ready.push_back((process, step, self.now));
        self.take_core();
    }

    fn take_core(&mut self) {
        while self.free > 0 {
            let Some((process, step, since)) = self.ready.pop_front() else { return };
            self.free -= 1;
            self.processes[process].waited_ns += self.now - since;
            self.runs(process, step);
        }
    }

    fn runs(&mut self, process: usize, step: Step) {
        let world = self.world;
        let ns = match step {
            Step::Publish => world.publish_ns,
            Step::In | Step::Ack => world.broker_ns / 2,
            Step::Before(_) | Step::After(_) => world.work_ns / 2,
            Step::Slice => SLICE_NS,
        };
        let ns = self.about(ns).max(1);
        self.at(ns, Happens::Ran { process, step, ns });
    }

    fn ran(&mut self, process: usize, step: Step, ns: u64) {
        self.processes[process].ran_ns += ns;
        if !(self.world.is_elsewhere && process == BROKER) {
            self.free += 1;
        }
        match self.processes[process].queue.pop_front() {
            Some(next) => self.wants_core(process, next),
            None => self.processes[process].used -= 1,
        }
        match step {
            Step::Publish => {
                (self.published, self.publishing) = (self.published + 1, false);
                self.enqueue(BROKER, Step::In);
                self.publish();
            }
            Step::In => {
                self.queued += 1;
                self.hand_out();
            }
            Step::Before(came) => {
                let wait = self.about(self.world.wait_ns);
                self.handler_ns += wait;
                self.held_ns += self.now - came + wait;
                self.at(wait, Happens::Comes { process: WORKER, step: Step::After(self.now + wait) });
            }
            Step::After(since) => {
                // What a handler waits for its thread is measured as time in the handler.
                self.handler_ns += self.now - since;
                self.held_ns += self.now - since;
                self.handled += 1;
                self.at(self.world.way_ns, Happens::Comes { process: BROKER, step: Step::Ack });
                self.publish();
            }
            Step::Ack => {
                self.places += 1;
                self.hand_out();
            }
            Step::Slice => self.enqueue(OTHERS, Step::Slice),
        }
        self.take_core();
    }

    fn hand_out(&mut self) {
        while self.queued > 0 && self.places > 0 {
            (self.queued, self.places) = (self.queued - 1, self.places - 1);
            let step = Step::Before(self.now + self.world.way_ns);
            self.at(self.world.way_ns, Happens::Comes { process: WORKER, step });
        }
    }
}
