//! Parsers of JSON on payloads as devices send them, against the one behind `Event::json`. What came of it stands in
//! `docs/benchmarks.md`. A payload comes in shared, unwritable memory: what simd-json needs copied counts as its cost.

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tidemill_peers::Reading;

const FLAT: &str = r#"{"id":"s-0042","ts":1700000000123,"celsius":21.37,"ok":true}"#;

const NESTED: &str = r#"{"device":{"id":"press-07","site":"Ulm 2","firmware":"4.12.0-rc1"},"ts":1700000000123,"axes":[
{"name":"x","unit":"mm/s","samples":[0.12,0.15,0.11,0.19,0.22,0.17,0.13,0.16],"min":0.11,"max":0.22},
{"name":"y","unit":"mm/s","samples":[1.12,1.15,1.11,1.19,1.22,1.17,1.13,1.16],"min":1.11,"max":1.22},
{"name":"z","unit":"mm/s","samples":[-0.42,-0.45,-0.41,-0.49,-0.52,-0.47,-0.43,-0.46],"min":-0.52,"max":-0.41}],
"battery":87.5,"note":"bearing \"A\" was greased\non Monday","alarms":["vibration","temperature \u00b0C"],
"position":{"lat":48.401082,"lon":9.987608,"height":478}}"#;

#[derive(Deserialize)]
#[expect(dead_code, reason = "read by nobody")]
struct Flat {
    id: String,
    ts: u64,
    celsius: f64,
    ok: bool,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "read by nobody")]
struct Nested {
    device: Device,
    ts: u64,
    axes: Vec<Axis>,
    battery: f32,
    alarms: Vec<String>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "read by nobody")]
struct Device {
    id: String,
    site: String,
    firmware: String,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "read by nobody")]
struct Axis {
    name: String,
    unit: String,
    samples: Vec<f64>,
    min: f64,
    max: f64,
}

/// The payload of the peers, 128 bytes.
fn peers() -> String {
    format!("{{\"sent_ns\":1700000000123456789,\"celsius\":21.5,\"pad\":\"{}\"}}", "x".repeat(73))
}

fn all(c: &mut Criterion) {
    let peers = peers();
    into::<Reading>(c, "peers into a struct", &peers);
    into::<Flat>(c, "flat into a struct", FLAT);
    into::<Nested>(c, "nested into a struct", NESTED);
    into::<Value>(c, "peers into a value", &peers);
    into::<Value>(c, "flat into a value", FLAT);
    into::<Value>(c, "nested into a value", NESTED);
}

fn into<T: DeserializeOwned>(c: &mut Criterion, name: &str, payload: &str) {
    let mut group = c.benchmark_group(format!("{name}, {} bytes", payload.len()));
    group.throughput(Throughput::Bytes(payload.len() as u64));
    let payload = payload.as_bytes();
    parser(&mut group, "serde_json", payload, |payload| serde_json::from_slice::<T>(payload).is_ok());
    parser(&mut group, "sonic-rs", payload, |payload| sonic_rs::from_slice::<T>(payload).is_ok());
    parser(&mut group, "flexon", payload, |payload| flexon::from_slice::<T>(payload).is_ok());
    let (mut copy, mut buffers) = (Vec::new(), simd_json::Buffers::default());
    parser(&mut group, "simd-json", payload, |payload| {
        copy.clear();
        copy.extend_from_slice(payload);
        simd_json::serde::from_slice_with_buffers::<T>(&mut copy, &mut buffers).is_ok()
    });
    group.finish();
}

fn parser(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, payload: &[u8], mut parse: impl FnMut(&[u8]) -> bool) {
    assert!(parse(payload), "{name} does not take it");
    group.bench_function(name, |b| b.iter(|| parse(black_box(payload))));
}

criterion_group!(benches, all);
criterion_main!(benches);
