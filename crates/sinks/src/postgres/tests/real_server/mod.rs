//! Each test has a server of its own: several of them kill it.

mod conformance;

use std::time::Duration;

use tidemill_core::{Record, Sink, SinkErrorKind, report};
use tidemill_testkit::certificates::{Certificates, Signed};
use tidemill_testkit::postgres::{PostgresServer, PostgresServerConfig};
use tidemill_testkit::sink_conformance::deliver;

use super::super::{OnConflict, Postgres, PostgresConfig, PostgresTls};
use crate::{Column, ColumnSource, ColumnType, Identifier, Secret};

const PASSWORD: &str = "pass-word-of-the-test";

fn name(name: &str) -> Identifier {
    Identifier::new(name).unwrap()
}

async fn server() -> Option<PostgresServer> {
    let config = PostgresServerConfig { password: Some(PASSWORD.to_owned()), ..PostgresServerConfig::default() };
    PostgresServer::start_or_skip(config).await
}

fn config(server: &PostgresServer, table: &str) -> PostgresConfig {
    let mut config = PostgresConfig::new("127.0.0.1", "postgres", server.user(), name(table))
        .port(server.addr().port())
        .password(Secret::Text(PASSWORD.to_owned()));
    config.timeout = Duration::from_secs(2);
    config.connect_timeout = Duration::from_secs(2);
    config
}

fn record(id: u32, payload: &str) -> Record {
    Record::new(payload.to_owned()).with_idempotency_key(format!("id-{id}")).with_key("k").with_header("unit", "C")
}

#[tokio::test]
async fn a_record_is_a_row_whose_columns_have_the_types_of_the_table() {
    let Some(server) = server().await else { return };
    let table = r#"CREATE SCHEMA plant; CREATE TYPE plant.state AS ENUM ('on', 'off');
        CREATE TABLE plant."Readings" (id uuid PRIMARY KEY, celsius numeric(6, 2), state plant.state, place point,
            tags text, raw bytea, document jsonb, "time" timestamptz, line varchar(8), seen timestamptz DEFAULT now())"#;
    server.sql(table).await.unwrap();
    let field = |pointer: &str| ColumnSource::Field(pointer.to_owned());
    let columns = vec![
        Column::new(name("id"), ColumnSource::IdempotencyKey),
        Column::new(name("celsius"), field("/celsius")),
        Column::new(name("state"), field("/state")),
        Column::new(name("place"), field("/place")),
        Column::new(name("tags"), field("/tags")),
        Column::new(name("raw"), ColumnSource::Payload),
        Column::new(name("document"), ColumnSource::Headers),
        Column::new(name("time"), ColumnSource::Time),
        Column::new(name("line"), ColumnSource::Template("line {field:/line|none}".parse().unwrap())),
    ];
    let sink = Postgres::new(config(&server, "plant.Readings").columns(columns, vec![name("id")]));
    sink.open().await.unwrap();
    let payload = r#"{"celsius":71.504,"state":"on","tags":["a","b\"c"],"line":7}"#;
    let mut full = record(0, payload).with_time(std::time::SystemTime::UNIX_EPOCH + Duration::from_micros(1_500_001));
    full.idempotency_key = Some("00000000-0000-0000-0000-000000000001".to_owned());
    sink.write(&[full]).await.unwrap();
    let seen = server.sql(
        r#"SELECT celsius, state, place IS NULL, tags, length(raw), document->>'unit', "time" AT TIME ZONE 'UTC', line,
            seen IS NOT NULL FROM plant."Readings""#,
    );
    assert_eq!(seen.await.unwrap(), "71.50|on|t|[\"a\",\"b\\\"c\"]|60|C|1970-01-01 00:00:01.500001|line 7|t");
}

