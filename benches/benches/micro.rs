//! Micro-benchmarks of single steps of an event's way: what a change to one of them costs, long before the `feed`
//! benchmark shows it.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use tidemill_benches::feed::FILTER;
use tidemill_core::topic::{Pattern, TopicFilter, TopicName};
use tidemill_runtime::internals::{Router, Window};

const TOPIC: &str = "plant/7/line/3/sensor/temperature/c";

/// Events in one read of 64 KiB.
const BURST: u16 = 383;

fn topics(c: &mut Criterion) {
    let mut group = c.benchmark_group("topic");
    let cases = [
        ("captures", FILTER),
        ("exact", TOPIC),
        ("hash", "plant/#"),
        ("last level differs", "plant/+/line/+/sensor/+/f"),
    ];
    for (name, filter) in cases {
        let Ok(filter) = TopicFilter::new(filter) else { continue };
        group.bench_function(format!("filter matches, {name}"), |b| b.iter(|| filter.matches(black_box(TOPIC))));
    }
    let bytes = Bytes::from_static(TOPIC.as_bytes());
    group.bench_function("name from bytes", |b| b.iter(|| TopicName::from_bytes(black_box(bytes.clone()))));
    group.finish();
}

fn decode(c: &mut Criterion) {
    let mut burst = BytesMut::new();
    for id in 1..=BURST {
        let mut publish = Publish::new(TOPIC, QoS::AtLeastOnce, vec![b'x'; 128], None);
        publish.pkid = id;
        if publish.write(&mut burst).is_err() {
            return;
        }
    }
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(u64::from(BURST)));
    group.bench_function("burst of PUBLISHes", |b| {
        b.iter_batched_ref(
            || burst.clone(),
            |burst| {
                while let Ok(packet) = Packet::read(burst, None) {
                    black_box(packet);
                }
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn router(c: &mut Criterion) {
    let patterns: Vec<Pattern> = ["plant/{plant}/line/{line}/sensor/{kind}/c", "plant/{plant}/status", "fleet/#"]
        .into_iter()
        .filter_map(|text| Pattern::new(text).ok())
        .collect();
    let Some(mut router) = Router::new(&patterns) else { return };
    let mut group = c.benchmark_group("router");
    group.bench_function("three captures", |b| b.iter(|| router.route(black_box(TOPIC))));
    group.bench_function("no route", |b| b.iter(|| router.route(black_box("plant/7/line/3/sensor"))));
    group.finish();
}

fn acks(c: &mut Criterion) {
    let mut window = Window::default();
    let mut group = c.benchmark_group("acks");
    group.throughput(Throughput::Elements(u64::from(BURST)));
    group.bench_function("burst finished backwards", |b| b.iter(|| window.burst(black_box(BURST))));
    group.finish();
}

criterion_group!(benches, topics, decode, router, acks);
criterion_main!(benches);
