//! Events encoded beforehand. Only the packet ids are written anew each time, so that a burst costs the feed little
//! more than its `write`.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use rumqttc::v5::mqttbytes::v5::Publish;
use rumqttc::v5::mqttbytes::{Error as CodecError, qos};
use tidemill_core::QoS;

use super::acks::PacketIds;
use crate::feed::load::Load;

/// About what one `write` hands over; more would not make the kernel faster.
const BYTES: usize = 256 * 1024;

/// A ring of whole PUBLISH packets of equal length, and the part of it that is being sent.
#[derive(Debug)]
pub(super) struct Chunk {
    bytes: Vec<u8>,
    packet_bytes: usize,
    packets: usize,
    /// Where the packet id stands in a packet; `None` at QoS 0.
    id_at: Option<usize>,
    ids: PacketIds,
    /// The next packet to queue.
    cursor: usize,
    pending: Range<usize>,
}

impl Chunk {
    pub(super) fn new(load: &Load, payload: Option<Vec<u8>>) -> Result<Self, CodecError> {
        let letters = || (0..load.payload).map(|at| b'a' + u8::try_from(at % 26).unwrap_or(0)).collect();
        let payload: Bytes = payload.map_or_else(letters, Bytes::from);
        let level = qos(load.qos.level()).ok_or(CodecError::InvalidQoS(load.qos.level()))?;
        let mut round = BytesMut::new();
        for topic in load.topic_names() {
            let mut publish = Publish::new(topic, level, payload.clone(), None);
            publish.pkid = u16::from(load.qos != QoS::AtMostOnce);
            publish.write(&mut round)?;
        }
        let packet_bytes = round.len() / load.topics.max(1);
        let rounds = (BYTES / round.len().max(1)).max(1);
        // After the topic: id, one byte for "no properties", payload.
        let id_at = (load.qos != QoS::AtMostOnce).then(|| packet_bytes - load.payload - 1 - 2);
        Ok(Self {
            bytes: round.repeat(rounds),
            packet_bytes,
            packets: rounds * load.topics,
            id_at,
            ids: PacketIds::default(),
            cursor: 0,
            pending: 0..0,
        })
    }

    /// Queues the next packets for sending, at most `max`; says how many. Only when nothing is pending.
    pub(super) fn queue(&mut self, max: u64) -> u64 {
        debug_assert!(self.pending.is_empty());
        let count = usize::try_from(max).unwrap_or(usize::MAX).min(self.packets - self.cursor);
        self.pending = self.cursor * self.packet_bytes..(self.cursor + count) * self.packet_bytes;
        if let Some(id_at) = self.id_at {
            for packet in self.bytes[self.pending.clone()].chunks_exact_mut(self.packet_bytes) {
                packet[id_at..id_at + 2].copy_from_slice(&self.ids.next().to_be_bytes());
            }
        }
        self.cursor = (self.cursor + count) % self.packets;
        count as u64
    }

    /// What is still to be sent of the packets queued last.
    pub(super) fn pending(&self) -> &[u8] {
        &self.bytes[self.pending.clone()]
    }

    /// That many bytes of [`pending`](Self::pending) were sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.pending.start += bytes;
    }
}
