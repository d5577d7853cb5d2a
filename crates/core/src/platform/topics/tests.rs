//! Topics and filters against the proxy's rule table, and against a model that compares levels one by one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::platform::ClientId;

/// `n` is a name, `w` a word.
const SHAPES: [&str; 10] = [
    "iot-2/type/n/id/n/evt/w/fmt/w",
    "iot-2/type/n/id/n/cmd/w/fmt/w",
    "iot-2/type/n/id/n/mon",
    "iot-2/app/n/mon",
    "iot-2/type/n/id/n/intf/w/evt/state",
    "iot-2/thing/type/w/id/w/intf/w/evt/state",
    "iot-2/type/n/id/n/err/data",
    "iot-2/thing/type/w/id/w/err/data",
    "iot-2/intf/w/rule/w/evt/trigger",
    "iot-2/intf/w/rule/w/err/data",
];

/// A text of some shape whose places are filled from `names` and `words`.
fn filled(names: &'static [&'static str], words: &'static [&'static str]) -> impl Strategy<Value = String> {
    (select(&SHAPES[..]), prop::collection::vec((select(names), select(words)), 5)).prop_map(|(shape, values)| {
        let mut values = values.into_iter();
        let fill = |level| match level {
            "n" => values.next().unwrap().0,
            "w" => values.next().unwrap().1,
            fixed => fixed,
        };
        shape.split('/').map(fill).collect::<Vec<_>>().join("/")
    })
}

fn any_topic() -> impl Strategy<Value = String> {
    filled(&["T", "x.y_z-1"], &["temp", "é", "$", "evt", "a b"])
}

fn any_filter() -> impl Strategy<Value = String> {
    filled(&["T", "x.y_z-1", "+", "+"], &["temp", "é", "evt", "+", "+"])
}

/// Nearly right: levels of the shapes, wildcards and oddities in any order.
fn any_text() -> impl Strategy<Value = String> {
    let level = select(vec![
        "iot-2",
        "type",
        "T",
        "id",
        "evt",
        "cmd",
        "fmt",
        "mon",
        "app",
        "intf",
        "state",
        "err",
        "data",
        "rule",
        "thing",
        "trigger",
        "+",
        "#",
        "",
        "$share",
        "a+",
        "\u{fdd0}",
        "\u{1ffff}",
        "\u{7}",
    ]);
    prop::collection::vec(level, 0..11).prop_map(|levels| levels.join("/"))
}

/// Whether a text is of some shape, level by level.
fn model(text: &str, wild: bool) -> bool {
    let levels: Vec<&str> = text.split('/').collect();
    let name = |level: &str| {
        (1..=36).contains(&level.len()) && level.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    };
    let word = |level: &str| {
        !level.is_empty()
            && !level.contains(['+', '#'])
            && !level.chars().any(char::is_control)
            && !level.chars().any(|c| (u32::from(c) % 0x1_0000) >= 0xfffe || ('\u{fdd0}'..='\u{fdef}').contains(&c))
    };
    SHAPES.iter().any(|shape| {
        let shape: Vec<&str> = shape.split('/').collect();
        shape.len() == levels.len()
            && shape.iter().zip(&levels).all(|(want, level)| match *want {
                "n" => (wild && *level == "+") || name(level),
                "w" => (wild && *level == "+") || word(level),
                fixed => fixed == *level,
            })
    })
}

fn levels_match(filter: &str, topic: &str) -> bool {
    let (filter, topic): (Vec<_>, Vec<_>) = (filter.split('/').collect(), topic.split('/').collect());
    filter.len() == topic.len() && filter.iter().zip(&topic).all(|(f, t)| *f == "+" || f == t)
}

