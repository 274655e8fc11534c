//! When a change drains: rule K3 held against upstream's rule of thumb, on every line of its corpus.
//! Where the two disagree a class of docs/upstream.md says why, and is counted there.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "support/corpus.rs"]
mod corpus;
#[path = "upstream/tally.rs"]
mod tally;

use corpus::corpus;
use image_config_agent::engine::{File, Policy, Registries, Registry};
use image_config_agent::model::{Reference, Scope};
use image_config_agent::plan::{View, impact};
use image_config_agent::render::policy::DEFAULT_POLICY;
use serde_json::Value;
use tally::{Tally, documented};

const DIGEST: &str = "sha256:abababababababababababababababababababababababababababababababab";

/// A line of the corpus: registries.conf before and after a change, and what upstream says of it.
struct Change {
    before: Registries,
    after: Registries,
    /// Why we drain, or why not.
    reason: String,
    /// The entry that upstream drains for, as it was before or is now.
    entry: Option<Registry>,
}

/// What the engine makes of registries.conf, under a policy that accepts all: upstream's rule looks at
/// nothing else.
fn view(text: &Value) -> View {
    let file = File::new("/etc/containers/registries.conf", text.as_str().unwrap());
    View {
        registries: Registries::parse(&file, &[]),
        unread: Vec::new(),
        policy: Policy::parse(&File::new("/etc/containers/policy.json", DEFAULT_POLICY)),
        certs: Vec::new(),
    }
}

/// The words after `registry` in what upstream logs.
fn registry(log: &str) -> Option<&str> {
    log.split("registry ").nth(1)?.split(' ').next()
}

struct Class {
    name: &'static str,
    explains: fn(&Change) -> bool,
}

/// Upstream does not drain, we do: each is what K3 says in its own words.
const WE_DRAIN: [Class; 4] = [
    Class { name: "BlockedBesideMirrors", explains: |c| c.reason.ends_with("is blocked") },
    Class { name: "Reordered", explains: |c| c.reason.ends_with("in another order") },
    Class { name: "PlaceLost", explains: |c| c.reason.ends_with("is lost") },
    Class { name: "InsecureTurned", explains: |c| c.reason.ends_with("demands on TLS") },
];

/// Upstream drains, we do not: nothing is taken from any image that can be pulled.
const THEY_DRAIN: [Class; 6] = [
    Class { name: "SearchListChanged", explains: search_list_changed },
    Class { name: "BlockLifted", explains: block_lifted },
    Class { name: "NoImageThere", explains: no_image_there },
    Class { name: "NoPlaceBefore", explains: no_place_before },
    Class { name: "SaidBefore", explains: said_before },
    Class { name: "KindMistaken", explains: kind_mistaken },
];

fn search_list_changed(change: &Change) -> bool {
    let search = |registries: &Registries| registries.search().map(|list| list.registries.clone());
    change.entry.is_none() && search(&change.before) != search(&change.after)
}

fn block_lifted(change: &Change) -> bool {
    change.entry.as_ref().is_some_and(|entry| {
        change.before.is_blocked(&entry.prefix) && !change.after.is_blocked(&entry.prefix)
    })
}

/// A host of one label, which is a path on docker.io to the engine.
fn no_image_there(change: &Change) -> bool {
    let scope = change.entry.as_ref().and_then(|entry| Scope::parse(&entry.prefix).ok());
    scope.is_some_and(|scope| !scope.is_nameable() && !scope.is_wildcard())
}

/// A mirror that makes no name kept every image of the entry from being pulled.
fn no_place_before(change: &Change) -> bool {
    let Some(entry) = change.entry.as_ref().filter(|_| !no_image_there(change)) else {
        return false;
    };
    let pulled = |version: &str| {
        let reference = Reference::parse_canonical(&format!("{}/a/b{version}", entry.prefix));
        change.before.sources(&reference.unwrap())
    };
    !block_lifted(change) && (pulled(":v1").is_err() || pulled(&format!("@{DIGEST}")).is_err())
}

/// What a new entry says was said by a wider one.
fn said_before(change: &Change) -> bool {
    change.entry.as_ref().is_some_and(|entry| {
        let wider = change.before.find(&entry.prefix);
        wider.is_some_and(|wider| {
            wider.prefix != entry.prefix
                && wider.insecure == entry.insecure
                && wider.blocked == entry.blocked
        })
    })
}

/// All entries and mirrors stay as they are, and others are added; upstream took one of these for a
/// mirror of the other kind that had its name.
fn kind_mistaken(change: &Change) -> bool {
    let stays = |old: &Registry| {
        let new = change.after.entries().find(|new| new.prefix == old.prefix);
        new.is_some_and(|new| old.mirrors.iter().all(|mirror| new.mirrors.contains(mirror)))
    };
    change.entry.is_none() && !search_list_changed(change) && change.before.entries().all(stays)
}

#[test]
fn k3_every_disagreement_with_upstream_has_a_class() {
    let mut tally = Tally::default();
    for line in corpus("drain-safety.jsonl.gz") {
        let (before, after) = (view(&line["old"]), view(&line["new"]));
        let drain = impact::impact(&before, &after, None).drain;
        let id = line["id"].as_str().unwrap();
        let is_safe = line["expect"]["safe"].as_bool().unwrap();
        if drain.needed != is_safe {
            tally.count(if drain.needed { "BothDrain" } else { "NeitherDrains" }, id);
            continue;
        }
        let log = line["expect"]["log"].as_str().unwrap();
        let (before, after) = (before.registries.unwrap(), after.registries.unwrap());
        let named = |registries: &Registries| {
            registry(log)
                .and_then(|prefix| registries.entries().find(|e| e.prefix == prefix))
                .cloned()
        };
        let entry = named(&before).or_else(|| named(&after));
        let change = Change { entry, before, after, reason: drain.reason };
        let classes = if is_safe { &WE_DRAIN[..] } else { &THEY_DRAIN[..] };
        let classes = classes.iter().filter(|class| (class.explains)(&change));
        let classes: Vec<&str> = classes.map(|class| class.name).collect();
        tally.explained(id, &classes, || format!("{}, but upstream: {log}", change.reason));
    }
    let unexplained: String = tally.unexplained.iter().map(|text| format!("{text}\n")).collect();
    assert!(unexplained.is_empty(), "unexplained:\n{unexplained}");
    let rows = tally.rows();
    rows.iter().for_each(|(name, (lines, _))| println!("{name}: {lines}"));
    assert_eq!(rows, documented("When a node is drained"), "docs/upstream.md counts otherwise");
}
