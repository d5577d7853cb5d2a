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
}

async fn answer(
    State(server): State<Server>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    server.seen.lock().unwrap().push((query, headers, body.to_vec()));
    server.answer.lock().unwrap().clone()
}

async fn server() -> (Server, ClickhouseConfig) {
    let fine = (StatusCode::OK, HeaderMap::new(), "");
    let server = Server { answer: Arc::new(Mutex::new(fine)), seen: Arc::default() };
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
