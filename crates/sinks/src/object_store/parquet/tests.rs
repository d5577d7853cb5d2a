//! Which values columns take, and that a refused row leaves nothing behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, UNIX_EPOCH};

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use object_store::path::Path;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tidemill_core::Record;

use super::super::partition::Partition;
use super::config::check;
use super::datum::{Datum, datum};
use super::*;
use crate::{ColumnSource, Fields, Template};

fn json(kind: ParquetType, value: &str) -> Option<String> {
    let record = Record::new(format!(r#"{{"v":{value}}}"#));
    let column = ParquetColumn::field("v", kind, "/v");
    datum(&column, &Fields::new(&record), false).ok().map(|datum| format!("{datum:?}"))
}

fn text(kind: ParquetType, value: &str) -> Option<String> {
    let record = Record::new("x").with_header("v", value);
    let column = ParquetColumn::new("v", kind, ColumnSource::Template(Template::new("{header:v|}").unwrap()));
    datum(&column, &Fields::new(&record), false).ok().map(|datum| format!("{datum:?}"))
}

#[test]
fn a_value_fits_its_type_or_is_refused() {
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(json(ParquetType::Int64, "-5"), some("Int(-5)"));
    assert_eq!(json(ParquetType::Int64, "5.5"), None);
    assert_eq!(json(ParquetType::Int64, "9223372036854775808"), None);
    assert_eq!(json(ParquetType::Int64, r#""5""#), None);
    assert_eq!(text(ParquetType::Int64, "5"), some("Int(5)"));
    assert_eq!(text(ParquetType::Int64, "five"), None);
    assert_eq!(json(ParquetType::Double, "5"), some("Double(5.0)"));
    assert_eq!(json(ParquetType::Double, "true"), None);
    assert_eq!(json(ParquetType::Bool, "true"), some("Bool(true)"));
    assert_eq!(json(ParquetType::Bool, "1"), None);
    assert_eq!(json(ParquetType::String, "1.50"), some(r#"Text("1.5")"#));
    assert_eq!(json(ParquetType::String, r#"{"a":[1]}"#), some(r#"Text("{\"a\":[1]}")"#));
    assert_eq!(json(ParquetType::Timestamp, r#""1970-01-01T00:00:01.5Z""#), some("Micros(1500000)"));
    assert_eq!(json(ParquetType::Timestamp, r#""1970-01-01T01:00:00+01:00""#), some("Micros(0)"));
    assert_eq!(json(ParquetType::Timestamp, "0"), None);
    assert_eq!(json(ParquetType::TimestampMillis, "1500"), some("Micros(1500000)"));
    assert_eq!(json(ParquetType::TimestampMillis, "9223372036854775807"), None);
    assert_eq!(json(ParquetType::Int64, "null"), some("Null"));
    assert_eq!(text(ParquetType::Int64, ""), some("Null"));
}

#[test]
fn what_is_absent_is_null_and_what_is_no_json_is_refused() {
    let column = ParquetColumn::field("v", ParquetType::Double, "/a/v");
    assert_eq!(datum(&column, &Fields::new(&Record::new("{}")), false), Ok(Datum::Null));
    let reason = datum(&column, &Fields::new(&Record::new("secret")), false).unwrap_err();
    assert!(reason.contains("\"v\"") && !reason.contains("secret"), "{reason}");
}

#[test]
fn headers_are_an_object_in_text_or_bytes() {
    let record = Record::new("x").with_header("unit", "C").with_header("unit", "K");
    for (kind, found) in [
        (ParquetType::String, Datum::Text(r#"{"unit":"K"}"#.into())),
        (ParquetType::Binary, Datum::Bytes(br#"{"unit":"K"}"#.into())),
    ] {
        let column = ParquetColumn::new("headers", kind, ColumnSource::Headers);
        assert_eq!(datum(&column, &Fields::new(&record), false), Ok(found));
    }
}

#[test]
fn a_refused_row_leaves_nothing_behind_and_null_is_for_those_who_want_it() {
    let columns = || {
        [
            ParquetColumn::new("at", ParquetType::Timestamp, ColumnSource::Time),
            ParquetColumn::field("celsius", ParquetType::Double, "/celsius"),
            ParquetColumn::field("count", ParquetType::Int64, "/count"),
        ]
    };
    let at = UNIX_EPOCH + Duration::from_millis(1500);
    let batch: Vec<Record> = [r#"{"celsius":1,"count":1}"#, r#"{"celsius":2,"count":"x"}"#, r#"{"count":3}"#]
        .map(|payload| Record::new(payload).with_time(at))
        .into();
    let partition = Partition { folder: Path::default(), records: vec![0, 1, 2] };
    let read = |config: ParquetConfig| {
        let object = object(&config, &batch, &partition).unwrap();
        let bytes = bytes::Bytes::from(object.body.into_pieces().concat());
        let mut reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
        (reader.next().unwrap().unwrap(), object.rejections)
    };

    let (rows, rejections) = read(ParquetConfig::new(columns()));
    assert_eq!(rejections.len(), 1);
    assert_eq!(rejections[0].index, 1);
    assert!(rejections[0].reason.contains("column \"count\": the value is no whole number"), "{rejections:?}");
    assert_eq!(rows.column(0).as_primitive::<TimestampMicrosecondType>().values(), &[1_500_000, 1_500_000]);
    let celsius = rows.column(1).as_primitive::<Float64Type>();
    assert_eq!((celsius.value(0), celsius.is_null(1)), (1.0, true));
    assert_eq!(rows.column(2).as_primitive::<Int64Type>().values(), &[1, 3]);

    let (rows, rejections) = read(ParquetConfig::new(columns()).mismatch_as_null(true));
    assert_eq!(rejections, []);
    assert!(rows.num_rows() == 3 && rows.column(2).is_null(1));
}

#[test]
fn null_stands_for_a_value_of_another_type_and_for_nothing_else() {
    let header = ColumnSource::Template(Template::new("{header:n}").unwrap());
    let columns =
        [ParquetColumn::field("v", ParquetType::Double, "/v"), ParquetColumn::new("n", ParquetType::Int64, header)];
    let batch = [
        Record::new(r#"{"v":"warm"}"#).with_header("n", "five"),
        Record::new("no JSON").with_header("n", "5"),
        Record::new(r#"{"v":1}"#),
    ];
    let partition = Partition { folder: Path::default(), records: vec![0, 1, 2] };
    let object = object(&ParquetConfig::new(columns).mismatch_as_null(true), &batch, &partition).unwrap();
    assert_eq!(object.records, 1);
    assert_eq!(object.rejections.iter().map(|one| one.index).collect::<Vec<_>>(), [1, 2]);
    assert!(object.rejections[0].reason.contains("the payload is not JSON"), "{:?}", object.rejections);
}

#[test]
fn mistakes_in_columns_are_named() {
    let text = |columns: Vec<ParquetColumn>| {
        let error = check(&ParquetConfig::new(columns)).unwrap_err();
        tidemill_core::report(&error)
    };
    let a = || ParquetColumn::field("a", ParquetType::Int64, "/a");
    assert!(text(vec![]).contains("has no columns"));
    assert!(text(vec![a(), a()]).contains("that of another column"));
    assert!(text(vec![ParquetColumn::field("a", ParquetType::Int64, "a")]).contains("begins with a slash"));
    assert!(
        text(vec![ParquetColumn::new("a", ParquetType::Bool, ColumnSource::Time)]).contains("a timestamp or a string")
    );
    let headers = |kind| vec![ParquetColumn::new("a", kind, ColumnSource::Headers)];
    assert!(text(headers(ParquetType::Int64)).contains("a string or bytes"));
    check(&ParquetConfig::new(headers(ParquetType::String))).unwrap();
    check(&ParquetConfig::default()).unwrap();
}
