//! The tracker against the rules of the page, and against a model that keeps every message and looks through all of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::platform::Name;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn device(id: u8) -> DeviceKey {
    DeviceKey { device_type: Name::new("T").unwrap(), device: Name::new(&format!("d{id}")).unwrap() }
}

fn message(action: Action, time: u64, code: u32) -> MonitorMessage {
    let mut message = MonitorMessage::new(action);
    message.time = Some(at(time));
    message.close_code = (code != 0).then(|| CloseCode::from_number(code));
    message
}

fn connect(time: u64) -> MonitorMessage {
    message(Action::Connect, time, 0)
}

fn disconnect(time: u64, code: u32) -> MonitorMessage {
    message(Action::Disconnect, time, code)
}

fn tracker(capacity: usize) -> Tracker {
    Tracker::new(NonZeroUsize::new(capacity).unwrap(), Eviction::DisconnectedFirst)
}

/// Applies messages to device 1 in this order and returns its state.
fn after(messages: &[MonitorMessage]) -> Connection {
    let mut tracker = tracker(10);
    for message in messages {
        tracker.apply(&device(1), message, at(1000));
    }
    tracker.connection(&device(1))
}

#[test]
fn a_device_without_a_message_is_unknown() {
    assert_eq!(after(&[]), Connection::Unknown);
}

#[test]
fn connect_and_disconnect_change_the_state() {
    assert_eq!(after(&[connect(1)]), Connection::Connected);
    assert_eq!(after(&[connect(1), disconnect(2, 0)]), Connection::Disconnected);
    assert_eq!(after(&[disconnect(1, 91)]), Connection::Disconnected);
    assert_eq!(after(&[disconnect(1, 91), connect(2)]), Connection::Connected);
}

#[test]
fn a_reused_client_id_leaves_the_device_connected() {
    assert_eq!(after(&[connect(1), connect(3), disconnect(3, 288)]), Connection::Connected);
    // The retained disconnect of the older connection overwrote the newer connect.
    assert_eq!(after(&[disconnect(3, 288)]), Connection::Connected);
    assert_eq!(after(&[connect(1), disconnect(3, 288), disconnect(4, 0)]), Connection::Disconnected);
}

#[test]
fn a_failed_attempt_changes_nothing() {
    let failed = message(Action::FailedConnect, 5, 180);
    assert_eq!(after(std::slice::from_ref(&failed)), Connection::Unknown);
    assert_eq!(after(&[connect(1), failed.clone()]), Connection::Connected);
    assert_eq!(after(&[disconnect(1, 0), failed]), Connection::Disconnected);
    assert_eq!(after(&[connect(1), message(Action::Info, 5, 0)]), Connection::Connected);
}

#[test]
fn messages_out_of_order_change_nothing() {
    assert_eq!(after(&[connect(5), disconnect(4, 0)]), Connection::Connected);
    assert_eq!(after(&[disconnect(5, 0), connect(4)]), Connection::Disconnected);
    // Of the same time, the one that came last.
    assert_eq!(after(&[connect(5), disconnect(5, 0)]), Connection::Disconnected);
}

#[test]
fn the_end_of_an_older_connection_changes_nothing() {
    let with = |mut message: MonitorMessage, began: u64| {
        message.connect_time = Some(at(began));
        message
    };
    assert_eq!(after(&[with(connect(5), 5), with(disconnect(9, 91), 1)]), Connection::Connected);
    assert_eq!(after(&[with(connect(5), 5), with(disconnect(9, 91), 5)]), Connection::Disconnected);
    // A late report of the reuse after the newer connection ended.
    let late = [with(connect(5), 5), with(disconnect(8, 0), 5), with(disconnect(9, 288), 1)];
    assert_eq!(after(&late), Connection::Disconnected);
    // The connection began a little before its connect message, which does not say when.
    assert_eq!(after(&[connect(5), with(disconnect(9, 0), 4)]), Connection::Disconnected);
}

#[test]
fn a_time_from_the_future_does_not_hide_what_follows() {
    let mut tracker = tracker(10);
    tracker.apply(&device(1), &connect(1_000_000), at(10));
    let applied = tracker.apply(&device(1), &disconnect(11, 0), at(11));
    assert_eq!(applied.change.unwrap().to, Connection::Disconnected);
}

#[test]
fn changes_are_reported_once_with_their_time_and_ages_follow() {
    let mut tracker = tracker(10);
    let change = tracker.apply(&device(1), &connect(10), at(20)).change.unwrap();
    assert_eq!((change.from, change.to, change.at), (Connection::Unknown, Connection::Connected, at(10)));
    assert_eq!(tracker.apply(&device(1), &connect(12), at(20)).change, None);
    let status = tracker.status(&device(1)).unwrap();
    assert_eq!(status.age(at(30)), Duration::from_secs(20));
    assert_eq!(status.silence(at(30)), Duration::from_secs(18));
    assert_eq!(status.age(at(5)), Duration::ZERO);
    assert_eq!(tracker.connected(), 1);
    let change = tracker.apply(&device(1), &disconnect(15, 160), at(20)).change.unwrap();
    assert_eq!((change.from, change.to), (Connection::Connected, Connection::Disconnected));
    assert_eq!(tracker.status(&device(1)).unwrap().close_code, Some(CloseCode::TimedOut));
    assert_eq!(tracker.connected(), 0);
}

#[test]
fn a_round_without_a_message_makes_a_device_unknown() {
    let mut tracker = tracker(10);
    for id in 1..=3 {
        tracker.apply(&device(id), &connect(10), at(10));
    }
    tracker.resync();
    tracker.apply(&device(1), &connect(10), at(20));
    // An old retained message confirms too: the device is still there.
    tracker.apply(&device(2), &connect(9), at(20));
    let changes = tracker.forget_unconfirmed(at(21));
    let forgotten: Vec<_> = changes.iter().map(|change| (change.device.clone(), change.to)).collect();
    assert_eq!(forgotten, [(device(3), Connection::Unknown)]);
    assert_eq!((tracker.len(), tracker.connected()), (2, 2));
}

