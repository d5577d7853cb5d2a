//! The router against a linear scan, and subscriptions against all topics of a small world.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use proptest::sample::select;
use smallvec::SmallVec;
use tidemill_core::topic::{Pattern, Segment, TopicFilter};

use super::build::RouterError;
use super::subscriptions::{Overlap, subscriptions};
use super::trie::{RouteId, Router};

/// Levels with common beginnings, also inside a character, and around the length of a word; `x`, `abcd` and the longest
/// stand in no pattern.
const LEVELS: [&str; 15] = [
    "",
    "a",
    "ab",
    "abc",
    "b",
    "é",
    "è",
    "$s",
    "sensor7",
    "sensor78",
    "sensor789",
    "sensor789-of-the-north",
    "x",
    "abcd",
    "sensor789-of-the-northern-hall",
];
const IN_PATTERNS: usize = 12;

fn any_pattern() -> impl Strategy<Value = Pattern> {
    let level = prop_oneof![3 => select(&LEVELS[..IN_PATTERNS]), 1 => Just("+"), 2 => Just("{}")];
    (prop::collection::vec(level, 0..=5), prop::bool::weighted(0.25)).prop_filter_map("empty", |(levels, hash)| {
        let name = |(at, level): (usize, &str)| if level == "{}" { format!("{{c{at}}}") } else { level.to_owned() };
        let mut levels: Vec<String> = levels.into_iter().enumerate().map(name).collect();
        levels.extend(hash.then(|| "#".to_owned()));
        Pattern::new(&levels.join("/")).ok()
    })
}

fn any_topic() -> impl Strategy<Value = String> {
    prop::collection::vec(select(&LEVELS[..]), 1..=6)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("empty", |topic| !topic.is_empty())
}

/// A topic that matches the pattern, unless `$` hides it.
fn topic_for(pattern: &Pattern, fill: &[&str]) -> String {
    let mut fill = fill.iter().cycle();
    let mut levels: Vec<&str> = Vec::new();
    for segment in pattern.segments() {
        match segment {
            Segment::Literal(level) => levels.push(level),
            Segment::Hash => levels.extend(fill.by_ref().take(2)),
            _ => levels.extend(fill.next()),
        }
    }
    levels.join("/")
}

/// Leaves out patterns that match the same topics as an earlier one.
fn distinct(patterns: Vec<Pattern>) -> Vec<Pattern> {
    let mut kept: Vec<Pattern> = Vec::new();
    for pattern in patterns {
        if !kept.iter().any(|other| same_topics(other, &pattern)) {
            kept.push(pattern);
        }
    }
    kept
}

fn same_topics(one: &Pattern, other: &Pattern) -> bool {
    one.filter().covers(&other.filter()) && other.filter().covers(&one.filter())
}

/// Smaller is more specific, among patterns that match one topic.
fn rank(pattern: &Pattern) -> Vec<u8> {
    pattern
        .segments()
        .iter()
        .map(|segment| match segment {
            Segment::Literal(_) => 0,
            Segment::Hash => 2,
            _ => 1,
        })
        .collect()
}

fn linear_scan<'t>(patterns: &[Pattern], topic: &'t str) -> Option<(RouteId, Vec<&'t str>)> {
    let matching = patterns.iter().enumerate().filter(|(_, pattern)| pattern.filter().matches(topic));
    let (route, pattern) = matching.min_by_key(|(_, pattern)| rank(pattern))?;
    let levels = topic.split('/').zip(pattern.segments());
    let captured = levels.filter(|(_, segment)| matches!(segment, Segment::Capture(_))).map(|(level, _)| level);
    Some((RouteId(u16::try_from(route).unwrap()), captured.collect()))
}

fn routed<'t>(router: &Router, topic: &'t str) -> Option<(RouteId, Vec<&'t str>)> {
    let mut spans = SmallVec::new();
    let route = router.route(topic, &mut spans);
    assert!(route.is_some() || spans.is_empty());
    Some((route?, spans.iter().map(|span| &topic[usize::from(span.start)..usize::from(span.end)]).collect()))
}

