//! How many instances there should be, and who says so: the configuration, an operator, or the load.
//!
//! INVARIANT: the number lies within the configured limits, and changes only together with its reason.

use std::fmt;
use std::time::SystemTime;

use serde::{Serialize, Serializer};
use tokio::sync::watch;

use crate::config::{ConfigProblem, ElasticConfig, Instances, MAX_INSTANCES};
use crate::error::BuildError;

/// Who sets the number of instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ScalingMode {
    /// The configuration.
    Fixed,
    /// The load, within limits.
    Elastic,
    /// An operator, until told otherwise.
    Held,
}

/// Who has changed the number of instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ScaledBy {
    /// The load.
    Load,
    /// An operator, through [`WorkerHandle::scale`](crate::WorkerHandle::scale) or the admin server.
    Operator,
    /// A change of the configuration file.
    File,
}

impl ScaledBy {
    pub(crate) const ALL: [Self; 3] = [Self::Load, Self::Operator, Self::File];

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Operator => "operator",
            Self::File => "file",
        }
    }
}

/// A change of the number of instances.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ScalingDecision {
    /// How many there were to be.
    pub from: u32,
    /// How many there are to be since.
    pub to: u32,
    /// Who has decided.
    pub by: ScaledBy,
    /// Why, as a sentence.
    pub reason: String,
    /// When.
    #[serde(serialize_with = "as_text")]
    pub at: SystemTime,
}

fn as_text<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_seconds(*at))
}

/// Scaling as `/status` shows it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ScalingStatus {
    /// Who sets the number.
    pub mode: ScalingMode,
    /// How many instances there are, those that join or leave included.
    pub current: u32,
    /// How many there should be.
    pub wanted: u32,
    /// The lower limit of what was configured.
    pub min: u32,
    /// The upper limit of what was configured.
    pub max: u32,
    /// What the load says at the moment; `None` unless the load sets the number.
    pub outlook: Option<String>,
    /// The last change; `None` before the first.
    pub last_decision: Option<ScalingDecision>,
}

/// What holds now.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) configured: Instances,
    pub(crate) elastic: ElasticConfig,
    held: bool,
    outlook: Option<String>,
    last: Option<ScalingDecision>,
}

impl State {
    pub(crate) fn mode(&self) -> ScalingMode {
        match self.configured {
            _ if self.held => ScalingMode::Held,
            Instances::Fixed(_) => ScalingMode::Fixed,
            Instances::Elastic { .. } => ScalingMode::Elastic,
        }
    }
}

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Scaling {
    /// Whether more than one instance makes sense.
    may_scale: bool,
    wanted: watch::Sender<u32>,
    state: watch::Sender<State>,
}

impl Scaling {
    pub(crate) fn new(configured: Instances, elastic: ElasticConfig, may_scale: bool) -> Self {
        let state = State { configured, elastic, held: false, outlook: None, last: None };
        Self { may_scale, wanted: watch::Sender::new(configured.min()), state: watch::Sender::new(state) }
    }

    /// How many instances there should be.
    pub(crate) fn wanted(&self) -> u32 {
        *self.wanted.borrow()
    }

