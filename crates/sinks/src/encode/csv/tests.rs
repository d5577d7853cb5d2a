//! Rows are read back with the `csv` crate, as a reader of the file would.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::collection::vec;
use proptest::prelude::*;
use tidemill_core::Record;
use tidemill_core::topic::TopicName;

use super::super::{Encoder, Shape};
use super::{CsvColumn, CsvError, CsvFormat};
use crate::Template;

fn template(text: &str) -> Template {
    Template::new(text).unwrap()
}

/// The header and the rows of a file with this format, and why records are refused.
fn write(format: &CsvFormat, batch: &[Record]) -> (Vec<u8>, Vec<(usize, String)>) {
    let encoded = Encoder::new(Shape::Row(format.clone())).encode(batch);
    let refused = encoded.rejections.into_iter().map(|it| (it.index, it.reason)).collect();
    ([format.header(), encoded.lines].concat(), refused)
}

fn read(text: &[u8]) -> Vec<Vec<String>> {
    let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(text);
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}

/// Text with what CSV is made of.
fn cell() -> impl Strategy<Value = String> {
    prop_oneof!["[a,\"\r\n ;']{0,8}", any::<String>().prop_map(|text| text.replace('\0', ""))]
}

proptest! {
    #[test]
    fn any_text_in_any_cell_is_read_back(rows in vec(vec(cell(), 3), 0..5), names in vec("[a-z,\" ]{1,6}", 3)) {
        let columns = names.iter().enumerate().map(|(at, name)| {
            CsvColumn::template(format!("{at}{name}"), template(&format!("{{header:c{at}|}}")))
        });
        let format = CsvFormat::new(columns).unwrap();
        let record = |row: &Vec<String>| {
            let headers = row.iter().enumerate().map(|(at, cell)| (format!("c{at}"), cell.clone())).collect();
            let mut record = Record::new("");
            record.headers = headers;
            record
        };
        let (text, refused) = write(&format, &rows.iter().map(record).collect::<Vec<_>>());
        prop_assert!(refused.is_empty());
        let header = names.iter().enumerate().map(|(at, name)| format!("{at}{name}")).collect();
        let wanted: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
        prop_assert_eq!(read(&text), wanted);
    }

    #[test]
    fn a_single_column_has_a_row_for_every_record_an_empty_one_too(rows in vec(cell(), 0..5)) {
        let format = CsvFormat::new([CsvColumn::payload("raw")]).unwrap();
        let batch: Vec<Record> = rows.iter().cloned().map(Record::new).collect();
        let (text, _) = write(&format, &batch);
        prop_assert_eq!(read(&text)[1..].iter().map(|row| row[0].clone()).collect::<Vec<_>>(), rows);
    }

    #[test]
    fn a_row_ends_at_the_first_line_break_after_an_even_number_of_quotes(rows in vec(cell(), 1..5)) {
        let format = CsvFormat::new([CsvColumn::payload("raw"), CsvColumn::payload("again")]).unwrap();
        let batch: Vec<Record> = rows.iter().cloned().map(Record::new).collect();
        let (text, _) = write(&format, &batch);
        let mut quotes = 0;
        let ends = text.iter().filter(|byte| {
            quotes += usize::from(**byte == b'"');
            **byte == b'\n' && quotes % 2 == 0
        });
        prop_assert_eq!(ends.count(), rows.len() + 1);
    }
}

