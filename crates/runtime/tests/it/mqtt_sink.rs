//! The sink that publishes, on a broker that closes the connection over what it does not like.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_core::{Record, Sink, SinkErrorKind};
use tidemill_runtime::{Config, MqttSink, MqttSinkConfig};
use tidemill_testkit::script::ScriptedBroker;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use crate::support::*;

/// Takes everything but "bad", over which it closes the connection without a word.
async fn picky(listener: TcpListener, taken: Arc<Mutex<Vec<String>>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let mut broker = ScriptedBroker::new(stream).with_patience(Duration::from_secs(60));
        broker.accept().await;
        while let Some(packet) = broker.next().await {
            let v5::Packet::Publish(publish) = packet else { break };
            if publish.payload == "bad" {
                break;
            }
            taken.lock().unwrap().push(String::from_utf8(publish.payload.to_vec()).unwrap());
            broker.puback(publish.pkid).await;
        }
    }
}

#[tokio::test]
async fn a_record_that_the_broker_ends_connections_over_is_refused_however_short_writes_are() {
    let (short, long) = (Duration::from_millis(30), Duration::from_secs(60));
    // Once the sink itself gives up, once whoever writes.
    for (patience, write_timeout) in [(short, long), (long, short)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut broker = Config::default().mqtt;
        broker.url = format!("mqtt://{}", listener.local_addr().unwrap());
        (broker.reconnect.min, broker.reconnect.max) = (Duration::from_millis(20), Duration::from_millis(200));
        let taken = Arc::<Mutex<Vec<String>>>::default();
        let serving = tokio::spawn(picky(listener, Arc::clone(&taken)));
        let mut config = MqttSinkConfig::new(broker, "out");
        config.timeout = patience;
        let sink = MqttSink::new(config);
        let batch = ["first", "bad", "last"].map(Record::new);
        let refused = async {
            loop {
                match timeout(write_timeout, sink.write(&batch)).await {
                    Ok(Err(error)) if error.kind() == SinkErrorKind::Rejected => break error,
                    Ok(Err(error)) => assert_eq!(error.kind(), SinkErrorKind::Unavailable, "{error}"),
                    Ok(Ok(())) => panic!("the broker has not taken it"),
                    Err(_) => {}
                }
                sleep(Duration::from_millis(1)).await;
            }
        };
        let error = timeout(Duration::from_secs(20), refused).await.expect("the record holds up its batch for ever");
        assert_eq!(error.rejections().iter().map(|rejection| rejection.index).collect::<Vec<_>>(), [1]);
        let mut all = std::mem::take(&mut *taken.lock().unwrap());
        all.dedup();
        assert_eq!(all.last().map(String::as_str), Some("last"), "{all:?}");
        assert!(all.iter().any(|text| text == "first"), "{all:?}");
        sink.write(&[Record::new("next")]).await.unwrap();
        serving.abort();
    }
}

/// More than waits in the publisher's queue and is on its way, so that handing over has to wait for the broker.
#[tokio::test]
async fn a_write_that_is_dropped_while_it_hands_over_publishes_nothing_twice() {
    const MANY: usize = 4000;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut broker = Config::default().mqtt;
    broker.url = format!("mqtt://{}", listener.local_addr().unwrap());
    let sink = MqttSink::new(MqttSinkConfig::new(broker, "out"));
    let batch: Vec<_> = (0..MANY).map(|number| Record::new(number.to_string())).collect();
    let mut write = sink.write(&batch);
    let mut broker = {
        let accepted = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut broker = ScriptedBroker::new(stream).with_patience(Duration::from_secs(20));
            broker.expect_connect().await;
            let properties = v5::ConnAckProperties { receive_max: Some(10), ..crate::connect::no_properties() };
            broker.send_connack(false, Some(properties)).await;
            broker
        };
        tokio::select! { _ = &mut write => panic!("the broker has not taken it"), broker = accepted => broker }
    };
    let first = tokio::select! {
        _ = &mut write => panic!("the broker has not taken it"),
        first = broker.expect_publish() => first,
    };
    drop(write);
    let serving = async {
        let (mut taken, mut next) = (Vec::new(), first);
        loop {
            taken.push(String::from_utf8(next.payload.to_vec()).unwrap());
            broker.puback(next.pkid).await;
            if taken.len() == MANY {
                return taken;
            }
            next = broker.expect_publish().await;
        }
    };
    let (written, taken) = tokio::join!(sink.write(&batch), serving);
    written.unwrap();
    assert!(taken.iter().enumerate().all(|(at, text)| *text == at.to_string()), "something came twice or out of order");
}

#[tokio::test]
async fn a_limit_of_no_time_or_of_more_than_there_is_is_refused_when_the_sink_is_opened() {
    for limit in [Duration::ZERO, Duration::MAX] {
        let mut config = MqttSinkConfig::new(Config::default().mqtt, "out");
        config.timeout = limit;
        let opened = timeout(Duration::from_secs(20), MqttSink::new(config).open()).await;
        let error = opened.expect("it is not opened").unwrap_err();
        assert_eq!(error.kind(), SinkErrorKind::Misconfigured, "{error}");
        assert!(tidemill_core::report(&error).contains("timeout"), "{error}");
    }
}
