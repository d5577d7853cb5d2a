//! The table of shapes: reading and writing of every topic that applications use.

use std::fmt;
use std::str::FromStr;

use super::{Level, Slot, TopicRuleError, TopicRuleErrorKind, Word};
use crate::platform::Name;
use crate::topic::{TopicFilter, TopicName};

/// A topic or filter of an application. `N` stands at names, `W` at words.
///
/// Monitoring, state, error and rule topics are published by the platform alone. The shapes with `thing` and of rules
/// come from the SDKs (Python `application/client.py`, Node.js `ApplicationClient.js`), all others from the applications
/// page; the proxy's built-in rules (`topicrule.c`) know the first four.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Address<N, W> {
    /// `iot-2/type/{device_type}/id/{device}/evt/{event}/fmt/{format}`
    Event {
        /// The device's type.
        device_type: N,
        /// The device.
        device: N,
        /// What happened.
        event: W,
        /// The payload's format, such as `json`.
        format: W,
    },
    /// `iot-2/type/{device_type}/id/{device}/cmd/{command}/fmt/{format}`
    Command {
        /// The device's type.
        device_type: N,
        /// The device.
        device: N,
        /// What to do.
        command: W,
        /// The payload's format, such as `json`.
        format: W,
    },
    /// `iot-2/type/{device_type}/id/{device}/mon`
    DeviceMonitor {
        /// The device's type.
        device_type: N,
        /// The device.
        device: N,
    },
    /// `iot-2/app/{app}/mon`
    AppMonitor {
        /// The application.
        app: N,
    },
    /// `iot-2/type/{device_type}/id/{device}/intf/{interface}/evt/state`
    DeviceState {
        /// The device's type.
        device_type: N,
        /// The device.
        device: N,
        /// ID or alias of the logical interface.
        interface: W,
    },
    /// `iot-2/thing/type/{thing_type}/id/{thing}/intf/{interface}/evt/state`
    ThingState {
        /// The thing's type.
        thing_type: W,
        /// The thing.
        thing: W,
        /// ID or alias of the logical interface.
        interface: W,
    },
    /// `iot-2/type/{device_type}/id/{device}/err/data`
    DeviceError {
        /// The device's type.
        device_type: N,
        /// The device.
        device: N,
    },
    /// `iot-2/thing/type/{thing_type}/id/{thing}/err/data`
    ThingError {
        /// The thing's type.
        thing_type: W,
        /// The thing.
        thing: W,
    },
    /// `iot-2/intf/{interface}/rule/{rule}/evt/trigger`
    RuleTrigger {
        /// ID of the logical interface.
        interface: W,
        /// The rule.
        rule: W,
    },
    /// `iot-2/intf/{interface}/rule/{rule}/err/data`
    RuleError {
        /// ID of the logical interface.
        interface: W,
        /// The rule.
        rule: W,
    },
}

/// A topic: every place has a value.
pub type PlatformTopic = Address<Name, Word>;

/// A filter: every place has a value or is `+`.
pub type PlatformFilter = Address<Slot<Name>, Slot<Word>>;

impl<N: Level, W: Level> Address<N, W> {
    /// Reads a topic or filter.
    ///
    /// # Errors
    /// A [`TopicRuleError`] that says which rule is broken.
    pub fn parse(text: &str) -> Result<Self, TopicRuleError> {
        let wrong = |kind| TopicRuleError::new(kind, text);
        if text.starts_with('$') {
            let system = text.starts_with("$SYS");
            return Err(wrong(if system { TopicRuleErrorKind::System } else { TopicRuleErrorKind::Dollar }));
        }
        if let Err(error) = TopicFilter::new(text) {
            // `#` in a wrong place is wrong because of `#`: the way out is the same.
            let kind = if text.contains('#') { TopicRuleErrorKind::Hash } else { TopicRuleErrorKind::Mqtt(error) };
            return Err(wrong(kind));
        }
        if text.contains('#') {
            return Err(wrong(TopicRuleErrorKind::Hash));
        }
        if !N::WILD && text.split('/').any(|level| level == "+") {
            return Err(wrong(TopicRuleErrorKind::WildcardInTopic));
        }
        let levels: Vec<&str> = text.split('/').take(MAX_LEVELS + 1).collect();
        Self::from_levels(&levels).map_err(|error| error.within(text))?.ok_or_else(|| {
            let kind = if levels.iter().any(|level| level.is_empty()) {
                TopicRuleErrorKind::EmptyLevel
            } else if has_shape_but_for_plus(&levels) {
                TopicRuleErrorKind::PlusInFixedLevel
            } else {
                TopicRuleErrorKind::NoShape
            };
            wrong(kind)
        })
    }

    fn from_levels(levels: &[&str]) -> Result<Option<Self>, TopicRuleError> {
        let (n, w) = (N::read, W::read);
        Ok(Some(match *levels {
            ["iot-2", "type", t, "id", i, "evt", e, "fmt", f] => {
                Self::Event { device_type: n(t)?, device: n(i)?, event: w(e)?, format: w(f)? }
            }
            ["iot-2", "type", t, "id", i, "cmd", c, "fmt", f] => {
                Self::Command { device_type: n(t)?, device: n(i)?, command: w(c)?, format: w(f)? }
            }
            ["iot-2", "type", t, "id", i, "mon"] => Self::DeviceMonitor { device_type: n(t)?, device: n(i)? },
            ["iot-2", "app", a, "mon"] => Self::AppMonitor { app: n(a)? },
            ["iot-2", "type", t, "id", i, "intf", l, "evt", "state"] => {
                Self::DeviceState { device_type: n(t)?, device: n(i)?, interface: w(l)? }
            }
            ["iot-2", "thing", "type", t, "id", i, "intf", l, "evt", "state"] => {
                Self::ThingState { thing_type: w(t)?, thing: w(i)?, interface: w(l)? }
            }
            ["iot-2", "type", t, "id", i, "err", "data"] => Self::DeviceError { device_type: n(t)?, device: n(i)? },
            ["iot-2", "thing", "type", t, "id", i, "err", "data"] => {
                Self::ThingError { thing_type: w(t)?, thing: w(i)? }
            }
            ["iot-2", "intf", l, "rule", r, "evt", "trigger"] => Self::RuleTrigger { interface: w(l)?, rule: w(r)? },
            ["iot-2", "intf", l, "rule", r, "err", "data"] => Self::RuleError { interface: w(l)?, rule: w(r)? },
            _ => return Ok(None),
        }))
    }

