//! Every record is in exactly one object or refused, and comes back byte by byte.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use object_store::path::Path;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tidemill_core::Record;

use super::super::body::{Body, PIECE_BYTES};
use super::super::encode;
use super::super::name::Name;
use super::super::partition::partitions;
use super::super::{ObjectCompression, ObjectFormat};
use super::objects;
use crate::Template;

/// Few keys, so that records meet; some are no text, some would break out of a folder.
fn record() -> impl Strategy<Value = Record> {
    let key = prop_oneof![
        Just(b"a".to_vec()),
        Just(b"..".to_vec()),
        Just(b"../b".to_vec()),
        Just(b"x/y z%".to_vec()),
        Just(vec![0xff]),
        vec(any::<u8>(), 0..3),
    ];
    (vec(any::<u8>(), 0..40), option::of(key), option::of(0..3_u64), any::<bool>()).prop_map(
        |(payload, key, days, has_header)| {
            let mut record = Record::new(payload);
            record.key = key.map(Into::into);
            record.time = days.map(|days| UNIX_EPOCH + Duration::from_hours(24 * days));
            if has_header { record.with_header("unit", "\u{b0}C") } else { record }
        },
    )
}

fn formats() -> Vec<ObjectFormat> {
    use ObjectCompression::{Gzip, None, Zstd};
    #[allow(unused_mut)]
    let mut formats: Vec<_> = [None, Gzip, Zstd].map(|compression| ObjectFormat::Ndjson { compression }).into();
    #[cfg(feature = "parquet")]
    formats.push(ObjectFormat::Parquet(crate::ParquetConfig::default()));
    formats
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_record_is_in_one_object_and_comes_back(batch in vec(record(), 1..60)) {
        let template = Template::new("/by={key|none}//{time:%d|}/").unwrap();
        let prefix = Path::from("lake");
        let mut rejections = Vec::new();
        let partitions = partitions(&prefix, &template, &batch, &mut rejections);

        // The naive model: a folder per pair of key and day; what has no such folder is refused.
        let mut model: BTreeMap<(Option<&str>, Option<Duration>), Vec<usize>> = BTreeMap::new();
        let mut refused = Vec::new();
        for (index, record) in batch.iter().enumerate() {
            let key = record.key.as_ref().map(|key| std::str::from_utf8(key));
            let day = record.time.map(|time| time.duration_since(UNIX_EPOCH).unwrap());
            match key {
                // After `by=` two dots are a name like any other.
                Some(Err(_)) => refused.push(index),
                Some(Ok(key)) => model.entry((Some(key).filter(|key| !key.is_empty()), day)).or_default().push(index),
                None => model.entry((None, day)).or_default().push(index),
            }
        }
        let mut wanted: Vec<Vec<usize>> = model.into_values().collect();
        wanted.sort();
        let mut groups: Vec<Vec<usize>> = partitions.iter().map(|partition| partition.records.clone()).collect();
        groups.sort();
        prop_assert_eq!(groups, wanted);
        prop_assert_eq!(rejections.iter().map(|it| it.index).collect::<Vec<_>>(), refused);
        let mut folders: Vec<&str> = partitions.iter().map(|partition| partition.folder.as_ref()).collect();
        prop_assert!(folders.iter().all(|folder| folder.starts_with("lake/by=") && !folder.contains("//")));
        folders.sort_unstable();
        folders.dedup();
        prop_assert_eq!(folders.len(), partitions.len(), "two partitions share a folder");

        for format in formats() {
            for partition in &partitions {
                let object = encode::object(&format, &batch, partition).unwrap();
                prop_assert_eq!(object.records, partition.records.len());
                let again = encode::object(&format, &batch, partition).unwrap();
                let (body, same) = (object.body.into_pieces().concat(), again.body.into_pieces().concat());
                prop_assert_eq!((&object.name, &body), (&again.name, &same), "the same records, another object");
                let seen = objects::records(&object.name, &body);
                prop_assert_eq!(seen.len(), partition.records.len());
                for (one, index) in seen.iter().zip(&partition.records) {
                    prop_assert_eq!((&one.payload, &one.key), (&batch[*index].payload, &batch[*index].key));
                }
            }
        }
    }

    #[test]
    fn another_batch_has_another_name(one in vec(record(), 0..4), other in vec(record(), 0..4)) {
        let name = |batch: &[Record]| {
            let mut name = Name::new();
            batch.iter().for_each(|record| name.add(record));
            name.finish()
        };
        prop_assert_eq!(name(&one).len(), 32);
        // Without a time the hash takes the start of 1970, which the records here may have.
        let timed = |batch: &[Record]| {
            let all = batch.iter().cloned().map(|mut record| {
                record.time = Some(record.time.unwrap_or(UNIX_EPOCH));
                record
            });
            all.collect::<Vec<_>>()
        };
        prop_assert_eq!(name(&one) == name(&other), timed(&one) == timed(&other));
    }

    #[test]
    fn a_body_is_cut_into_pieces_of_one_size(writes in vec(0..PIECE_BYTES / 2, 0..6)) {
        use std::io::Write;
        let mut body = Body::default();
        for (length, fill) in writes.iter().zip(1..) {
            body.write_all(&vec![fill; *length]).unwrap();
        }
        let length: usize = writes.iter().sum();
        prop_assert_eq!(body.len(), length as u64);
        let pieces = body.into_pieces();
        prop_assert_eq!(pieces.len(), length.div_ceil(PIECE_BYTES));
        prop_assert!(pieces.iter().rev().skip(1).all(|piece| piece.len() == PIECE_BYTES));
        let bytes = pieces.concat();
        let wanted: Vec<u8> = writes.iter().zip(1..).flat_map(|(length, fill)| vec![fill; *length]).collect();
        prop_assert!(bytes == wanted);
    }
}

#[test]
fn an_idempotency_key_makes_a_record_the_same_at_any_time() {
    let name = |record: &Record| {
        let mut name = Name::new();
        name.add(record);
        name.finish()
    };
    let record = Record::new("1").with_topic_time(1);
    let later = Record::new("1").with_topic_time(2);
    assert_ne!(name(&record), name(&later));
    assert_eq!(name(&record.clone().with_idempotency_key("a")), name(&later.clone().with_idempotency_key("a")));
    assert_ne!(name(&record.clone().with_idempotency_key("a")), name(&record.with_idempotency_key("b")));
    assert_ne!(name(&later.with_idempotency_key("a")), name(&Record::new("2").with_idempotency_key("a")));
}

trait At {
    fn with_topic_time(self, second: u64) -> Self;
}

impl At for Record {
    fn with_topic_time(self, second: u64) -> Self {
        self.with_time(UNIX_EPOCH + Duration::from_secs(second))
    }
}
