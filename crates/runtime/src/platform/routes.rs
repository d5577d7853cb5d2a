//! Routes against the platform's rules for filters.

use tidemill_core::QoS;
use tidemill_core::platform::limits::check_subscribe;
use tidemill_core::platform::topics::review_filters;
use tidemill_core::topic::TopicFilter;

use super::Membership;
use crate::config::{Config, ConfigProblem, PlatformShape};

/// What the platform would close the connection over is a problem, what is probably not meant a warning.
pub(crate) fn check_routes(
    membership: &Membership,
    filters: &[TopicFilter],
    problems: &mut Vec<ConfigProblem>,
    advice: &mut Vec<ConfigProblem>,
) {
    let client = membership.any_client();
    let mut granted = Vec::new();
    for filter in filters {
        match check_subscribe(&client, filter.as_str(), QoS::AtLeastOnce, QoS::ExactlyOnce) {
            Ok(subscribed) if !membership.role().may_subscribe(&subscribed.filter) => {
                let why = format!("{filter}: the role of the API key does not let it receive commands");
                problems.push(ConfigProblem::new(
                    "routes",
                    why,
                    "remove the route, or set platform.role if it is wrong",
                ));
            }
            Ok(subscribed) => granted.push(subscribed.filter),
            Err(error) => problems.push(ConfigProblem::new("routes", error.to_string(), "correct the pattern")),
        }
    }
    for warning in review_filters(&client, &granted) {
        advice.push(ConfigProblem::new("routes", warning.to_string(), "see the page on the platform"));
    }
    if membership.shape() == PlatformShape::ScalableInstance {
        let why = "members with and without an instance are different groups, each with its own copy of every event";
        advice.push(ConfigProblem::new("platform.shape", why, "give every member of the application the same shape"));
    }
}

/// Dead letters have topics that the platform does not take.
pub(crate) fn check_dead_letters(config: &Config, problems: &mut Vec<ConfigProblem>) {
    if config.dead_letters.sink.is_none() {
        let why = "the platform takes events and commands only, and closes the connection over other topics (276)";
        problems.push(ConfigProblem::new(
            "dead_letters.sink",
            why,
            "name a sink of the worker that takes dead letters",
        ));
    }
}