#[tokio::test]
async fn a_text_that_is_too_long_is_refused_and_not_cut_off() {
    let Some(server) = server().await else { return };
    server.sql("CREATE TABLE t (id text PRIMARY KEY, short varchar(3), fixed char(3))").await.unwrap();
    let columns = vec![
        Column::new(name("id"), ColumnSource::IdempotencyKey),
        Column::new(name("short"), ColumnSource::Field("/short".to_owned())),
        Column::new(name("fixed"), ColumnSource::Field("/fixed".to_owned())),
    ];
    let sink = Postgres::new(config(&server, "t").columns(columns, vec![name("id")]));
    let payloads = [r#"{"short":"abc","fixed":"abc"}"#, r#"{"short":"abcd"}"#, r#"{"fixed":"abcd"}"#];
    let batch: Vec<Record> = payloads.iter().zip(0..).map(|(payload, id)| record(id, payload)).collect();
    let refused = deliver(&sink, &batch).await;
    assert_eq!(refused.iter().map(|refused| refused.index).collect::<Vec<_>>(), [1, 2]);
    assert!(refused[0].reason.contains("too long") && !refused[0].reason.contains("abcd"), "{refused:?}");
    assert_eq!(server.sql("SELECT id, short, fixed FROM t").await.unwrap(), "id-0|abc|abc");
}

#[tokio::test]
async fn the_last_record_of_a_key_stays_when_told_so() {
    let Some(server) = server().await else { return };
    let columns = vec![
        Column::new(name("machine"), ColumnSource::Key),
        Column::new(name("n"), ColumnSource::Field("/n".to_owned())).of_type(ColumnType::Integer),
    ];
    let config = config(&server, "latest").columns(columns, vec![name("machine")]).on_conflict(OnConflict::Update);
    let sink = Postgres::new(config.create());
    assert!(sink.traits().serial);
    sink.open().await.unwrap();
    let reading = |machine: &str, n: u32| Record::new(format!(r#"{{"n":{n}}}"#)).with_key(machine.to_owned());
    sink.write(&[reading("a", 1), reading("b", 2), reading("a", 3)]).await.unwrap();
    sink.write(&[reading("b", 4)]).await.unwrap();
    assert_eq!(server.sql("SELECT machine, n FROM latest ORDER BY 1").await.unwrap(), "a|3\nb|4");
}

#[tokio::test]
async fn workers_that_start_together_create_the_table_once() {
    let Some(server) = server().await else { return };
    let sinks: Vec<Postgres> = (0..6).map(|_| Postgres::new(config(&server, "readings").create())).collect();
    for opened in futures_util::future::join_all(sinks.iter().map(Sink::open)).await {
        opened.unwrap();
    }
    sinks[0].write(&[record(1, "{}")]).await.unwrap();
    sinks[5].write(&[record(1, "{}"), record(2, "{}")]).await.unwrap();
    assert_eq!(server.sql("SELECT count(*) FROM readings").await.unwrap(), "2");
}

#[tokio::test]
async fn batches_that_overlap_and_come_again_leave_each_record_once() {
    let Some(mut server) = server().await else { return };
    let sink = Postgres::new(config(&server, "readings").create());
    sink.open().await.unwrap();
    let all: Vec<Record> = (0..3000).map(|id| record(id, &format!(r#"{{"n":{id}}}"#))).collect();
    let batches: Vec<&[Record]> = (0..all.len()).step_by(100).map(|at| &all[at..(at + 200).min(all.len())]).collect();
    for (at, batch) in batches.iter().enumerate() {
        if at == batches.len() / 2 {
            server.kill().await.unwrap();
            assert_eq!(sink.write(batch).await.unwrap_err().kind(), SinkErrorKind::Unavailable);
            server.restart().await.unwrap();
        }
        assert_eq!(deliver(&sink, batch).await, []);
        assert_eq!(deliver(&sink, batch).await, []);
    }
    let counts = server.sql("SELECT count(*), count(DISTINCT id), count(DISTINCT payload) FROM readings");
    assert_eq!(counts.await.unwrap(), "3000|3000|3000");
}

#[tokio::test]
async fn a_table_that_changes_under_way_is_looked_at_again() {
    let Some(server) = server().await else { return };
    let sink = Postgres::new(config(&server, "readings").create());
    sink.open().await.unwrap();
    sink.write(&[record(1, "{}")]).await.unwrap();
    server.sql("ALTER TABLE readings RENAME TO old").await.unwrap();
    let error = sink.write(&[record(2, "{}")]).await.unwrap_err();
    assert_eq!(error.kind(), SinkErrorKind::Misconfigured, "{}", report(&error));
    server.sql("ALTER TABLE old RENAME TO readings; ALTER TABLE readings ALTER payload TYPE text").await.unwrap();
    assert_eq!(deliver(&sink, &[record(2, "{}")]).await, []);
    assert_eq!(server.sql("SELECT id, payload FROM readings ORDER BY 1").await.unwrap(), "id-1|{}\nid-2|{}");
}

#[tokio::test]
async fn a_lock_on_the_table_ends_as_unavailable_within_the_time_limit() {
    let Some(server) = server().await else { return };
    let sink = Postgres::new(config(&server, "readings").create());
    sink.open().await.unwrap();
    let hold = server.sql("BEGIN; LOCK TABLE readings IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(4)");
    let write = async {
        while server.sql("SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted").await.unwrap()
            != "1"
        {}
        sink.write(&[record(1, "{}")]).await
    };
    let (held, written) = tokio::join!(hold, write);
    held.unwrap();
    let error = written.unwrap_err();
    assert_eq!(error.kind(), SinkErrorKind::Unavailable, "{}", report(&error));
    assert_eq!(deliver(&sink, &[record(1, "{}")]).await, []);
    assert_eq!(server.sql("SELECT count(*) FROM readings").await.unwrap(), "1");
}

#[tokio::test]
async fn over_tls_only_the_right_server_is_spoken_to() {
    let [right, wrong] = [(); 2].map(|()| Certificates::for_hosts(["localhost"]).unwrap());
    let Signed { cert, key } = right.server();
    let config = PostgresServerConfig {
        password: Some(PASSWORD.to_owned()),
        tls: Some((std::fs::read_to_string(cert).unwrap(), std::fs::read_to_string(key).unwrap())),
        ..PostgresServerConfig::default()
    };
    let Some(server) = PostgresServer::start_or_skip(config).await else { return };
    let sink = |host: &str, trusted: &Certificates| {
        let mut config = self::config(&server, "readings").create();
        (config.host, config.tls) = (host.into(), PostgresTls::Always);
        config.ca_file = Some(trusted.ca());
        Postgres::new(config)
    };
    let trusted = sink("localhost", &right);
    trusted.open().await.unwrap();
    trusted.write(&[record(1, "{}")]).await.unwrap();
    let seen = server.sql("SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND application_name = 'tidemill'");
    assert_eq!(seen.await.unwrap(), "1");
    for stranger in [sink("localhost", &wrong), sink("127.0.0.1", &right)] {
        let error = stranger.open().await.unwrap_err();
        assert_eq!(error.kind(), SinkErrorKind::Misconfigured, "{}", report(&error));
        assert!(report(&error).contains("ca_file"), "{}", report(&error));
    }
}