fn router(patterns: &[&str]) -> Result<Router, RouterError> {
    let patterns: Vec<Pattern> = patterns.iter().map(|text| Pattern::new(text).unwrap()).collect();
    Router::new(&patterns)
}

proptest! {
    #[test]
    fn the_router_finds_what_a_linear_scan_finds(
        patterns in prop::collection::vec(any_pattern(), 0..24).prop_map(distinct),
        topics in prop::collection::vec(any_topic(), 1..24),
        fills in prop::collection::vec(prop::collection::vec(select(&LEVELS[..]), 1..5), 1..4),
    ) {
        let router = Router::new(&patterns).unwrap();
        let likely = patterns.iter().flat_map(|pattern| fills.iter().map(|fill| topic_for(pattern, fill)));
        for topic in topics.iter().cloned().chain(likely).filter(|topic| !topic.is_empty()) {
            prop_assert_eq!(routed(&router, &topic), linear_scan(&patterns, &topic), "topic {:?}", topic);
        }
    }

    #[test]
    fn two_patterns_are_refused_exactly_when_they_match_the_same_topics(one in any_pattern(), other in any_pattern()) {
        prop_assert_eq!(Router::new([&one, &other]).is_err(), same_topics(&one, &other));
    }

    #[test]
    fn any_string_is_routed_without_a_panic(
        patterns in prop::collection::vec(any_pattern(), 0..8).prop_map(distinct),
        topic in any::<String>(),
    ) {
        let found = routed(&Router::new(&patterns).unwrap(), &topic);
        prop_assert!(topic.is_empty() || found == linear_scan(&patterns, &topic));
    }

    #[test]
    fn every_wanted_topic_comes_through_exactly_one_subscription(
        patterns in prop::collection::vec(any_pattern(), 1..5),
        topics in prop::collection::vec(any_topic(), 1..50),
        fill in prop::collection::vec(select(&LEVELS[..]), 1..5),
    ) {
        let filters: Vec<TopicFilter> = patterns.iter().map(Pattern::filter).collect();
        match subscriptions(&filters) {
            Ok(subscribed) => {
                let likely = patterns.iter().map(|pattern| topic_for(pattern, &fill));
                for topic in topics.iter().cloned().chain(likely).filter(|topic| !topic.is_empty()) {
                    let wanted = filters.iter().any(|filter| filter.matches(&topic));
                    let times = subscribed.iter().filter(|filter| filter.matches(&topic)).count();
                    prop_assert_eq!(times, usize::from(wanted), "topic {:?}, subscribed {:?}", topic, subscribed);
                }
                prop_assert!(subscribed.iter().all(|filter| filters.contains(filter)));
            }
            Err(Overlap { first, second, topic, wider }) => {
                prop_assert!(first.matches(&topic) && second.matches(&topic), "witness {:?}", topic);
                prop_assert!(!first.covers(&second) && !second.covers(&first));
                let wider = TopicFilter::new(&wider).unwrap();
                prop_assert!(wider.covers(&first) && wider.covers(&second), "wider {:?}", wider);
                prop_assert!(filters.contains(&first) && filters.contains(&second));
            }
        }
    }
}

#[test]
fn the_most_specific_route_wins_level_by_level() {
    let patterns = ["a/b/c", "a/b/{x}", "a/+/c", "a/{x}/{y}", "a/b/#", "a/#", "{x}/b/c", "#", "$SYS/#"];
    let router = router(&patterns).unwrap();
    for (topic, pattern, captured) in [
        ("a/b/c", "a/b/c", &[][..]),
        ("a/b/d", "a/b/{x}", &["d"]),
        ("a/b/", "a/b/{x}", &[""]),
        ("a/x/c", "a/+/c", &[]),
        ("a/x/d", "a/{x}/{y}", &["x", "d"]),
        ("a/b", "a/b/#", &[]),
        ("a/b/c/d", "a/b/#", &[]),
        ("a/x/c/d", "a/#", &[]),
        ("a", "a/#", &[]),
        ("é/b/c", "{x}/b/c", &["é"]),
        ("é/b", "#", &[]),
        ("$SYS", "$SYS/#", &[]),
        ("$SYS/b/c", "$SYS/#", &[]),
    ] {
        let (route, found) = routed(&router, topic).unwrap();
        assert_eq!((patterns[usize::from(route.0)], &found[..]), (pattern, captured), "{topic}");
    }
    assert_eq!(routed(&router, "$other/b/c"), None);
}

