//! Files as a crash leaves them.

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;
use tidemill_core::{Record, Sink, SinkErrorKind};
use tokio::runtime::Builder;

use super::super::{File, FileConfig};
use super::{assert_error, plain, read, records};

#[tokio::test]
async fn an_unfinished_last_line_is_cut_off() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.ndjson");
    for (found, kept) in [
        ("", ""),
        ("{\"payload\":\"a\"}\n", "{\"payload\":\"a\"}\n"),
        ("{\"payload\":\"a\"}\n{\"payl", "{\"payload\":\"a\"}\n"),
        ("{\"payload\":\"a\"}\n{", "{\"payload\":\"a\"}\n"),
        ("{\"payload\":\"a\"}", ""),
        ("{\"payload\":\"a\"}\n\0\0\0\0", "{\"payload\":\"a\"}\n"),
    ] {
        fs::write(&path, found).unwrap();
        let sink = File::new(FileConfig::new(&path));
        sink.open().await.unwrap();
        assert_eq!(read(&path), kept, "after {found:?}");
        sink.write(&records(&["b"])).await.unwrap();
        assert_eq!(read(&path), format!("{kept}{{\"payload\":\"b\"}}\n"), "after {found:?}");
    }
}

#[tokio::test]
async fn an_unfinished_line_longer_than_a_read_is_cut_off() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.txt");
    let long = "x".repeat(65_536);
    for (found, kept) in
        [(format!("one\n{long}{long}yy"), "one\n"), (format!("one\n{long}"), "one\n"), (format!("{long}{long}"), "")]
    {
        fs::write(&path, found).unwrap();
        File::new(plain(&path)).open().await.unwrap();
        assert_eq!(read(&path), kept);
    }
}

#[tokio::test]
async fn a_file_that_is_not_ours_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.ndjson");
    let found = "{\n  \"report\": 1\n}";
    fs::write(&path, found).unwrap();
    let error = File::new(FileConfig::new(&path)).open().await.unwrap_err();
    assert_error(&error, SinkErrorKind::Misconfigured, &["out.ndjson", "move the file away"]);
    assert_eq!(read(&path), found);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However a crash cuts a file, the records before the cut stay, and what comes next is whole.
    #[test]
    fn a_file_cut_anywhere_keeps_its_whole_lines(
        payloads in proptest::collection::vec("[a-z\n\"]{0,12}", 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("out.ndjson");
        let write = |payloads: Vec<String>| {
            let runtime = Builder::new_current_thread().build().unwrap();
            let batch: Vec<Record> = payloads.into_iter().map(Record::new).collect();
            runtime.block_on(async {
                let sink = File::new(FileConfig::new(&path));
                sink.write(&batch).await.unwrap();
                sink.close().await.unwrap();
            });
        };
        write(payloads);
        let whole = read(&path);
        let cut = cut.index(whole.len() + 1);
        fs::write(&path, &whole[..cut]).unwrap();
        write(vec!["next".to_owned()]);
        let kept = whole[..cut].rfind('\n').map_or("", |at| &whole[..=at]);
        prop_assert_eq!(read(&path), format!("{kept}{{\"payload\":\"next\"}}\n"));
    }
}
