//! The routes as a flat trie, immutable after it was built. Routing an event walks it once and does not allocate.
//!
//! Five ideas keep the walk short:
//! - A topic is read as if a `/` followed it, and every literal ends with one. So a run of literal levels is one
//!   comparison, and no level is special, be it empty or the last one.
//! - It is read eight bytes at a time: few levels are longer, so one [`Word`] decides whether a literal fits or where a
//!   level ends.
//! - Where a wildcard alone follows a literal, as in `line/{line}`, the edge of the literal knows it: both are one step.
//! - Among several literals a [`Switch`] looks only at the byte in which they differ; the one that is left is then
//!   compared as a whole.
//! - Where a walk goes on after a dead end depends on the node alone, because only one path leads to each node. So
//!   every node knows its [`Retreat`], and backtracking needs no stack.

use smallvec::SmallVec;
use tidemill_core::Span;
use tidemill_core::topic::MAX_LEN;

/// A route's place among the patterns that its router was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RouteId(pub(crate) u16);

/// Maps topics to routes.
///
/// The walk is part of what every event costs. That its parts are always inlined was measured: left to the compiler
/// they take a tenth more instructions.
#[derive(Debug)]
pub(crate) struct Router {
    pub(super) nodes: Vec<Node>,
    pub(super) switches: Vec<Switch>,
    /// The tables of all switches.
    pub(super) steps: Vec<Literals>,
    /// The literals of all edges.
    pub(super) text: Vec<u8>,
    /// For each route which of the spans on its path are its captures; `None` when all are.
    pub(super) picks: Vec<Option<Box<[u16]>>>,
}

/// Where topics that do not start with `$` begin.
pub(super) const ROOT: u32 = 0;
/// Where topics that start with `$` begin. No wildcard leaves from here.
pub(super) const DOLLAR_ROOT: u32 = 1;

/// A place between two levels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// The literals that come next, when that is one run of them; else [`Edge::NONE`].
    pub(super) edge: Edge,
    /// The number of the switch that tells several apart.
    pub(super) switch: Option<u32>,
    pub(super) any: Option<Any>,
    /// The route whose pattern ends here.
    pub(super) end: Option<RouteId>,
    /// The route whose pattern goes on with `#`.
    pub(super) hash: Option<RouteId>,
    /// What is left when nothing below this node fits.
    pub(super) retreat: Retreat,
}

/// A capture or `+`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Any {
    pub(super) node: u32,
    /// Whether some route captures this level.
    pub(super) kept: bool,
}

/// The literals that may come next, as far as they are known.
#[derive(Clone, Copy, Debug)]
pub(super) enum Literals {
    None,
    One(Edge),
    /// The number of a switch.
    Several(u32),
}

/// A run of literal levels, each with its `/`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    /// How they begin.
    pub(super) word: Word,
    /// Which bits of that are theirs: all, unless they are shorter.
    pub(super) mask: u64,
    /// Where they begin in the text.
    pub(super) start: u32,
    /// How many bytes they have.
    pub(super) len: u32,
    pub(super) node: u32,
    /// The only way on from that node, when it is a wildcard and the topic goes on.
    pub(super) any: Option<Any>,
}

impl Edge {
    /// Fits no topic.
    pub(super) const NONE: Self = Self { word: Word(1), mask: 0, start: 0, len: 0, node: ROOT, any: None };
}

/// Tells literals apart by one byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct Switch {
    /// Where the byte stands, counted from the start of the literals.
    pub(super) offset: u32,
    /// Where the table begins; it has `len` steps, for the bytes from `first` on.
    pub(super) start: u32,
    pub(super) len: u16,
    pub(super) first: u8,
}

/// Where a walk goes on when it has reached a dead end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Retreat {
    Nowhere,
    /// Back to the start of `level`, and through a wildcard instead of a literal.
    Any {
        any: Any,
        level: u16,
        spans: u16,
    },
    /// To a `#` further up.
    Hash {
        route: RouteId,
        spans: u16,
    },
}

