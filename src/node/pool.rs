//! Pools: which nodes take turns with each other, and how many of them at once (rule K1).

use std::collections::BTreeMap;

use kube::core::{Expression, Selector, SelectorExt as _};

use crate::model::digest::sha256;

/// The label of control-plane nodes.
pub(super) const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

/// The labels of a node.
pub type Labels = BTreeMap<String, String>;

/// The most nodes at once that can be asked for.
const MOST: u32 = 1000;

/// How many nodes of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// So many.
    Nodes(u32),
    /// So many of a hundred, rounded down, but one at least and a thousand at most.
    Percent(u32),
}

impl Amount {
    /// Reads `3` or `10%`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('%') {
            Some(percent) => percent
                .parse()
                .ok()
                .filter(|percent| (1..=100).contains(percent))
                .map(Self::Percent),
            None => text.parse().ok().filter(|nodes| (1..=MOST).contains(nodes)).map(Self::Nodes),
        }
    }

    /// How many that is in a pool of this size.
    #[must_use]
    pub fn of(self, size: u32) -> u32 {
        match self {
            Self::Nodes(nodes) => nodes,
            Self::Percent(percent) => {
                let share = u64::from(size) * u64::from(percent) / 100;
                u32::try_from(share).unwrap_or(MOST).clamp(1, MOST)
            }
        }
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nodes(nodes) => write!(f, "{nodes}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// A pool of nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pool {
    /// The control plane, whatever the settings select.
    ControlPlane,
    /// What the settings select.
    Selected(Selector),
    /// All others.
    Workers,
}

impl Pool {
    /// The pool of a node with these labels.
    #[must_use]
    pub fn of(labels: &Labels, selected: Option<&Selector>) -> Self {
        match selected {
            _ if labels.contains_key(CONTROL_PLANE) => Self::ControlPlane,
            Some(selector) if selector.matches(labels) => Self::Selected(selector.clone()),
            _ => Self::Workers,
        }
    }

    /// Its name, as a part of the names of its slots.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::ControlPlane => "control-plane".to_owned(),
            Self::Workers => "worker".to_owned(),
            Self::Selected(selector) => {
                // A selector may be too long for a name, and holds what a name must not.
                let digest = sha256(selector.to_string().as_bytes());
                format!("selected-{}", digest.get(..8).unwrap_or_default())
            }
        }
    }
}

/// Reads a label selector as kubectl takes it: `a=b,c!=d,e in (f,g),h notin (i),j,!k`.
///
/// # Errors
/// What to write instead.
pub fn selector(text: &str) -> Result<Selector, String> {
    let terms = split(text).into_iter().map(|term| expression(term.trim()));
    let terms = terms.collect::<Option<Vec<_>>>().filter(|terms| !terms.is_empty());
    let selector = terms.map(|terms| terms.into_iter().collect());
    selector.ok_or_else(|| "write a label selector, as zone=a,!spare or tier in (x,y)".to_owned())
}

/// Splits at the commas that are not in parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut is_inside = false;
    let is_end = |c: char| {
        is_inside = (is_inside || c == '(') && c != ')';
        c == ',' && !is_inside
    };
    text.split(is_end).collect()
}

fn expression(term: &str) -> Option<Expression> {
    if let Some(key) = term.strip_prefix('!') {
        return Some(Expression::DoesNotExist(label_key(key)?));
    }
    for (operator, make) in [(" notin ", NOT_IN), (" in ", IN)] {
        if let Some((key, values)) = term.split_once(operator) {
            let values = values.trim().strip_prefix('(')?.strip_suffix(')')?;
            return Some(make(
                label_key(key)?,
                values.split(',').map(value).collect::<Option<_>>()?,
            ));
        }
    }
    for (operator, make) in [("!=", NOT_EQUAL), ("==", EQUAL), ("=", EQUAL)] {
        if let Some((key, text)) = term.split_once(operator) {
            return Some(make(label_key(key)?, value(text)?));
        }
    }
    label_key(term).map(Expression::Exists)
}

type OfValues = fn(String, std::collections::BTreeSet<String>) -> Expression;
type OfValue = fn(String, String) -> Expression;
const IN: OfValues = Expression::In;
const NOT_IN: OfValues = Expression::NotIn;
const EQUAL: OfValue = Expression::Equal;
const NOT_EQUAL: OfValue = Expression::NotEqual;

fn label_key(text: &str) -> Option<String> {
    let text = text.trim();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    (!text.is_empty() && text.len() <= 317 && text.chars().all(is_plain)).then(|| text.to_owned())
}

/// A label's value may be empty.
fn value(text: &str) -> Option<String> {
    let text = text.trim();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (text.len() <= 63 && text.chars().all(is_plain)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(labels: &[(&str, &str)]) -> Labels {
        labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn k1_the_control_plane_is_a_pool_of_its_own_under_any_selector() {
        let all = selector("kubernetes.io/os=linux").unwrap();
        let linux = ("kubernetes.io/os", "linux");
        let node = labels(&[linux]);
        assert_eq!(Pool::of(&node, None), Pool::Workers);
        assert_eq!(Pool::of(&node, Some(&all)), Pool::Selected(all.clone()));
        assert_eq!(Pool::of(&labels(&[]), Some(&all)), Pool::Workers);
        let control = labels(&[linux, (CONTROL_PLANE, "")]);
        assert_eq!(Pool::of(&control, Some(&all)), Pool::ControlPlane);
        let names = [Pool::ControlPlane, Pool::Workers, Pool::Selected(all)].map(|p| p.name());
        assert_eq!(names, ["control-plane", "worker", "selected-92ad2dcf"]);
    }

    #[test]
    fn k1_a_share_of_a_pool_is_rounded_down_to_one_at_least() {
        let ten = Amount::parse("10%").unwrap();
        assert_eq!([0, 9, 19, 20, 5000].map(|size| ten.of(size)), [1, 1, 1, 2, 500]);
        assert_eq!(Amount::parse("3").map(|amount| amount.of(1)), Some(3));
        for wrong in ["", "0", "1001", "0%", "101%", "-1", "x", "1.5", "%"] {
            assert_eq!(Amount::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn k1_selectors_are_those_of_kubectl() {
        let text = "a=b,c!=d,e in (f,g),h notin (i),x.io/j,!k";
        assert_eq!(selector(text).unwrap().to_string(), text);
        assert_eq!(selector(" a == b , c in ( x , y ) ").unwrap().to_string(), "a=b,c in (x,y)");
        assert_eq!(selector("a=").unwrap().to_string(), "a=");
        for wrong in ["", ",", "a=b,", "a in b", "a in (b", "a b", "!", "=b", "a=b c", "a=(b)"] {
            assert!(selector(wrong).is_err(), "{wrong}");
        }
    }
}
