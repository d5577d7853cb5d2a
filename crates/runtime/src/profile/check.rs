//! A configuration against the profile of its broker: what cannot work is a problem, what can lose events a warning.

use tidemill_core::QoS;
use tidemill_core::topic::TopicFilter;

use super::advice::Advice;
use crate::config::{Config, ConfigProblem};

const KEY: &str = "mqtt.broker";

/// What a group is told by the profile; `None` without a group, as then there is nothing to share or to move.
fn advice(config: &Config) -> Option<Advice> {
    let mqtt = &config.mqtt;
    config.group.name.as_ref()?;
    Some(mqtt.broker.facts().advice(config.identity.mode, mqtt.qos, mqtt.window))
}

/// Why this worker cannot work on its broker.
pub(crate) fn refusal(config: &Config) -> Option<ConfigProblem> {
    match advice(config)? {
        // QoS 2 is refused on every broker, by a rule of its own.
        Advice::Refuse { why, fix } if config.mqtt.qos != QoS::ExactlyOnce => Some(ConfigProblem::new(KEY, why, fix)),
        Advice::Safe | Advice::Warn { .. } | Advice::Refuse { .. } => None,
    }
}

/// How this worker can lose events on its broker.
pub(crate) fn warning(config: &Config) -> Option<ConfigProblem> {
    match advice(config)? {
        Advice::Warn { why, fix } => Some(ConfigProblem::new(KEY, why, fix)),
        Advice::Safe | Advice::Refuse { .. } => None,
    }
}

/// What the broker would refuse: client IDs that are too long or have other characters than it takes, filters that it
/// does not take, or not so many.
pub(crate) fn limits(config: &Config, longest_id: &str, filters: &[TopicFilter]) -> Vec<ConfigProblem> {
    let facts = config.mqtt.broker.facts();
    let title = facts.title;
    let mut problems = Vec::new();
    if longest_id.len() > usize::from(facts.max_client_id) {
        let why = format!(
            "client IDs such as {longest_id} have {} bytes, {title} takes {}",
            longest_id.len(),
            facts.max_client_id
        );
        problems.push(ConfigProblem::new("identity.prefix", why, "shorten it, or identity.replica"));
    }
    if !facts.client_ids.allow(longest_id) {
        let why = format!("client IDs such as {longest_id} have characters that {title} does not take");
        let fix = "use letters, digits, -, _ and . in identity.prefix and identity.replica";
        problems.push(ConfigProblem::new("identity.prefix", why, fix));
    }
    let is_wide = |filter: &&TopicFilter| filter.as_str().ends_with('#');
    if let Some(filter) = filters.iter().find(is_wide).filter(|_| facts.forbids_multi_level) {
        let why = format!("{title} refuses filters with #, such as {filter}");
        problems.push(ConfigProblem::new("routes", why, "name each level, with {names} or + where they vary"));
    }
    if let Some(most) = facts.max_subscriptions.filter(|most| filters.len() > usize::from(*most)) {
        let why = format!("{title} takes {most} subscriptions per connection, and there are {}", filters.len());
        problems.push(ConfigProblem::new("routes", why, "use wider routes, or several workers"));
    }
    problems
}
