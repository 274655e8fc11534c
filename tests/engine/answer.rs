//! The engine's answers in the form of the corpora, and the comparison with theirs.

use image_config_agent::engine::{
    FileError, Kind, Policy, Problem, Registries, ShortNameMode, pull_reference, short_names,
};
use image_config_agent::model::Reference;
use image_config_agent::model::reference::is_short_name;
use serde_json::{Value, json};

use super::host::Host;

/// The engine's reading of a host.
pub struct Engine {
    pub registries: Result<Registries, FileError>,
    pub policy: Result<Policy, FileError>,
}

impl Engine {
    pub fn new(host: &Host) -> Self {
        Self {
            registries: Registries::parse(&host.registries_file(), &host.drop_in_files()),
            policy: Policy::parse(&host.policy_file()),
        }
    }

    /// Whether the files hold a key in two spellings, for which the library itself has no one
    /// answer.
    pub fn is_ambiguous(&self) -> bool {
        matches!(&self.registries, Err(FileError { problem: Problem::Ambiguous, .. }))
    }

    /// The first way in which a line's answers are not the engine's.
    pub fn difference(&self, line: &Value) -> Option<String> {
        let checks = [
            (
                "registriesError",
                json!(self.registries.is_err()),
                json!(is_set(line, "registriesError")),
            ),
            ("policyError", json!(self.policy.is_err()), json!(is_set(line, "policyError"))),
        ];
        let mode =
            self.registries.as_ref().map_or(Value::Null, |r| json!(mode(r.short_name_mode())));
        let search = self.registries.as_ref().ok().and_then(|registries| registries.search());
        let search = json!(search.map(|search| &search.registries));
        let optional = [("search", search), ("shortNameMode", mode)];
        for (what, ours, theirs) in checks.into_iter().chain(
            optional
                .into_iter()
                .filter_map(|(key, ours)| Some((key, ours, line.get(key)?.clone()))),
        ) {
            if ours != theirs {
                return Some(format!("{what}: {ours}, expected {theirs} ({})", self.errors()));
            }
        }
        line["refs"].as_array()?.iter().find_map(|theirs| self.difference_of(theirs))
    }

    fn difference_of(&self, theirs: &Value) -> Option<String> {
        let text = theirs["ref"].as_str().expect("a reference");
        let ours = self.answer(text);
        for (key, ours) in ours.as_object()? {
            let Some(theirs) = theirs.get(key) else { continue };
            let theirs = comparable(key, theirs);
            if *ours != theirs {
                return Some(format!("{text}: {key}: {ours}, expected {theirs}"));
            }
        }
        None
    }

    fn errors(&self) -> String {
        let errors = [self.registries.as_ref().err(), self.policy.as_ref().err()];
        errors.into_iter().flatten().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    /// All that the engine says of a reference. Errors are only said to be one.
    fn answer(&self, text: &str) -> Value {
        let mut answer = json!({
            "error": false, "registry": null, "sources": [], "sourcesError": false, "policy": null,
            "isShort": is_short_name(text), "candidates": self.candidates(text),
        });
        let Ok(reference) = pull_reference(text) else {
            answer["error"] = true.into();
            return answer;
        };
        if let Ok(registries) = &self.registries {
            answer["registry"] = match registries.find(reference.name()) {
                None => Value::Null,
                Some(found) => json!({
                    "prefix": found.prefix, "location": found.location,
                    "blocked": found.blocked, "insecure": found.insecure,
                }),
            };
            match registries.sources(&reference) {
                Err(_) => answer["sourcesError"] = true.into(),
                Ok(sources) => {
                    let source = |source: &image_config_agent::engine::Source| {
                        json!({
                            "ref": source.reference.to_string(),
                            "insecure": source.insecure, "blocked": source.blocked,
                        })
                    };
                    answer["sources"] = sources.iter().map(source).collect();
                }
            }
        }
        if let Ok(policy) = &self.policy {
            answer["policy"] = decision(policy, &reference);
        }
        answer
    }

    fn candidates(&self, text: &str) -> Value {
        let Some(registries) = self.registries.as_ref().ok().filter(|_| is_short_name(text)) else {
            return Value::Null;
        };
        match short_names::resolve(text, registries, registries.short_name_mode()) {
            Ok(found) if !found.ambiguous => {
                found.references.iter().map(Reference::to_string).collect()
            }
            _ => Value::Null,
        }
    }
}

fn decision(policy: &Policy, reference: &Reference) -> Value {
    let decision = policy.decide("docker", reference);
    let refusal = decision.requirements.iter().find_map(|requirement| match requirement.kind {
        Kind::Accept => None,
        Kind::Reject => Some("rejected"),
        Kind::SignedBaseLayer => Some("not implemented"),
        Kind::SignedBy | Kind::SigstoreSigned => Some("signature"),
    });
    json!({
        "level": decision.level.as_str(), "scope": decision.scope,
        "allowed": decision.allowed, "error": refusal,
    })
}

/// An answer of the corpora with its error texts reduced to what they say.
fn comparable(key: &str, answer: &Value) -> Value {
    match key {
        "error" | "sourcesError" => json!(!answer.is_null()),
        "policy" if !answer.is_null() => {
            let mut answer = answer.clone();
            answer["error"] = match answer["error"].as_str() {
                None => Value::Null,
                Some(text) if text.ends_with("is rejected by policy.") => "rejected".into(),
                Some(text) if text.starts_with("A signature was required") => "signature".into(),
                Some(text) if text.contains("not implemented") => "not implemented".into(),
                Some(text) => text.into(),
            };
            answer
        }
        _ => answer.clone(),
    }
}

fn mode(mode: ShortNameMode) -> &'static str {
    match mode {
        ShortNameMode::Disabled => "disabled",
        ShortNameMode::Permissive => "permissive",
        ShortNameMode::Enforcing => "enforcing",
    }
}

fn is_set(line: &Value, key: &str) -> bool {
    !line[key].is_null()
}
