//! What every sink must hold: with a document per row, and with bytes.

use std::sync::Arc;

use async_trait::async_trait;
use tidemill_core::{Record, Sink};
use tidemill_testkit::fault::FaultProxy;
use tidemill_testkit::postgres::PostgresServer;
use tidemill_testkit::sink_conformance::{Capabilities, Misconfigured, Payloads, Seen, Target};
use tokio::sync::Mutex;

use super::{PASSWORD, config, name, server};
use crate::{Column, ColumnSource, ColumnType, Identifier, Postgres, PostgresConfig, PostgresTls, Secret};

struct Table {
    server: Mutex<PostgresServer>,
    proxy: FaultProxy,
    config: PostgresConfig,
    payloads: Payloads,
}

impl Table {
    async fn new(create: &str, payloads: Payloads) -> Option<Self> {
        let server = server().await?;
        server.sql(create).await.unwrap();
        let proxy = FaultProxy::start(server.addr()).await.unwrap();
        let mut columns = vec![
            Column::new(name("id"), ColumnSource::IdempotencyKey),
            Column::new(name("key"), ColumnSource::Key),
            Column::new(name("payload"), ColumnSource::Payload),
        ];
        if payloads == Payloads::Json {
            columns.push(
                Column::new(name("number"), ColumnSource::Field("/number".to_owned())).of_type(ColumnType::Integer),
            );
        }
        let config = config(&server, "records").columns(columns, vec![name("id")]).port(proxy.addr().port());
        Some(Self { server: Mutex::new(server), proxy, config, payloads })
    }

    fn with(&self, change: impl FnOnce(&mut PostgresConfig)) -> Arc<dyn Sink> {
        let mut config = self.config.clone();
        change(&mut config);
        Arc::new(Postgres::new(config))
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |digit: u8| u8::try_from(char::from(digit).to_digit(16).unwrap()).unwrap();
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

#[async_trait]
impl Target for Table {
    fn sink(&self) -> Arc<dyn Sink> {
        self.with(|_| ())
    }

    async fn read_all(&self) -> Vec<Seen> {
        let bytes = if self.payloads == Payloads::Json { "convert_to(payload::text, 'UTF8')" } else { "payload" };
        let rows =
            format!("SELECT encode(convert_to(key, 'UTF8'), 'hex'), encode({bytes}, 'hex') FROM records ORDER BY seq");
        let rows = self.server.lock().await.sql(&rows).await.unwrap();
        let row = |line: &str| {
            let (key, payload) = line.split_once('|').unwrap();
            Seen::new(unhex(payload)).with_key(unhex(key))
        };
        rows.lines().map(row).collect()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default().payloads(self.payloads)
    }

    async fn outage(&self) {
        self.server.lock().await.kill().await.unwrap();
        // Each connection has a process of its own in a group of its own, which may outlive the server for a moment.
        self.proxy.faults().cut_all();
    }

    async fn recover(&self) {
        self.server.lock().await.restart().await.unwrap();
    }

    fn proxy(&self) -> Option<&FaultProxy> {
        Some(&self.proxy)
    }

    fn bad_record(&self) -> Option<Record> {
        let json = self.payloads == Payloads::Json;
        json.then(|| Record::new(r#"{"number":"many"}"#).with_key("k").with_idempotency_key("bad"))
    }

    fn oversize_record(&self) -> Option<Record> {
        // Longer than what an index takes, and nothing that compression would shorten.
        let mut random = fastrand::Rng::with_seed(1);
        let id: String = std::iter::repeat_with(|| random.alphanumeric()).take(20_000).collect();
        Some(Record::new("{}").with_key("k").with_idempotency_key(id))
    }

    fn misconfigured(&self) -> Vec<Misconfigured> {
        let table = |table: &str| Identifier::new(table).unwrap();
        let column = |name: &str| Column::new(table(name), ColumnSource::Topic);
        let wrong_password = self.with(|config| config.password = Some(Secret::Text("wr0ng-secret".to_owned())));
        vec![
            Misconfigured::new(wrong_password, "set the right user and password").hides("wr0ng-secret"),
            Misconfigured::new(self.with(|config| config.password = None), "password"),
            Misconfigured::new(self.with(|config| config.database = "nowhere".into()), "create the database"),
            Misconfigured::new(self.with(|config| config.table = table("nothing")), "set create = true")
                .hides(PASSWORD),
            Misconfigured::new(self.with(|config| config.table = table("no.such.t")), "no.such.t"),
            Misconfigured::new(self.with(|config| config.columns.push(column("nothing"))), "no column nothing"),
            Misconfigured::new(self.with(|config| config.columns.push(column("a.b"))), "dot"),
            Misconfigured::new(self.with(|config| config.key = vec![name("key")]), "unique index"),
            Misconfigured::new(self.with(|config| config.key = vec![name("nothing")]), "add it to columns"),
            Misconfigured::new(self.with(|config| config.user = "reader".into()), "grant the user"),
            Misconfigured::new(self.with(|config| config.tls = PostgresTls::Always), "TLS"),
        ]
    }
}

const READER: &str = "CREATE USER reader PASSWORD 'pass-word-of-the-test'";

async fn documents() -> Option<impl Target> {
    let table = format!(
        "{READER}; CREATE TABLE records (seq bigserial, id text UNIQUE, key text, payload json, number bigint NULL)"
    );
    Table::new(&table, Payloads::Json).await
}

async fn bytes() -> Option<impl Target> {
    let table = format!("{READER}; CREATE TABLE records (seq bigserial, id text UNIQUE, key text, payload bytea)");
    Table::new(&table, Payloads::Any).await
}

mod documents {
    tidemill_testkit::conformance!(super::documents);
}

mod bytes {
    tidemill_testkit::conformance!(super::bytes);
}
