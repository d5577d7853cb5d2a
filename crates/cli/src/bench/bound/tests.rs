//! Bounds of made-up points, each with one thing that is short.

use proptest::prelude::*;

use super::model::World;
use super::*;

/// A point where nothing is short.
fn idle() -> Point {
    Point {
        instances: 2,
        window: 16,
        events_per_s: 1000.0,
        handler_mean_ms: 0.01,
        window_use: 0.2,
        cores: 4,
        worker_cores: 0.5,
        worker_thread: 0.3,
        publishers_cores: 0.3,
        publishers_thread: 0.3,
        broker_cores: Some(0.5),
        broker_thread: Some(0.4),
        machine: Some(0.4),
        ..Point::default()
    }
}

fn bound(point: &Point, all: &[Point]) -> Bound {
    name(point, all).bound
}

#[test]
fn a_load_that_is_handled_is_all_there_was() {
    let point = Point { offered_per_s: Some(1010.0), worker_cores: 3.9, ..idle() };
    assert_eq!(bound(&point, &[]), Bound::Offered);
    let short = Point { offered_per_s: Some(2000.0), ..point };
    assert_eq!(bound(&short, &[]), Bound::Cpu);
}

#[test]
fn a_worker_that_keeps_its_cores_or_one_thread_busy_is_bound_by_cpu() {
    assert_eq!(bound(&Point { worker_cores: 3.6, ..idle() }, &[]), Bound::Cpu);
    assert_eq!(bound(&Point { worker_cores: 1.0, worker_thread: 0.97, ..idle() }, &[]), Bound::Cpu);
}

#[test]
fn handlers_in_every_place_are_a_window_by_littles_law() {
    // 2 x 16 places of 5 ms each: 6400 events/s at most.
    let point = Point { handler_mean_ms: 5.0, events_per_s: 6000.0, ..idle() };
    let verdict = name(&point, &[]);
    assert_eq!(verdict.bound, Bound::Window);
    assert!(
        verdict.reason.contains("32 places / (5.00 ms handler) = 6400 events/s, of which 94 %"),
        "{}",
        verdict.reason
    );
    assert_eq!(bound(&Point { events_per_s: 3000.0, ..point }, &[]), Bound::Broker);
}

#[test]
fn fewer_handlers_at_a_time_than_the_window_holds_are_fewer_places() {
    let point = Point { handler_mean_ms: 5.0, concurrency: 4, events_per_s: 1500.0, ..idle() };
    assert_eq!(bound(&point, &[]), Bound::Window);
    assert!((point.places() - 8.0).abs() < 1e-9);
}

#[test]
fn a_part_that_has_nothing_left_is_the_bound() {
    assert_eq!(bound(&Point { broker_thread: Some(0.99), ..idle() }, &[]), Bound::Broker);
    assert_eq!(bound(&Point { publishers_thread: 0.99, ..idle() }, &[]), Bound::Offered);
}

/// Mosquitto with eight instances on two cores: one more window would bring nothing.
fn one_thread_is_busiest() -> Point {
    Point {
        instances: 8,
        window: 64,
        events_per_s: 74_336.0,
        handler_mean_ms: 5.01,
        window_use: 0.74,
        cores: 2,
        worker_cores: 0.45,
        worker_thread: 0.25,
        worker_thread_waits: 0.1,
        publishers_cores: 0.4,
        publishers_thread: 0.4,
        publishers_thread_waits: 0.2,
        broker_cores: Some(0.88),
        broker_thread: Some(0.88),
        broker_thread_waits: Some(0.04),
        machine: Some(0.9),
        ..Point::default()
    }
}

#[test]
fn a_thread_that_is_nearer_to_its_limit_than_the_places_is_the_bound() {
    let eight = one_thread_is_busiest();
    let verdict = name(&eight, &[]);
    assert_eq!(verdict.bound, Bound::Broker);
    assert_eq!(
        verdict.reason,
        "a thread of the broker runs 88 % of the time and waits for a core another 4 %; busy besides: places 74 %, \
         the worker 35 %, the publishers 60 %"
    );
    let four = Point {
        instances: 4,
        events_per_s: 49_764.0,
        window_use: 1.0,
        broker_thread: Some(0.75),
        broker_thread_waits: Some(0.1),
        ..eight.clone()
    };
    let all = [four.clone(), eight.clone()];
    assert_eq!((bound(&four, &all), bound(&eight, &all)), (Bound::Window, Bound::Broker));
}

