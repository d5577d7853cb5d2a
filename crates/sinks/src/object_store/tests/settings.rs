//! Settings as they stand in files, and errors as they are read.

use tidemill_core::{Record, Sink, SinkErrorKind};

use super::super::error::detail;
use super::super::{ObjectCompression, ObjectFormat, ObjectStore, ObjectStoreConfig};

#[test]
fn a_url_is_enough() {
    let config: ObjectStoreConfig = serde_json::from_str(r#"{"url":"/var/lake"}"#).unwrap();
    assert_eq!(config, ObjectStoreConfig::new("/var/lake"));
    assert_eq!(config.format, ObjectFormat::Ndjson { compression: ObjectCompression::Gzip });
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<ObjectStoreConfig>(&text).unwrap(), config);
}

#[cfg(feature = "parquet")]
#[test]
fn columns_stand_in_settings() {
    let text = r#"{"url":"/var/lake","format":{"parquet":{"columns":[
        {"name":"line","type":"string","from":{"template":"{line|}"}},
        {"name":"celsius","type":"double","from":{"field":"/celsius"}},
        {"name":"at","type":"timestamp","from":"time"}]}}}"#;
    let config: ObjectStoreConfig = serde_json::from_str(text).unwrap();
    let ObjectFormat::Parquet(parquet) = config.format else { panic!("no Parquet") };
    assert_eq!(parquet.columns.len(), 3);
    assert_eq!(parquet.columns[1], crate::ParquetColumn::field("celsius", crate::ParquetType::Double, "/celsius"));
}

#[tokio::test]
async fn a_folder_is_made_and_probed_and_shown_without_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}/a/b", dir.path().display());
    let config = ObjectStoreConfig::new(url).secret_option("aws_token", crate::Secret::Text("s3cret".into()));
    let sink = ObjectStore::new(config.clone());
    assert!(!format!("{sink:?} {config:?}").contains("s3cret"));
    assert_eq!(sink.open().await.unwrap_err().kind(), SinkErrorKind::Misconfigured, "a folder has no secrets");
    let mut config = config;
    config.secret_options.clear();
    ObjectStore::new(config.clone()).open().await.unwrap();
    assert!(dir.path().join("a/b/_tidemill").exists());
    config.url = format!("{}/c", *config.url).into();
    config.probe = false;
    let sink = ObjectStore::new(config);
    sink.open().await.unwrap();
    assert!(!dir.path().join("a/b/c/_tidemill").exists());
    sink.write(&[Record::new("1")]).await.unwrap();
    assert!(dir.path().join("a/b/c/date=unknown").exists());
}

#[cfg(feature = "s3")]
#[tokio::test]
async fn an_error_shows_no_one_who_logs_in_with_the_url() {
    let config = ObjectStoreConfig::new("s3://s3cret@lake/readings")
        .option("aws_endpoint", "http://127.0.0.1:1")
        .option("aws_allow_http", "true")
        .option("aws_region", "us-east-1")
        .option("aws_access_key_id", "a")
        .secret_option("aws_secret_access_key", crate::Secret::Text("b".into()));
    let error = ObjectStore::new(config).open().await.unwrap_err();
    let said = tidemill_core::report(&error);
    assert!(said.contains("s3://***@lake/readings") && !said.contains("s3cret"), "{said}");
}

#[cfg(feature = "s3")]
#[tokio::test]
async fn neither_settings_nor_errors_show_who_logs_in_at_a_proxy() {
    for proxy in [
        "http://user:s3cret@127.0.0.1:1",
        "user:s3cret@127.0.0.1:1",
        "//user:s3cret@127.0.0.1:1",
        "user:s3cret@127.0.0.1:99999",
        "x://user:s3cret@127.0.0.1:1",
        "user:s3 cret@[",
    ] {
        let base = ObjectStoreConfig::new("s3://lake/readings")
            .option("aws_endpoint", "http://127.0.0.1:1")
            .option("aws_allow_http", "true")
            .option("aws_region", "us-east-1")
            .option("aws_access_key_id", "a")
            .secret_option("aws_secret_access_key", crate::Secret::Text("b".into()));
        let as_secret = base.clone().secret_option("proxy_url", crate::Secret::Text(proxy.into()));
        for config in [base.option("proxy_url", proxy), as_secret] {
            let settings = format!("{config:?} {}", serde_json::to_string(&config).unwrap());
            let error = ObjectStore::new(config).open().await.unwrap_err();
            let said = format!("{settings} {error:?} {}", tidemill_core::report(&error));
            assert!(!said.contains("s3cret") && !said.contains("cret@"), "{said}");
        }
    }
}

#[test]
fn what_a_store_says_is_shown_without_credentials_and_parameters() {
    let said = format!("{}no answer from http://user:s3cret@h/p", "long ".repeat(55));
    assert!(!detail(&said).contains("s3cret"), "{}", detail(&said));
    for (said, seen) in [
        ("error for url (http://user:s3cret@h:1/p): no route", "error for url (http://***@h:1/p): no route"),
        ("\"user:s3cret@h:1\" is no URL", "\"***@h:1\" is no URL"),
    ] {
        assert_eq!(detail(said), seen);
    }

    let said = "Error performing PUT https://x.blob.core.windows.net/c/o?sig=s3cret&se=1 in 2s (https://h/?t=s3cret)";
    let shown = detail(said);
    assert!(!shown.contains("s3cret") && shown.contains("/c/o in 2s (https://h/)"), "{shown}");
    assert_eq!(detail("<Error><Code>SlowDown</Code><Message>s3cret</Message></Error>"), "SlowDown");
    assert!(detail(&"long ".repeat(1000)).len() < 400);
}
