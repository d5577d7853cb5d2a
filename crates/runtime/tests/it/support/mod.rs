//! What all modules use: a worker at the end of in-memory pipes, a handler that the test answers for, a sink that the
//! test looks into, and the worker's metrics as numbers.

mod calls;
mod direct;
mod numbers;
mod recording;
mod rig;
mod target;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use tidemill_core::{Handler, QoS};
use tidemill_runtime::config::Verify;
use tidemill_runtime::{Config, MqttVersion, Route, RunError};

pub(crate) use calls::{Call, Calls, Fine, does};
pub(crate) use direct::Direct;
pub(crate) use numbers::{assert_balanced, count, metric};
pub(crate) use recording::Recording;
pub(crate) use rig::Rig;
pub(crate) use target::Target;
pub(crate) use tidemill_testkit::wire::v5;

pub(crate) const Q0: QoS = QoS::AtMostOnce;
pub(crate) const Q1: QoS = QoS::AtLeastOnce;
pub(crate) const BOTH: [MqttVersion; 2] = [MqttVersion::V5, MqttVersion::V3_1_1];

/// A group, a window of 100 and short waits.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.group.name = Some("g".to_owned());
    config.group.verify = Verify::Never;
    config.mqtt.window = 100;
    config.retry.max_attempts = 3;
    config.drain.deadline = Duration::from_secs(20);
    config
}

/// The same for a version of the protocol.
pub(crate) fn config_of(version: MqttVersion) -> Config {
    let mut config = config();
    config.mqtt.version = version;
    config
}

/// Waits until it holds, at most a minute.
#[track_caller]
pub(crate) fn until(mut condition: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        for _ in 0..60_000 {
            if condition() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("what is awaited at {caller} never came true");
    }
}

/// Lets everything happen that can happen without waiting for a clock.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// A route `t/#` under the name `t`.
pub(crate) fn route(handler: impl Handler) -> Route {
    Route::new("t/#", handler).named("t")
}

/// The error and its causes.
pub(crate) fn told(error: &RunError) -> String {
    tidemill_core::report(error)
}

/// A PUBLISH at QoS 1.
pub(crate) fn publish(pkid: u16, topic: &str, payload: impl Into<Bytes>) -> v5::Publish {
    v5::Publish { pkid, ..v5::Publish::new(topic, rumqttc::v5::mqttbytes::QoS::AtLeastOnce, payload, None) }
}
