//! What is sent, and answers that real servers do not give on demand: a small server in the test.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use tidemill_core::{Record, Sink, SinkErrorKind, report};

use super::super::{Influx, InfluxApi, InfluxConfig, InfluxField};
use super::template;
use crate::Secret;

type Answer = (StatusCode, HeaderMap, &'static str);

#[derive(Clone, Debug)]
struct Seen {
    path: String,
    query: HashMap<String, String>,
    headers: HeaderMap,
    body: Vec<u8>,
}

#[derive(Clone)]
struct Server {
    answer: Arc<Mutex<Answer>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

async fn answer(
    State(server): State<Server>,
    Query(query): Query<HashMap<String, String>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let seen = Seen { path: uri.path().to_owned(), query, headers, body: body.to_vec() };
    server.seen.lock().unwrap().push(seen);
    server.answer.lock().unwrap().clone()
}

async fn server(api: InfluxApi) -> (Server, InfluxConfig) {
    let fine = (StatusCode::NO_CONTENT, HeaderMap::new(), "");
    let server = Server { answer: Arc::new(Mutex::new(fine)), seen: Arc::default() };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(server.clone());
    tokio::spawn(axum::serve(listener, router).into_future());
    let config = InfluxConfig::new(url, api, template("m")).field("n", InfluxField::Payload);
    (server, config.token(Secret::Text("s3cret".to_owned())))
}

fn v2() -> InfluxApi {
    InfluxApi::V2 { org: "o".to_owned(), bucket: "b c".to_owned() }
}

fn record() -> Record {
    Record::new("1").with_time(SystemTime::UNIX_EPOCH)
}

#[tokio::test]
async fn a_batch_is_one_compressed_request_with_the_token() {
    let (server, config) = server(v2()).await;
    Influx::new(config).write(&[record(), Record::new("no time"), record()]).await.unwrap_err();
    let seen = server.seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].path, "/api/v2/write");
    assert_eq!((&*seen[0].query["bucket"], &*seen[0].query["precision"]), ("b c", "ns"));
    assert_eq!(seen[0].headers["authorization"], "Token s3cret");
    let mut lines = String::new();
    flate2::read::GzDecoder::new(&seen[0].body[..]).read_to_string(&mut lines).unwrap();
    assert_eq!(lines, "m n=\"1\" 0\nm n=\"1\" 0\n");
}

#[tokio::test]
async fn the_older_api_has_a_user_a_database_and_a_policy() {
    let api = InfluxApi::V1 {
        database: "d".to_owned(),
        retention_policy: Some("week".to_owned()),
        user: Some("worker".to_owned()),
    };
    let (server, mut config) = server(api).await;
    config.gzip = false;
    Influx::new(config).write(&[record()]).await.unwrap();
    let seen = server.seen.lock().unwrap().remove(0);
    assert_eq!(seen.path, "/write");
    assert_eq!((&*seen.query["db"], &*seen.query["rp"]), ("d", "week"));
    assert_eq!(seen.headers["authorization"], "Basic d29ya2VyOnMzY3JldA==");
    assert_eq!(seen.body, b"m n=\"1\" 0\n");
}

#[tokio::test]
async fn an_answer_is_understood() {
    let (server, config) = server(v2()).await;
    let sink = Influx::new(config);
    for (status, text, kind) in [
        (429, "", SinkErrorKind::Unavailable),
        (503, "", SinkErrorKind::Unavailable),
        (500, "", SinkErrorKind::Unavailable),
        (500, "partial write: points beyond retention policy dropped=1", SinkErrorKind::BatchRefused),
        (400, "partial write: field type conflict: s3cret dropped=1", SinkErrorKind::BatchRefused),
        (413, "", SinkErrorKind::BatchRefused),
        (422, "", SinkErrorKind::BatchRefused),
        (401, "", SinkErrorKind::Misconfigured),
        (404, "bucket not found", SinkErrorKind::Misconfigured),
        (307, "", SinkErrorKind::Misconfigured),
    ] {
        let headers = HeaderMap::from_iter([("retry-after".parse().unwrap(), "3".parse().unwrap())]);
        *server.answer.lock().unwrap() = (StatusCode::from_u16(status).unwrap(), headers, text);
        let error = sink.write(&[record()]).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status} {text}: {}", report(&error));
        assert!(!report(&error).contains("s3cret"), "{}", report(&error));
        let waits = kind == SinkErrorKind::Unavailable;
        assert_eq!(error.retry_after(), waits.then_some(Duration::from_secs(3)));
    }
}

#[tokio::test]
async fn a_token_that_was_renewed_is_read_again() {
    let (server, mut config) = server(v2()).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "old").unwrap();
    config.token = Some(Secret::File(file.path().to_owned()));
    let sink = Influx::new(config);
    sink.open().await.unwrap();
    std::fs::write(file.path(), "new").unwrap();
    *server.answer.lock().unwrap() = (StatusCode::UNAUTHORIZED, HeaderMap::new(), "");
    assert_eq!(sink.write(&[record()]).await.unwrap_err().kind(), SinkErrorKind::Misconfigured);
    *server.answer.lock().unwrap() = (StatusCode::NO_CONTENT, HeaderMap::new(), "");
    sink.write(&[record()]).await.unwrap();
    let tokens: Vec<String> = {
        let seen = server.seen.lock().unwrap();
        seen.iter().map(|seen| seen.headers["authorization"].to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(tokens, ["Token old", "Token old", "Token new"]);
}
