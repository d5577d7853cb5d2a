//! Which subscriptions a topic reaches: a tree with one node per level of the filters.
//!
//! The depth is bounded by the limit on topic levels, so walking it by recursion is safe.

use std::collections::HashMap;

#[derive(Debug)]
pub(super) struct Trie<V> {
    root: Node<V>,
}

#[derive(Debug)]
struct Node<V> {
    children: HashMap<Box<str>, Node<V>, foldhash::fast::RandomState>,
    plus: Option<Box<Node<V>>>,
    /// Filters that end here.
    here: Vec<V>,
    /// Filters that end with `#` below here.
    hash: Vec<V>,
}

impl<V> Default for Node<V> {
    fn default() -> Self {
        Self { children: HashMap::default(), plus: None, here: Vec::new(), hash: Vec::new() }
    }
}

impl<V> Node<V> {
    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.plus.is_none() && self.here.is_empty() && self.hash.is_empty()
    }
}

impl<V> Default for Trie<V> {
    fn default() -> Self {
        Self { root: Node::default() }
    }
}

impl<V> Trie<V> {
    /// Adds a value under a filter.
    pub(super) fn insert(&mut self, filter: &str, value: V) {
        let mut node = &mut self.root;
        for level in filter.split('/') {
            node = match level {
                "#" => return node.hash.push(value),
                "+" => node.plus.get_or_insert_default(),
                name => node.children.entry(name.into()).or_default(),
            };
        }
        node.here.push(value);
    }

    /// Removes the values under a filter that `gone` says of.
    pub(super) fn remove(&mut self, filter: &str, mut gone: impl FnMut(&V) -> bool) {
        remove_below(&mut self.root, &mut filter.split('/'), &mut gone);
    }

    /// Calls `found` for every value whose filter matches `topic`.
    pub(super) fn matches<'a>(&'a self, topic: &str, mut found: impl FnMut(&'a V)) {
        // A wildcard at the front does not match a topic that starts with `$` [MQTT-4.7.2-1].
        let wild = !topic.starts_with('$');
        walk(&self.root, Some(topic), wild, &mut found);
    }
}

fn remove_below<'f, V>(
    node: &mut Node<V>,
    levels: &mut impl Iterator<Item = &'f str>,
    gone: &mut impl FnMut(&V) -> bool,
) {
    match levels.next() {
        None => node.here.retain(|value| !gone(value)),
        Some("#") => node.hash.retain(|value| !gone(value)),
        Some("+") => {
            if let Some(plus) = &mut node.plus {
                remove_below(plus, levels, gone);
                if plus.is_empty() {
                    node.plus = None;
                }
            }
        }
        Some(name) => {
            if let Some(child) = node.children.get_mut(name) {
                remove_below(child, levels, gone);
                if child.is_empty() {
                    node.children.remove(name);
                }
            }
        }
    }
}

fn walk<'a, V>(node: &'a Node<V>, rest: Option<&str>, wild: bool, found: &mut impl FnMut(&'a V)) {
    if wild {
        node.hash.iter().for_each(&mut *found);
    }
    let Some(rest) = rest else {
        node.here.iter().for_each(found);
        return;
    };
    let (level, rest) = match rest.split_once('/') {
        Some((level, rest)) => (level, Some(rest)),
        None => (rest, None),
    };
    if wild && let Some(plus) = &node.plus {
        walk(plus, rest, true, found);
    }
    if let Some(child) = node.children.get(level) {
        walk(child, rest, true, found);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use tidemill_core::topic::TopicFilter;

    use super::Trie;

    fn level() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["a", "b", "", "$s", "ä"])
    }

    fn filters() -> impl Strategy<Value = Vec<String>> {
        let level = prop_oneof![3 => level(), 1 => Just("+")];
        let filter = (prop::collection::vec(level, 1..4), any::<bool>()).prop_map(|(levels, hash)| {
            let filter = levels.join("/");
            if hash { format!("{filter}/#") } else { filter }
        });
        prop::collection::vec(filter.prop_filter("not empty", |filter| !filter.is_empty()), 0..12)
    }

    fn topic() -> impl Strategy<Value = String> {
        prop::collection::vec(level(), 1..4)
            .prop_map(|levels| levels.join("/"))
            .prop_filter("not empty", |t| !t.is_empty())
    }

    proptest! {
        #[test]
        fn a_topic_reaches_exactly_the_filters_that_match_it(
            filters in filters(), topic in topic(), removed in any::<prop::sample::Index>(),
        ) {
            let mut trie = Trie::default();
            for (at, filter) in filters.iter().enumerate() {
                trie.insert(filter, at);
            }
            let gone = removed.index(filters.len().max(1));
            if let Some(filter) = filters.get(gone) {
                trie.remove(filter, |at| *at == gone);
            }
            let mut found = Vec::new();
            trie.matches(&topic, |at| found.push(*at));
            found.sort_unstable();
            let matches = |at: &usize| *at != gone && TopicFilter::new(&filters[*at]).unwrap().matches(&topic);
            prop_assert_eq!(found, (0..filters.len()).filter(matches).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_trie_that_lost_all_its_values_has_no_nodes_left() {
        let mut trie = Trie::default();
        for filter in ["a/+/c", "a/#", "#", "+", "a/b"] {
            trie.insert(filter, ());
        }
        for filter in ["a/+/c", "a/#", "#", "+", "a/b"] {
            trie.remove(filter, |()| true);
        }
        assert!(trie.root.is_empty());
    }
}