impl Router {
    /// The most specific route for a topic. `spans` is empty, and is filled with the captures of that route, in the order
    /// of its levels; it stays empty when no route matches.
    pub(crate) fn route(&self, topic: &str, spans: &mut SmallVec<[Span; 4]>) -> Option<RouteId> {
        debug_assert!(spans.is_empty(), "captures of another topic");
        let topic = topic.as_bytes();
        if topic.len() > MAX_LEN {
            return None;
        }
        let root = if topic.first() == Some(&b'$') { DOLLAR_ROOT } else { ROOT };
        match self.walk(root, topic, 0, spans) {
            Ok(route) => Some(self.chosen(route, spans)),
            Err(retreat) => self.search(retreat, topic, spans),
        }
    }

    /// Walks from a node, where the level that starts at `at` is next, to a route or to a dead end.
    #[inline(always)]
    fn walk(
        &self,
        node: u32,
        topic: &[u8],
        mut at: usize,
        spans: &mut SmallVec<[Span; 4]>,
    ) -> Result<RouteId, Retreat> {
        let mut node = &self.nodes[node as usize];
        // When all levels were read it is one past the end, because of the slash behind the topic.
        while let Some(rest) = topic.get(at..) {
            let (mut next, any) = match self.literal(node, Word::first_of(rest, topic), rest) {
                Some(edge) => {
                    at += edge.len as usize;
                    (edge.node, edge.any)
                }
                None if node.any.is_none() => return node.hash.ok_or(node.retreat),
                None => (ROOT, node.any),
            };
            if let Some(any) = any
                && let Some(rest) = topic.get(at..)
            {
                at += pass(any, at, rest, topic, spans);
                next = any.node;
            }
            node = &self.nodes[next as usize];
        }
        match node.end {
            Some(route) => Ok(route),
            None => node.hash.ok_or(node.retreat),
        }
    }

    /// Goes on after a dead end. Each node is visited once at most, because only one path leads to it.
    #[cold]
    fn search(&self, mut retreat: Retreat, topic: &[u8], spans: &mut SmallVec<[Span; 4]>) -> Option<RouteId> {
        loop {
            match retreat {
                Retreat::Nowhere => {
                    spans.clear();
                    return None;
                }
                Retreat::Hash { route, spans: kept } => {
                    spans.truncate(usize::from(kept));
                    return Some(self.chosen(route, spans));
                }
                Retreat::Any { any, level, spans: kept } => {
                    spans.truncate(usize::from(kept));
                    let start = level_start(topic, level);
                    let rest = &topic[start..];
                    let at = start + pass(any, start, rest, topic, spans);
                    match self.walk(any.node, topic, at, spans) {
                        Ok(route) => return Some(self.chosen(route, spans)),
                        Err(further) => retreat = further,
                    }
                }
            }
        }
    }

    /// The edge from a node whose literals come next.
    #[inline(always)]
    fn literal<'a>(&'a self, node: &'a Node, word: Word, rest: &[u8]) -> Option<&'a Edge> {
        let mut edge = &node.edge;
        if !edge.begins(word) {
            edge = self.switch(node.switch?, rest)?;
            if !edge.begins(word) {
                return None;
            }
        }
        (edge.len as usize <= Word::LEN || self.goes_on(edge, rest)).then_some(edge)
    }

    /// Whether the literals of an edge come next, behind those bytes that were compared already.
    #[inline(never)]
    fn goes_on(&self, edge: &Edge, rest: &[u8]) -> bool {
        let text = &self.text[edge.start as usize..][..edge.len as usize];
        // Of a literal at the end of the topic the topic has all but the slash.
        let common = text.len().min(rest.len());
        common + 1 >= text.len() && rest[Word::LEN..common] == text[Word::LEN..common]
    }