#[test]
fn memory_is_bounded_and_disconnected_devices_go_first() {
    let mut tracker = tracker(3);
    tracker.apply(&device(1), &connect(1), at(9));
    tracker.apply(&device(2), &disconnect(2, 0), at(9));
    tracker.apply(&device(3), &connect(3), at(9));
    let evicted = tracker.apply(&device(4), &connect(4), at(9)).evicted.unwrap();
    assert_eq!((evicted.device, evicted.from, evicted.to), (device(2), Connection::Disconnected, Connection::Unknown));
    let evicted = tracker.apply(&device(5), &connect(5), at(9)).evicted.unwrap();
    assert_eq!(evicted.device, device(1));
    assert_eq!(tracker.len(), 3);
}

/// A message as the model keeps it: device, kind, code, time, begin of the connection.
type Step = (u8, u8, u32, u64, Option<u64>);

fn step() -> impl Strategy<Value = Step> {
    let code = prop::sample::select(vec![0, 91, 160, 288, 288, 7777]);
    (0_u8..6, 0_u8..4, code, 0_u64..12, prop::option::of(0_u64..12))
}

fn as_message((_, kind, code, time, began): Step) -> MonitorMessage {
    let mut message = match kind {
        0 | 1 => message(Action::Connect, time, 0),
        2 => message(Action::Disconnect, time, code),
        _ => message(Action::FailedConnect, time, 180),
    };
    message.connect_time = began.map(at);
    message
}

/// The rules of the page for one device, over its whole history: no state is kept but what can be seen in it.
fn model_state(history: &[Step]) -> Connection {
    let mut accepted: Vec<&Step> = Vec::new();
    for step in history.iter().filter(|step| step.1 < 3) {
        let latest = accepted.iter().map(|step| step.3).max();
        let current = model_began(&accepted);
        let ends_older = step.1 == 2 && step.4.zip(current).is_some_and(|(ended, current)| ended < current);
        if latest.is_none_or(|latest| step.3 >= latest) && !ends_older {
            accepted.push(step);
        }
    }
    accepted.last().map_or(Connection::Unknown, |step| match (step.1, step.2) {
        (2, code) if code != 288 => Connection::Disconnected,
        _ => Connection::Connected,
    })
}

/// When the connection began that the accepted messages are about: a reuse only rules out what it names.
fn model_began(accepted: &[&Step]) -> Option<u64> {
    let (last, before) = accepted.split_last()?;
    if last.1 == 2 && last.2 == 288 {
        return model_began(before).filter(|began| last.4.is_none_or(|ended| *began > ended));
    }
    last.4
}

proptest! {
    #[test]
    fn states_are_those_of_the_model(steps in prop::collection::vec(step(), 0..60)) {
        let mut tracker = tracker(10);
        for (done, step) in steps.iter().enumerate() {
            let before = tracker.connection(&device(step.0));
            let applied = tracker.apply(&device(step.0), &as_message(*step), at(100));
            let history: Vec<Step> = steps[..=done].iter().filter(|other| other.0 == step.0).copied().collect();
            let now = tracker.connection(&device(step.0));
            prop_assert_eq!(now, model_state(&history));
            prop_assert_eq!(applied.change.map(|change| (change.from, change.to)), (before != now).then_some((before, now)));
            prop_assert_eq!(applied.evicted, None);
        }
    }

    #[test]
    fn capacity_holds_and_the_changes_add_up(
        steps in prop::collection::vec(step(), 0..80),
        capacity in 1_usize..5,
        disconnected_first in any::<bool>(),
    ) {
        let eviction = if disconnected_first { Eviction::DisconnectedFirst } else { Eviction::LongestSilent };
        let mut tracker = Tracker::new(NonZeroUsize::new(capacity).unwrap(), eviction);
        let mut seen: HashMap<DeviceKey, Connection> = HashMap::new();
        // Devices by their latest message, the longest silent one first.
        let mut silent: Vec<DeviceKey> = Vec::new();
        for step in steps {
            let key = device(step.0);
            let applied = tracker.apply(&key, &as_message(step), at(100));
            if let Some(evicted) = &applied.evicted {
                prop_assert_eq!(seen.get(&evicted.device), Some(&evicted.from));
                let first_of = |wanted: Connection| silent.iter().find(|device| seen.get(*device) == Some(&wanted));
                let expected = match eviction {
                    Eviction::LongestSilent => silent.first(),
                    Eviction::DisconnectedFirst => first_of(Connection::Disconnected).or_else(|| silent.first()),
                };
                prop_assert_eq!(Some(&evicted.device), expected);
                seen.remove(&evicted.device);
                silent.retain(|device| *device != evicted.device);
            }
            if step.1 < 3 && !applied.outdated {
                silent.retain(|device| *device != key);
                silent.push(key.clone());
            }
            if let Some(change) = applied.change {
                prop_assert_eq!(seen.get(&key).copied().unwrap_or_default(), change.from);
                seen.insert(key, change.to);
            }
            prop_assert!(tracker.len() <= capacity);
            prop_assert_eq!(tracker.len(), tracker.order.len());
            let now: HashMap<_, _> = tracker.devices().map(|(key, status)| (key.clone(), status.connection)).collect();
            prop_assert_eq!(&now, &seen);
            prop_assert_eq!(tracker.connected(), seen.values().filter(|state| **state == Connection::Connected).count());
        }
    }
}
