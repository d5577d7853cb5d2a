//! Tests of the checker: it is silent about a good log, and says what is wrong with each that was tampered with.

use std::time::Duration;

use super::{Counts, Rules, check};
use crate::log::{Effect, Ended, Letter, Line, What};

const I: &str = "instance";

fn rules() -> Rules {
    Rules {
        acks: true,
        keys: Some(vec![7, 7, 8]),
        topics: vec!["t/0".to_owned(), "t/1".to_owned(), "t/2".to_owned()],
        window: 3,
        places: 2,
        max_attempts: 5,
        timeout: Some(Duration::from_secs(1)),
        cuts: false,
        complete: true,
    }
}

fn delivered(session: u32, pkid: u16, event: u32) -> What {
    What::Delivered { session, pkid, event, dup: false }
}

fn acked(session: u32, pkid: u16) -> What {
    What::Acked { session, pkid }
}

fn started(attempt: u32, event: u32, number: u32) -> What {
    What::Started { attempt, instance: I.to_owned(), event, number }
}

fn returned(attempt: u32, how: Ended) -> What {
    What::Returned { attempt, how }
}

fn written(attempt: u32) -> What {
    What::Written(Effect { attempt, index: 0 })
}

fn letter(event: Option<u32>, reason: &str, attempts: u32) -> Letter {
    let topic = format!("t/{}", event.unwrap_or_default());
    Letter { event, instance: I.to_owned(), reason: reason.to_owned(), attempts, topic }
}

/// Events 0 and 1 have one key: 0 fails once and emits a record then, 1 goes well. Event 2 is hopeless.
fn good() -> Vec<What> {
    vec![
        What::Began { session: 1, client: I.to_owned() },
        delivered(1, 1, 0),
        delivered(1, 2, 1),
        delivered(1, 3, 2),
        started(1, 0, 1),
        started(2, 2, 1),
        returned(1, Ended::Failed),
        started(3, 0, 2),
        returned(3, Ended::Ok(1)),
        started(4, 1, 1),
        returned(4, Ended::Ok(0)),
        written(3),
        acked(1, 1),
        acked(1, 2),
        returned(2, Ended::Failed),
        What::Buried(letter(Some(2), "permanent", 1)),
        acked(1, 3),
        What::Over { session: 1 },
    ]
}

fn lines(log: Vec<What>) -> Vec<Line> {
    let lines = log.into_iter().enumerate();
    lines.map(|(at, what)| Line { at: Duration::from_millis(at as u64), what }).collect()
}

/// One violation at least, and it is about this.
#[track_caller]
fn finds(log: Vec<What>, rules: &Rules, about: &str) {
    let (violations, _) = check(&lines(log), rules);
    assert!(violations.iter().any(|violation| violation.contains(about)), "{about:?} is not among {violations:?}");
}

/// The good log with one line moved to just before another.
fn moved(line: &What, before: &What) -> Vec<What> {
    let mut log = good();
    log.retain(|other| other != line);
    let place = log.iter().position(|other| other == before).unwrap();
    log.insert(place, line.clone());
    log
}

/// The good log without one line.
fn without(line: &What) -> Vec<What> {
    good().into_iter().filter(|other| other != line).collect()
}

/// The good log with one more line just before another.
fn with(line: What, before: &What) -> Vec<What> {
    let mut log = good();
    let place = log.iter().position(|other| other == before).unwrap();
    log.insert(place, line);
    log
}

#[test]
fn a_good_log_is_good_and_counted_rightly() {
    let (violations, counts) = check(&lines(good()), &rules());
    assert_eq!(violations, [""; 0]);
    assert_eq!(counts, Counts { delivered: 3, acked: 3, handled: 2, dead_lettered: 1 });
}

#[test]
fn an_ack_too_early_is_found() {
    finds(moved(&acked(1, 1), &returned(3, Ended::Ok(1))), &rules(), "G1: event 0");
    finds(moved(&acked(1, 1), &written(3)), &rules(), "G1: event 0");
    finds(moved(&acked(1, 3), &What::Buried(letter(Some(2), "permanent", 1))), &rules(), "G1: event 2");
    finds(without(&written(3)), &rules(), "G1: event 0");
}

#[test]
fn a_refused_record_needs_a_dead_letter() {
    let mut log = good();
    let place = log.iter().position(|line| *line == written(3)).unwrap();
    log[place] = What::Refused(Effect { attempt: 3, index: 0 });
    finds(log.clone(), &rules(), "G1: event 0");
    log.insert(place + 1, What::Buried(letter(Some(0), "rejected", 2)));
    assert_eq!(check(&lines(log), &rules()).0, [""; 0]);
}

#[test]
fn acks_out_of_order_are_found() {
    finds(moved(&acked(1, 2), &acked(1, 1)), &rules(), "G2: PUBACK 2");
}

#[test]
fn acks_of_other_sessions_are_found() {
    finds(with(acked(1, 9), &acked(1, 1)), &rules(), "G3: PUBACK 9");
    finds(moved(&What::Over { session: 1 }, &acked(1, 3)), &rules(), "G3: PUBACK 3");
    let cuts = Rules { cuts: true, ..rules() };
    let mut log = moved(&What::Over { session: 1 }, &acked(1, 3));
    let place = log.iter().position(|line| *line == acked(1, 3)).unwrap();
    log.splice(place..=place, [What::Began { session: 2, client: I.to_owned() }, acked(2, 3)]);
    finds(log, &cuts, "G3: PUBACK 3 on session 2 is for no event");
}

