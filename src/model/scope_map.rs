//! Values by scope, found by the names that lie in the scope: as fast for many scopes as for few.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::scope::{Above, above_name, above_scope};

/// A map from scopes to values.
#[derive(Debug, Clone)]
pub struct ScopeMap<'a, V> {
    names: HashMap<&'a str, V>,
    /// Those of wildcards, by what follows the `*.`.
    domains: HashMap<&'a str, V>,
}

impl<'a, V> FromIterator<(&'a str, V)> for ScopeMap<'a, V> {
    /// Of several values for one scope the first stands.
    fn from_iter<I: IntoIterator<Item = (&'a str, V)>>(values: I) -> Self {
        let values = values.into_iter();
        let mut map = Self::with_capacity(values.size_hint().0);
        for (scope, value) in values {
            map.entry(scope).or_insert(value);
        }
        map
    }
}

impl<'a, V> ScopeMap<'a, V> {
    /// Room for so many scopes, of which wildcards are few.
    #[must_use]
    pub fn with_capacity(scopes: usize) -> Self {
        Self { names: HashMap::with_capacity(scopes), domains: HashMap::new() }
    }

    /// The place of `scope`'s value.
    pub fn entry(&mut self, scope: &'a str) -> Entry<'_, &'a str, V> {
        match scope.strip_prefix("*.") {
            Some(domain) => self.domains.entry(domain),
            None => self.names.entry(scope),
        }
    }

    /// All values, in no order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.names.values().chain(self.domains.values())
    }

    /// The values of every scope that covers `name` in registries.conf, narrowest first.
    pub fn above_name(&self, name: &str) -> impl Iterator<Item = &V> {
        self.find(above_name(name))
    }

    /// The values of every scope that covers the scope `scope` in policy.json, narrowest first.
    pub fn above_scope(&self, scope: &str) -> impl Iterator<Item = &V> {
        self.find(above_scope(scope))
    }

    fn find<'n>(&self, above: impl Iterator<Item = Above<'n>>) -> impl Iterator<Item = &V> {
        let is_empty = self.names.is_empty() && self.domains.is_empty();
        above.take_while(move |_| !is_empty).filter_map(|above| self.get(above))
    }

    fn get(&self, above: Above<'_>) -> Option<&V> {
        match above {
            Above::Domain(domain) => self.domains.get(domain),
            Above::Name(name) => match name.strip_prefix("*.") {
                Some(domain) => self.domains.get(domain),
                None => self.names.get(name),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_scope_comes_first() {
        let scopes = ["a.io", "a.io/x", "*.io", "*.a.io", "a.io:1", "b.io", "a.io/x"];
        let map: ScopeMap<'_, usize> = scopes.into_iter().zip(0..).collect();
        let above = |name| map.above_name(name).copied().collect::<Vec<_>>();
        assert_eq!(above("a.io/x/y"), [1, 0, 2]);
        assert_eq!(above("a.io:1/x"), [4, 0, 2]);
        assert_eq!(above("*.b.a.io"), [3, 2]);
        assert_eq!(map.above_scope("a.io:1/x:tag").copied().collect::<Vec<_>>(), [4, 2]);
    }
}
