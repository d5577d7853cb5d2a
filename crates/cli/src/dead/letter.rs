//! One dead letter: the original event with what its worker told of it, whatever it was carried by.
//!
//! INVARIANT: a replay has the payload and the properties of the original event, and nothing of what workers added
//! beside the count of replays.

use std::hash::Hasher;
use std::time::SystemTime;

use bytes::Bytes;
use serde_json::Value;
use siphasher::sip::SipHasher13;
use tidemill::topic::TopicName;
use tidemill::{Properties, Publication};

/// What a worker tells of a letter, in this order and before the publisher's own properties.
const TOLD: [&str; 14] = [
    "tidemill-reason",
    "tidemill-error",
    "tidemill-attempts",
    "tidemill-route",
    "tidemill-instance",
    "tidemill-topic",
    "tidemill-qos",
    "tidemill-first-seen",
    "tidemill-last-seen",
    "tidemill-response-topic",
    "tidemill-correlation-data",
    "tidemill-left-out",
    "tidemill-payload-bytes",
    "tidemill-payload-sha256",
];

/// Counts the replays of an event; stands among its own properties.
pub(super) const REPLAY_COUNT: &str = "tidemill-replay-count";

/// Letters without vowels, so that an ID is neither a word nor a number.
pub(super) const ID_ALPHABET: &[u8] = b"bcdfghjkmnpqrstvwxyz";
const ID_LEN: usize = 8;

/// See the module's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    /// What the worker told.
    told: Vec<(String, String)>,
    /// User properties of the original event.
    own: Vec<(String, String)>,
    content_type: Option<String>,
    payload: Bytes,
    /// What it was carried by, when it came from a topic: published again, it is the same letter.
    carrier: Option<Box<Publication>>,
}