#[test]
fn where_threads_wait_for_cores_the_cores_are_the_bound() {
    let full = Point {
        broker_thread: Some(0.55),
        broker_thread_waits: Some(0.43),
        publishers_thread: 0.5,
        publishers_thread_waits: 0.45,
        machine: Some(1.0),
        ..one_thread_is_busiest()
    };
    let verdict = name(&full, &[]);
    assert_eq!(verdict.bound, Bound::Cpu);
    assert!(
        verdict.reason.contains("of 2 cores 1.73 are kept busy by this benchmark and 0.27 by other"),
        "{verdict:?}"
    );
    // More of them are no help to a thread that runs nearly all of the time.
    let one = Point { broker_thread: Some(0.95), broker_thread_waits: Some(0.05), ..full };
    assert_eq!(bound(&one, &[]), Bound::Broker);
}

#[test]
fn a_kernel_that_does_not_count_waiting_is_made_up_for_by_how_busy_the_machine_is() {
    let uncounted = Point {
        broker_thread: Some(0.55),
        broker_thread_waits: Some(0.0),
        worker_thread_waits: 0.0,
        publishers_thread_waits: 0.0,
        machine: Some(0.98),
        ..one_thread_is_busiest()
    };
    assert_eq!(bound(&uncounted, &[]), Bound::Cpu);
}

#[test]
fn a_busy_machine_on_which_nothing_waits_says_nothing() {
    let busy = Point { machine: Some(1.0), worker_thread_waits: 0.02, window_use: 0.95, ..idle() };
    assert_eq!(bound(&busy, &[]), Bound::Window);
}

#[test]
fn publishers_that_may_not_be_so_far_ahead_leave_places_empty() {
    let short = Point { handler_mean_ms: 5.0, events_per_s: 1_900.0, ahead: Some(10), ..idle() };
    let verdict = name(&short, &[]);
    assert_eq!(verdict.bound, Bound::Offered);
    assert!(verdict.reason.starts_with("10 events ahead / (5.00 ms handler) = 2000 events/s"), "{verdict:?}");
}

#[test]
fn what_is_under_way_is_no_full_window_where_more_places_brought_nothing() {
    let of = |instances, events_per_s| Point {
        instances,
        events_per_s,
        inflight: Some(f64::from(instances) * 16.0),
        broker_thread: Some(0.7),
        broker_thread_waits: Some(0.1),
        ..idle()
    };
    let all = [of(2, 1_000.0), of(4, 1_050.0)];
    assert_eq!(bound(&all[0], &all), Bound::Broker);
    assert_eq!(bound(&all[0], &[all[0].clone(), of(4, 1_900.0)]), Bound::Window);
    assert_eq!(bound(&all[0], &[]), Bound::Window);
    // Acknowledgements that a broker has not read yet are under way, too.
    assert_eq!(bound(&Point { broker_thread: Some(0.95), ..of(2, 1_000.0) }, &[]), Bound::Broker);
}

#[test]
fn a_thread_of_the_worker_that_never_rests_keeps_places_full() {
    let point = Point { handler_mean_ms: 5.0, events_per_s: 6300.0, window_use: 1.0, worker_thread: 0.93, ..idle() };
    assert_eq!(bound(&point, &[]), Bound::Cpu);
    assert_eq!(bound(&Point { worker_thread: 0.6, ..point }, &[]), Bound::Window);
}

#[test]
fn a_broker_elsewhere_is_left_when_places_have_room_and_the_round_trip_is_known() {
    let of = |instances, events_per_s| Point {
        instances,
        window: 16,
        events_per_s,
        handler_mean_ms: 5.0,
        broker_cores: None,
        broker_thread: None,
        ..idle()
    };
    // 16 places / 10 ms: half of it is the round trip.
    let all = [of(1, 1_600.0), of(2, 3_190.0), of(4, 6_300.0), of(8, 9_500.0), of(16, 9_800.0)];
    let bounds: Vec<Bound> = all.iter().map(|point| bound(point, &all)).collect();
    let (window, broker) = (Bound::Window, Bound::Broker);
    assert_eq!(bounds, [window, window, window, broker, broker]);
    let verdict = name(&all[2], &all);
    assert!(verdict.reason.contains("64 places / (5.00 ms handler + 5.00 ms round trip) = 6400"), "{verdict:?}");
}