proptest! {
    #[test]
    fn topics_round_trip(text in any_topic()) {
        let topic = PlatformTopic::parse(&text).unwrap();
        prop_assert_eq!(topic.to_string(), text.as_str());
        let name = topic.to_topic_name().unwrap();
        prop_assert_eq!(name.as_str(), text.as_str());
    }

    #[test]
    fn filters_round_trip(text in any_filter()) {
        let filter = PlatformFilter::parse(&text).unwrap();
        prop_assert_eq!(filter.to_string(), text.as_str());
        let checked = filter.to_topic_filter().unwrap();
        prop_assert_eq!(checked.as_str(), text);
    }

    #[test]
    fn what_is_accepted_is_of_a_shape(text in prop_oneof![any_text(), any_topic(), any_filter(), "\\PC{0,40}"]) {
        prop_assert_eq!(PlatformTopic::parse(&text).is_ok(), model(&text, false));
        prop_assert_eq!(PlatformFilter::parse(&text).is_ok(), model(&text, true));
        if let Err(error) = PlatformFilter::parse(&text) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in any::<String>()) {
        let _ = PlatformTopic::parse(&text);
        let _ = PlatformFilter::parse(&text);
        let _ = PlatformFilter::events().with_event(&text);
        let _ = PlatformTopic::command(&text, &text, &text, &text);
    }

    #[test]
    fn overlap_means_a_common_topic(first in any_filter(), second in any_filter(), topics in prop::collection::vec(any_topic(), 1..20)) {
        let overlaps = PlatformFilter::parse(&first).unwrap().overlaps(&PlatformFilter::parse(&second).unwrap());
        if topics.iter().any(|topic| levels_match(&first, topic) && levels_match(&second, topic)) {
            prop_assert!(overlaps);
        }
        // The common topic, made of the levels that are no wildcard.
        let (one, two): (Vec<_>, Vec<_>) = (first.split('/').collect(), second.split('/').collect());
        let common: Vec<_> = one.iter().zip(&two).map(|(a, b)| if *a == "+" { *b } else { *a }).collect();
        let common = common.join("/").replace('+', "x");
        prop_assert_eq!(overlaps, levels_match(&first, &common) && levels_match(&second, &common));
    }
}

#[test]
fn events_are_published_as_if_the_device_had_sent_them() {
    let topic = PlatformTopic::event("thermostat", "t-1", "temperature", "json").unwrap();
    assert_eq!(topic.to_string(), "iot-2/type/thermostat/id/t-1/evt/temperature/fmt/json");
    assert!(topic.is_publishable());
    assert!(PlatformTopic::event("thermo stat", "t-1", "temperature", "json").is_err());
    assert!(PlatformTopic::event("thermostat", "t-1", "a/b", "json").is_err());
    assert!(PlatformTopic::event("thermostat", "t-1", "+", "json").is_err());
}

#[test]
fn commands_are_published_to_a_device() {
    let topic = PlatformTopic::command("thermostat", "t-1", "set", "json").unwrap();
    assert_eq!(topic.to_string(), "iot-2/type/thermostat/id/t-1/cmd/set/fmt/json");
    assert!(topic.is_publishable());
}

#[test]
fn event_filters_take_plus_for_type_device_event_and_format() {
    assert_eq!(PlatformFilter::events().to_string(), "iot-2/type/+/id/+/evt/+/fmt/+");
    let narrow = PlatformFilter::events().with_type("T").unwrap().with_id("I").unwrap();
    let narrow = narrow.with_event("E").unwrap().with_format("F").unwrap();
    assert_eq!(narrow.to_string(), "iot-2/type/T/id/I/evt/E/fmt/F");
}

#[test]
fn command_filters_take_plus_for_type_device_command_and_format() {
    assert_eq!(PlatformFilter::commands().to_string(), "iot-2/type/+/id/+/cmd/+/fmt/+");
    let narrow = PlatformFilter::commands().with_type("T").unwrap().with_id("I").unwrap();
    let narrow = narrow.with_command("C").unwrap().with_format("F").unwrap();
    assert_eq!(narrow.to_string(), "iot-2/type/T/id/I/cmd/C/fmt/F");
}

#[test]
fn device_status_filters_take_plus_for_type_and_device() {
    assert_eq!(PlatformFilter::device_monitoring().to_string(), "iot-2/type/+/id/+/mon");
    let one = PlatformFilter::device_monitoring().with_type("T").unwrap().with_id("I").unwrap();
    assert_eq!(one.to_string(), "iot-2/type/T/id/I/mon");
}

#[test]
fn application_status_filters_take_plus_for_the_application() {
    assert_eq!(PlatformFilter::app_monitoring().to_string(), "iot-2/app/+/mon");
    assert_eq!(PlatformFilter::app_monitoring().with_app("A").unwrap().to_string(), "iot-2/app/A/mon");
}

#[test]
fn filters_of_states_errors_and_rules_are_built() {
    let texts = [
        PlatformFilter::device_states().with_interface("L").unwrap().to_string(),
        PlatformFilter::thing_states().with_type("T").unwrap().with_id("I").unwrap().to_string(),
        PlatformFilter::device_errors().with_id("I").unwrap().to_string(),
        PlatformFilter::thing_errors().with_id("I").unwrap().to_string(),
        PlatformFilter::rule_triggers().with_rule("R").unwrap().to_string(),
        PlatformFilter::rule_errors().with_interface("L").unwrap().to_string(),
    ];
    assert_eq!(
        texts,
        [
            "iot-2/type/+/id/+/intf/L/evt/state",
            "iot-2/thing/type/T/id/I/intf/+/evt/state",
            "iot-2/type/+/id/I/err/data",
            "iot-2/thing/type/+/id/I/err/data",
            "iot-2/intf/+/rule/R/evt/trigger",
            "iot-2/intf/L/rule/+/err/data",
        ]
    );
}

