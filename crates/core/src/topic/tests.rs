//! Topics against the rules of MQTT 5: every property compares the module with a model that was written another way,
//! over small alphabets where collisions, empty levels, `$` and characters of several bytes are common.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// Levels that topics and filters are made of; `x` stands in no filter, so it is any other level.
const LEVELS: [&str; 6] = ["", "a", "b", "é", "$s", "x"];

fn topics_up_to(depth: usize) -> Vec<String> {
    let mut topics: Vec<String> = LEVELS.map(str::to_owned).into();
    let mut longest = topics.clone();
    for _ in 1..depth {
        longest = longest.iter().flat_map(|topic| LEVELS.map(|level| format!("{topic}/{level}"))).collect();
        topics.extend_from_slice(&longest);
    }
    topics.retain(|topic| !topic.is_empty());
    topics
}

fn any_filter() -> impl Strategy<Value = TopicFilter> {
    let level = select(vec!["", "a", "b", "é", "$s", "+", "+"]);
    (prop::collection::vec(level, 0..=3), prop::bool::weighted(0.3)).prop_filter_map("empty", |(mut levels, hash)| {
        if hash {
            levels.truncate(2);
            levels.push("#");
        }
        TopicFilter::new(&levels.join("/")).ok()
    })
}

fn any_topic() -> impl Strategy<Value = String> {
    prop::collection::vec(select(&LEVELS[..]), 1..=5)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("empty", |topic| !topic.is_empty())
}