#[test]
fn two_of_a_key_at_once_are_found() {
    finds(moved(&returned(3, Ended::Ok(1)), &returned(4, Ended::Ok(0))), &rules(), "G4: event 1 begins while");
    let unordered = Rules { keys: None, places: 3, ..rules() };
    let log = moved(&returned(3, Ended::Ok(1)), &returned(4, Ended::Ok(0)));
    assert_eq!(check(&lines(log), &unordered).0, [""; 0]);
}

#[test]
fn a_key_out_of_order_is_found() {
    let mut log = good();
    log.retain(|line| !matches!(line, What::Started { attempt: 4, .. } | What::Returned { attempt: 4, .. }));
    log.splice(4..4, [started(4, 1, 1), returned(4, Ended::Ok(0))]);
    finds(log, &rules(), "G4: event 0 of key 7 begins on instance after 1");
}

#[test]
fn a_retry_behind_the_next_of_its_key_is_found() {
    let mut log = good();
    log.retain(|line| !matches!(line, What::Started { attempt: 4, .. } | What::Returned { attempt: 4, .. }));
    let place = log.iter().position(|line| *line == started(3, 0, 2)).unwrap();
    log.splice(place..place, [started(4, 1, 1), returned(4, Ended::Ok(0))]);
    finds(log, &rules(), "G4: event 0 of key 7 begins on instance after 1");
}

#[test]
fn attempts_that_do_not_follow_each_other_are_found() {
    let mut log = good();
    let place = log.iter().position(|line| *line == started(3, 0, 2)).unwrap();
    log[place] = started(3, 0, 3);
    finds(log, &rules(), "attempt 3 follows 1");
    finds(with(started(9, 1, 2), &What::Over { session: 1 }), &rules(), "event 1 is tried again");
    finds(moved(&returned(1, Ended::Failed), &started(4, 1, 1)), &rules(), "G4: event 0 is tried twice");
    finds(without(&returned(2, Ended::Failed)), &rules(), "an attempt at event 2 still runs");
}

#[test]
fn more_than_a_window_or_its_places_is_found() {
    finds(good(), &Rules { window: 1, ..rules() }, "G5: 2 events are unfinished");
    finds(good(), &Rules { places: 1, ..rules() }, "G5: 2 attempts run");
}

#[test]
fn what_comes_twice_or_never_is_found() {
    finds(with(delivered(1, 4, 2), &started(1, 0, 1)), &rules(), "G7: event 2 came twice");
    let mut more = rules();
    more.topics.push("t/3".to_owned());
    finds(good(), &more, "event 3 is lost");
    finds(without(&acked(1, 3)), &rules(), "event 2 was never finished");
}

#[test]
fn a_session_that_nobody_cut_ends_once() {
    let mut log = good();
    log.push(What::Began { session: 2, client: I.to_owned() });
    finds(log, &rules(), "connected again");
}

#[test]
fn records_of_failed_attempts_and_of_nobody_are_found() {
    finds(with(written(1), &acked(1, 1)), &rules(), "1.0 of an attempt that did not end well");
    finds(with(written(4), &acked(1, 1)), &rules(), "4.0 of an attempt that did not end well");
    finds(with(written(99), &acked(1, 1)), &rules(), "nobody emitted it");
    finds(with(written(3), &acked(1, 1)), &rules(), "3.0 is written twice");
    finds(moved(&written(3), &returned(3, Ended::Ok(1))), &rules(), "3.0 of an attempt that did not end well");
}

#[test]
fn wrong_dead_letters_are_found() {
    let over = What::Over { session: 1 };
    finds(with(What::Buried(letter(None, "permanent", 1)), &over), &rules(), "does not hold the original payload");
    finds(with(What::Buried(letter(Some(2), "permanent", 1)), &over), &rules(), "event 2 is buried twice");
    finds(
        with(What::Buried(letter(Some(1), "permanent", 1)), &over),
        &rules(),
        "event 1 is buried for the wrong reason",
    );
    let tampered = |letter: Letter| {
        let place = good().iter().position(|line| matches!(line, What::Buried(_))).unwrap();
        let mut log = good();
        log[place] = What::Buried(letter);
        log
    };
    finds(tampered(letter(Some(2), "permanent", 2)), &rules(), "event 2 is buried after 1 attempt(s)");
    finds(tampered(letter(Some(2), "rejected", 1)), &rules(), "event 2 is buried for the wrong reason");
    finds(tampered(letter(Some(2), "attempts", 1)), &rules(), "event 2 is given up after 1");
    finds(tampered(Letter { topic: "x".to_owned(), ..letter(Some(2), "permanent", 1) }), &rules(), "another topic");
}

#[test]
fn an_attempt_beyond_its_timeout_is_found() {
    let short = Rules { timeout: Some(Duration::from_millis(3)), ..rules() };
    finds(good(), &short, "an attempt at event 2 took 9ms, 3ms is the limit");
}

#[test]
fn what_comes_again_after_a_cut_is_no_violation_until_it_is_lost() {
    let cuts = Rules { cuts: true, ..rules() };
    let mut log = good();
    log.truncate(log.iter().position(|line| *line == returned(2, Ended::Failed)).unwrap());
    log.extend([
        What::Over { session: 1 },
        returned(2, Ended::Cut),
        What::Began { session: 2, client: I.to_owned() },
        What::Delivered { session: 2, pkid: 1, event: 2, dup: true },
    ]);
    finds(log.clone(), &cuts, "event 2 was never finished");
    log.extend([started(5, 2, 1), returned(5, Ended::Ok(0)), acked(2, 1)]);
    assert_eq!(check(&lines(log), &cuts).0, [""; 0]);
}