impl Letter {
    /// A letter of its headers, as a sink has them.
    ///
    /// # Errors
    /// It is no dead letter.
    pub(super) fn of_headers(
        headers: Vec<(String, String)>,
        content_type: Option<String>,
        payload: Bytes,
    ) -> Result<Self, &'static str> {
        let (mut told, mut own) = (Vec::new(), Vec::new());
        for (name, value) in headers {
            // The worker's come first: a second one of a name is the publisher's.
            let is_told = TOLD.contains(&name.as_str()) && !told.iter().any(|(known, _)| *known == name);
            if is_told { &mut told } else { &mut own }.push((name, value));
        }
        let letter = Self { told, own, content_type, payload, carrier: None };
        match letter.told("tidemill-reason") {
            Some(_) => Ok(letter),
            None => Err("no dead letter: it has no tidemill-reason"),
        }
    }

    /// A letter as it came from a topic: with user properties, or in an envelope. What is neither is a letter of which
    /// nothing is known.
    pub(super) fn of_publication(carrier: Publication) -> Self {
        let properties = carrier.properties.as_deref().cloned().unwrap_or_default();
        let told = Self::of_headers(properties.user.clone(), properties.content_type.clone(), carrier.payload.clone());
        let letter = told.ok().or_else(|| Self::of_envelope(&carrier.payload)).unwrap_or_else(|| Self {
            told: Vec::new(),
            own: properties.user,
            content_type: properties.content_type,
            payload: carrier.payload.clone(),
            carrier: None,
        });
        Self { carrier: Some(Box::new(carrier)), ..letter }
    }

    /// A letter of a worker that speaks MQTT 3.1.1.
    fn of_envelope(payload: &[u8]) -> Option<Self> {
        let envelope: Value = serde_json::from_slice(payload).ok()?;
        let headers = envelope.get("headers")?.as_object()?;
        let headers = headers.iter().map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        let payload = envelope.get("payload")?;
        let payload = match payload.get("text").and_then(Value::as_str) {
            Some(text) => Bytes::from(text.to_owned()),
            None => Bytes::from(unhex(payload.get("hex")?.as_str()?)?),
        };
        Self::of_headers(headers.collect::<Option<_>>()?, None, payload).ok()
    }

    /// What the worker told under this name.
    pub(super) fn told(&self, name: &str) -> Option<&str> {
        self.told.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Everything that the worker told, then the event's own user properties.
    pub(super) fn headers(&self) -> impl Iterator<Item = &(String, String)> {
        self.told.iter().chain(&self.own)
    }

    /// The original topic.
    pub(super) fn topic(&self) -> Option<&str> {
        self.told("tidemill-topic")
    }

    pub(super) fn payload(&self) -> &Bytes {
        &self.payload
    }

    pub(super) fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The topic that it lay in, when it did.
    pub(super) fn carrier_topic(&self) -> Option<&str> {
        self.carrier.as_deref().map(|carrier| carrier.topic.as_str())
    }

    /// When it became a dead letter.
    pub(super) fn died(&self) -> Option<SystemTime> {
        self.told("tidemill-last-seen").and_then(|text| humantime::parse_rfc3339(text).ok())
    }

    /// How often the event was replayed before.
    pub(super) fn replays(&self) -> u64 {
        self.own.iter().find(|(name, _)| name == REPLAY_COUNT).and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
    }

    /// A short name that stays the same wherever the letter lies and however often it is moved.
    pub(super) fn id(&self) -> String {
        let mut hasher = SipHasher13::new();
        let headers = self.headers().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        for part in headers.chain([&self.payload[..]]) {
            write(&mut hasher, part);
        }
        let mut left = hasher.finish();
        let letter = |_| {
            let at = left % ID_ALPHABET.len() as u64;
            left /= ID_ALPHABET.len() as u64;
            char::from(ID_ALPHABET[usize::try_from(at).unwrap_or_default()])
        };
        (0..ID_LEN).map(letter).collect()
    }

    /// What tells a replay of this event from other events, when it dies again.
    pub(super) fn replayed_as(&self) -> u64 {
        self.event_hash(self.replays() + 1)
    }

    /// What this letter's event is known by when it is a replay.
    pub(super) fn event(&self) -> u64 {
        self.event_hash(self.replays())
    }

    fn event_hash(&self, replays: u64) -> u64 {
        let mut hasher = SipHasher13::new();
        write(&mut hasher, self.topic().unwrap_or_default().as_bytes());
        write(&mut hasher, &self.payload);
        for (name, value) in self.own.iter().filter(|(name, _)| name != REPLAY_COUNT) {
            write(&mut hasher, name.as_bytes());
            write(&mut hasher, value.as_bytes());
        }
        hasher.write_u64(replays);
        hasher.finish()
    }

    /// The original event, to be published again.
    ///
    /// # Errors
    /// Its topic is not known, or its payload.
    pub(super) fn replay(&self) -> Result<Publication, String> {
        if self.told("tidemill-left-out") == Some("payload") {
            return Err("its payload was left out, because the broker could not take it".to_owned());
        }
        let Some(topic) = self.topic() else {
            return Err("its original topic is not known (no tidemill-topic)".to_owned());
        };
        let topic = TopicName::new(topic).map_err(|error| format!("its original topic cannot be used: {error}"))?;
        // What a worker does not carry on is taken from the letter as it came.
        let carried = self.carrier.as_deref().and_then(|carrier| carrier.properties.as_deref());
        let mut properties = Properties::default();
        if let Some(carried) = carried {
            properties.utf8_payload = carried.utf8_payload;
            properties.response_topic.clone_from(&carried.response_topic);
            properties.correlation_data.clone_from(&carried.correlation_data);
        }
        if let Some(topic) = self.told("tidemill-response-topic") {
            properties.response_topic = Some(topic.to_owned());
        }
        if let Some(data) = self.told("tidemill-correlation-data").and_then(unhex) {
            properties.correlation_data = Some(data.into());
        }
        properties.content_type.clone_from(&self.content_type);
        properties.user = self.own.iter().filter(|(name, _)| name != REPLAY_COUNT).cloned().collect();
        properties.user.push((REPLAY_COUNT.to_owned(), (self.replays() + 1).to_string()));
        Ok(Publication::new(topic, self.payload.clone()).with_properties(properties))
    }

    /// The letter as it came, to be published to where it lay; `None` for one that lies in a file.
    pub(super) fn put_back(&self) -> Option<Publication> {
        self.carrier.as_deref().cloned()
    }
}

