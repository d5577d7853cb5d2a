//! The job with RustStream on rumqttc. `ruststream run` starts it.

use std::num::NonZeroU16;
use std::sync::LazyLock;

use ruststream_rumqttc::prelude::*;
use tidemill_peers::{Reading, Tally, number, setting};

static TALLY: LazyLock<Tally> = LazyLock::new(Tally::from_env);

#[subscriber(MqttFilter::new(setting("PEER_FILTER")).qos(Qos::AtLeastOnce).shared(setting("PEER_GROUP")))]
async fn handle(reading: &Reading) -> HandlerOutcome {
    TALLY.handle(reading);
    HandlerOutcome::ack()
}

#[ruststream::app]
fn app() -> impl App {
    let url = format!("mqtt://{}:{}", setting("PEER_HOST"), setting("PEER_PORT"));
    let window = NonZeroU16::new(number("PEER_WINDOW") as u16).expect("a window of at least one");
    RustStream::new(AppInfo::new("readings", "0.1.0"))
        .with_broker(MqttBroker::new(url, "peer-ruststream").receive_maximum(window), |b| {
            b.include(handle).out_retry(Publish::default()).to("peers/retry");
        })
}
