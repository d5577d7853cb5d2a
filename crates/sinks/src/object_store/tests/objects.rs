//! Reads objects back, by their names' ends.

use std::io::Read;

use serde_json::Value;
use tidemill_testkit::sink_conformance::Seen;

/// The records of an object in their order.
pub(super) fn records(name: &str, bytes: &[u8]) -> Vec<Seen> {
    if name.ends_with(".parquet") {
        return rows(bytes);
    }
    let mut text = Vec::new();
    if name.ends_with(".gz") {
        flate2::read::GzDecoder::new(bytes).read_to_end(&mut text).unwrap();
    } else if name.ends_with(".zst") {
        text = zstd::decode_all(bytes).unwrap();
    } else {
        text.extend_from_slice(bytes);
    }
    let lines = text.strip_suffix(b"\n").expect("the last line is whole").split(|byte| *byte == b'\n');
    lines.map(line).collect()
}

fn bytes_of(value: &Value, encoding: &Value) -> Vec<u8> {
    use base64::Engine;
    match (value, encoding.as_str()) {
        (Value::String(text), Some("base64")) => base64::engine::general_purpose::STANDARD.decode(text).unwrap(),
        (Value::String(text), _) => text.clone().into_bytes(),
        // The records of the suite are written by `format!`, with their members in this order.
        (value, _) => format!("{{\"number\":{},\"key\":{}}}", value["number"], value["key"]).into_bytes(),
    }
}

fn line(line: &[u8]) -> Seen {
    let line: Value = serde_json::from_slice(line).unwrap();
    let seen = Seen::new(bytes_of(&line["payload"], &line["payload_encoding"]));
    if line["key"].is_null() { seen } else { seen.with_key(bytes_of(&line["key"], &line["key_encoding"])) }
}

#[cfg(feature = "parquet")]
pub(super) fn batches(bytes: &[u8]) -> Vec<arrow_array::RecordBatch> {
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::copy_from_slice(bytes)).unwrap();
    builder.build().unwrap().map(Result::unwrap).collect()
}

#[cfg(feature = "parquet")]
fn rows(bytes: &[u8]) -> Vec<Seen> {
    use arrow_array::cast::AsArray;
    let of_batch = |batch: arrow_array::RecordBatch| {
        let payloads = batch.column_by_name("payload").unwrap().as_binary::<i32>();
        let keys = batch.column_by_name("key").unwrap().as_binary::<i32>();
        let row = |(payload, key): (Option<&[u8]>, Option<&[u8]>)| {
            let seen = Seen::new(payload.unwrap().to_vec());
            key.map_or_else(|| seen.clone(), |key| seen.clone().with_key(key.to_vec()))
        };
        payloads.iter().zip(keys.iter()).map(row).collect::<Vec<_>>()
    };
    batches(bytes).into_iter().flat_map(of_batch).collect()
}

#[cfg(not(feature = "parquet"))]
fn rows(_: &[u8]) -> Vec<Seen> {
    panic!("built without parquet")
}
