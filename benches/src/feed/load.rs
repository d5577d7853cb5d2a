//! What is fed: how many events, of what size, on which topics. The server and every client agree on it through the
//! same options. All topics have the same length, so that every event costs the same.

use clap::builder::RangedU64ValueParser;
use tidemill_core::QoS;

/// The route pattern that matches every topic of the feed.
pub const PATTERN: &str = "plant/{plant}/line/{line}/sensor/{kind}/c";

/// The topic filter that matches every topic of the feed.
pub const FILTER: &str = "plant/+/line/+/sensor/+/c";

/// Digits of the two levels that vary; one digit each keeps the topics equally long.
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// Largest number of distinct topics.
const MAX_TOPICS: u64 = (DIGITS.len() * DIGITS.len()) as u64;

/// One stream of events.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "load")]
pub struct Load {
    /// Events per client and run
    #[arg(long, default_value_t = 1_000_000, value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    pub events: u64,
    /// Quality of service
    #[arg(long, default_value = "1", value_name = "0|1", value_parser = parse_qos)]
    pub qos: QoS,
    /// Receive Maximum of every client: unacknowledged events at QoS 1
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..))]
    pub window: u16,
    /// Bytes of payload per event
    #[arg(long, default_value_t = 128, value_parser = RangedU64ValueParser::<usize>::new().range(..=65_536))]
    pub payload: usize,
    /// Distinct topics, published to in turn
    #[arg(long, default_value_t = 64, value_parser = RangedU64ValueParser::<usize>::new().range(1..=MAX_TOPICS))]
    pub topics: usize,
}

impl Load {
    /// The topics, each exactly 35 bytes, in the order they are published to.
    pub(super) fn topic_names(&self) -> impl Iterator<Item = String> + use<> {
        let topics = self.topics;
        // As square as possible: 64 topics are 8 plants with 8 lines each.
        let lines = (1..DIGITS.len()).find(|side| side * side >= topics).unwrap_or(DIGITS.len());
        let digit = |at: usize| char::from(DIGITS[at % DIGITS.len()]);
        (0..topics)
            .map(move |at| format!("plant/{}/line/{}/sensor/temperature/c", digit(at / lines), digit(at % lines)))
    }

    /// An upper bound of one PUBLISH packet, in bytes.
    #[must_use]
    pub fn max_packet_bytes(&self) -> usize {
        self.payload + 64
    }

    /// The options that make another process use the same load.
    pub(super) fn to_args(&self) -> Vec<String> {
        let numbers = [
            ("--events", self.events.to_string()),
            ("--qos", self.qos.level().to_string()),
            ("--window", self.window.to_string()),
            ("--payload", self.payload.to_string()),
            ("--topics", self.topics.to_string()),
        ];
        numbers.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }
}

fn parse_qos(text: &str) -> Result<QoS, String> {
    match text {
        "0" => Ok(QoS::AtMostOnce),
        "1" => Ok(QoS::AtLeastOnce),
        _ => Err("the feed streams at QoS 0 or 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashSet;

    use clap::Parser;
    use tidemill_core::topic::{Pattern, TopicFilter};

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        load: Load,
    }

    fn load(args: &[&str]) -> Load {
        Cli::parse_from(["feed"].iter().chain(args)).load
    }

    #[test]
    fn topics_are_distinct_match_the_route_and_have_35_bytes() {
        for count in ["1", "64", "1296"] {
            let names: HashSet<String> = load(&["--topics", count]).topic_names().collect();
            assert_eq!(names.len().to_string(), count);
            let filter = TopicFilter::new(FILTER).unwrap();
            assert!(names.iter().all(|name| name.len() == 35 && filter.matches(name)), "{names:?}");
        }
        assert_eq!(Pattern::new(PATTERN).unwrap().filter().as_str(), FILTER);
    }

    #[test]
    fn another_process_gets_the_same_load() {
        let load = load(&["--events", "7", "--qos", "0", "--window", "3", "--payload", "9", "--topics", "2"]);
        let args = load.to_args();
        let again = Cli::parse_from(["feed"].into_iter().chain(args.iter().map(String::as_str))).load;
        assert_eq!(format!("{load:?}"), format!("{again:?}"));
    }
}
