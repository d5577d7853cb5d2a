//! The topics of a benchmark by template: `plant/{run}/{publisher}/{key}`.
//!
//! INVARIANT: the topics of different runs never meet, and every topic that a template makes matches its pattern.

use tidemill::topic::{Pattern, TopicName};

const RUN: &str = "{run}";
const KEY: &str = "{key}";
const PUBLISHER: &str = "{publisher}";

/// A checked template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(String);

impl std::str::FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let levels: Vec<&str> = text.split('/').collect();
        if !levels.contains(&KEY) {
            return Err(format!("{text:?} has no level {KEY}, which tells the keys apart"));
        }
        if !text.contains(RUN) {
            return Err(format!("{text:?} has no {RUN}, which keeps two benchmarks on one broker apart"));
        }
        if text.matches(PUBLISHER).count() != levels.iter().filter(|level| **level == PUBLISHER).count() {
            return Err(format!("{text:?}: {PUBLISHER} must be a level of its own"));
        }
        let template = Self(text.to_owned());
        let topic = template.topic("run", 1, 2);
        TopicName::new(&topic).map_err(|error| format!("{text:?} makes no topic: {error}"))?;
        if topic.contains(['{', '}']) {
            return Err(format!("{text:?}: write only {RUN}, {PUBLISHER} and {KEY} in braces"));
        }
        Pattern::new(&template.pattern("run")).map_err(|error| format!("{text:?}: {error}"))?;
        Ok(template)
    }
}

impl Template {
    /// The topic of a key.
    pub(crate) fn topic(&self, run: &str, publisher: u32, key: u32) -> String {
        let topic = self.0.replace(RUN, run).replace(PUBLISHER, &format!("p{publisher:03}"));
        topic.replace(KEY, &format!("k{key:06}"))
    }

    /// The pattern of all topics of a run.
    pub(crate) fn pattern(&self, run: &str) -> String {
        self.0.replace(RUN, run)
    }

    /// The template as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_match_the_pattern_of_their_run_and_of_no_other() {
        let template: Template = "plant/{run}/{publisher}/{key}/evt".parse().unwrap();
        let topic = template.topic("bench-a", 3, 17);
        assert_eq!(topic, "plant/bench-a/p003/k000017/evt");
        assert!(Pattern::new(&template.pattern("bench-a")).unwrap().filter().matches(&topic));
        assert!(!Pattern::new(&template.pattern("bench-b")).unwrap().filter().matches(&topic));
    }

    #[test]
    fn a_template_that_cannot_work_says_why() {
        let cases = [
            ("a/{run}", "{key}"),
            ("a/{key}", "{run}"),
            ("{run}/{key}/#", "topic"),
            ("{run}/{key}/{x}", "braces"),
            ("{run}/x{publisher}/{key}", "level of its own"),
        ];
        for (text, part) in cases {
            let error = text.parse::<Template>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
