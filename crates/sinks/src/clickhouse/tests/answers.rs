//! What is sent, and answers that the server of the other tests does not give: a small server in the test.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use tidemill_core::{Record, Sink, SinkErrorKind, report};

use super::super::{Clickhouse, ClickhouseConfig};
use crate::{Identifier, Secret};

type Answer = (StatusCode, HeaderMap, &'static str);

/// Query, headers and body.
type Seen = (HashMap<String, String>, HeaderMap, Vec<u8>);

#[derive(Clone)]
struct Server {
    answer: Arc<Mutex<Answer>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    unknown: &'static [&'static str],
}

async fn answer(
    State(server): State<Server>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, String) {
    let unknown = server.unknown.iter().find(|name| query.contains_key(**name));
    let unknown = unknown.map(|name| format!("Code: 115. DB::Exception: Unknown setting {name}. (UNKNOWN_SETTING)"));
    server.seen.lock().unwrap().push((query, headers, body.to_vec()));
    let (status, headers, text) = server.answer.lock().unwrap().clone();
    match unknown {
        Some(text) => (StatusCode::NOT_FOUND, headers, text),
        None => (status, headers, text.to_owned()),
    }
}

async fn server() -> (Server, ClickhouseConfig) {
    server_without(&[]).await
}

/// One that does not know these settings.
async fn server_without(unknown: &'static [&'static str]) -> (Server, ClickhouseConfig) {
    let fine = (StatusCode::OK, HeaderMap::new(), "");
    let server = Server { answer: Arc::new(Mutex::new(fine)), seen: Arc::default(), unknown };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(server.clone());
    tokio::spawn(axum::serve(listener, router).into_future());
    let config = ClickhouseConfig::new(url, Identifier::new("plant.readings").unwrap());
    (server, config.login("worker", Secret::Text("s3cret".into())))
}

#[tokio::test]
async fn a_repeated_batch_has_the_same_token() {
    let (server, mut config) = server().await;
    config.async_insert = true;
    let sink = Clickhouse::new(config);
    sink.open().await.unwrap();
    let batch = [Record::new(r#"{"a":1}"#).with_idempotency_key("1"), Record::new("2").with_idempotency_key("2")];
    sink.write(&batch).await.unwrap();
    sink.write(&batch).await.unwrap();
    sink.write(&batch[..1]).await.unwrap();
    let seen = server.seen.lock().unwrap().clone();
    let token = |at: usize| &seen[at].0["insert_deduplication_token"];
    assert_eq!(token(1), token(2));
    assert_ne!(token(1), token(3));
    let (query, headers, body) = &seen[1];
    let insert =
        "INSERT INTO `plant`.`readings` (`id`, `time`, `topic`, `key`, `payload`, `headers`) FORMAT JSONEachRow";
    assert_eq!(query["query"], insert);
    assert_eq!((&*query["async_insert"], &*query["wait_for_async_insert"]), ("1", "1"));
    assert_eq!(query["async_insert_deduplicate"], "1");
    assert_eq!(
        (&headers["x-clickhouse-user"], &headers["x-clickhouse-key"]),
        (&"worker".parse().unwrap(), &"s3cret".parse().unwrap())
    );
    let mut lines = String::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut lines).unwrap();
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first["payload"], r#"{"a":1}"#);
    assert_eq!(first["headers"], "{}");
    assert_eq!(lines.lines().count(), 2);
}

#[tokio::test]
async fn an_answer_is_understood_by_its_code() {
    let (server, config) = server().await;
    let sink = Clickhouse::new(config);
    for (status, text, kind) in [
        (StatusCode::INTERNAL_SERVER_ERROR, "Code: 252. DB::Exception: Too many parts", SinkErrorKind::Unavailable),
        (StatusCode::BAD_REQUEST, "Code: 27. DB::Exception: s3cret row", SinkErrorKind::BatchRefused),
        (
            StatusCode::FORBIDDEN,
            "Code: 516. DB::Exception: worker: Authentication failed",
            SinkErrorKind::Misconfigured,
        ),
        (StatusCode::OK, "Code: 241. DB::Exception: Memory limit", SinkErrorKind::Unavailable),
        (StatusCode::BAD_GATEWAY, "<html>", SinkErrorKind::Unavailable),
        (StatusCode::OK, "<html>welcome</html>", SinkErrorKind::Unavailable),
        (StatusCode::PAYLOAD_TOO_LARGE, "", SinkErrorKind::BatchRefused),
    ] {
        let headers = HeaderMap::from_iter([("retry-after".parse().unwrap(), "3".parse().unwrap())]);
        *server.answer.lock().unwrap() = (status, headers, text);
        let error = sink.write(&[Record::new("1")]).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{text}: {}", report(&error));
        assert!(!report(&error).contains("s3cret"));
        let waits = kind == SinkErrorKind::Unavailable;
        assert_eq!(error.retry_after(), waits.then_some(Duration::from_secs(3)));
    }
}

#[tokio::test]
async fn the_server_is_told_to_answer_after_it_has_written_where_it_knows_that() {
    let (server, config) = server().await;
    Clickhouse::new(config).write(&[Record::new("1")]).await.unwrap();
    let query = server.seen.lock().unwrap()[0].0.clone();
    assert_eq!((&*query["wait_for_async_insert"], query.get("async_insert")), ("1", None));

    let (server, mut config) = server_without(&["wait_for_async_insert", "async_insert_deduplicate"]).await;
    let sink = Clickhouse::new(config.clone());
    sink.open().await.unwrap();
    server.seen.lock().unwrap().clear();
    sink.write(&[Record::new("1").with_idempotency_key("1")]).await.unwrap();
    let seen = server.seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 1, "what the server does not know is told it once");
    assert!(seen[0].0.contains_key("insert_deduplication_token"));

    config.async_insert = true;
    let error = Clickhouse::new(config).open().await.unwrap_err();
    assert_eq!(error.kind(), SinkErrorKind::Misconfigured, "it would answer before it has written");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_success() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"}\n") {
            stream.read_buf(&mut asked).await.unwrap();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    });
    let mut config = ClickhouseConfig::new(url, Identifier::new("readings").unwrap());
    config.gzip = false;
    let error = Clickhouse::new(config).write(&[Record::new("1")]).await.unwrap_err();
    assert_eq!(error.kind(), SinkErrorKind::Unavailable, "{}", report(&error));
    assert!(report(&error).contains("breaks off"), "{}", report(&error));
}