fn write(hasher: &mut SipHasher13, part: &[u8]) {
    hasher.write_u64(part.len() as u64);
    hasher.write(part);
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| Some((digit(pair[0])? << 4) | digit(pair[1])?)).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    pub(in super::super) fn headers(route: &str, reason: &str, topic: &str) -> Vec<(String, String)> {
        let values =
            [reason, "it broke", "3", route, "w-1", topic, "1", "2026-01-31T08:00:00.000Z", "2026-01-31T08:00:09.000Z"];
        TOLD.iter().zip(values).map(|(name, value)| ((*name).to_owned(), value.to_owned())).collect()
    }

    pub(in super::super) fn letter(route: &str, reason: &str, topic: &str) -> Letter {
        Letter::of_headers(headers(route, reason, topic), None, Bytes::from_static(b"x")).unwrap()
    }

    fn carried(headers: Vec<(String, String)>, payload: &[u8]) -> Publication {
        let mut properties = Properties::default();
        properties.user = headers;
        properties.content_type = Some("text/x".to_owned());
        properties.response_topic = Some("answers".to_owned());
        let topic = TopicName::new("tidemill/dead/r").unwrap();
        Publication::new(topic, payload.to_vec()).with_properties(properties)
    }

    proptest! {
        #[test]
        fn a_replay_is_the_original_event_and_the_count(
            own in vec(("[a-z]{1,4}|tidemill-reason|tidemill-topic", ".{0,4}"), 0..5),
            payload in vec(any::<u8>(), 0..20),
            rounds in 1_u64..4,
        ) {
            let own: Vec<(String, String)> = own;
            let mut event_own = own.clone();
            for round in 1..=rounds {
                // The event dies, as a worker tells it.
                let mut all = headers("r", "attempts", "a/b");
                all.extend(event_own.clone());
                let letter = Letter::of_publication(carried(all, &payload));
                prop_assert_eq!(letter.replays(), round - 1);
                let replay = letter.replay().unwrap();
                prop_assert_eq!(replay.topic.as_str(), "a/b");
                prop_assert_eq!(&replay.payload[..], &payload[..]);
                let properties = *replay.properties.unwrap();
                prop_assert_eq!(properties.content_type.as_deref(), Some("text/x"));
                prop_assert_eq!(properties.response_topic.as_deref(), Some("answers"));
                let mut expected = own.clone();
                expected.push((REPLAY_COUNT.to_owned(), round.to_string()));
                prop_assert_eq!(&properties.user, &expected);
                event_own = properties.user;
            }
        }

        #[test]
        fn hex_is_read_back(bytes in vec(any::<u8>(), 0..40)) {
            let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            prop_assert_eq!(unhex(&text), Some(bytes));
        }
    }

    #[test]
    fn an_envelope_is_a_letter() {
        for (payload, bytes) in
            [(r#"{"text":"{\"c\":1}"}"#, &b"{\"c\":1}"[..]), (r#"{"hex":"ff007f"}"#, &[0xFF, 0, 0x7F])]
        {
            let text =
                format!(r#"{{"headers":{{"tidemill-reason":"permanent","tidemill-topic":"a"}},"payload":{payload}}}"#);
            let carrier = Publication::new(TopicName::new("tidemill/dead/r").unwrap(), text.clone());
            let letter = Letter::of_publication(carrier);
            assert_eq!((letter.topic(), &letter.payload()[..]), (Some("a"), bytes));
            assert_eq!(letter.replay().unwrap().payload, bytes);
            assert_eq!(letter.put_back().unwrap().payload, text, "put back as it came");
        }
        assert!(unhex("f").is_none() && unhex("gg").is_none());
    }

    #[test]
    fn a_replay_awaits_its_answer_where_the_original_event_did() {
        let mut told = headers("r", "attempts", "a/b");
        told.push(("tidemill-response-topic".to_owned(), "answers/7".to_owned()));
        told.push(("tidemill-correlation-data".to_owned(), "00ff".to_owned()));
        let filed = Letter::of_headers(told, None, Bytes::from_static(b"x")).unwrap();
        let properties = *filed.replay().unwrap().properties.unwrap();
        assert_eq!(properties.response_topic.as_deref(), Some("answers/7"));
        assert_eq!(properties.correlation_data.as_deref(), Some(&[0x00, 0xFF][..]));
        assert!(properties.user.iter().all(|(name, _)| name == REPLAY_COUNT), "{:?}", properties.user);
    }

    #[test]
    fn what_is_no_letter_is_kept_as_it_came_and_cannot_be_replayed() {
        let carrier = carried(vec![("a".to_owned(), "b".to_owned())], b"\xFFx");
        let letter = Letter::of_publication(carrier.clone());
        assert!(letter.replay().unwrap_err().contains("topic is not known"));
        assert_eq!(letter.put_back(), Some(carrier));
        assert!(Letter::of_headers(Vec::new(), None, Bytes::new()).is_err());
    }

    #[test]
    fn an_id_says_what_is_in_the_letter_and_not_where_it_lies() {
        let lying = Letter::of_publication(carried(headers("r", "attempts", "a"), b"x"));
        let filed = Letter::of_headers(headers("r", "attempts", "a"), Some("text/x".to_owned()), "x".into()).unwrap();
        assert_eq!(lying.id(), filed.id());
        assert_eq!(lying.id().len(), ID_LEN);
        assert_ne!(lying.id(), letter("r", "attempts", "b").id());
    }

    #[test]
    fn a_replay_that_dies_again_is_recognised() {
        let first = letter("r", "attempts", "a");
        let mut again = headers("r", "permanent", "a");
        again.push((REPLAY_COUNT.to_owned(), "1".to_owned()));
        let again = Letter::of_headers(again, None, Bytes::from_static(b"x")).unwrap();
        assert_eq!(first.replayed_as(), again.event());
        assert_ne!(first.event(), again.event());
        assert_ne!(first.id(), again.id());
    }

    #[test]
    fn a_letter_without_its_payload_is_not_replayed_as_an_empty_event() {
        let mut headers = headers("r", "permanent", "t");
        headers.push(("tidemill-left-out".to_owned(), "payload".to_owned()));
        let letter = Letter::of_headers(headers, None, Bytes::new()).unwrap();
        assert!(letter.replay().unwrap_err().contains("payload"));
    }
}
