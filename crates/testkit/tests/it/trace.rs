//! The trace.

use tidemill_testkit::broker::{BrokerConfig, What, ack_order_violations};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn the_trace_tells_the_order_of_things_and_finds_acknowledgements_out_of_order() {
    let broker = broker_with(BrokerConfig::in_memory().with_trace(100)).await;
    let mut member = subscriber(&broker, "m", "$share/g/a").await;
    let mut publisher = clean(&broker, "publisher").await;
    for _ in 0..3 {
        publisher.publish_acked("a", "x").await;
    }
    member.puback(1).await;
    member.ping().await;
    assert!(ack_order_violations(&broker.trace()).is_empty());
    member.puback(3).await;
    member.puback(2).await;
    member.puback(2).await;
    member.ping().await;
    let trace = broker.trace();
    let of_member: Vec<_> = trace.iter().filter(|line| &*line.client == "m").map(|line| &line.what).collect();
    assert!(matches!(of_member[..2], [What::Connected { session_present: false }, What::Subscribed { code: 1, .. },]));
    assert!(matches!(of_member[2], What::Sent { pkid: 1, dup: false, shared: true, .. }));
    let violations = ack_order_violations(&trace);
    let acks: Vec<_> = violations.iter().map(|line| &line.what).collect();
    assert_eq!(acks, [&What::Acked { pkid: 3, known: true }, &What::Acked { pkid: 2, known: false }]);
}

#[tokio::test(start_paused = true)]
async fn the_trace_is_bounded_and_off_unless_asked_for() {
    let silent = broker().await;
    clean(&silent, "c").await;
    assert!(silent.trace().is_empty());
    let bounded = broker_with(BrokerConfig::in_memory().with_trace(3)).await;
    let mut client = clean(&bounded, "c").await;
    for _ in 0..10 {
        client.ping().await;
    }
    assert_eq!(bounded.trace().len(), 3);
}