#[test]
fn captures_are_those_of_the_chosen_route_after_a_dead_end() {
    let router = router(&["{a}/{b}/{c}/+/end", "{a}/+/{c}/x/#", "p/{b}/{c}/{d}/{e}/other"]).unwrap();
    assert_eq!(routed(&router, "p/q/r/x/end"), Some((RouteId(1), vec!["p", "r"])));
    assert_eq!(routed(&router, "p/q/r/s/end"), Some((RouteId(0), vec!["p", "q", "r"])));
    assert_eq!(routed(&router, "p/q/r/x/end/other"), Some((RouteId(2), vec!["q", "r", "x", "end"])));
}

#[test]
fn the_longest_topic_is_captured_to_its_last_byte() {
    let router = router(&["{a}/{b}"]).unwrap();
    let topic = format!("{}/{}", "a".repeat(65_000), "b".repeat(534));
    let (_, captured) = routed(&router, &topic).unwrap();
    assert_eq!(captured[1].len(), 534);
}

#[test]
fn very_deep_and_very_many_patterns_are_routed() {
    let deep = vec!["+"; 32_768].join("/");
    let wide: Vec<String> = (0..65_535).map(|at| format!("plant/{at}/{{line}}")).collect();
    let patterns: Vec<Pattern> = wide.iter().chain([&deep]).map(|text| Pattern::new(text).unwrap()).collect();
    let router = Router::new(&patterns).unwrap();
    assert_eq!(routed(&router, &"/".repeat(32_767)), Some((RouteId(65_535), vec![])));
    assert_eq!(routed(&router, "plant/40961/7"), Some((RouteId(40_961), vec!["7"])));
    let one_more = Pattern::new("more").unwrap();
    assert_eq!(Router::new(patterns.iter().chain([&one_more])).unwrap_err(), RouterError::TooMany);
}

#[test]
fn two_routes_for_the_same_topics_are_both_named() {
    let error = router(&["a/{x}", "a/b", "a/{y}"]).unwrap_err();
    assert_eq!(error.to_string(), r#"routes "a/{x}" and "a/{y}" match the same topics; keep one of them"#);
    assert!(router(&["#", "{any}/#"]).is_err() && router(&["/#", "/+/#"]).is_err());
}

#[test]
fn a_covered_filter_is_not_subscribed_to() {
    let filters = |texts: &[&str]| texts.iter().map(|text| TopicFilter::new(text).unwrap()).collect::<Vec<_>>();
    let found = subscriptions(&filters(&["a/b", "z", "a/+", "a/+", "#", "$SYS/a", "+/#"])).unwrap();
    assert_eq!(found, filters(&["#", "$SYS/a"]));
    // They overlap, but a third one covers both.
    let found = subscriptions(&filters(&["a/+/c", "a/b/+", "a/+/+"])).unwrap();
    assert_eq!(found, filters(&["a/+/+"]));
    assert!(subscriptions(&[]).unwrap().is_empty());
}

#[test]
fn an_overlap_names_both_filters_a_topic_and_the_way_out() {
    let filters = ["plant/+/temperature", "plant/7/+"].map(|text| TopicFilter::new(text).unwrap());
    let text = subscriptions(&filters).unwrap_err().to_string();
    assert_eq!(
        text,
        "routes on \"plant/+/temperature\" and \"plant/7/+\" overlap: a shared subscription would hand out an event on \
         \"plant/7/temperature\" once for each; make them disjoint, or add one route \"plant/+/+\" that covers both"
    );
}