    /// Whether applications may publish to it: events and commands (proxy, `topicrule.c`).
    #[must_use]
    pub fn is_publishable(&self) -> bool {
        matches!(self, Self::Event { .. } | Self::Command { .. })
    }
}

/// The most levels that a shape has.
const MAX_LEVELS: usize = 10;

/// Every shape, with `+` at its places.
const SHAPES: [&str; 10] = [
    "iot-2/type/+/id/+/evt/+/fmt/+",
    "iot-2/type/+/id/+/cmd/+/fmt/+",
    "iot-2/type/+/id/+/mon",
    "iot-2/app/+/mon",
    "iot-2/type/+/id/+/intf/+/evt/state",
    "iot-2/thing/type/+/id/+/intf/+/evt/state",
    "iot-2/type/+/id/+/err/data",
    "iot-2/thing/type/+/id/+/err/data",
    "iot-2/intf/+/rule/+/evt/trigger",
    "iot-2/intf/+/rule/+/err/data",
];

fn has_shape_but_for_plus(levels: &[&str]) -> bool {
    SHAPES.iter().any(|shape| {
        let mut shape = shape.split('/');
        let fits =
            levels.iter().all(|level| shape.next().is_some_and(|want| want == "+" || want == *level || *level == "+"));
        fits && shape.next().is_none()
    })
}

impl PlatformTopic {
    /// Checks that applications may publish to it.
    ///
    /// # Errors
    /// [`TopicRuleErrorKind::NotPublishable`].
    pub fn check_publishable(&self) -> Result<(), TopicRuleError> {
        if self.is_publishable() {
            return Ok(());
        }
        Err(TopicRuleError::new(TopicRuleErrorKind::NotPublishable, &self.to_string()))
    }

    /// The topic for a publication.
    ///
    /// # Errors
    /// [`TopicRuleErrorKind::Mqtt`] when words are so long that the whole is longer than a topic may be.
    pub fn to_topic_name(&self) -> Result<TopicName, TopicRuleError> {
        let text = self.to_string();
        TopicName::new(&text).map_err(|error| TopicRuleError::new(TopicRuleErrorKind::Mqtt(error), &text))
    }
}

impl PlatformFilter {
    /// The filter for a subscription. It has no `$share` prefix: the platform makes the share from the client ID.
    ///
    /// # Errors
    /// [`TopicRuleErrorKind::Mqtt`] when words are so long that the whole is longer than a filter may be.
    pub fn to_topic_filter(&self) -> Result<TopicFilter, TopicRuleError> {
        let text = self.to_string();
        TopicFilter::new(&text).map_err(|error| TopicRuleError::new(TopicRuleErrorKind::Mqtt(error), &text))
    }
}

impl<N: Level, W: Level> fmt::Display for Address<N, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event { device_type: t, device: i, event: e, format: x } => {
                write!(f, "iot-2/type/{}/id/{}/evt/{}/fmt/{}", t.text(), i.text(), e.text(), x.text())
            }
            Self::Command { device_type: t, device: i, command: c, format: x } => {
                write!(f, "iot-2/type/{}/id/{}/cmd/{}/fmt/{}", t.text(), i.text(), c.text(), x.text())
            }
            Self::DeviceMonitor { device_type: t, device: i } => {
                write!(f, "iot-2/type/{}/id/{}/mon", t.text(), i.text())
            }
            Self::AppMonitor { app } => write!(f, "iot-2/app/{}/mon", app.text()),
            Self::DeviceState { device_type: t, device: i, interface: l } => {
                write!(f, "iot-2/type/{}/id/{}/intf/{}/evt/state", t.text(), i.text(), l.text())
            }
            Self::ThingState { thing_type: t, thing: i, interface: l } => {
                write!(f, "iot-2/thing/type/{}/id/{}/intf/{}/evt/state", t.text(), i.text(), l.text())
            }
            Self::DeviceError { device_type: t, device: i } => {
                write!(f, "iot-2/type/{}/id/{}/err/data", t.text(), i.text())
            }
            Self::ThingError { thing_type: t, thing: i } => {
                write!(f, "iot-2/thing/type/{}/id/{}/err/data", t.text(), i.text())
            }
            Self::RuleTrigger { interface: l, rule: r } => {
                write!(f, "iot-2/intf/{}/rule/{}/evt/trigger", l.text(), r.text())
            }
            Self::RuleError { interface: l, rule: r } => {
                write!(f, "iot-2/intf/{}/rule/{}/err/data", l.text(), r.text())
            }
        }
    }
}

impl<N: Level, W: Level> FromStr for Address<N, W> {
    type Err = TopicRuleError;
    fn from_str(text: &str) -> Result<Self, TopicRuleError> {
        Self::parse(text)
    }
}