#[test]
fn each_mistake_has_its_own_error() {
    let kind = |text| PlatformFilter::parse(text).unwrap_err().kind().clone();
    assert_eq!(kind("iot-2/type/T/id/#"), TopicRuleErrorKind::Hash);
    assert_eq!(kind("#/a"), TopicRuleErrorKind::Hash);
    assert_eq!(kind("$SYS/a"), TopicRuleErrorKind::System);
    assert_eq!(kind("$share/g/iot-2/app/+/mon"), TopicRuleErrorKind::Dollar);
    assert_eq!(kind("iot-2/+/T/id/I/mon"), TopicRuleErrorKind::PlusInFixedLevel);
    assert_eq!(kind("iot-2/type//id/I/mon"), TopicRuleErrorKind::EmptyLevel);
    assert_eq!(kind("plant/1/temperature"), TopicRuleErrorKind::NoShape);
    assert_eq!(
        kind("iot-2/type/a b/id/I/mon"),
        TopicRuleErrorKind::Name(crate::platform::identity::IdentityErrorKind::Character(' '))
    );
    assert_eq!(kind("iot-2/type/T/id/I/evt/\u{1}/fmt/F"), TopicRuleErrorKind::ControlCharacter);
    assert!(matches!(kind("iot-2/app/a+/mon"), TopicRuleErrorKind::Mqtt(_)));
    let topic = PlatformTopic::parse("iot-2/type/+/id/I/evt/E/fmt/F").unwrap_err();
    assert_eq!(*topic.kind(), TopicRuleErrorKind::WildcardInTopic);
    let place = PlatformFilter::app_monitoring().with_event("E").unwrap_err();
    assert_eq!(*place.kind(), TopicRuleErrorKind::NoSuchPlace("event"));
}

#[test]
fn shares_are_named_as_in_the_proxys_own_test() {
    let filter = PlatformFilter::parse("iot-2/type/typ/id/device/evt/abc/fmt/json").unwrap();
    let share = |client: &str| ShareGroup::of(&ClientId::new(client).unwrap(), &filter).map(|group| group.to_string());
    assert_eq!(
        share("A:ios2:app1").unwrap(),
        "$SharedSubscription/ios2:app1:iot-2:type:typ:id:device:evt:abc:fmt:json\
         /iot-2/ios2/type/typ/id/device/evt/abc/fmt/json"
    );
    assert_eq!(share("A:ios2:app1:i").unwrap(), "$share/ios2:app1/iot-2/ios2/type/typ/id/device/evt/abc/fmt/json");
    assert_eq!(share("a:ios2:app1"), None);
}

#[test]
fn members_with_and_without_instance_are_in_different_groups() {
    let group = |client: &str| ShareGroup::of(&ClientId::new(client).unwrap(), &PlatformFilter::events()).unwrap();
    assert_eq!(group("A:abc123:app:1"), group("A:abc123:app:2"));
    assert_ne!(group("A:abc123:app:1"), group("A:abc123:app"));
    assert_ne!(group("A:abc123:app"), group("A:abc123:other"));
}

#[test]
fn overlapping_filters_of_a_scalable_application_are_warned_about() {
    let all = PlatformFilter::events();
    let some = PlatformFilter::events().with_type("T").unwrap();
    let other = PlatformFilter::events().with_type("U").unwrap();
    let filters = [all.clone(), some.clone(), other.clone(), all.clone(), PlatformFilter::commands()];
    let client = |text| ClientId::new(text).unwrap();
    let overlap = |first: &PlatformFilter, second: &PlatformFilter| FilterWarning::Overlap {
        first: first.clone(),
        second: second.clone(),
    };
    assert_eq!(review_filters(&client("A:abc123:app"), &filters), [overlap(&all, &some), overlap(&all, &other)]);
    assert_eq!(review_filters(&client("a:abc123:app"), &filters), []);
}

#[test]
fn monitoring_under_a_scalable_application_is_warned_about() {
    let filters = [PlatformFilter::device_monitoring()];
    let review = |client: &str| review_filters(&ClientId::new(client).unwrap(), &filters);
    assert!(matches!(review("A:abc123:app:1")[..], [FilterWarning::NoRetainedState { .. }]));
    assert!(matches!(review("A:abc123:app")[..], [FilterWarning::SplitMonitoring { .. }]));
    assert!(review("a:abc123:app").is_empty());
}
