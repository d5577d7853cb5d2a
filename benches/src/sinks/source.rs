//! Where the records of both sides come from: events as they come out of one read of a socket, topic and payload in one
//! buffer.

use std::time::SystemTime;

use bytes::{BufMut, Bytes, BytesMut};
use tidemill_core::Record;
use tidemill_core::topic::TopicName;

/// What a device sends, 128 bytes.
pub(super) const PAYLOAD: &str = concat!(
    r#"{"device":"press-0042","line":7,"celsius":71.25,"humidity":40.5,"#,
    r#""ts":1764028800123,"seq":918273,"ok":true,"unit":"C","x":[1,23]}"#
);
const TOPICS: usize = 64;

/// Makes events, without end.
pub(super) struct Source {
    topics: Vec<String>,
    next: usize,
}

impl Source {
    pub(super) fn new() -> Self {
        let topic = |at: usize| format!("plant/{}/line/{}/sensor/temperature/c", at / 8, at % 8);
        Self { topics: (0..TOPICS).map(topic).collect(), next: 0 }
    }

    /// So many events that share a buffer.
    pub(super) fn events(&mut self, count: usize) -> Vec<(TopicName, Bytes)> {
        let first = self.next;
        self.next += count;
        let topic = |at: usize| &self.topics[(first + at) % TOPICS];
        let mut buffer = BytesMut::with_capacity(count * (PAYLOAD.len() + 64));
        for at in 0..count {
            buffer.put_slice(topic(at).as_bytes());
            buffer.put_slice(PAYLOAD.as_bytes());
        }
        let mut buffer = buffer.freeze();
        let event = |at: usize| {
            let name = buffer.split_to(topic(at).len());
            Some((TopicName::from_bytes(name).ok()?, buffer.split_to(PAYLOAD.len())))
        };
        (0..count).filter_map(event).collect()
    }

    /// The records that the worker makes of so many events.
    pub(super) fn records(&mut self, count: usize) -> Vec<Record> {
        let now = SystemTime::now();
        let record = |(topic, payload): (TopicName, Bytes)| {
            let mut record = Record::new(payload).with_key(topic.as_bytes().clone()).with_time(now);
            record.topic = Some(topic);
            record
        };
        self.events(count).into_iter().map(record).collect()
    }
}

#[cfg(test)]
mod tests {
    use tidemill_core::topic::TopicFilter;

    use super::*;
    use crate::feed::FILTER;

    #[test]
    fn events_have_the_payload_and_topics_of_the_feed() {
        assert_eq!(PAYLOAD.len(), 128);
        assert!(serde_json::from_str::<serde_json::Value>(PAYLOAD).is_ok());
        let mut source = Source::new();
        let events: Vec<_> = (0..3).flat_map(|_| source.events(50)).collect();
        let filter = TopicFilter::new(FILTER).ok();
        assert!(events.iter().all(|(topic, _)| filter.as_ref().is_some_and(|it| it.matches(topic.as_str()))));
        assert!(events.iter().all(|(_, payload)| payload == PAYLOAD));
        assert_eq!(events.len(), 150);
        assert_eq!(events[0].0, events[64].0);
        assert_ne!(events[0].0, events[63].0);
    }
}
