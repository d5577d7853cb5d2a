//! What a handler of a benchmark does with an event: nothing, wait as if for a database, or burn CPU time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Longest work for one event.
const MOST: Duration = Duration::from_secs(60);

/// See the module's description.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) enum Work {
    /// Returns at once.
    #[default]
    None,
    /// Waits so long without using a CPU, as for an answer over the network.
    Wait(Duration),
    /// Keeps a CPU busy for so long.
    Cpu(Duration),
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("0"),
            Self::Wait(time) => write!(f, "{}", humantime::format_duration(*time)),
            Self::Cpu(time) => write!(f, "cpu:{}", humantime::format_duration(*time)),
        }
    }
}

impl FromStr for Work {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "0" {
            return Ok(Self::None);
        }
        let (time, is_cpu) = text.strip_prefix("cpu:").map_or((text, false), |time| (time, true));
        let time = humantime::parse_duration(time)
            .map_err(|error| format!("{text:?}: {error}; write 0, a time to wait such as 5ms, or cpu:200us"))?;
        match time {
            Duration::ZERO => Ok(Self::None),
            time if time > MOST => Err(format!("{text:?} is longer than {}", humantime::format_duration(MOST))),
            time if is_cpu => Ok(Self::Cpu(time)),
            time => Ok(Self::Wait(time)),
        }
    }
}

impl From<Work> for String {
    fn from(work: Work) -> Self {
        work.to_string()
    }
}

impl TryFrom<String> for Work {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn work_is_read_as_people_write_it() {
        assert_eq!("0".parse(), Ok(Work::None));
        assert_eq!("1ms".parse(), Ok(Work::Wait(Duration::from_millis(1))));
        assert_eq!("cpu:200us".parse(), Ok(Work::Cpu(Duration::from_micros(200))));
        assert_eq!("cpu:0s".parse(), Ok(Work::None));
        for text in ["", "1", "cpu:", "gpu:1ms", "2h"] {
            assert!(text.parse::<Work>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(us in 1_u64..60_000_000, cpu: bool) {
            let time = Duration::from_micros(us);
            let work = if cpu { Work::Cpu(time) } else { Work::Wait(time) };
            prop_assert_eq!(work.to_string().parse(), Ok(work));
        }
    }
}
