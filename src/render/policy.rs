//! policy.json: what may be used at all (containers-policy.json(5); rules R2, R7).

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::engine::{self, Requirement};
use crate::model::Meaning;
use crate::model::scope::scopes_above;

/// The transports through which CRI-O, podman and OpenShift's image API pull.
const TRANSPORTS: [&str; 2] = ["docker", "atomic"];

/// What policy.json counts as where a host has none.
pub const DEFAULT_POLICY: &str = r#"{
  "default": [{"type": "insecureAcceptAnything"}],
  "transports": {
    "docker-daemon": {
      "": [{"type": "insecureAcceptAnything"}]
    }
  }
}
"#;

/// Requirements by scope.
pub(super) type Scopes = BTreeMap<String, Value>;

/// The file over a base. None if nothing is added to
/// the base.
#[must_use]
pub fn render(meaning: &Meaning, base: &engine::Policy) -> Option<String> {
    if meaning.allowed.is_none() && meaning.blocked.is_empty() {
        return None;
    }
    let mut policy = Policy::of(base);
    for transport in TRANSPORTS {
        let scopes = policy.transports.remove(transport).unwrap_or_default();
        let base = Base { default: &policy.default, scopes: &scopes };
        let rendered = match &meaning.allowed {
            Some(allowed) => allow(allowed.keys().map(|scope| scope.as_str()), &base),
            None => block(meaning, &base),
        };
        let fits = |scope: &str| transport != "atomic" || is_atomic_scope(scope);
        let rendered: Scopes = rendered.into_iter().filter(|(scope, _)| fits(scope)).collect();
        if !rendered.is_empty() {
            policy.transports.insert(transport.to_owned(), rendered);
        }
    }
    if meaning.allowed.is_some() {
        let daemon = || Scopes::from([(String::new(), accept())]);
        policy.transports.entry("docker-daemon".to_owned()).or_insert_with(daemon);
        policy.default = reject();
    }
    Some(policy.to_json())
}

/// What the base says of one transport.
struct Base<'a> {
    default: &'a Value,
    scopes: &'a Scopes,
}

impl Base<'_> {
    /// The requirements for images of `scope`, and whether a scope of the base states them
    /// rather than one of its two defaults.
    fn requirements(&self, scope: &str) -> (&Value, bool) {
        match scopes_above(scope).find_map(|above| self.scopes.get(above.as_ref())) {
            Some(requirements) => (requirements, true),
            None => (self.scopes.get("").unwrap_or(self.default), false),
        }
    }
}

/// Only what is listed, each with the requirements that the base has for it; a reject that is
/// nothing but the base's default gives way.
fn allow<'a>(allowed: impl Iterator<Item = &'a str>, base: &Base<'_>) -> Scopes {
    let allowed: HashSet<&str> = allowed.collect();
    let is_allowed =
        |scope: &str| scopes_above(scope).any(|above| allowed.contains(above.as_ref()));
    let mut scopes = Scopes::new();
    for (scope, requirements) in base.scopes {
        let stays = !scope.is_empty() && is_allowed(scope);
        scopes.insert(scope.clone(), if stays { requirements.clone() } else { reject() });
    }
    for scope in &allowed {
        let (requirements, is_explicit) = base.requirements(scope);
        let requirements =
            if is_explicit { requirements.clone() } else { without_reject(requirements) };
        scopes.insert((*scope).to_owned(), requirements);
    }
    scopes
}

/// The base, with reject for all that is blocked and not kept for the payload.
fn block(meaning: &Meaning, base: &Base<'_>) -> Scopes {
    let blocked: HashSet<&str> = meaning.blocked.keys().map(|scope| scope.as_str()).collect();
    let kept: HashSet<&str> = meaning.kept.keys().map(|scope| scope.as_str()).collect();
    let is_blocked = |scope: &str| {
        for above in scopes_above(scope) {
            if kept.contains(above.as_ref()) {
                return false;
            }
            if blocked.contains(above.as_ref()) {
                return true;
            }
        }
        false
    };
    let mut scopes = base.scopes.clone();
    for (_, requirements) in scopes.iter_mut().filter(|(scope, _)| is_blocked(scope)) {
        *requirements = reject();
    }
    for scope in &blocked {
        scopes.insert((*scope).to_owned(), reject());
    }
    for scope in &kept {
        scopes.insert((*scope).to_owned(), base.requirements(scope).0.clone());
    }
    scopes
}

fn accept() -> Value {
    json!([{"type": "insecureAcceptAnything"}])
}

fn reject() -> Value {
    json!([{"type": "reject"}])
}

fn without_reject(requirements: &Value) -> Value {
    let is_reject = |one: &&Value| one.get("type").and_then(Value::as_str) == Some("reject");
    let rest: Vec<Value> = requirements
        .as_array()
        .into_iter()
        .flatten()
        .filter(|one| !is_reject(one))
        .cloned()
        .collect();
    if rest.is_empty() { accept() } else { Value::Array(rest) }
}

/// What the library takes as a scope of the transport `atomic`: `host/namespace/stream:tag` or
/// a parent of it. One scope beyond that makes the whole file unreadable.
fn is_atomic_scope(scope: &str) -> bool {
    let mut parts = scope.splitn(4, '/');
    let _host = parts.next();
    let namespace = parts.next().unwrap_or_default();
    let stream = parts.next().unwrap_or_default();
    parts.next().is_none() && !namespace.contains(':') && stream.matches(':').count() <= 1
}

/// A policy.json to be written.
pub(super) struct Policy {
    pub(super) default: Value,
    pub(super) transports: BTreeMap<String, Scopes>,
}

impl Policy {
    pub(super) fn of(base: &engine::Policy) -> Self {
        let list = |requirements: &[Requirement]| {
            Value::Array(requirements.iter().map(|one| one.value.clone()).collect())
        };
        let mut transports: BTreeMap<String, Scopes> = BTreeMap::new();
        for (transport, scope, requirements) in base.scopes() {
            let scopes = transports.entry(transport.to_owned()).or_default();
            scopes.insert(scope.to_owned(), list(requirements));
        }
        Self { default: list(base.default_requirements()), transports }
    }

    /// One line a scope: files of thousands of entries stay readable.
    pub(super) fn to_json(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = write!(text, "{{\n  \"default\": {},\n  \"transports\": {{", self.default);
        for (index, (transport, scopes)) in self.transports.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(text, "{comma}\n    {}: {{", json!(transport));
            for (index, (scope, requirements)) in scopes.iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                let _ = write!(text, "{comma}\n      {}: {requirements}", json!(scope));
            }
            text.push_str("\n    }");
        }
        text.push_str("\n  }\n}\n");
        text
    }
}
