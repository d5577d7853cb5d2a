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