    pub(crate) fn watch_wanted(&self) -> watch::Receiver<u32> {
        self.wanted.subscribe()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    pub(crate) fn status(&self, current: u32) -> ScalingStatus {
        let state = self.state.borrow();
        ScalingStatus {
            mode: state.mode(),
            current,
            wanted: self.wanted(),
            min: state.configured.min(),
            max: state.configured.max(),
            outlook: state.outlook.clone(),
            last_decision: state.last.clone(),
        }
    }

    /// An operator wants so many, until [`release`](Self::release).
    pub(crate) fn hold(&self, instances: u32) -> Result<Option<ScalingDecision>, BuildError> {
        let wrong = |why: String, fix: &str| Err(BuildError::of(vec![ConfigProblem::new("instances", why, fix)]));
        if !(1..=MAX_INSTANCES).contains(&instances) {
            return wrong("a worker has 1 to 1024 instances".to_owned(), "ask for a number in that range");
        }
        if instances > 1 && !self.may_scale {
            let why = "without a group every instance would get every event".to_owned();
            return wrong(why, "set group.name to share the events");
        }
        let mut outcome = Ok(None);
        self.state.send_modify(|state| {
            if let Instances::Elastic { min, max } = state.configured
                && !(min..=max).contains(&instances)
            {
                let why = format!("the configured limits are {min} to {max}");
                outcome = wrong(why, "ask for a number within them, or change them in the configuration");
                return;
            }
            state.held = true;
            state.outlook = None;
            outcome = Ok(self.set(state, instances, ScaledBy::Operator, "an operator asked for it".to_owned()));
        });
        outcome
    }

    /// An operator gives the number back to the configuration.
    pub(crate) fn release(&self) -> Option<ScalingDecision> {
        let mut decision = None;
        self.state.send_modify(|state| {
            state.held = false;
            let reason = "an operator gave it back to the configuration".to_owned();
            decision = self.set(state, self.within(state.configured), ScaledBy::Operator, reason);
        });
        decision
    }

    /// The configuration has changed.
    pub(crate) fn configure(&self, instances: Instances, elastic: ElasticConfig) -> Option<ScalingDecision> {
        let mut decision = None;
        self.state.send_modify(|state| {
            state.configured = instances;
            state.elastic = elastic;
            state.outlook = None;
            let to = match (state.held, instances) {
                // The operator's number is kept, as far as the limits allow it.
                (true, Instances::Fixed(_)) => self.wanted(),
                _ => self.within(instances),
            };
            let reason = format!("the configuration file says {instances}");
            decision = self.set(state, to, ScaledBy::File, reason);
        });
        decision
    }

    /// The load asks for another number, unless somebody else has changed it in between.
    pub(crate) fn decide(&self, from: u32, to: u32, reason: impl fmt::Display) -> Option<ScalingDecision> {
        let mut decision = None;
        self.state.send_if_modified(|state| {
            let Instances::Elastic { min, max } = state.configured else { return false };
            if !state.held && self.wanted() == from && (min..=max).contains(&to) {
                decision = self.set(state, to, ScaledBy::Load, reason.to_string());
            }
            // Whoever waits for a change waits for another mode or setting.
            false
        });
        decision
    }

    /// What the load says at the moment.
    pub(crate) fn show(&self, outlook: impl fmt::Display) {
        self.state.send_if_modified(|state| {
            if state.mode() == ScalingMode::Elastic {
                state.outlook = Some(outlook.to_string());
            }
            false
        });
    }

    /// The number that is nearest to the wanted one.
    fn within(&self, instances: Instances) -> u32 {
        self.wanted().clamp(instances.min(), instances.max())
    }

    fn set(&self, state: &mut State, to: u32, by: ScaledBy, reason: String) -> Option<ScalingDecision> {
        let from = self.wanted();
        if from == to {
            return None;
        }
        let decision = ScalingDecision { from, to, by, reason, at: SystemTime::now() };
        state.last = Some(decision.clone());
        self.wanted.send_replace(to);
        Some(decision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elastic(min: u32, max: u32) -> Instances {
        Instances::Elastic { min, max }
    }

    fn scaling(instances: Instances) -> Scaling {
        Scaling::new(instances, ElasticConfig::default(), true)
    }

    #[test]
    fn the_load_changes_the_number_within_limits_and_with_a_reason() {
        let scaling = scaling(elastic(2, 4));
        assert_eq!(scaling.wanted(), 2);
        let decision = scaling.decide(2, 3, "it is full").unwrap();
        assert_eq!((decision.from, decision.to, decision.by, &*decision.reason), (2, 3, ScaledBy::Load, "it is full"));
        assert!(scaling.decide(2, 4, "late").is_none(), "somebody else was faster");
        assert!(scaling.decide(3, 5, "more").is_none() && scaling.decide(3, 1, "less").is_none());
        assert_eq!((scaling.wanted(), scaling.status(3).last_decision.unwrap().to), (3, 3));
    }

    #[test]
    fn an_operator_holds_a_number_within_the_limits_until_it_is_given_back() {
        let scaling = scaling(elastic(2, 4));
        assert!(scaling.hold(5).is_err() && scaling.hold(1).is_err());
        assert_eq!(scaling.status(2).mode, ScalingMode::Elastic);
        scaling.hold(4).unwrap();
        assert_eq!((scaling.status(2).mode, scaling.wanted()), (ScalingMode::Held, 4));
        assert!(scaling.decide(4, 3, "idle").is_none());
        scaling.release();
        assert_eq!((scaling.status(2).mode, scaling.wanted()), (ScalingMode::Elastic, 4));
        assert!(scaling.decide(4, 3, "idle").is_some());
    }

    #[test]
    fn a_fixed_number_comes_back_when_it_is_given_back() {
        let scaling = scaling(Instances::Fixed(3));
        scaling.hold(7).unwrap();
        scaling.release();
        assert_eq!((scaling.status(3).mode, scaling.wanted()), (ScalingMode::Fixed, 3));
    }

    #[test]
    fn new_limits_move_the_number_into_them_and_an_operators_number_outlives_a_fixed_one() {
        let scaling = scaling(Instances::Fixed(6));
        scaling.configure(elastic(1, 4), ElasticConfig::default());
        assert_eq!((scaling.wanted(), scaling.status(6).mode), (4, ScalingMode::Elastic));
        scaling.hold(3).unwrap();
        scaling.configure(Instances::Fixed(9), ElasticConfig::default());
        assert_eq!((scaling.wanted(), scaling.status(6).mode), (3, ScalingMode::Held));
        scaling.configure(elastic(1, 2), ElasticConfig::default());
        assert_eq!((scaling.wanted(), scaling.status(6).mode), (2, ScalingMode::Held));
        scaling.release();
        assert_eq!((scaling.wanted(), scaling.status(6).mode), (2, ScalingMode::Elastic));
    }
}
