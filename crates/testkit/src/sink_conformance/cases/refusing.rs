//! Records that a target will not take.

use tidemill_core::Record;

use super::super::deliver::{deliver, open};
use super::super::judge::{Repeats, does_not_apply, holds, records};
use super::super::{Payloads, Target};

/// Among good records one that the target refuses: it alone is refused, with a reason; the others are written once.
///
/// # Panics
/// Another one is refused, or a good one lost or repeated.
pub async fn a_bad_record_is_refused_alone(target: &dyn Target) {
    match target.bad_record() {
        Some(bad) => is_refused_alone(target, bad).await,
        None => does_not_apply("the target takes every record"),
    }
}

/// The same with a record that is too large.
///
/// # Panics
/// Another one is refused, or a good one lost or repeated.
pub async fn a_record_that_is_too_large_is_refused_alone(target: &dyn Target) {
    match target.oversize_record() {
        Some(large) => is_refused_alone(target, large).await,
        None => does_not_apply("the target takes records of any size"),
    }
}

async fn is_refused_alone(target: &dyn Target, bad: Record) {
    let sink = target.sink();
    open(&*sink).await;
    for bad_at in [0, 3, 6] {
        let start = u32::try_from(bad_at).unwrap_or(0) * 100;
        let mut batch = records(target, start..start + 6);
        batch.insert(bad_at, bad.clone());
        let refused = deliver(&*sink, &batch).await;
        let places: Vec<usize> = refused.iter().map(|refused| refused.index).collect();
        assert_eq!(places, [bad_at], "{refused:?}");
        let reason = &refused[0].reason;
        assert!(reason.len() > 10, "the reason should say more than {reason:?}");
        assert!(reason.len() < 1000, "the reason should not hold the record: {} bytes", reason.len());
    }
    let good: Vec<Record> = [0..6, 300..306, 600..606].into_iter().flat_map(|it| records(target, it)).collect();
    // The target was asked more than once only by a sink that does not know which record is to blame; even then
    // nothing of a refused batch was written.
    holds(target, &good, Repeats::None).await;
    // A refusal leaves the sink as it was.
    let more = records(target, 900..903);
    assert_eq!(deliver(&*sink, &more).await, []);
    holds(target, &[good, more].concat(), Repeats::None).await;
}

/// Payloads that are no UTF-8 come back byte by byte where the target takes any, else they are refused.
///
/// # Panics
/// They come back changed, or spoil the records beside them.
pub async fn bytes_that_are_no_text_come_back_or_are_refused(target: &dyn Target) {
    let odd = [&b"\xff\xfe\x00\x01"[..], b"{\"number\":\xc3\x28}", b"\x00", &[0x80; 300]];
    let taken = match target.capabilities().payloads {
        Payloads::Any => Some(true),
        Payloads::Selected => None,
        Payloads::Text | Payloads::Json => Some(false),
    };
    come_back_or_are_refused(target, &odd, taken).await;
}

/// Text that breaks out of quotes, lines and statements comes back as it was, or is refused where the target says that
/// it does not take text.
///
/// # Panics
/// It comes back changed, or spoils the records beside it.
pub async fn awkward_text_comes_back_or_is_refused(target: &dyn Target) {
    let odd = [
        &b"'); DROP TABLE records; --"[..],
        b"line\r\nbreak\n\tand \"quotes\" and \\backslashes\\",
        "\u{1f980} \u{202e}right to left\u{0301}".as_bytes(),
        b"$1 {} %s ${HOME} {{key}}",
        b"a,b;c|d",
    ];
    let taken = match target.capabilities().payloads {
        Payloads::Any | Payloads::Text => Some(true),
        Payloads::Selected => None,
        Payloads::Json => Some(false),
    };
    come_back_or_are_refused(target, &odd, taken).await;
}

/// `taken` is what must become of them; `None` leaves it to the sink.
async fn come_back_or_are_refused(target: &dyn Target, payloads: &[&'static [u8]], taken: Option<bool>) {
    let sink = target.sink();
    open(&*sink).await;
    let mut batch = records(target, 0..3);
    for (payload, number) in payloads.iter().zip(100..) {
        // Without its content type, which said JSON.
        let Record { key, topic, idempotency_key, .. } = target.record(number, 0);
        let mut record = Record::new(*payload);
        (record.key, record.topic, record.idempotency_key) = (key, topic, idempotency_key);
        batch.push(record);
    }
    let refused = deliver(&*sink, &batch).await;
    let is_refused = |index: usize| refused.iter().any(|refused| refused.index == index);
    assert!(!(0..3).any(is_refused), "a good record was refused: {refused:?}");
    match taken {
        Some(true) => assert_eq!(refused, [], "the target says that it takes these"),
        Some(false) => assert_eq!(refused.len(), payloads.len(), "the target says that it refuses these"),
        None => {}
    }
    let written: Vec<Record> =
        batch.iter().enumerate().filter(|(index, _)| !is_refused(*index)).map(|(_, record)| record.clone()).collect();
    holds(target, &written, Repeats::None).await;
}
