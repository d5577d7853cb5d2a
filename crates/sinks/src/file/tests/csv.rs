//! Files of CSV: their header, and what a crash leaves of rows with line breaks in them.

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;
use tidemill_core::{Record, Sink, SinkErrorKind};
use tokio::runtime::Builder;

use super::super::{File, FileConfig, FileFormat, RotateConfig};
use super::faults::{Faults, Plan};
use super::{assert_error, names, read, records};
use crate::{CsvColumn, CsvFormat};

fn format() -> FileFormat {
    CsvFormat::new([CsvColumn::payload("first, raw"), CsvColumn::payload("again")]).unwrap().into()
}

const HEADER: &str = "\"first, raw\",again\n";

fn config(path: &std::path::Path) -> FileConfig {
    FileConfig::new(path).format(format())
}

#[tokio::test]
async fn every_file_begins_with_one_header() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.csv");
    for payload in ["one", "two"] {
        let sink = File::new(config(&path));
        sink.open().await.unwrap();
        sink.write(&records(&[payload, payload])).await.unwrap();
        sink.close().await.unwrap();
    }
    assert_eq!(read(&path), format!("{HEADER}one,one\none,one\ntwo,two\ntwo,two\n"));
    let sink = File::new(config(&path).rotate(RotateConfig::default().max_bytes(1)));
    sink.write(&records(&["three"])).await.unwrap();
    assert_eq!(names(dir.path()).len(), 2);
    assert_eq!(read(&path), format!("{HEADER}three,three\n"));
}

#[tokio::test]
async fn a_file_that_others_emptied_begins_with_a_header_again() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.csv");
    let sink = File::new(config(&path));
    sink.write(&records(&["one"])).await.unwrap();
    fs::write(&path, "").unwrap();
    sink.write(&records(&["two"])).await.unwrap();
    assert_eq!(read(&path), format!("{HEADER}two,two\n"));
}

#[tokio::test]
async fn a_disk_that_is_full_within_the_header_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.csv");
    let faults = Faults::default();
    let sink = File::on(config(&path), faults.disk());
    for room in [0, 3] {
        *faults.plan() = Plan { room: Some(room), ..Plan::default() };
        let error = sink.write(&records(&["one"])).await.unwrap_err();
        assert_error(&error, SinkErrorKind::Unavailable, &["out.csv", "free some space"]);
        assert_eq!(read(&path), "");
    }
    faults.plan().room = None;
    sink.write(&records(&["one"])).await.unwrap();
    assert_eq!(read(&path), format!("{HEADER}one,one\n"));
}

#[tokio::test]
async fn a_file_with_other_columns_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out.csv");
    for found in ["first\n1\n", "no lines at all", "\"first, raw\",again,more\n", "\n"] {
        fs::write(&path, found).unwrap();
        let error = File::new(config(&path)).open().await.unwrap_err();
        assert_error(
            &error,
            SinkErrorKind::Misconfigured,
            &["out.csv", "header of these columns", "give another path"],
        );
        assert_eq!(read(&path), found);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However a crash cuts a file, the rows before the cut stay, and what comes next is whole.
    #[test]
    fn a_file_cut_anywhere_keeps_its_whole_rows(
        payloads in proptest::collection::vec("[a\n\",]{0,9}", 1..6),
        cut in any::<prop::sample::Index>(),
        zeros in 0..3_usize,
    ) {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("out.csv");
        let write = |payloads: &[String]| {
            let runtime = Builder::new_current_thread().build().unwrap();
            let batch: Vec<Record> = payloads.iter().cloned().map(Record::new).collect();
            runtime.block_on(async {
                let sink = File::new(config(&path));
                sink.write(&batch).await.unwrap();
                sink.close().await.unwrap();
            });
            fs::read(&path).unwrap().len()
        };
        // Where the row of each record ends, told by writing them one by one.
        let ends: Vec<usize> = payloads.iter().map(|payload| write(std::slice::from_ref(payload))).collect();
        let whole = read(&path);
        let cut = cut.index(whole.len() + 1);
        fs::write(&path, [&whole.as_bytes()[..cut], &vec![0; zeros][..]].concat()).unwrap();
        write(&["next".to_owned()]);
        let kept = ends.iter().filter(|end| **end <= cut).count();
        let text = read(&path);
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        let found: Vec<String> = reader.records().map(|row| row.unwrap()[0].to_owned()).collect();
        let wanted: Vec<String> = payloads[..kept].iter().cloned().chain(["next".to_owned()]).collect();
        prop_assert_eq!(found, wanted);
    }
}

#[test]
fn settings_name_the_format_and_its_columns() {
    let text = r#"{"path":"out.csv","format":{"csv":{"columns":[{"name":"first, raw","value":"payload"},
        {"name":"again","value":"payload"}]}}}"#;
    let found: FileConfig = serde_json::from_str(text).unwrap();
    assert_eq!(found, FileConfig::new("out.csv").format(format()));
    assert_eq!(serde_json::from_str::<FileConfig>(&serde_json::to_string(&found).unwrap()).unwrap(), found);
}