    /// The only edge whose literals may come next.
    #[inline(never)]
    fn switch(&self, mut switch: u32, rest: &[u8]) -> Option<&Edge> {
        loop {
            let Switch { offset, start, len, first } = self.switches[switch as usize];
            let byte = rest.get(offset as usize).copied().unwrap_or(b'/');
            let step = byte.wrapping_sub(first);
            if u16::from(step) >= len {
                return None;
            }
            match &self.steps[start as usize + usize::from(step)] {
                Literals::None => return None,
                Literals::One(edge) => return Some(edge),
                Literals::Several(next) => switch = *next,
            }
        }
    }

    /// Leaves those spans that are captures of the chosen route.
    #[inline(always)]
    fn chosen(&self, route: RouteId, spans: &mut SmallVec<[Span; 4]>) -> RouteId {
        if let Some(picks) = &self.picks[usize::from(route.0)] {
            pick(picks, spans);
        }
        route
    }
}

#[cold]
fn pick(picks: &[u16], spans: &mut SmallVec<[Span; 4]>) {
    for (to, from) in picks.iter().enumerate() {
        spans[to] = spans[usize::from(*from)];
    }
    spans.truncate(picks.len());
}

/// Passes over one level, whatever it is, and says how long it is with its slash.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "a topic is not longer than a span can say")]
fn pass(any: Any, at: usize, rest: &[u8], topic: &[u8], spans: &mut SmallVec<[Span; 4]>) -> usize {
    let len = Word::first_of(rest, topic).slash().unwrap_or_else(|| long_level_len(rest));
    if any.kept {
        spans.push(Span { start: at as u16, end: (at + len) as u16 });
    }
    len + 1
}

impl Edge {
    /// Whether its literals begin like what comes next.
    #[inline(always)]
    fn begins(&self, word: Word) -> bool {
        word.0 & self.mask == self.word.0
    }
}

/// How long the first level is, when that is longer than a word.
#[inline(never)]
fn long_level_len(rest: &[u8]) -> usize {
    let (words, tail) = rest.as_chunks();
    for (at, word) in words.iter().enumerate().skip(1) {
        if let Some(found) = Word(u64::from_le_bytes(*word)).slash() {
            return at * Word::LEN + found;
        }
    }
    let found = tail.iter().position(|byte| *byte == b'/');
    rest.len() - tail.len() + found.unwrap_or(tail.len())
}

/// Eight bytes of text, the first one lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

impl Word {
    pub(super) const LEN: usize = 8;

    /// The first bytes of `rest`, which is the end of `topic`, with the slash behind it where there is room.
    #[inline(always)]
    fn first_of(rest: &[u8], topic: &[u8]) -> Self {
        if let Some(first) = rest.first_chunk() {
            return Self(u64::from_le_bytes(*first));
        }
        let bits = 8 * u32::try_from(rest.len()).unwrap_or_default();
        let text = match topic.last_chunk() {
            // What comes before `rest` is shifted out.
            Some(last) => u64::from_le_bytes(*last).unbounded_shr(u64::BITS - bits),
            None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        Self(text | u64::from(b'/') << bits)
    }

    /// The first bytes of literals, and which bits are theirs.
    pub(super) fn of_literals(text: &[u8]) -> (Self, u64) {
        let text = &text[..text.len().min(Self::LEN)];
        let word = text.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        (Self(word), u64::MAX >> (u64::BITS as usize - 8 * text.len()))
    }

    /// Where its first slash is.
    #[inline(always)]
    fn slash(self) -> Option<usize> {
        const ONES: u64 = u64::MAX / 255;
        // Slashes become zero, and the high bit of the first zero is set.
        let word = self.0 ^ (ONES * b'/' as u64);
        let found = word.wrapping_sub(ONES) & !word & (ONES << 7);
        (found != 0).then(|| (found.trailing_zeros() / 8) as usize)
    }
}

/// Where a level starts that the walk has already passed.
fn level_start(topic: &[u8], level: u16) -> usize {
    let mut slashes = topic.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    match usize::from(level).checked_sub(1) {
        Some(before) => slashes.nth(before).map_or(topic.len(), |(at, _)| at + 1),
        None => 0,
    }
}
