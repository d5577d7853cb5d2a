//! Bounds of made-up points, each with one thing that is short.

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
    assert!(verdict.reason.contains("32 places / 5.00 ms per handler = 6400 events/s"), "{}", verdict.reason);
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
    let full = Point { machine: Some(0.99), worker_cores: 0.9, publishers_cores: 0.6, ..idle() };
    assert_eq!(bound(&Point { broker_cores: Some(2.0), ..full.clone() }, &[]), Bound::Broker);
    assert_eq!(bound(&Point { worker_cores: 2.0, ..full }, &[]), Bound::Cpu);
}

#[test]
fn a_machine_that_others_keep_busy_says_nothing_about_us() {
    let busy = Point { machine: Some(1.0), worker_cores: 0.6, window_use: 0.95, ..idle() };
    assert_eq!(bound(&busy, &[]), Bound::Window);
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
