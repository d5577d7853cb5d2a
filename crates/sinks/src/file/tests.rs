//! The sink over real files. Faults that a real disk will not give on demand come from `faults`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(all(feature = "gzip", feature = "zstd"))]
mod compress;
mod conformance;
#[cfg(feature = "csv")]
mod csv;
mod faults;
mod host;
mod recovery;
mod rotation;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tidemill_core::{Record, Sink, SinkError, SinkErrorKind, report};

use super::{File, FileConfig, Fsync, RotateConfig};
use crate::LineFormat;

/// Settings under which a file shows just the payloads.
fn plain(path: impl Into<PathBuf>) -> FileConfig {
    FileConfig::new(path).format(LineFormat::Lines)
}

fn records(payloads: &[&str]) -> Vec<Record> {
    payloads.iter().map(|payload| Record::new(payload.to_string())).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// All files of a directory in the order of their names, without the directory.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn assert_error(error: &SinkError, kind: SinkErrorKind, parts: &[&str]) {
    let text = report(error);
    assert_eq!(error.kind(), kind, "{text}");
    for part in parts {
        assert!(text.contains(part), "{text:?} should say {part:?}");
    }
}

#[tokio::test]
async fn writes_batches_in_order_and_creates_directories() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a/b/out.ndjson");
    let sink = File::new(FileConfig::new(&path));
    assert!(sink.traits().ordered && !sink.traits().idempotent);
    sink.open().await.unwrap();
    sink.write(&records(&["one", "two\n"])).await.unwrap();
    sink.write(&records(&["three"])).await.unwrap();
    sink.close().await.unwrap();
    assert_eq!(read(&path), "{\"payload\":\"one\"}\n{\"payload\":\"two\\n\"}\n{\"payload\":\"three\"}\n");
    assert_eq!(names(path.parent().unwrap()), ["out.ndjson"]);
}

#[tokio::test]
async fn refuses_what_cannot_be_a_line_and_writes_the_others() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.txt");
    let sink = File::new(plain(&path));
    let error = sink.write(&records(&["a", "b\nc", "d"])).await.unwrap_err();
    assert_eq!(error.kind(), SinkErrorKind::Rejected);
    assert_eq!(error.rejections()[0].index, 1);
    assert_eq!(read(&path), "a\nd\n");
    let error = sink.write(&records(&["\n"])).await.unwrap_err();
    assert_eq!(error.kind(), SinkErrorKind::Rejected);
    assert_eq!(read(&path), "a\nd\n");
}

#[tokio::test]
async fn appends_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.txt");
    for payload in ["one", "two"] {
        let sink = File::new(plain(&path));
        sink.open().await.unwrap();
        sink.write(&records(&[payload])).await.unwrap();
        sink.close().await.unwrap();
    }
    assert_eq!(read(&path), "one\ntwo\n");
}

#[tokio::test]
async fn a_second_sink_on_the_same_path_fails_until_the_first_is_closed() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.txt");
    let first = File::new(plain(&path));
    first.open().await.unwrap();
    // Another spelling of the same path.
    let link = dir.path().join("link.txt");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for path in [&path, &link] {
        let second = File::new(plain(path));
        let error = second.open().await.unwrap_err();
        assert_error(&error, SinkErrorKind::Misconfigured, &["out.txt", "path of its own"]);
    }
    first.write(&records(&["one"])).await.unwrap();
    first.close().await.unwrap();
    let second = File::new(plain(&path));
    second.open().await.unwrap();
    second.write(&records(&["two"])).await.unwrap();
    assert_eq!(read(&path), "one\ntwo\n");
}

#[tokio::test]
async fn paths_that_cannot_be_written_are_named_with_the_way_out() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let missing = dir.path().join("missing/out.txt");
    for (config, parts) in [
        (plain(dir.path()), ["tmp", "not a regular file"]),
        (plain("/dev/full"), ["/dev/full", "use the stdout sink"]),
        (plain(dir.path().join("file/out.txt")), ["file", "a part of the path is a file"]),
        (plain(missing).create_dirs(false), ["missing/out.txt", "create its directory, or set create_dirs"]),
        (plain(""), ["names no file", "add a file name"]),
        (plain(dir.path().join("x".repeat(300))), ["xxx", "choose another name"]),
    ] {
        let error = File::new(config).open().await.unwrap_err();
        assert_error(&error, SinkErrorKind::Misconfigured, &parts);
    }
}

#[tokio::test]
async fn a_file_that_others_take_away_is_begun_anew() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.txt");
    let sink = File::new(plain(&path));
    sink.write(&records(&["one"])).await.unwrap();
    fs::rename(&path, dir.path().join("taken.txt")).unwrap();
    sink.write(&records(&["two"])).await.unwrap();
    fs::remove_file(&path).unwrap();
    sink.write(&records(&["three"])).await.unwrap();
    assert_eq!(read(&dir.path().join("taken.txt")), "one\n");
    assert_eq!(read(&path), "three\n");
}

#[test]
fn settings_round_trip_and_refuse_strangers() {
    let least: FileConfig = serde_json::from_str("{\"path\":\"out.ndjson\"}").unwrap();
    assert_eq!(least, FileConfig::new("out.ndjson"));
    let text = r#"{"path":"out.txt","format":"lines","rotate":{"max_bytes":1000,"max_age":"1h","keep":3},
        "fsync":{"interval":"500ms"},"create_dirs":false}"#;
    let full: FileConfig = serde_json::from_str(text).unwrap();
    let rotate = RotateConfig::default().max_bytes(1000).max_age(Duration::from_secs(3600)).keep(3);
    let wanted = plain("out.txt").rotate(rotate).fsync(Fsync::Interval(Duration::from_millis(500)));
    assert_eq!(full, wanted.create_dirs(false));
    assert_eq!(serde_json::from_str::<FileConfig>(&serde_json::to_string(&full).unwrap()).unwrap(), full);
    for (policy, wanted) in [("\"never\"", Fsync::Never), ("\"batch\"", Fsync::Batch)] {
        assert_eq!(serde_json::from_str::<Fsync>(policy).unwrap(), wanted);
    }
    assert!(serde_json::from_str::<FileConfig>("{}").is_err());
    assert!(serde_json::from_str::<FileConfig>("{\"path\":\"a\",\"keep\":1}").is_err());
    assert!(serde_json::from_str::<FileConfig>("{\"path\":\"a\",\"rotate\":{\"max_age\":5}}").is_err());
    let schema = serde_json::to_string(&schemars::schema_for!(FileConfig)).unwrap();
    assert!(schema.contains("max_bytes") && schema.contains("interval"), "{schema}");
}
