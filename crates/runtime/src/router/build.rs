//! From patterns to a [`Router`]: they are drafted into a trie with one node per level, in which patterns that match
//! the same topics meet. Nothing here recurses, so the depth of a pattern costs no stack.

use std::collections::BTreeMap;
use std::fmt;

use tidemill_core::topic::{Pattern, Segment};

use super::layout::lay_out;
use super::trie::{DOLLAR_ROOT, ROOT, RouteId, Router};

/// Why a set of patterns cannot be routed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum RouterError {
    /// Two patterns match the same topics, so that one of them would never get an event.
    SameTopics {
        /// The one that comes first.
        first: Box<str>,
        /// The other one.
        second: Box<str>,
    },
    /// There are more routes, or they are longer, than a router can count.
    TooMany,
}

impl fmt::Display for RouterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameTopics { first, second } => {
                write!(f, "routes {first:?} and {second:?} match the same topics; keep one of them")
            }
            Self::TooMany => f.write_str("too many routes; a worker has at most 65536, merge some with captures"),
        }
    }
}

impl std::error::Error for RouterError {}

impl Router {
    /// Makes a router. The place of a pattern in `patterns` is its [`RouteId`].
    ///
    /// # Errors
    /// [`RouterError::SameTopics`] for two patterns that differ in the names of their captures at most;
    /// [`RouterError::TooMany`] for more than 65536 patterns.
    pub(crate) fn new<'p>(patterns: impl IntoIterator<Item = &'p Pattern>) -> Result<Self, RouterError> {
        let patterns: Vec<&Pattern> = patterns.into_iter().collect();
        let mut drafts = vec![Draft::default(), Draft::default()];
        for (at, pattern) in patterns.iter().enumerate() {
            let route = RouteId(u16::try_from(at).map_err(|_| RouterError::TooMany)?);
            if let Err(RouteId(taken)) = insert(&mut drafts, pattern, route) {
                let first = patterns[usize::from(taken)].as_str().into();
                return Err(RouterError::SameTopics { first, second: pattern.as_str().into() });
            }
        }
        let picks = patterns.iter().map(|pattern| picks(&drafts, pattern)).collect();
        lay_out(&drafts, picks)
    }
}

/// A place between two levels.
#[derive(Default)]
pub(super) struct Draft<'p> {
    pub(super) literals: BTreeMap<&'p str, usize>,
    pub(super) any: Option<usize>,
    pub(super) any_kept: bool,
    pub(super) end: Option<RouteId>,
    pub(super) hash: Option<RouteId>,
}

/// Adds a pattern, unless its place is taken.
fn insert<'p>(drafts: &mut Vec<Draft<'p>>, pattern: &'p Pattern, route: RouteId) -> Result<(), RouteId> {
    let mut at = root(pattern);
    let mut hash = false;
    for level in levels(pattern) {
        let fresh = drafts.len();
        let draft = &mut drafts[at];
        at = match level {
            Segment::Literal(text) => *draft.literals.entry(text).or_insert(fresh),
            Segment::Capture(_) | Segment::Plus => {
                draft.any_kept |= matches!(level, Segment::Capture(_));
                *draft.any.get_or_insert(fresh)
            }
            _ => {
                hash = true;
                break;
            }
        };
        if at == fresh {
            drafts.push(Draft::default());
        }
    }
    let place = if hash { &mut drafts[at].hash } else { &mut drafts[at].end };
    match place {
        Some(taken) => Err(*taken),
        None => {
            *place = Some(route);
            Ok(())
        }
    }
}

/// Which of the spans on the path of a pattern are its captures; `None` when all are.
fn picks(drafts: &[Draft<'_>], pattern: &Pattern) -> Option<Box<[u16]>> {
    let mut at = root(pattern);
    let mut kept = 0;
    let mut picked = Vec::new();
    for level in levels(pattern) {
        let draft = &drafts[at];
        let next = match level {
            Segment::Literal(text) => draft.literals.get(&**text).copied(),
            Segment::Capture(_) | Segment::Plus => {
                if draft.any_kept {
                    picked.extend(matches!(level, Segment::Capture(_)).then_some(kept));
                    kept += 1;
                }
                draft.any
            }
            _ => None,
        };
        let Some(next) = next else { break };
        at = next;
    }
    (picked.len() < usize::from(kept)).then(|| picked.into())
}

fn root(pattern: &Pattern) -> usize {
    (if pattern.as_str().starts_with('$') { DOLLAR_ROOT } else { ROOT }) as usize
}

/// The levels of a pattern. No topic is empty, so `#` means `+/#` and `/#` means `/+/#`: read in one way, patterns that
/// match the same topics meet in the same place.
fn levels(pattern: &Pattern) -> impl Iterator<Item = &Segment> {
    const PLUS: &Segment = &Segment::Plus;
    let parents = match pattern.segments() {
        [Segment::Hash] => Some(0),
        [Segment::Literal(level), Segment::Hash] if level.is_empty() => Some(1),
        _ => None,
    };
    let (head, tail) = pattern.segments().split_at(parents.unwrap_or(0));
    head.iter().chain(parents.map(|_| PLUS)).chain(tail)
}
