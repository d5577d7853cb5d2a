//! Names of scenarios after the Open MQTT Benchmark Suite: `sharedsub-<publishers>-<subscribers>-<in>-<out>`, the last
//! two in events per second. Here the subscribers are the instances of a group, and what comes in goes out once.

use std::fmt;
use std::str::FromStr;

use crate::number;

/// See the module's description. A rate of 0 is as fast as it goes, and written `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) publishers: u64,
    pub(crate) instances: u64,
    pub(crate) rate: u64,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = if self.rate == 0 { "max".to_owned() } else { number::short(self.rate) };
        let (publishers, instances) = (number::short(self.publishers), number::short(self.instances));
        write!(f, "sharedsub-{publishers}-{instances}-{rate}-{rate}")
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "sharedsub-<publishers>-<instances>-<in>-<out>, such as sharedsub-4-8-20K-20K";
        let wrong = || format!("{text:?} is no scenario of the form {form}");
        let parts: Vec<&str> = text.split('-').collect();
        let ["sharedsub", publishers, instances, incoming, outgoing] = parts[..] else { return Err(wrong()) };
        let rate = |text: &str| if text == "max" { Ok(0) } else { number::parse(text) };
        let (publishers, instances) = (number::parse(publishers)?, number::parse(instances)?);
        let (incoming, outgoing) = (rate(incoming)?, rate(outgoing)?);
        if incoming != outgoing {
            return Err(format!("{text:?}: a group hands every event out once, so <in> and <out> must be the same"));
        }
        if publishers == 0 || instances == 0 {
            return Err(format!("{text:?}: there must be publishers and instances"));
        }
        Ok(Self { publishers, instances, rate: incoming })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_is_read_as_it_was_written(publishers in 1_u64..100_000, instances in 1_u64..1000, rate in 0_u64..2_000_000) {
            let scenario = Scenario { publishers, instances, rate };
            prop_assert_eq!(scenario.to_string().parse(), Ok(scenario));
        }
    }

    #[test]
    fn names_of_the_suite_are_read() {
        let scenario: Scenario = "sharedsub-50K-500-50K-50K".parse().unwrap();
        assert_eq!(scenario, Scenario { publishers: 50_000, instances: 500, rate: 50_000 });
        for text in ["sharedsub-1-1-1", "fanout-1-2-3-3", "sharedsub-1-1-1-2", "sharedsub-0-1-1-1"] {
            assert!(text.parse::<Scenario>().is_err(), "{text}");
        }
    }
}
