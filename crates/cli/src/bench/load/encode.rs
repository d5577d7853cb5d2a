//! PUBLISH packets written straight into a buffer, and PUBACKs read straight out of one: what a generator does for every
//! event has to be cheap. Everything rarer goes through the codec.

use bytes::{Buf, BufMut, BytesMut};
use tidemill::MqttVersion;

use super::super::stamp::{self, Stamp};

/// How the events of a publisher are written.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) version: MqttVersion,
    pub(super) qos: u8,
    /// Bytes of a payload, stamp included.
    pub(super) payload: usize,
    padding: Vec<u8>,
}

impl Form {
    pub(super) fn new(version: MqttVersion, qos: u8, payload: usize) -> Self {
        let payload = payload.max(stamp::BYTES);
        Self { version, qos, payload, padding: vec![b'.'; payload - stamp::BYTES] }
    }

    /// Writes one event. The identifier counts at QoS 1 only.
    pub(super) fn write(&self, out: &mut BytesMut, topic: &[u8], pkid: u16, stamp: &Stamp) {
        let properties = usize::from(self.version == MqttVersion::V5);
        let id = if self.qos > 0 { 2 } else { 0 };
        let length = 2 + topic.len() + id + properties + self.payload;
        out.reserve(5 + length);
        out.put_u8(0x30 | self.qos << 1);
        put_length(out, length);
        // Topics were checked when they were made.
        out.put_u16(u16::try_from(topic.len()).unwrap_or(u16::MAX));
        out.put_slice(topic);
        if self.qos > 0 {
            out.put_u16(pkid);
        }
        if properties > 0 {
            out.put_u8(0);
        }
        out.put_slice(&stamp.bytes());
        out.put_slice(&self.padding);
    }
}

fn put_length(out: &mut BytesMut, mut length: usize) {
    loop {
        #[expect(clippy::cast_possible_truncation, reason = "masked to seven bits")]
        let byte = (length & 0x7F) as u8;
        length >>= 7;
        if length == 0 {
            return out.put_u8(byte);
        }
        out.put_u8(byte | 0x80);
    }
}

/// What a broker answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A PUBACK and its reason.
    Ack { pkid: u16, reason: u8 },
    /// The broker ends the connection.
    Disconnect { reason: u8 },
    /// Anything else.
    Other,
    /// Not MQTT.
    Broken,
}

/// Takes one packet off the buffer; `None` asks for more bytes.
pub(super) fn answer(input: &mut BytesMut) -> Option<Answer> {
    let mut length = 0;
    let mut head = 1;
    loop {
        let byte = usize::from(*input.get(head)?);
        length |= (byte & 0x7F) << (7 * (head - 1));
        head += 1;
        if byte & 0x80 == 0 {
            break;
        }
        if head > 4 {
            return Some(Answer::Broken);
        }
    }
    if input.len() < head + length {
        return None;
    }
    let body = &input[head..head + length];
    let answer = match (input[0] >> 4, body) {
        (4, [high, low, rest @ ..]) => {
            Answer::Ack { pkid: u16::from_be_bytes([*high, *low]), reason: rest.first().copied().unwrap_or(0) }
        }
        (14, rest) => Answer::Disconnect { reason: rest.first().copied().unwrap_or(0) },
        (4, _) => Answer::Broken,
        _ => Answer::Other,
    };
    input.advance(head + length);
    Some(answer)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidemill_testkit::wire::{self, Version, v5};

    use super::*;

    proptest! {
        #[test]
        fn the_codec_reads_what_is_written_here(v5 in any::<bool>(), qos in 0_u8..2, payload in 0_usize..20_000, pkid in 1_u16.., seq: u64) {
            let (version, wire_version) = if v5 { (MqttVersion::V5, Version::V5) } else { (MqttVersion::V3_1_1, Version::V4) };
            let stamp = Stamp { publisher: 1, key: 2, resent: false, seq, due_ns: 5 };
            let mut out = BytesMut::new();
            Form::new(version, qos, payload).write(&mut out, b"a/b", pkid, &stamp);
            let packet = wire::read(wire_version, &mut out, 1 << 20).unwrap().unwrap();
            let v5::Packet::Publish(publish) = packet else { panic!("{packet:?}") };
            prop_assert!(out.is_empty());
            prop_assert_eq!(publish.payload.len(), payload.max(stamp::BYTES));
            prop_assert_eq!(Stamp::read(&publish.payload), Some(stamp));
            prop_assert_eq!(publish.pkid, if qos > 0 { pkid } else { 0 });
        }

        #[test]
        fn answers_are_taken_off_one_by_one_wherever_reads_end(pkids in proptest::collection::vec(1_u16.., 0..20), cut in 0_usize..80) {
            let mut all = BytesMut::new();
            for pkid in &pkids {
                wire::write(Version::V5, v5::Packet::PubAck(v5::PubAck::new(*pkid, None)), &mut all).unwrap();
            }
            let mut input = all.split_to(cut.min(all.len()));
            let mut seen = Vec::new();
            while let Some(Answer::Ack { pkid, reason: 0 }) = answer(&mut input) { seen.push(pkid); }
            input.extend_from_slice(&all);
            while let Some(Answer::Ack { pkid, reason: 0 }) = answer(&mut input) { seen.push(pkid); }
            prop_assert_eq!(seen, pkids);
        }
    }

    #[test]
    fn what_is_no_length_is_broken() {
        assert_eq!(answer(&mut BytesMut::from(&[0x40, 0xFF, 0xFF, 0xFF, 0xFF, 1][..])), Some(Answer::Broken));
    }
}
