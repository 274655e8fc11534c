//! A present file with our entries taken out: what the host itself says, an administrator's edits
//! included (`base adopt`, rule R1).

use std::collections::BTreeMap;

use super::base::{BaseFile, Entry, HEADING};
use super::policy::{Policy, Scopes};
use crate::engine;

/// Takes out of `present` what stands there as it was `applied`, and puts back what the `base`
/// had in its place; all else stays.
#[must_use]
pub fn registries(mut present: BaseFile, applied: &BaseFile, base: &BaseFile) -> String {
    let applied: BTreeMap<&str, &Entry> = first_of_each(applied);
    let base: BTreeMap<&str, &Entry> = first_of_each(base);
    let as_applied = |prefix: &str, entry: &Entry| applied.get(prefix) == Some(&entry);
    let mut wanted: BTreeMap<String, Entry> = BTreeMap::new();
    let mut ours = Vec::new();
    for (prefix, entry) in first_of_each(&present) {
        match base.get(prefix) {
            None if as_applied(prefix, entry) => ours.push(prefix.to_owned()),
            Some(base) if as_applied(prefix, entry) => {
                wanted.insert(prefix.to_owned(), (*base).clone());
            }
            _ => {
                wanted.insert(prefix.to_owned(), entry.clone());
            }
        }
    }
    present.remove(&ours);
    let text = present.write(&wanted).unwrap_or_else(|| present.text().to_owned());
    let text = text.replace(HEADING, "");
    format!("{}\n", text.trim_end())
}

fn first_of_each(file: &BaseFile) -> BTreeMap<&str, &Entry> {
    let mut entries = BTreeMap::new();
    for (prefix, entry) in file.entries() {
        entries.entry(prefix).or_insert(entry);
    }
    entries
}

/// As [`registries`], for policy.json.
#[must_use]
pub fn policy(present: &engine::Policy, applied: &engine::Policy, base: &engine::Policy) -> String {
    let (mut present, applied, base) = (Policy::of(present), Policy::of(applied), Policy::of(base));
    if present.default == applied.default {
        present.default = base.default;
    }
    for (transport, scopes) in &mut present.transports {
        let of =
            |policy: &BTreeMap<String, Scopes>| policy.get(transport).cloned().unwrap_or_default();
        let (applied, mut base) = (of(&applied.transports), of(&base.transports));
        let taken_out = std::mem::take(scopes).into_iter().filter_map(|(scope, requirements)| {
            let own = base.remove(&scope);
            let requirements =
                if applied.get(&scope) == Some(&requirements) { own? } else { requirements };
            Some((scope, requirements))
        });
        *scopes = taken_out.collect();
    }
    present.transports.retain(|_, scopes| !scopes.is_empty());
    present.to_json()
}
