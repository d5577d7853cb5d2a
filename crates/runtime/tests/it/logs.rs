//! What the log says of something that goes on for long: the first time, then at a growing distance.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_core::HandlerError;

use crate::connect::no_properties;
use crate::support::*;

#[derive(Clone, Debug, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// Takes down what this thread logs.
    fn begin() -> (Self, (tracing::subscriber::DefaultGuard, tracing::Dispatch)) {
        let lines = Self::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .without_time()
            .with_writer(move || writer.clone())
            .finish();
        // While there is one subscriber alone, whoever logs something first decides for all threads whether it is wanted.
        let second = tracing::Dispatch::new(tracing_subscriber::fmt().with_writer(io::sink).finish());
        (lines, (tracing::subscriber::set_default(subscriber), second))
    }

    fn with(&self, words: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_for_an_hour_is_not_an_hour_of_log() {
    let (lines, _guard) = Lines::begin();
    let mut config = config();
    config.mqtt.startup_timeout = Duration::ZERO;
    config.mqtt.reconnect.max = Duration::from_secs(1);
    let mut rig = Rig::with_handler(config, Fine);
    let began = tokio::time::Instant::now();
    let mut attempts = 0;
    while began.elapsed() < Duration::from_secs(3600) {
        drop(rig.stream().await);
        attempts += 1;
    }
    let said = lines.with("connecting again");
    assert!(attempts > 1000 && (8..=15).contains(&said.len()), "{} of {attempts}", said.len());
    assert!(said[0].contains("left_out=0") && !said[1].contains("left_out=0"), "{said:?}");
    let broker = rig.subscribed().await;
    rig.leave(broker).await;
}

/// G8 holds only as long as the broker keeps the session.
#[tokio::test(start_paused = true)]
async fn a_broker_that_keeps_a_durable_session_for_a_shorter_time_is_warned_of_once() {
    for (granted, warnings) in [(Some(60), 1), (Some(600), 0), (None, 0)] {
        let (lines, _guard) = Lines::begin();
        let mut config = config();
        config.identity.mode = tidemill_runtime::config::IdentityMode::Durable;
        config.identity.replica = Some("pod-3".to_owned());
        config.mqtt.session_expiry = Duration::from_secs(600);
        let mut rig = Rig::with_handler(config, Fine);
        for last in [false, true] {
            let mut broker = rig.connection().await;
            broker.expect_connect().await;
            let properties = v5::ConnAckProperties { session_expiry_interval: granted, ..no_properties() };
            broker.send_connack(false, Some(properties)).await;
            broker.accept_subscribe().await;
            if last {
                rig.leave(broker).await;
                break;
            }
            broker.cut();
        }
        let said = lines.with("for a shorter time than");
        assert_eq!(said.len(), warnings, "{granted:?}: {said:?}");
        assert!(said.iter().all(|line| line.contains("asked=10m") && line.contains("kept=1m")), "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn dead_letters_that_the_broker_throws_away_are_warned_of_once() {
    let (lines, _guard) = Lines::begin();
    let handler = does(|_, _| Err(HandlerError::permanent("no")));
    let mut rig = Rig::start(config(), |worker| worker.add_route(route(handler)));
    let mut broker = rig.subscribed().await;
    for pkid in 1..=5 {
        broker.publish(pkid, "t/a", Q1, "x").await;
    }
    let mut dead = rig.publishing().await;
    for _ in 0..5 {
        let [high, low] = dead.expect_publish().await.pkid.to_be_bytes();
        // No matching subscribers.
        dead.send_raw(&[0x40, 3, high, low, 0x10]).await;
    }
    broker.expect_pubacks(1..=5).await;
    let said = lines.with("nobody is subscribed");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("tidemill/dead/t") && said[0].contains("tidemill dead subscribe"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_waits_for_its_sink_is_not_said_to_be_cut_or_dead_lettered() {
    let (lines, _guard) = Lines::begin();
    let sink = Recording::new();
    sink.block(true);
    let mut settings = tidemill_runtime::SinkSettings::default();
    (settings.queue_records, settings.write_timeout) = (1, Duration::ZERO);
    let mut config = config();
    config.mqtt.window = 4;
    config.mqtt.keep_alive = Duration::ZERO;
    let (handler, mut calls) = Calls::new();
    let out = sink.clone();
    let mut rig = Rig::start(config, |worker| worker.sink_with("out", out, settings).add_route(route(handler)));
    let mut broker = rig.subscribed().await;
    for pkid in 1..=4 {
        broker.publish(pkid, &format!("t/{pkid}"), Q1, "x").await;
    }
    for call in calls.take(4).await {
        call.emit("out", &["r"]);
    }
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(lines.with("attempt is cut").is_empty() && lines.with("goes to the dead letters").is_empty());
    let said = lines.with("its records wait for room in their sink");
    assert!((1..=10).contains(&said.len()) && said[0].contains("route=\"t\""), "{said:?}");
    sink.block(false);
    broker.expect_pubacks(1..=4).await;
    rig.leave(broker).await;
}
