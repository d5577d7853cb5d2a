//! The scripts of the scenes: who is there at the beginning, and what happens then.

use std::fmt;

use super::Kind;

/// What happens at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Join(String),
    Leave(String),
    /// Killed with SIGKILL, and started again after a while.
    Kill(String),
    /// The second joins, then the first leaves.
    Replace(String, String),
    /// All workers get so many instances.
    Scale(u32),
    RestartBroker,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Join(name) => write!(f, "{name} joins"),
            Self::Leave(name) => write!(f, "{name} leaves"),
            Self::Kill(name) => write!(f, "{name} is killed and comes back"),
            Self::Replace(old, new) => write!(f, "{new} replaces {old}"),
            Self::Scale(instances) => write!(f, "to {instances} instances"),
            Self::RestartBroker => f.write_str("the broker crashes and comes back"),
        }
    }
}

/// A scene.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) workers: u32,
    /// Instances of each worker at the beginning.
    pub(super) instances: u32,
    /// Workers, or the broker, come back as who they were.
    pub(super) comes_back: bool,
    pub(super) steps: Vec<Step>,
}

pub(super) fn of(kind: Kind) -> Script {
    let name = |number: u32| format!("w{number}");
    let three = |comes_back, steps| Script { workers: 3, instances: 1, comes_back, steps };
    match kind {
        Kind::Join => Script { workers: 2, ..three(false, vec![Step::Join(name(2))]) },
        Kind::Leave => three(false, vec![Step::Leave(name(2))]),
        Kind::Kill => three(true, vec![Step::Kill(name(2))]),
        Kind::BrokerRestart => three(true, vec![Step::RestartBroker]),
        Kind::Scale => Script { workers: 1, ..three(false, [4, 2, 8, 1].map(Step::Scale).to_vec()) },
        Kind::Rolling => three(false, (0..3).map(|old| Step::Replace(name(old), name(old + 3))).collect()),
    }
}
