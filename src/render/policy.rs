//! policy.json: what may be used at all (containers-policy.json(5); rules R2, R7).

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::json;

use crate::engine::{self, Kind, Requirement};
use crate::model::{Meaning, Scope, ScopeMap};

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

/// Requirements by scope, as JSON: thousands of scopes share a few texts.
pub(super) type Scopes = BTreeMap<String, Rc<str>>;

const ACCEPT: &str = r#"[{"type":"insecureAcceptAnything"}]"#;
const REJECT: &str = r#"[{"type":"reject"}]"#;

/// The file over a base. None if nothing is added to
/// the base.
#[must_use]
pub fn render(meaning: &Meaning, base: &engine::Policy) -> Option<String> {
    if meaning.allowed.is_none() && meaning.blocked.is_empty() {
        return None;
    }
    let mut policy = Policy::of(base);
    for transport in TRANSPORTS {
        let base = Base::of(base, transport);
        let rendered = match &meaning.allowed {
            Some(allowed) => allow(allowed.keys().map(Scope::as_str), &base),
            None => block(meaning, &base),
        };
        let fits = |scope: &str| transport != "atomic" || is_atomic_scope(scope);
        let rendered: Scopes = rendered.into_iter().filter(|(scope, _)| fits(scope)).collect();
        policy.transports.remove(transport);
        if !rendered.is_empty() {
            policy.transports.insert(transport.to_owned(), rendered);
        }
    }
    if meaning.allowed.is_some() {
        let daemon = || Scopes::from([(String::new(), ACCEPT.into())]);
        policy.transports.entry("docker-daemon".to_owned()).or_insert_with(daemon);
        policy.default = REJECT.into();
    }
    Some(policy.to_json())
}

/// What the base says of one transport.
struct Base<'a> {
    /// Where no scope says otherwise: the transport's own default, or that of all.
    default: &'a [Requirement],
    list: Vec<(&'a str, &'a [Requirement])>,
    scopes: ScopeMap<'a, &'a [Requirement]>,
}

impl<'a> Base<'a> {
    fn of(policy: &'a engine::Policy, transport: &str) -> Self {
        let own = policy.scopes().filter(|(name, ..)| *name == transport);
        let list: Vec<_> = own.map(|(_, scope, requirements)| (scope, requirements)).collect();
        Self {
            default: policy
                .requirements(transport, "")
                .unwrap_or_else(|| policy.default_requirements()),
            scopes: list.iter().copied().filter(|(scope, _)| !scope.is_empty()).collect(),
            list,
        }
    }

    /// What a scope of the base states for images of `scope`.
    fn stated(&self, scope: &str) -> Option<Rc<str>> {
        self.scopes.above_scope(scope).next().map(|requirements| text(requirements.iter()))
    }
}

/// Only what is listed, each with the requirements that the base has for it; a reject that is
/// nothing but the base's default gives way.
fn allow<'a>(allowed: impl Iterator<Item = &'a str> + Clone, base: &Base<'_>) -> Scopes {
    let listed: ScopeMap<'_, ()> = allowed.clone().map(|scope| (scope, ())).collect();
    let is_allowed = |scope: &str| listed.above_scope(scope).next().is_some();
    let reject: Rc<str> = REJECT.into();
    let default = without_reject(base.default);
    let of_base = base.list.iter().map(|(scope, requirements)| {
        let stays = !scope.is_empty() && is_allowed(scope);
        (*scope, if stays { text(requirements.iter()) } else { reject.clone() })
    });
    let of_list = allowed.map(|scope| (scope, base.stated(scope).unwrap_or(default.clone())));
    by_scope(of_base.chain(of_list))
}

/// The base, with reject for all that is blocked and not kept for the payload.
fn block(meaning: &Meaning, base: &Base<'_>) -> Scopes {
    let blocked = meaning.blocked.keys().map(|scope| (scope.as_str(), true));
    let kept = meaning.kept.keys().map(|scope| (scope.as_str(), false));
    let listed: ScopeMap<'_, bool> = kept.clone().chain(blocked.clone()).collect();
    let is_blocked = |scope: &str| listed.above_scope(scope).next() == Some(&true);
    let reject: Rc<str> = REJECT.into();
    let of_base = base.list.iter().map(|(scope, requirements)| {
        (*scope, if is_blocked(scope) { reject.clone() } else { text(requirements.iter()) })
    });
    let of_kept = kept
        .map(|(scope, _)| (scope, base.stated(scope).unwrap_or_else(|| text(base.default.iter()))));
    by_scope(of_base.chain(blocked.map(|(scope, _)| (scope, reject.clone()))).chain(of_kept))
}

/// Of several requirements for one scope the last ones stand.
fn by_scope<'a>(scopes: impl Iterator<Item = (&'a str, Rc<str>)>) -> Scopes {
    scopes.map(|(scope, requirements)| (scope.to_owned(), requirements)).collect()
}

fn text<'a>(requirements: impl Iterator<Item = &'a Requirement>) -> Rc<str> {
    let list: Vec<&str> = requirements.map(|one| one.json.as_ref()).collect();
    format!("[{}]", list.join(",")).into()
}

fn without_reject(requirements: &[Requirement]) -> Rc<str> {
    let mut rest = requirements.iter().filter(|one| one.kind != Kind::Reject).peekable();
    if rest.peek().is_none() { ACCEPT.into() } else { text(rest) }
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
    pub(super) default: Rc<str>,
    pub(super) transports: BTreeMap<String, Scopes>,
}

impl Policy {
    pub(super) fn of(base: &engine::Policy) -> Self {
        let mut transports: BTreeMap<String, Scopes> = BTreeMap::new();
        for (transport, scope, requirements) in base.scopes() {
            let scopes = transports.entry(transport.to_owned()).or_default();
            scopes.insert(scope.to_owned(), text(requirements.iter()));
        }
        Self { default: text(base.default_requirements().iter()), transports }
    }

    /// One line a scope: files of thousands of entries stay readable.
    pub(super) fn to_json(&self) -> String {
        let mut json = format!("{{\n  \"default\": {},\n  \"transports\": {{", self.default);
        for (index, (transport, scopes)) in self.transports.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            for part in [comma, "\n    ", &quoted(transport), ": {"] {
                json.push_str(part);
            }
            for (index, (scope, requirements)) in scopes.iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                for part in [comma, "\n      ", &quoted(scope), ": ", requirements] {
                    json.push_str(part);
                }
            }
            json.push_str("\n    }");
        }
        json.push_str("\n  }\n}\n");
        json
    }
}

fn quoted(name: &str) -> String {
    json!(name).to_string()
}
