//! What to subscribe to. A broker hands an event out once for each matching subscription of a group, so the
//! subscriptions of one group must never overlap: every event that a route wants comes through exactly one of them.

use std::fmt;

use tidemill_core::topic::TopicFilter;

/// The filters to subscribe to for routes with these filters, in their order. One that another covers is left out: the
/// wider subscription receives its events, and the router gives them to the most specific route.
///
/// # Errors
/// [`Overlap`] when two of them share topics without one covering the other.
pub(crate) fn subscriptions(filters: &[TopicFilter]) -> Result<Vec<TopicFilter>, Overlap> {
    let mut wide: Vec<&TopicFilter> = Vec::new();
    for filter in filters {
        if !wide.iter().any(|known| known.covers(filter)) {
            wide.retain(|known| !filter.covers(known));
            wide.push(filter);
        }
    }
    for (at, first) in wide.iter().enumerate() {
        if let Some(second) = wide[at + 1..].iter().find(|second| first.overlaps(second)) {
            return Err(Overlap::new(first, second));
        }
    }
    Ok(wide.into_iter().cloned().collect())
}

/// Two filters that a shared subscription cannot serve both, because some events would come twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Overlap {
    /// The one that comes first.
    pub(crate) first: TopicFilter,
    /// The other one.
    pub(crate) second: TopicFilter,
    /// A topic that matches both.
    pub(crate) topic: Box<str>,
    /// A filter that covers both.
    pub(crate) wider: Box<str>,
}

impl Overlap {
    fn new(first: &TopicFilter, second: &TopicFilter) -> Self {
        let (mut topic, mut wider) = (Vec::new(), Vec::new());
        let (mut ones, mut others) = (first.as_str().split('/'), second.as_str().split('/'));
        loop {
            let (one, other) = match (ones.next(), others.next()) {
                (Some("#"), rest) => {
                    topic.extend(rest.into_iter().chain(others).filter(|level| *level != "#").map(some_level));
                    wider.push("#");
                    break;
                }
                (rest, Some("#")) => {
                    topic.extend(rest.into_iter().chain(ones).filter(|level| *level != "#").map(some_level));
                    wider.push("#");
                    break;
                }
                (Some(one), Some(other)) => (one, other),
                // Both end here, because they overlap.
                _ => break,
            };
            topic.push(some_level(if one == "+" { other } else { one }));
            wider.push(if one == other { one } else { "+" });
        }
        let (topic, wider) = (topic.join("/").into(), wider.join("/").into());
        Self { first: first.clone(), second: second.clone(), topic, wider }
    }
}

fn some_level(level: &str) -> &str {
    if level == "+" { "x" } else { level }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, second, topic, wider } = self;
        write!(
            f,
            "routes on {first:?} and {second:?} overlap: a shared subscription would hand out an event on {topic:?} once \
             for each; make them disjoint, or add one route {wider:?} that covers both"
        )
    }
}

impl std::error::Error for Overlap {}
