//! From a draft to the flat arrays of a [`Router`]: runs of literal levels become one edge, literals that compete get a
//! switch, and every node is told where to go on after a dead end.

use super::build::{Draft, RouterError};
use super::trie::{Any, DOLLAR_ROOT, Edge, Literals, Node, ROOT, Retreat, Router, Switch, Word};

/// Lays out a draft whose first two nodes are the roots.
pub(super) fn lay_out(drafts: &[Draft<'_>], picks: Vec<Option<Box<[u16]>>>) -> Result<Router, RouterError> {
    let router = Router { nodes: Vec::new(), switches: Vec::new(), steps: Vec::new(), text: Vec::new(), picks };
    let mut layout = Layout { drafts, router, todo: Vec::new() };
    for root in [ROOT, DOLLAR_ROOT] {
        layout.node(Place { draft: root as usize, level: 0, spans: 0, retreat: Retreat::Nowhere })?;
    }
    while let Some((node, place)) = layout.todo.pop() {
        layout.fill(node, place)?;
    }
    let mut router = layout.router;
    look_ahead(&mut router);
    Ok(router)
}

/// Tells every edge which wildcard, if nothing else, comes behind it.
fn look_ahead(router: &mut Router) {
    let behind: Vec<Option<Any>> = router.nodes.iter().map(Node::only_any).collect();
    let known = router.nodes.iter_mut().map(|node| &mut node.edge);
    let steps = router.steps.iter_mut().filter_map(|step| match step {
        Literals::One(edge) => Some(edge),
        Literals::None | Literals::Several(_) => None,
    });
    for edge in known.chain(steps).filter(|edge| edge.len > 0) {
        edge.any = behind[edge.node as usize];
    }
}

impl Node {
    /// The one way to go on from here, when that is a wildcard.
    fn only_any(&self) -> Option<Any> {
        self.any.filter(|_| self.edge.len == 0 && self.switch.is_none())
    }
}

struct Layout<'d, 'p> {
    drafts: &'d [Draft<'p>],
    router: Router,
    /// Nodes that have a number but are still empty.
    todo: Vec<(usize, Place)>,
}

/// Where in the draft a node comes from, and how a walk stands when it gets there.
#[derive(Clone, Copy)]
struct Place {
    draft: usize,
    level: u16,
    spans: u16,
    retreat: Retreat,
}

impl Layout<'_, '_> {
    /// Gives a node its number.
    fn node(&mut self, place: Place) -> Result<u32, RouterError> {
        let node = self.router.nodes.len();
        self.router.nodes.push(Node {
            edge: Edge::NONE,
            switch: None,
            any: None,
            end: None,
            hash: None,
            retreat: Retreat::Nowhere,
        });
        self.todo.push((node, place));
        index(node)
    }

    fn fill(&mut self, node: usize, place: Place) -> Result<(), RouterError> {
        let draft = &self.drafts[place.draft];
        let mut retreat = place.retreat;
        if let Some(route) = draft.hash {
            retreat = Retreat::Hash { route, spans: place.spans };
        }
        let mut any = None;
        if let Some(next) = draft.any {
            let kept = draft.any_kept;
            let spans = place.spans + u16::from(kept);
            let next = Place { draft: next, level: deeper(place.level)?, spans, retreat };
            let through = Any { node: self.node(next)?, kept };
            any = Some(through);
            retreat = Retreat::Any { any: through, level: place.level, spans: place.spans };
        }
        let mut choices = Vec::new();
        for (level, next) in &draft.literals {
            choices.push(self.choice(level, Place { draft: *next, level: deeper(place.level)?, retreat, ..place })?);
        }
        let (edge, switch) = match self.tell_apart(&mut choices)? {
            Literals::None => (Edge::NONE, None),
            Literals::One(edge) => (edge, None),
            Literals::Several(switch) => (Edge::NONE, Some(switch)),
        };
        self.router.nodes[node] = Node { edge, switch, any, end: draft.end, hash: draft.hash, retreat: place.retreat };
        Ok(())
    }

    /// An edge through `level` to `next`, and further as long as there is only one literal to go.
    fn choice(&mut self, level: &str, mut next: Place) -> Result<Choice, RouterError> {
        let mut text = [level.as_bytes(), b"/"].concat();
        while let Some((level, draft)) = self.drafts[next.draft].only_literal() {
            text.extend_from_slice(level.as_bytes());
            text.push(b'/');
            next = Place { draft, level: deeper(next.level)?, ..next };
        }
        let start = index(self.router.text.len())?;
        self.router.text.extend_from_slice(&text);
        let (word, mask) = Word::of_literals(&text);
        let edge = Edge { word, mask, start, len: index(text.len())?, node: self.node(next)?, any: None };
        Ok(Choice { edge, text })
    }

    /// How to find the right one of several edges. None of their literals is the beginning of another, because each
    /// ends with a slash.
    fn tell_apart(&mut self, choices: &mut [Choice]) -> Result<Literals, RouterError> {
        choices.sort_by(|a, b| a.text.cmp(&b.text));
        let mut todo = Vec::new();
        let literals = self.literals(choices, &mut todo)?;
        while let Some((switch, choices)) = todo.pop() {
            self.switch(switch, choices, &mut todo)?;
        }
        Ok(literals)
    }

    /// Chooses among sorted edges. If that needs a switch, it gets a number and is filled later.
    fn literals<'c>(&mut self, choices: &'c [Choice], todo: &mut Switches<'c>) -> Result<Literals, RouterError> {
        Ok(match choices {
            [] => Literals::None,
            [only] => Literals::One(only.edge),
            several => {
                let switch = self.router.switches.len();
                self.router.switches.push(Switch { offset: 0, start: 0, len: 0, first: 0 });
                todo.push((switch, several));
                Literals::Several(index(switch)?)
            }
        })
    }

    fn switch<'c>(&mut self, switch: usize, choices: &'c [Choice], todo: &mut Switches<'c>) -> Result<(), RouterError> {
        let [first, .., last] = choices else { return Ok(()) };
        // They are sorted: what the first and the last have in common, all have.
        let offset = first.text.iter().zip(&last.text).take_while(|(a, b)| a == b).count();
        let (first, last) = (first.text[offset], last.text[offset]);
        let start = self.router.steps.len();
        let len = u16::from(last - first) + 1;
        self.router.switches[switch] = Switch { offset: index(offset)?, start: index(start)?, len, first };
        self.router.steps.resize(start + usize::from(len), Literals::None);
        for same in choices.chunk_by(|a, b| a.text[offset] == b.text[offset]) {
            let step = usize::from(same[0].text[offset] - first);
            self.router.steps[start + step] = self.literals(same, todo)?;
        }
        Ok(())
    }
}

/// An edge and its literals.
struct Choice {
    text: Vec<u8>,
    edge: Edge,
}

/// Switches that have a number but are still empty, and what each has to tell apart.
type Switches<'c> = Vec<(usize, &'c [Choice])>;

impl Draft<'_> {
    /// The one way to go on from here, when that is a literal.
    fn only_literal(&self) -> Option<(&str, usize)> {
        let alone = self.literals.len() == 1 && self.any.is_none() && self.end.is_none() && self.hash.is_none();
        self.literals.first_key_value().filter(|_| alone).map(|(level, next)| (*level, *next))
    }
}

fn index(at: usize) -> Result<u32, RouterError> {
    u32::try_from(at).map_err(|_| RouterError::TooMany)
}

fn deeper(level: u16) -> Result<u16, RouterError> {
    level.checked_add(1).ok_or(RouterError::TooMany)
}
