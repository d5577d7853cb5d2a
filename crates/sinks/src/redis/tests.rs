//! Settings by themselves; the sink against a real Redis server behind a proxy that cuts connections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod real_server;

use tidemill_core::{Sink, SinkErrorKind, report};

use super::{Redis, RedisConfig};
use crate::Template;

#[tokio::test]
async fn the_ca_file_counts_wherever_there_is_tls() {
    for (url, kind) in [
        ("rediss://127.0.0.1:1", SinkErrorKind::Misconfigured),
        ("REDISS://127.0.0.1:1", SinkErrorKind::Misconfigured),
        ("valkeys://127.0.0.1:1", SinkErrorKind::Misconfigured),
        ("redis://127.0.0.1:1", SinkErrorKind::Unavailable),
    ] {
        let mut config = RedisConfig::new(url, Template::new("out").unwrap());
        config.ca_file = Some("/no/such/file".into());
        let error = Redis::new(config).open().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{url}");
        if kind == SinkErrorKind::Misconfigured {
            let said = report(&error);
            assert!(said.contains("/no/such/file cannot be read: set ca_file"), "{said}");
        }
    }
}
