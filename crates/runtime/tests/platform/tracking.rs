//! Which devices the tracker takes to be connected.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_core::async_trait;
use tidemill_core::platform::Name;
use tidemill_core::platform::tracker::{Connection, DeviceKey};
use tidemill_runtime::platform::{DeviceTracker, TrackerSettings};
use tidemill_runtime::{BoxStream, Connector, SessionError};
use tidemill_testkit::platform::Platform;
use tokio::time::Instant;

use crate::support::{To, config, device, platform, until};

fn key(id: &str) -> DeviceKey {
    DeviceKey { device_type: Name::new("T").unwrap(), device: Name::new(id).unwrap() }
}

fn settings() -> TrackerSettings {
    let mut settings = TrackerSettings::default();
    settings.settle = Duration::from_secs(10);
    settings
}

#[tokio::test(start_paused = true)]
async fn states_start_from_what_is_retained_and_follow_the_messages() {
    let platform = platform().await;
    let mut gone = device(&platform, "gone").await;
    gone.disconnect().await;
    platform.ended("d:abc123:T:gone").await;
    let mut here = device(&platform, "here").await;
    let tracker = DeviceTracker::start_with(&config(), &settings(), To(platform.clone())).unwrap();
    let mut changes = tracker.changes();
    until(|| tracker.connection(&key("here")) == Connection::Connected).await;
    until(|| tracker.connection(&key("gone")) == Connection::Disconnected).await;
    assert_eq!(tracker.connection(&key("never")), Connection::Unknown);
    here.disconnect().await;
    until(|| tracker.connection(&key("here")) == Connection::Disconnected).await;
    let mut last = changes.recv().await.unwrap();
    while let Ok(change) = changes.try_recv() {
        last = change;
    }
    assert_eq!((last.device, last.to), (key("here"), Connection::Disconnected));
    let status = tracker.snapshot();
    assert_eq!((status.connected, status.known, status.receiving), (0, 2, true));
    assert_eq!(status.devices["T/gone"].close_code, Some(0));
    tracker.close().await;
    platform.ended("a:abc123:app-status").await;
}

#[tokio::test(start_paused = true)]
async fn a_takeover_leaves_the_device_connected() {
    let platform = platform().await;
    let tracker = DeviceTracker::start_with(&config(), &settings(), To(platform.clone())).unwrap();
    tracker.ready().await;
    let _older = device(&platform, "I").await;
    let newer = device(&platform, "I").await;
    platform.ended("d:abc123:T:I").await;
    until(|| tracker.status(&key("I")).is_some()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(tracker.connection(&key("I")), Connection::Connected);
    drop(newer);
}

#[tokio::test(start_paused = true)]
async fn after_a_lost_connection_what_is_retained_counts_again() {
    let platform = platform().await;
    let tracker = DeviceTracker::start_with(&config(), &settings(), To(platform.clone())).unwrap();
    tracker.ready().await;
    let _here = device(&platform, "here").await;
    until(|| tracker.connection(&key("here")) == Connection::Connected).await;
    platform.kill();
    until(|| tracker.connection(&key("here")) == Connection::Disconnected).await;
    assert!(!tracker.snapshot().devices.is_empty());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(tracker.connection(&key("here")), Connection::Disconnected, "it is retained, so it is known");
    tracker.close().await;
}

/// Connects to whichever platform it is told, so that what was retained can be gone after a reconnect.
#[derive(Clone, Debug)]
struct Moving(Arc<Mutex<Arc<Platform>>>);

#[async_trait]
impl Connector for Moving {
    async fn connect(&self) -> Result<BoxStream, SessionError> {
        Ok(Box::new(self.0.lock().unwrap().connect()))
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_heard_of_after_a_reconnect_is_unknown_once_it_has_had_its_time() {
    let (before, after) = (platform().await, platform().await);
    let moving = Moving(Arc::new(Mutex::new(Arc::clone(&before))));
    let tracker = DeviceTracker::start_with(&config(), &settings(), moving.clone()).unwrap();
    tracker.ready().await;
    let _stays = [device(&before, "stays").await, device(&after, "stays").await];
    let _deleted = device(&before, "deleted").await;
    until(|| tracker.snapshot().connected == 2).await;
    let mut changes = tracker.changes();
    *moving.0.lock().unwrap() = after;
    let began = Instant::now();
    before.kill();
    until(|| tracker.connection(&key("deleted")) != Connection::Connected).await;
    assert!(began.elapsed() >= settings().settle, "{:?}", began.elapsed());
    let change = changes.recv().await.unwrap();
    assert_eq!((change.device, change.to), (key("deleted"), Connection::Unknown));
    assert_eq!(tracker.connection(&key("stays")), Connection::Connected);
    assert_eq!(tracker.snapshot().known, 1);
    tracker.close().await;
}
