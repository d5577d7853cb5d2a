//! What every sink must hold, against ClickHouse 18.16, which knows no tokens yet.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tidemill_core::{Record, Sink};
use tidemill_testkit::clickhouse;
use tidemill_testkit::fault::FaultProxy;
use tidemill_testkit::server::ServerProcess;
use tidemill_testkit::sink_conformance::{Capabilities, Misconfigured, Payloads, Seen, Target};
use tokio::sync::Mutex;

use crate::{Clickhouse, ClickhouseConfig, Column, ColumnSource, Identifier, Secret};

const PASSWORD: &str = "pass-word-of-the-test";

struct Table {
    server: Mutex<ServerProcess>,
    direct: String,
    proxy: FaultProxy,
    config: ClickhouseConfig,
}

async fn ask(url: &str, query: &str) -> String {
    let login = [("user", "default"), ("password", PASSWORD)];
    let limits = Duration::from_secs(5);
    let limits = crate::http_client::Limits { whole: limits, connect: limits };
    let reach = crate::http_client::Reach { url, ca_file: None, limits };
    let server = crate::http_client::Server::new(reach).unwrap();
    let mut answer = server.post("/", &login).body(query.to_owned()).send().await.unwrap();
    assert!(answer.status().is_success(), "{query}");
    let mut text = Vec::new();
    while let Some(chunk) = answer.chunk().await.unwrap() {
        text.extend_from_slice(&chunk);
    }
    String::from_utf8(text).unwrap()
}

fn name(name: &str) -> Identifier {
    Identifier::new(name).unwrap()
}

impl Table {
    async fn new() -> Option<Self> {
        let server = ServerProcess::start_or_skip(clickhouse::spec(PASSWORD)).await?;
        let direct = format!("http://{}", server.addr());
        let table = "CREATE TABLE records (id String, key String, payload String, number Nullable(Int64), time DateTime) \
                     ENGINE = MergeTree ORDER BY tuple()";
        ask(&direct, table).await;
        let proxy = FaultProxy::start(server.addr()).await.unwrap();
        let columns = vec![
            Column::new(name("id"), ColumnSource::IdempotencyKey),
            Column::new(name("key"), ColumnSource::Key),
            Column::new(name("payload"), ColumnSource::Payload),
            Column::new(name("number"), ColumnSource::Field("/number".to_owned())),
            Column::new(name("time"), ColumnSource::Time),
        ];
        let mut config = ClickhouseConfig::new(format!("http://{}", proxy.addr()), name("records"))
            .login("default", Secret::Text(PASSWORD.to_owned()))
            .columns(columns);
        config.deduplicate = false;
        config.timeout = Duration::from_secs(2);
        Some(Self { server: Mutex::new(server), direct, proxy, config })
    }

    fn with(&self, change: impl FnOnce(&mut ClickhouseConfig)) -> Arc<dyn Sink> {
        let mut config = self.config.clone();
        change(&mut config);
        Arc::new(Clickhouse::new(config))
    }
}

#[async_trait]
impl Target for Table {
    fn sink(&self) -> Arc<dyn Sink> {
        self.with(|_| ())
    }

    async fn read_all(&self) -> Vec<Seen> {
        let rows = ask(&self.direct, "SELECT payload, key FROM records FORMAT JSONCompact").await;
        let rows: serde_json::Value = serde_json::from_str(&rows).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        rows["data"].as_array().unwrap().iter().map(|row| Seen::new(text(&row[0])).with_key(text(&row[1]))).collect()
    }

    fn capabilities(&self) -> Capabilities {
        // Because of the field, which is asked for in every payload.
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

    fn bad_record(&self) -> Option<Record> {
        Some(Record::new(r#"{"number":"many"}"#).with_key("k"))
    }

    fn misconfigured(&self) -> Vec<Misconfigured> {
        let wrong_password = self.with(|config| config.password = Some(Secret::Text("wr0ng-secret".to_owned())));
        let column = |name: &str| Column::new(Identifier::new(name).unwrap(), ColumnSource::Topic);
        vec![
            Misconfigured::new(wrong_password, "set the right user and password").hides("wr0ng-secret"),
            Misconfigured::new(self.with(|config| config.table = name("nothing")), "create the table"),
            Misconfigured::new(self.with(|config| config.columns.push(column("nothing"))), "add the column"),
            Misconfigured::new(self.with(|config| config.deduplicate = true), "set deduplicate = false"),
            Misconfigured::new(self.with(|config| config.user = Some("reader".into())), "grant the user INSERT"),
            Misconfigured::new(self.with(|config| config.url = "localhost".into()), "write it as in"),
        ]
    }
}

tidemill_testkit::conformance!(Table::new);
