//! Several mirror lists of one source become one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Scope;

/// Merges `lists`, each first choice first, keeping the order of every list where possible: a
/// topological sort whose ties are broken by name, so that the order of the lists does not
/// matter. Where lists contradict each other the first name in the alphabet comes first.
///
/// The source itself is where it stands in the lists, or after all mirrors: there it is left
/// out, since the engine asks it last anyway.
#[must_use]
pub fn merge(source: &Scope, lists: &[&[Scope]]) -> Vec<Scope> {
    let mut sorted = match lists {
        [] => Vec::new(),
        // By far the most frequent case.
        [list] if is_without_repeats(list) => list.to_vec(),
        lists => sort(source, lists),
    };
    if sorted.last() == Some(source) {
        sorted.pop();
    }
    sorted
}

fn is_without_repeats(list: &[Scope]) -> bool {
    let mut seen = BTreeSet::new();
    list.iter().all(|place| seen.insert(place))
}

fn sort(source: &Scope, lists: &[&[Scope]]) -> Vec<Scope> {
    let mut graph = Graph::default();
    for list in lists {
        for pair in list.windows(2) {
            if let [from, to] = pair {
                graph.edge(from, to);
            }
        }
        if let Some(last) = list.last().filter(|_| !list.contains(source)) {
            graph.edge(last, source);
        }
    }
    graph.sorted()
}

/// The order "before" between places.
#[derive(Default)]
struct Graph<'a> {
    after: BTreeMap<&'a Scope, BTreeSet<&'a Scope>>,
    /// How many places that are not yet sorted stand before each.
    before: BTreeMap<&'a Scope, usize>,
}

impl<'a> Graph<'a> {
    fn edge(&mut self, from: &'a Scope, to: &'a Scope) {
        self.before.entry(from).or_default();
        let is_new = self.after.entry(from).or_default().insert(to);
        *self.before.entry(to).or_default() += usize::from(is_new);
    }

    /// Kahn's algorithm with a queue; a loop is broken at its first place by name.
    fn sorted(mut self) -> Vec<Scope> {
        let names: Vec<&Scope> = self.before.keys().copied().collect();
        let mut free: VecDeque<&Scope> =
            names.iter().copied().filter(|name| self.before.get(name) == Some(&0)).collect();
        let mut rest = names.into_iter();
        let mut used = BTreeSet::new();
        let mut sorted = Vec::with_capacity(self.before.len());
        while let Some(name) = free.pop_front().or_else(|| rest.next()) {
            if !used.insert(name) {
                continue;
            }
            sorted.push(name.clone());
            for next in self.after.get(name).into_iter().flatten() {
                let Some(count) = self.before.get_mut(next) else { continue };
                *count = count.saturating_sub(1);
                if *count == 0 && !used.contains(next) {
                    free.push_back(next);
                }
            }
        }
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(lists: &[&[&str]]) -> Vec<String> {
        let scope = |text: &&str| Scope::parse(text).unwrap();
        let lists: Vec<Vec<Scope>> =
            lists.iter().map(|list| list.iter().map(scope).collect()).collect();
        let lists: Vec<&[Scope]> = lists.iter().map(Vec::as_slice).collect();
        merge(&scope(&"src.io"), &lists).iter().map(Scope::to_string).collect()
    }

    #[test]
    fn r6_merging_keeps_the_order_of_every_list() {
        assert_eq!(merged(&[&["b", "c"], &["a", "b"]]), ["a", "b", "c"]);
        assert_eq!(merged(&[&["z"], &["a", "b"], &["c", "d"]]), ["a", "c", "z", "b", "d"]);
        assert_eq!(merged(&[&["b", "a"]]), ["b", "a"]);
    }

    #[test]
    fn r8_merging_does_not_depend_on_the_order_of_the_lists() {
        assert_eq!(merged(&[&["a", "b"], &["b", "c"]]), merged(&[&["b", "c"], &["a", "b"]]));
    }

    #[test]
    fn r6_contradictions_are_broken_by_name() {
        assert_eq!(merged(&[&["a", "b"], &["b", "a"]]), ["a", "b"]);
        assert_eq!(merged(&[&["z", "b"], &["b", "z"]]), ["b", "z"]);
        assert_eq!(merged(&[&["z", "b", "z"]]), ["b", "z"]);
    }

    #[test]
    fn r6_the_source_stays_where_a_list_puts_it() {
        assert_eq!(merged(&[&["src.io", "a"]]), ["src.io", "a"]);
        assert_eq!(merged(&[&["a", "src.io", "b"]]), ["a", "src.io", "b"]);
        assert_eq!(merged(&[&["a", "src.io"]]), ["a"]);
    }
}
