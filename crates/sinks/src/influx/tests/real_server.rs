//! What every sink must hold: InfluxDB 1.6 over `/write`, VictoriaMetrics over `/api/v2/write`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tidemill_core::{Record, Sink};
use tidemill_testkit::fault::FaultProxy;
use tidemill_testkit::influx;
use tidemill_testkit::server::{Ready, ServerProcess, ServerSpec};
use tidemill_testkit::sink_conformance::{Capabilities, Misconfigured, Payloads, Seen, Target};
use tokio::sync::Mutex;

use super::super::{Influx, InfluxApi, InfluxConfig, InfluxField, InfluxTime};
use super::template;
use crate::http_client::{Limits, Reach, Server};

/// Later than any retention, in milliseconds.
const BEGIN: i64 = 1_700_000_000_000;

async fn ask(url: &str, path: &str, query: &[(&str, &str)], body: String) -> String {
    let limit = Duration::from_secs(5);
    let server = Server::new(Reach { url, ca_file: None, limits: Limits { whole: limit, connect: limit } }).unwrap();
    let mut answer = server.post(path, query).body(body).send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    let mut text = Vec::new();
    while let Some(chunk) = answer.chunk().await.unwrap() {
        text.extend_from_slice(&chunk);
    }
    String::from_utf8(text).unwrap()
}

