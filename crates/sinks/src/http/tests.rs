//! The sink against a real HTTP server in the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conformance;
mod receiver;

use std::io::Read;
use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use tidemill_core::{Record, Sink, SinkErrorKind, report};
use tidemill_testkit::certificates::Certificates;

use self::receiver::Receiver;
use super::{Http, HttpBody, HttpConfig, HttpSignature};
use crate::{Secret, Template};

fn json(payload: &str) -> Record {
    Record::new(payload.to_owned()).with_content_type("application/json")
}

#[tokio::test]
async fn a_record_becomes_a_request_with_its_place_in_the_url_and_its_headers() {
    let receiver = Receiver::start().await;
    let config = HttpConfig::new(receiver.url("/in/{key}?unit={header:unit|none}"))
        .header("x-site", Template::new("site {field:/site}").unwrap())
        .secret_header("authorization", Secret::Text("Bearer s3cret".into()));
    let sink = Http::new(config);
    sink.open().await.unwrap();
    let record = json(r#"{"site":"north"}"#).with_key("a/../b").with_idempotency_key("id-1");
    sink.write(&[record]).await.unwrap();
    let request = receiver.requests().remove(0);
    assert_eq!(request.uri, "/in/a%2F..%2Fb?unit=none");
    assert_eq!(request.body, br#"{"site":"north"}"#);
    for (name, value) in [
        ("x-site", "site north"),
        ("authorization", "Bearer s3cret"),
        ("idempotency-key", "id-1"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(request.headers[name], value, "{name}");
    }
}

#[tokio::test]
async fn a_batch_becomes_one_request_and_what_is_no_json_is_refused() {
    for (body, text) in [(HttpBody::JsonArray, "[{\"n\":1},2]"), (HttpBody::Ndjson, "{\"n\":1}\n2\n")] {
        let receiver = Receiver::start().await;
        let sink = Http::new(HttpConfig::new(receiver.url("/in/x")).body(body));
        let error = sink.write(&[json("no"), json("{\"n\":1}"), json("{"), json("2")]).await.unwrap_err();
        assert_eq!(error.kind(), SinkErrorKind::Rejected);
        assert_eq!(error.rejections().iter().map(|it| it.index).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(receiver.requests().len(), 1);
        assert_eq!(receiver.requests()[0].body, text.as_bytes());
    }
}

#[tokio::test]
async fn with_its_envelope_any_record_is_json() {
    let receiver = Receiver::start().await;
    let mut config = HttpConfig::new(receiver.url("/in/x")).body(HttpBody::JsonArray);
    config.envelope = true;
    Http::new(config).write(&[Record::new("a\n").with_key("k"), Record::new(&b"\xff"[..])]).await.unwrap();
    let text = r#"[{"key":"k","payload":"a\n"},{"payload_encoding":"base64","payload":"/w=="}]"#;
    assert_eq!(receiver.requests()[0].body, text.as_bytes());
}

#[tokio::test]
async fn a_batch_has_the_same_idempotency_key_when_it_is_sent_again_and_another_one_when_it_differs() {
    let receiver = Receiver::start().await;
    let sink = Http::new(HttpConfig::new(receiver.url("/in/x")).body(HttpBody::Ndjson));
    let record = |key: &str| json("1").with_idempotency_key(key);
    for batch in [vec![record("a"), record("bc")], vec![record("a"), record("bc")], vec![record("ab"), record("c")]] {
        sink.write(&batch).await.unwrap();
    }
    sink.write(&[record("a"), json("1")]).await.unwrap();
    let keys: Vec<_> = receiver.requests().iter().map(|it| it.headers.get("idempotency-key").cloned()).collect();
    assert!(keys[0].is_some() && keys[0] == keys[1] && keys[1] != keys[2]);
    assert_eq!(keys[3], None);
}

#[tokio::test]
async fn a_signature_covers_the_time_and_the_body_before_compression() {
    let receiver = Receiver::start().await;
    let mut config = HttpConfig::new(receiver.url("/in/x"));
    config.signature = Some(HttpSignature::new(Secret::Text("key".into())));
    config.gzip = true;
    Http::new(config).write(&[json("{\"n\":1}")]).await.unwrap();
    let request = receiver.requests().remove(0);
    assert_eq!(request.headers["content-encoding"], "gzip");
    let mut body = Vec::new();
    flate2::read::GzDecoder::new(&request.body[..]).read_to_end(&mut body).unwrap();
    assert_eq!(body, b"{\"n\":1}");
    let signature = request.headers["x-tidemill-signature"].to_str().unwrap();
    let (time, _) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(time.parse().unwrap());
    assert!(SystemTime::now().duration_since(time).unwrap() < Duration::from_secs(60));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"key");
    assert_eq!(signature, super::request::sign(&key, &body, time));
}

#[test]
fn a_signature_is_what_other_implementations_compute() {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"key");
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    // printf '1700000000.{"n":1}' | openssl dgst -sha256 -hmac key
    let signature = super::request::sign(&key, b"{\"n\":1}", time);
    assert_eq!(signature, "t=1700000000,v1=fb65f9bd0a02faafbd7bb3a9fe9f62c2809b0ed738871c173e25db852f7ff138");
}

#[tokio::test]
async fn a_server_that_asks_to_be_left_alone_is_left_alone() {
    let receiver = Receiver::start().await;
    receiver.answer(StatusCode::TOO_MANY_REQUESTS, &[("retry-after", "7")]);
    let error = Http::new(HttpConfig::new(receiver.url("/in/x"))).write(&[json("1")]).await.unwrap_err();
    assert_eq!(error.kind(), SinkErrorKind::Unavailable);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_says_where_to() {
    let receiver = Receiver::start().await;
    let elsewhere = Receiver::start().await;
    let location = format!("http://{}/in/x?token=s3cret", elsewhere.addr);
    receiver.answer(StatusCode::TEMPORARY_REDIRECT, &[("location", &location)]);
    let error = Http::new(HttpConfig::new(receiver.url("/in/x"))).write(&[json("1")]).await.unwrap_err();
    assert_eq!(error.kind(), SinkErrorKind::Misconfigured);
    let text = report(&error);
    assert!(text.contains(&elsewhere.addr.to_string()) && !text.contains("s3cret"), "{text}");
    assert_eq!(elsewhere.requests().len(), 0);
}

#[tokio::test]
async fn a_server_that_takes_its_time_is_unavailable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/in?token=s3cret", listener.local_addr().unwrap());
    let mut config = HttpConfig::new(Template::new(&url).unwrap());
    config.timeout = Duration::from_millis(50);
    let error = Http::new(config).write(&[json("1")]).await.unwrap_err();
    assert_eq!(error.kind(), SinkErrorKind::Unavailable);
    let text = format!("{} {error:?}", report(&error));
    assert!(text.contains("did not answer in time") && !text.contains("s3cret"), "{text}");
}

#[tokio::test]
async fn a_secret_that_was_renewed_is_read_again_after_it_was_refused() {
    let receiver = Receiver::start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "old\n").unwrap();
    let config = HttpConfig::new(receiver.url("/in/x"));
    let sink = Http::new(config.secret_header("authorization", Secret::File(file.path().into())));
    sink.open().await.unwrap();
    receiver.answer(StatusCode::UNAUTHORIZED, &[]);
    assert_eq!(sink.write(&[json("1")]).await.unwrap_err().kind(), SinkErrorKind::Misconfigured);
    receiver.answer(StatusCode::OK, &[]);
    std::fs::write(file.path(), "new\n").unwrap();
    sink.write(&[json("1")]).await.unwrap();
    assert_eq!(receiver.requests().last().unwrap().headers["authorization"], "new");
}

#[tokio::test]
async fn mistakes_in_the_settings_are_found_when_it_is_opened() {
    let template = |text: &str| Template::new(text).unwrap();
    let config = |url: &str| HttpConfig::new(template(url));
    for (config, part) in [
        (config("ftp://h/"), "does not begin with http"),
        (config("{line}"), "does not begin with http"),
        (config("http://{line}/x"), "hosts are fixed"),
        (config("http://h{line}.example.org/x"), "hosts are fixed"),
        (config("http://u:s3cret@h/"), "put them into secret_headers"),
        (config("http:///"), "write it as in"),
        (config("http://h/{key}").body(HttpBody::Ndjson), "use the body `record`"),
        (config("http://h/").body(HttpBody::JsonArray).header("x-key", template("{key}")), "header x-key"),
        (config("http://h/").header("x key", template("1")), "\"x key\""),
        (config("http://h/").header("Authorization", template("Bearer s3cret")), "put it into secret_headers"),
        (config("http://h/").header("cookie", template("session=s3cret")), "put it into secret_headers"),
        (config("http://h/").header("x-api-key", template("s3cret")), "put it into secret_headers"),
        (config("http://h/").secret_header("x", Secret::Env("TIDEMILL_NO_SUCH_VARIABLE".into())), "is not set"),
        (config("http://h/").secret_header("x", Secret::Text("s3cret\n1".into())), "not allow"),
    ] {
        let shown = format!("{config:?} {}", serde_json::to_string(&config).unwrap());
        let sink = Http::new(config);
        let error = sink.open().await.unwrap_err();
        let text = format!("{} {error:?} {sink:?} {shown}", report(&error));
        assert_eq!(error.kind(), SinkErrorKind::Misconfigured, "{text}");
        assert!(text.contains(part) && !text.contains("s3cret"), "{text} should say {part}");
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_refused_and_one_from_the_file_is_not() {
    let receiver = Receiver::start_tls().await;
    let mut config = HttpConfig::new(receiver.url("/in/x"));
    let others = Certificates::for_hosts(["localhost"]).unwrap();
    config.ca_file = Some(others.ca());
    let error = Http::new(config.clone()).write(&[json("1")]).await.unwrap_err();
    assert!(report(&error).contains("invalid peer certificate"), "{}", report(&error));
    config.ca_file = receiver.ca_file();
    Http::new(config).write(&[json("1")]).await.unwrap();
    assert_eq!(receiver.requests().len(), 1);
}

#[test]
fn settings_refuse_strangers_and_have_defaults() {
    let least: HttpConfig = serde_json::from_str("{\"url\":\"http://h/\"}").unwrap();
    assert_eq!(least, HttpConfig::new(Template::new("http://h/").unwrap()));
    let full = r#"{"url":"http://h/{key}","body":"ndjson","timeout":"3s","secret_headers":{"a":{"env":"A"}}}"#;
    let full: HttpConfig = serde_json::from_str(full).unwrap();
    assert_eq!((full.body, full.timeout), (HttpBody::Ndjson, Duration::from_secs(3)));
    assert!(serde_json::from_str::<HttpConfig>("{\"url\":\"http://h/\",\"retries\":3}").is_err());
    assert!(serde_json::to_string(&schemars::schema_for!(HttpConfig)).unwrap().contains("idempotent_receiver"));
}