#[test]
fn a_file_looks_like_this() {
    let format = CsvFormat::new([
        CsvColumn::template("topic", template("{topic}")),
        CsvColumn::template("unit, or none", template("{header:unit|none}")),
        CsvColumn::field("celsius", "/reading/celsius"),
        CsvColumn::field("ok", "/ok"),
        CsvColumn::field("tags", "/tags"),
    ])
    .unwrap();
    let record = |payload: &'static str| {
        let mut record = Record::new(payload);
        record.topic = Some(TopicName::new("plant/7").unwrap());
        record
    };
    let batch = [
        record(r#"{"reading":{"celsius":21.5},"ok":true,"tags":["a","b"]}"#).with_header("unit", "\"C\""),
        record(r#"{"ok":null}"#),
    ];
    let (text, refused) = write(&format, &batch);
    assert_eq!(refused, []);
    let wanted = "topic,\"unit, or none\",celsius,ok,tags\n\
                  plant/7,\"\"\"C\"\"\",21.5,true,\"[\"\"a\"\",\"\"b\"\"]\"\n\
                  plant/7,none,,,\n";
    assert_eq!(String::from_utf8(text).unwrap(), wanted);
}

#[test]
fn a_record_that_has_not_what_a_column_asks_for_is_refused_alone_with_the_column() {
    let columns = [
        CsvColumn::template("line", template("{line|}")),
        CsvColumn::template("key", template("{key}")),
        CsvColumn::field("n", "/n"),
        CsvColumn::payload("raw"),
    ];
    let format = CsvFormat::new(columns).unwrap();
    let good = || Record::new("{}").with_key("k");
    let batch = [Record::new("{}"), good(), Record::new("s3cret").with_key("k"), good()];
    let (text, refused) = write(&format, &batch);
    assert_eq!(read(&text).len(), 3);
    assert_eq!(refused.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 2]);
    assert!(refused[0].1.contains("column \"key\"") && refused[0].1.contains("fallback"), "{refused:?}");
    assert_eq!(refused[1].1, "column \"n\": the payload is not JSON");
    let raw = CsvFormat::new([CsvColumn::payload("raw")]).unwrap();
    let (_, refused) = write(&raw, &[Record::new(&b"\xff"[..])]);
    assert!(refused[0].1.contains("not UTF-8"), "{refused:?}");
    let (text, refused) = write(&raw, &[Record::new("a\0b")]);
    assert!(refused[0].1.contains("null character") && text == b"raw\n", "{refused:?}");
}

#[test]
fn columns_that_no_file_can_have_are_named() {
    let payload = CsvColumn::payload;
    for (columns, wanted) in [
        (vec![], CsvError::NoColumns),
        (vec![payload("")], CsvError::BadName(String::new())),
        (vec![payload("a\nb")], CsvError::BadName("a\nb".into())),
        (vec![payload("a"), payload("b"), payload("a")], CsvError::TwiceNamed("a".into())),
        (vec![CsvColumn::field("a", "b")], CsvError::BadPointer("a".into())),
    ] {
        let error = CsvFormat::new(columns).unwrap_err();
        assert!(error.to_string().contains("column"), "{error}");
        assert_eq!(error, wanted);
    }
}

#[test]
fn settings_round_trip_and_are_checked() {
    let text = r#"{"columns":[{"name":"line","value":{"template":"{line}"}},
        {"name":"celsius","value":{"field":"/celsius"}},{"name":"raw","value":"payload"}]}"#;
    let wanted = CsvFormat::new([
        CsvColumn::template("line", template("{line}")),
        CsvColumn::field("celsius", "/celsius"),
        CsvColumn::payload("raw"),
    ]);
    let found: CsvFormat = serde_json::from_str(text).unwrap();
    assert_eq!(Ok(&found), wanted.as_ref());
    assert_eq!(serde_json::from_str::<CsvFormat>(&serde_json::to_string(&found).unwrap()).unwrap(), found);
    let error = serde_json::from_str::<CsvFormat>(r#"{"columns":[]}"#).unwrap_err();
    assert!(error.to_string().contains("name at least one"), "{error}");
    assert!(serde_json::from_str::<CsvFormat>(r#"{"columns":[],"delimiter":";"}"#).is_err());
    let schema = serde_json::to_string(&schemars::schema_for!(CsvFormat)).unwrap();
    assert!(schema.contains("\"columns\"") && schema.contains("\"field\""), "{schema}");
}