/// Every record is a point of its own.
fn record(number: u32, key: u32) -> Record {
    let at = BEGIN + i64::from(number);
    Record::new(format!(r#"{{"at":{at},"number":{number}}}"#))
        .with_key(format!("key-{key}"))
        .with_idempotency_key(format!("id-{number}"))
}

fn config(url: String, api: InfluxApi) -> InfluxConfig {
    let mut config = InfluxConfig::new(url, api, template("records"))
        .tag("key", template("{key}"))
        .time(InfluxTime::Milliseconds("/at".to_owned()))
        .field("number", InfluxField::Field("/number".to_owned()));
    config.timeout = Duration::from_secs(2);
    config
}

struct Influxdb {
    server: Mutex<ServerProcess>,
    direct: String,
    proxy: FaultProxy,
    config: InfluxConfig,
}

impl Influxdb {
    async fn new() -> Option<Self> {
        let server = ServerProcess::start_or_skip(influx::spec(Some(500_000))).await?;
        let direct = format!("http://{}", server.addr());
        ask(&direct, "/query", &[("q", "CREATE DATABASE plant")], String::new()).await;
        // The first point decides which type a field has. It has no payload, so that it is not read back.
        let first = format!("records,key=first number=1 {}", BEGIN * 1_000_000);
        ask(&direct, "/write", &[("db", "plant")], first).await;
        let proxy = FaultProxy::start(server.addr()).await.unwrap();
        let api = InfluxApi::V1 { database: "plant".to_owned(), retention_policy: None, user: None };
        let config = config(format!("http://{}", proxy.addr()), api).field("payload", InfluxField::Payload);
        Some(Self { server: Mutex::new(server), direct, proxy, config })
    }

    fn with(&self, change: impl FnOnce(&mut InfluxConfig)) -> Arc<dyn Sink> {
        let mut config = self.config.clone();
        change(&mut config);
        Arc::new(Influx::new(config))
    }
}

#[async_trait]
impl Target for Influxdb {
    fn sink(&self) -> Arc<dyn Sink> {
        self.with(|_| ())
    }

    async fn read_all(&self) -> Vec<Seen> {
        let query = [("db", "plant"), ("q", "SELECT payload, \"key\" FROM records")];
        let answer: Value = serde_json::from_str(&ask(&self.direct, "/query", &query, String::new()).await).unwrap();
        let rows = answer["results"][0]["series"][0]["values"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        rows.iter().map(|row| Seen::new(text(&row[1])).with_key(text(&row[2]))).collect()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default().payloads(Payloads::Json)
    }

    async fn outage(&self) {
        self.server.lock().await.kill().await.unwrap();
    }

    async fn recover(&self) {
        self.server.lock().await.restart().await.unwrap();
    }

    fn proxy(&self) -> Option<&FaultProxy> {
        Some(&self.proxy)
    }

    fn record(&self, number: u32, key: u32) -> Record {
        record(number, key)
    }

    fn bad_record(&self) -> Option<Record> {
        Some(Record::new(format!(r#"{{"at":{BEGIN},"number":"many"}}"#)).with_key("key"))
    }

    fn oversize_record(&self) -> Option<Record> {
        // Nothing that compression would shorten much.
        let mut random = fastrand::Rng::with_seed(1);
        let text: String = std::iter::repeat_with(|| random.alphanumeric()).take(2_000_000).collect();
        Some(Record::new(format!(r#"{{"at":{BEGIN},"number":1,"text":"{text}"}}"#)).with_key("key"))
    }

    fn misconfigured(&self) -> Vec<Misconfigured> {
        let api = InfluxApi::V1 { database: "nothing".to_owned(), retention_policy: None, user: None };
        vec![
            Misconfigured::new(self.with(|config| config.api = api), "create the database"),
            Misconfigured::new(
                self.with(|config| config.url = format!("{}/nothing", *config.url).into()),
                "set the right url",
            ),
            Misconfigured::new(self.with(|config| config.url = "localhost:8086".into()), "write it as in"),
            Misconfigured::new(self.with(|config| config.fields.clear()), "name at least one"),
        ]
    }
}

mod influxdb {
    tidemill_testkit::conformance!(super::Influxdb::new);
}

struct Victoria {
    server: Mutex<ServerProcess>,
    direct: String,
    proxy: FaultProxy,
    config: InfluxConfig,
}

impl Victoria {
    async fn new() -> Option<Self> {
        let spec = ServerSpec::new("victoria-metrics", "victoria-metrics")
            .ready(Ready::Http { port: 0, path: "/health" })
            .patience(Duration::from_secs(30))
            .command(|place, command| {
                command.arg(format!("-httpListenAddr={}", place.addr(0)));
                command.arg(format!("-storageDataPath={}", place.directory().join("data").display()));
                command.args(["-retentionPeriod=100y", "-dedup.minScrapeInterval=1ms", "-memory.allowedBytes=64MB"]);
            });
        let server = ServerProcess::start_or_skip(spec).await?;
        let direct = format!("http://{}", server.addr());
        let proxy = FaultProxy::start(server.addr()).await.unwrap();
        let api = InfluxApi::V2 { org: "o".to_owned(), bucket: "b".to_owned() };
        let config = config(format!("http://{}", proxy.addr()), api);
        Some(Self { server: Mutex::new(server), direct, proxy, config })
    }
}

#[async_trait]
impl Target for Victoria {
    fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(Influx::new(self.config.clone()))
    }

    /// Puts payloads together again: the value is the number, the time is in the payload.
    async fn read_all(&self) -> Vec<Seen> {
        ask(&self.direct, "/internal/force_flush", &[], String::new()).await;
        let query = [("match[]", "records_number"), ("reduce_mem_usage", "0")];
        let lines = ask(&self.direct, "/api/v1/export", &query, String::new()).await;
        let mut seen = Vec::new();
        for line in lines.lines() {
            let series: Value = serde_json::from_str(line).unwrap();
            let key = series["metric"]["key"].as_str().unwrap();
            let (values, times) = (series["values"].as_array().unwrap(), series["timestamps"].as_array().unwrap());
            for (value, at) in values.iter().zip(times) {
                let payload = format!(r#"{{"at":{at},"number":{}}}"#, value.as_f64().unwrap());
                seen.push(Seen::new(payload).with_key(key.to_owned()));
            }
        }
        seen
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default().payloads(Payloads::Json)
    }

    /// Not by killing it: what it answered for is on disk only some seconds later.
    async fn outage(&self) {
        self.server.lock().await.stop().await.unwrap();
    }

    async fn recover(&self) {
        self.server.lock().await.restart().await.unwrap();
    }

    fn proxy(&self) -> Option<&FaultProxy> {
        Some(&self.proxy)
    }

    fn record(&self, number: u32, key: u32) -> Record {
        record(number, key)
    }

    fn bad_record(&self) -> Option<Record> {
        Some(Record::new(format!(r#"{{"at":{BEGIN},"number":[]}}"#)).with_key("key"))
    }
}

mod victoria_metrics {
    tidemill_testkit::conformance!(super::Victoria::new);
}