#[test]
fn without_anything_short_it_is_the_broker_when_more_instances_do_not_help() {
    let (this, more) = (idle(), Point { instances: 4, events_per_s: 1050.0, ..idle() });
    let all = [this.clone(), more.clone()];
    assert_eq!(bound(&this, &all), Bound::Broker);
    // At the end of the sweep, what the last instances brought is what counts.
    assert_eq!(bound(&more, &all), Bound::Broker);
}

#[test]
fn without_anything_short_it_is_the_window_when_more_instances_or_a_larger_one_help() {
    let (this, more) = (idle(), Point { instances: 4, events_per_s: 1900.0, ..idle() });
    let all = [this.clone(), more.clone()];
    assert_eq!(bound(&this, &all), Bound::Window);
    assert_eq!(bound(&more, &all), Bound::Window);
    let wider = Point { window: 64, events_per_s: 3000.0, ..idle() };
    assert_eq!(bound(&this, &[this.clone(), wider]), Bound::Window);
}

#[test]
fn points_of_another_concurrency_say_nothing() {
    let other = Point { instances: 4, events_per_s: 9000.0, concurrency: 1, ..idle() };
    assert_eq!(bound(&idle(), &[idle(), other]), Bound::Broker);
}

#[test]
fn a_single_point_is_judged_by_how_full_its_windows_are() {
    assert_eq!(bound(&Point { window_use: 0.95, ..idle() }, &[]), Bound::Window);
    assert_eq!(bound(&idle(), &[]), Bound::Broker);
}

/// Two bounds can be as near, and each model is measured for a moment only.
const NEARLY: f64 = 0.8;

/// Twice of what a bound names; CPU is faster cores or more of them.
fn twice(world: &World, bound: Bound) -> f64 {
    let of = |change: fn(&mut World)| {
        let mut world = world.clone();
        change(&mut world);
        world.throughput()
    };
    match bound {
        Bound::Window => of(|world| (world.window, world.ahead) = (world.window * 2, world.ahead * 2)),
        Bound::Broker => of(|world| world.broker_ns /= 2),
        Bound::Cpu => of(|world| world.cores *= 2).max(of(|world| world.work_ns /= 2)),
        Bound::Offered => of(|world| world.publish_ns /= 2),
    }
}

fn worlds() -> impl Strategy<Value = World> {
    let sizes = (1_u32..5, prop::sample::select(vec![4_u16, 16, 64]), prop::sample::select(vec![2_usize, 4, 16]));
    let times = (0_u64..6_000_000, 10_000_u64..300_000, 2_000_u64..20_000, 2_000_u64..40_000, 2_000_u64..40_000);
    let rest = (0_usize..3, 1_usize..4, any::<bool>());
    (sizes, times, rest).prop_map(|((instances, window, cores), times, (others, worker_threads, is_elsewhere))| {
        let (wait_ns, way_ns, publish_ns, broker_ns, work_ns) = times;
        World {
            instances,
            window,
            ahead: u64::from(instances) * (u64::from(window) + 250),
            cores,
            others,
            wait_ns,
            way_ns,
            publish_ns,
            broker_ns,
            work_ns,
            worker_threads,
            broker_threads: 1,
            is_elsewhere,
        }
    })
}

fn sweep(world: &World) -> Vec<Point> {
    let of =
        |instances| World { instances, ahead: u64::from(instances) * (u64::from(world.window) + 250), ..world.clone() };
    [1, 2, 4, 8].map(|instances| of(instances).measure()).to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Made of known capacities, some of them close to each other, on machines that other programs use as well.
    #[test]
    fn twice_of_what_is_named_brings_about_as_much_as_twice_of_anything(world in worlds(), which in 0_usize..4) {
        let all = sweep(&world);
        let point = &all[which];
        let verdict = name(point, &all);
        let world = World { instances: point.instances, ahead: point.ahead.unwrap(), ..world };
        let most = [Bound::Broker, Bound::Cpu, Bound::Window, Bound::Offered]
            .map(|bound| twice(&world, bound))
            .into_iter()
            .fold(0.0, f64::max);
        let named = twice(&world, verdict.bound);
        prop_assert!(named >= NEARLY * most, "{verdict:?} brings {named}, best is {most}: {point:?}");
    }
}