/// Text made of the characters that the rules are about.
fn any_text() -> impl Strategy<Value = String> {
    let piece =
        select(vec!["a", "/", "/", "+", "#", "$", "é", "水", "\u{feff}", "\0", "{", "}", "{a}", "$share/", "-"]);
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn filter(text: &str) -> TopicFilter {
    TopicFilter::new(text).unwrap()
}

mod model {
    //! The rules once more, recursively over levels and by characters.

    fn levels_match(filter: &[&str], topic: &[&str]) -> bool {
        match (filter.split_first(), topic.split_first()) {
            (None, None) => true,
            (Some((&"#", _)), _) => true,
            (Some((&"+", filter)), Some((_, topic))) => levels_match(filter, topic),
            (Some((want, filter)), Some((level, topic))) => want == level && levels_match(filter, topic),
            _ => false,
        }
    }

    pub(super) fn matches(filter: &str, topic: &str) -> bool {
        let (filter, topic): (Vec<_>, Vec<_>) = (filter.split('/').collect(), topic.split('/').collect());
        let hidden = topic[0].starts_with('$') && ["+", "#"].contains(&filter[0]);
        !hidden && levels_match(&filter, &topic)
    }

    pub(super) fn is_name(text: &str) -> bool {
        (1..=65_535).contains(&text.len()) && text.chars().all(|c| !matches!(c, '+' | '#' | '\0'))
    }

    pub(super) fn is_filter(text: &str) -> bool {
        let levels: Vec<&str> = text.split('/').collect();
        let (last, parents) = levels.split_last().unwrap();
        let plain = |level: &str| level.chars().all(|c| !matches!(c, '+' | '#' | '\0'));
        (1..=65_535).contains(&text.len())
            && (levels[0] != "$share" || levels.len() == 1)
            && parents.iter().all(|level| *level == "+" || plain(level))
            && (["+", "#"].contains(last) || plain(last))
    }

    pub(super) fn is_share_name(text: &str) -> bool {
        !text.is_empty() && text.chars().all(|c| !matches!(c, '/' | '+' | '#' | '\0'))
    }

    /// The filter and the captures of a pattern.
    pub(super) fn pattern(text: &str) -> Option<(String, Vec<String>)> {
        let mut names = Vec::new();
        let mut levels = Vec::new();
        for level in text.split('/') {
            let inner: String = level.chars().filter(|c| !"{}".contains(*c)).collect();
            if level == inner {
                levels.push(inner);
            } else if level == format!("{{{inner}}}") && is_capture_name(&inner) && !names.contains(&inner) {
                names.push(inner);
                levels.push("+".to_owned());
            } else {
                return None;
            }
        }
        let filter = levels.join("/");
        is_filter(&filter).then_some((filter, names))
    }

    fn is_capture_name(name: &str) -> bool {
        !name.is_empty() && name.chars().all(|c| c.is_alphabetic() || c.is_numeric() || "_-".contains(c))
    }
}

proptest! {
    #[test]
    fn a_filter_matches_what_the_levels_say(filter in any_filter(), topic in any_topic()) {
        prop_assert_eq!(filter.matches(&topic), model::matches(filter.as_str(), &topic));
    }

    #[test]
    fn filters_overlap_exactly_when_a_topic_matches_both(one in any_filter(), other in any_filter()) {
        let witness = topics_up_to(4).into_iter().find(|topic| one.matches(topic) && other.matches(topic));
        prop_assert_eq!(one.overlaps(&other), witness.is_some(), "witness {:?}", witness);
        prop_assert_eq!(one.overlaps(&other), other.overlaps(&one));
    }

    #[test]
    fn a_filter_covers_another_exactly_when_no_topic_escapes_it(wide in any_filter(), narrow in any_filter()) {
        let escapes = topics_up_to(4).into_iter().find(|topic| narrow.matches(topic) && !wide.matches(topic));
        prop_assert_eq!(wide.covers(&narrow), escapes.is_none(), "escapes {:?}", escapes);
    }

    #[test]
    fn names_are_accepted_by_the_rules(text in any_text()) {
        prop_assert_eq!(TopicName::new(&text).is_ok(), model::is_name(&text));
    }

    #[test]
    fn filters_are_accepted_by_the_rules(text in any_text()) {
        prop_assert_eq!(TopicFilter::new(&text).is_ok(), model::is_filter(&text));
    }

    #[test]
    fn share_names_are_accepted_by_the_rules(text in any_text()) {
        prop_assert_eq!(ShareName::new(&text).is_ok(), model::is_share_name(&text));
    }

    #[test]
    fn patterns_are_accepted_by_the_rules_and_know_their_filter(text in any_text()) {
        let known = Pattern::new(&text).ok().map(|pattern| {
            (pattern.filter().to_string(), pattern.captures().map(str::to_owned).collect::<Vec<_>>())
        });
        prop_assert_eq!(known, model::pattern(&text));
    }

    #[test]
    fn a_name_matches_itself_as_a_filter(text in any_text()) {
        if let (Ok(name), Ok(filter)) = (TopicName::new(&text), TopicFilter::new(&text)) {
            prop_assert!(filter.matches(name.as_str()) && !filter.has_wildcard());
        }
    }

    #[test]
    fn subscriptions_survive_a_round_trip(share in prop::option::of(any_text()), text in any_text()) {
        let share = share.and_then(|name| ShareName::new(&name).ok());
        if let Ok(filter) = TopicFilter::new(&text) {
            let subscription = Subscription { share, filter };
            prop_assert_eq!(subscription.to_string().parse::<Subscription>().unwrap(), subscription);
        }
    }

    #[test]
    fn a_subscription_that_parses_is_written_back_unchanged(text in any_text()) {
        if let Ok(subscription) = text.parse::<Subscription>() {
            prop_assert_eq!(subscription.to_string(), text);
        }
    }

    /// Wherever it stands, and whatever stands around it.
    #[test]
    fn one_forbidden_byte_is_found(
        name in "[ -\"$-*,-~]{1,40}",
        at in any::<prop::sample::Index>(),
        byte in select(&[b'+', b'#', 0, 0x80, 0xff][..]),
    ) {
        prop_assert!(TopicName::new(&name).is_ok());
        let mut bytes = name.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        prop_assert!(TopicName::from_bytes(Bytes::from(bytes)).is_err());
    }

    #[test]
    fn any_bytes_are_a_name_or_an_error(bytes in prop::collection::vec(prop_oneof![b'a'..=b'z', any::<u8>()], 0..40)) {
        let valid = std::str::from_utf8(&bytes).is_ok_and(model::is_name);
        let name = TopicName::from_bytes(Bytes::from(bytes.clone()));
        prop_assert_eq!(name.is_ok(), valid);
        if let Ok(name) = name {
            prop_assert_eq!(name.as_bytes(), &bytes);
        }
    }
}

#[test]
fn a_hash_matches_the_parent_and_everything_below() {
    for topic in ["sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player1/score/wimbledon"] {
        assert!(filter("sport/tennis/player1/#").matches(topic), "{topic}");
    }
    assert!(filter("sport/#").matches("sport") && !filter("sport/#").matches("sports"));
}

#[test]
fn a_plus_matches_one_level_even_an_empty_one() {
    assert!(filter("sport/+").matches("sport/") && !filter("sport/+").matches("sport"));
    assert!(filter("+/+").matches("/finance") && filter("/+").matches("/finance") && !filter("+").matches("/finance"));
}

#[test]
fn a_leading_wildcard_hides_dollar_topics_and_a_later_one_does_not() {
    for hidden in ["#", "+/monitor/Clients", "+/#"] {
        assert!(!filter(hidden).matches("$SYS/monitor/Clients"), "{hidden}");
    }
    assert!(filter("$SYS/#").matches("$SYS/monitor/Clients") && filter("$SYS/#").matches("$SYS"));
    assert!(filter("$SYS/monitor/+").matches("$SYS/monitor/Clients"));
    assert!(filter("a/+").matches("a/$b"));
}

#[test]
fn the_empty_topic_is_no_witness() {
    assert!(!filter("/#").overlaps(&filter("+")) && filter("/#").overlaps(&filter("+/a")));
    for (one, other) in [("#", "+/#"), ("/#", "/+/#")] {
        assert!(filter(one).covers(&filter(other)) && filter(other).covers(&filter(one)));
    }
    assert!(!filter("a/+/#").covers(&filter("a/#")));
}

#[test]
fn levels_are_compared_by_bytes_with_case_and_accents() {
    assert!(!filter("ACCOUNTS").matches("Accounts"));
    assert!(filter("é/+/水").matches("é/日本/水"));
    // The same letter, written with a combining accent, is another topic.
    assert!(!filter("é").matches("e\u{301}"));
}

#[test]
fn lengths_are_limited_in_bytes() {
    let fits = format!("é{}", "a".repeat(MAX_LEN - 2));
    let long = format!("é{}", "a".repeat(MAX_LEN - 1));
    assert!(TopicName::new(&fits).is_ok() && TopicFilter::new(&fits).is_ok() && Pattern::new(&fits).is_ok());
    for error in [
        TopicName::new(&long).unwrap_err(),
        TopicFilter::new(&long).unwrap_err(),
        Pattern::new(&long).unwrap_err(),
        long.parse::<Subscription>().unwrap_err(),
    ] {
        assert_eq!(error.kind(), TopicErrorKind::TooLong);
        assert!(error.to_string().len() < 300, "{error}");
    }
}

#[test]
fn the_broken_rule_is_named() {
    use TopicErrorKind::*;
    let name = |text: &str| TopicName::new(text).map(drop).map_err(|error| error.kind());
    let filter = |text: &str| TopicFilter::new(text).map(drop).map_err(|error| error.kind());
    let pattern = |text: &str| Pattern::new(text).map(drop).map_err(|error| error.kind());
    let subscription = |text: &str| text.parse::<Subscription>().map(drop).map_err(|error| error.kind());
    for (found, rule) in [
        (name(""), Empty),
        (name("a/\0"), NullCharacter),
        (name("a/+"), WildcardInName),
        (name("a#"), WildcardInName),
        (filter(""), Empty),
        (filter("a\0"), NullCharacter),
        (filter("sport+"), PlusNotAlone),
        (filter("sport/tennis#"), HashNotLast),
        (filter("sport/#/ranking"), HashNotLast),
        (filter("$share/g/a"), ShareInFilter),
        (pattern("$share/g/a"), ShareInPattern),
        (pattern("plant/{line"), CaptureNotAlone),
        (pattern("plant/l{line}"), CaptureNotAlone),
        (pattern("plant/{}"), BadCaptureName),
        (pattern("plant/{a b}"), BadCaptureName),
        (pattern("{a}/{a}"), DuplicateCapture),
        (pattern("#/{a}"), HashNotLast),
        (subscription("$share//a"), BadShareName),
        (subscription("$share/+/a"), BadShareName),
        (subscription("$share/g"), ShareWithoutFilter),
        (subscription("$share/g/"), ShareWithoutFilter),
        (subscription("$share/g/a#"), HashNotLast),
        (subscription("$share/g/$share/h/a"), ShareInFilter),
    ] {
        assert_eq!(found, Err(rule));
    }
    let bytes = TopicName::from_bytes(Bytes::from_static(b"a/\xff")).unwrap_err();
    assert_eq!(bytes.kind(), NotUtf8);
}

#[test]
fn a_share_is_kept_apart_from_its_filter() {
    let subscription: Subscription = "$share/workers//finance/#".parse().unwrap();
    assert_eq!(subscription.share.unwrap().as_str(), "workers");
    assert_eq!(subscription.filter.as_str(), "/finance/#");
    let plain: Subscription = "$shared/a".parse().unwrap();
    assert_eq!((plain.share, plain.filter.as_str()), (None, "$shared/a"));
}
