//! What a device publishes, and the topic it publishes to. The fleet writes it and the handler reads it.

use serde::{Deserialize, Serialize};

/// Above this a reading is worth an alert.
pub(crate) const LIMIT_CELSIUS: f64 = 80.0;

/// A reading, as the fleet writes it.
#[derive(Debug, Serialize)]
struct Reading {
    /// Number of the reading, counting from 0 for each device.
    seq: u32,
    /// When it was published, in nanoseconds since the demo began.
    sent_ns: u64,
    celsius: f64,
    /// Makes the payload as long as it was asked to be.
    pad: &'static str,
}

/// A reading, as the handler needs it.
#[derive(Debug, Deserialize)]
pub(crate) struct Read {
    pub(crate) seq: u32,
    pub(crate) sent_ns: u64,
    pub(crate) celsius: f64,
}

/// What becomes of a reading above the limit.
#[derive(Debug, Serialize)]
pub(crate) struct Alert<'a> {
    pub(crate) device: &'a str,
    pub(crate) seq: u32,
    pub(crate) celsius: f64,
}

/// The topic of a device's readings.
pub(crate) fn topic(run: &str, device: u32) -> String {
    format!("iot-2/type/{run}/id/d{device:06}/evt/temperature/fmt/json")
}

/// The pattern of all readings of a run; captures the device as `id`.
pub(crate) fn pattern(run: &str) -> String {
    format!("iot-2/type/{run}/id/{{id}}/evt/{{event}}/fmt/json")
}

/// The number of the device with this ID.
pub(crate) fn device(id: &str) -> Option<u32> {
    id.strip_prefix('d')?.parse().ok()
}

/// Writes a reading that is `bytes` long, or longer when it needs more without any padding.
pub(crate) fn write(out: &mut Vec<u8>, seq: u32, sent_ns: u64, celsius: f64, pad: &str, bytes: usize) {
    let start = out.len();
    push(out, &Reading { seq, sent_ns, celsius, pad: "" });
    let missing = bytes.saturating_sub(out.len() - start);
    // Behind the padding stand the quote and the brace that close it.
    let tail = out.len() - 2;
    out.truncate(tail);
    out.extend_from_slice(pad.as_bytes().get(..missing).unwrap_or(pad.as_bytes()));
    out.extend_from_slice(b"\"}");
}

fn push(out: &mut Vec<u8>, reading: &Reading) {
    // Numbers and a plain text always serialize, and a vector takes whatever comes.
    let _ = serde_json::to_writer(out, reading);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_and_has_the_length_that_was_asked_for(
            seq: u32, sent_ns in 0..u64::MAX / 2, tenths in -999_i32..9999, bytes in 96_usize..400,
        ) {
            let celsius = f64::from(tenths) / 10.0;
            let mut out = b"before".to_vec();
            write(&mut out, seq, sent_ns, celsius, &"x".repeat(400), bytes);
            prop_assert_eq!(out.len(), 6 + bytes);
            let read: Read = serde_json::from_slice(&out[6..]).unwrap();
            prop_assert_eq!((read.seq, read.sent_ns, read.celsius), (seq, sent_ns, celsius));
        }

        #[test]
        fn a_device_is_found_in_its_topic(number in 0_u32..1_000_000) {
            let topic = topic("demo-x", number);
            let pattern = tidemill::topic::Pattern::new(&pattern("demo-x")).unwrap();
            prop_assert!(pattern.filter().matches(&topic));
            prop_assert_eq!(device(topic.split('/').nth(4).unwrap()), Some(number));
        }
    }
}
