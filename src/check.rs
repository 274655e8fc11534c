//! What happens when a host pulls an image: the engine's answer, and where in files and objects
//! it comes from (rules C1, C2). Pure.

mod origins;

use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use crate::engine::certs::{self, CertsDir};
use crate::engine::short_names::{self, CandidateOrigin};
use crate::engine::{self, Registries, ShortNameMode, Source};
use crate::model::config::{ClusterConfig, HostnameOrigin, ImportRule};
use crate::model::reference::is_short_name;
use crate::model::{Meaning, Origin, Reference};
use crate::plan::View;

/// The answer in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The image is used if a place serves it, with a signature where one is required.
    Allowed,
    /// policy.json refuses it.
    Rejected,
    /// Every place is blocked, or registries.conf cannot be used.
    Blocked,
    /// The name, or what a place would make of it, is none that can be pulled.
    Invalid,
}

/// Which part of policy.json decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyAnswer {
    /// `transport-scope`, `transport-default` or `default`.
    pub level: &'static str,
    /// The scope, empty for the two defaults.
    pub scope: String,
    /// Whether it accepts the image without a signature.
    pub allowed: bool,
}

/// One place, in the order in which they are asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceAnswer {
    /// The image there.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Plain HTTP and unverified TLS are fine.
    pub insecure: bool,
    /// It is not contacted.
    pub blocked: bool,
}

/// What is known beyond the answer itself, for people.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// policy.json by which the image was judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_file: Option<String>,
    /// The image needs a signature that the policy asks for.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub signature_required: bool,
    /// Fields of objects behind the policy's answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policy_origins: Vec<Origin>,
    /// The file and prefix of the entry behind the places.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<Value>,
    /// Fields of objects behind the places.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_origins: Vec<Origin>,
    /// What of it is the host's own, and not the documents' doing: `policy`, `entry`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts_own: Vec<&'static str>,
    /// The certs.d directory for each place, if there is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cas: Vec<Option<String>>,
    /// The short-name mode, and whether it refuses to choose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short_name: Option<Value>,
    /// What to know about the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The answer for one reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// As it was asked.
    #[serde(rename = "ref")]
    pub reference: String,
    /// In a word.
    pub verdict: Verdict,
    /// What policy.json says; none where it is not asked.
    pub policy: Option<PolicyAnswer>,
    /// The places in order.
    pub sources: Vec<SourceAnswer>,
    /// What a short name, or a name with both tag and digest, means to an engine.
    pub candidates: Vec<Answer>,
    /// What keeps the engine from an answer.
    pub errors: Vec<String>,
    /// More.
    pub details: Details,
}

/// What is asked: a host, and the documents where they are known.
pub struct Host<'a> {
    /// What the engine makes of its files.
    pub view: &'a View,
    /// policy.json by which it judges.
    pub policy_file: String,
    /// registries.conf as the agent writes it: what other files say is not the documents' doing.
    pub registries_conf: &'a Path,
    /// CRI-O's short-name mode, which outranks the files'.
    pub short_name_mode: Option<ShortNameMode>,
    /// What the documents mean, if the files come from any.
    pub meaning: Option<&'a Meaning>,
}

impl Answer {
    fn invalid(text: &str, error: impl ToString) -> Self {
        Self {
            reference: text.to_owned(),
            verdict: Verdict::Invalid,
            policy: None,
            sources: Vec::new(),
            candidates: Vec::new(),
            errors: vec![error.to_string()],
            details: Details::default(),
        }
    }

    /// Whether what was asked for happens. Where the name can mean several images, or is read
    /// in another way by CRI-O, that is: whether any of the candidates is pulled, and the
    /// short-name mode does not refuse to choose.
    #[must_use]
    pub fn is_yes(&self) -> bool {
        let is_refused = |short_name: &Value| short_name.get("refused") == Some(&json!(true));
        match (&self.details.short_name, self.candidates.as_slice()) {
            (Some(short_name), _) if is_refused(short_name) => false,
            (_, []) => self.verdict == Verdict::Allowed,
            (_, candidates) => candidates.iter().any(Self::is_yes),
        }
    }
}

impl Host<'_> {
    /// What a pull of `text` does.
    #[must_use]
    pub fn pull(&self, text: &str) -> Answer {
        let mut answer = match engine::pull_reference(text) {
            Ok(reference) => self.pull_reference(text, &reference),
            Err(error) => Answer::invalid(text, error),
        };
        match Reference::parse(text) {
            Ok(reference) if reference.tag().is_some() && reference.digest().is_some() => {
                let without_tag = reference.without_tag();
                answer.candidates.push(self.pull_reference(&without_tag.to_string(), &without_tag));
            }
            Ok(_) if is_short_name(text) => self.add_candidates(text, &mut answer),
            _ => {}
        }
        answer
    }

    fn pull_reference(&self, text: &str, reference: &Reference) -> Answer {
        let mut answer = Answer { errors: Vec::new(), ..Answer::invalid(text, "") };
        self.judge(reference, &mut answer);
        let places = self.locate(reference, &mut answer);
        let is_accepted = answer.policy.as_ref().is_some_and(|policy| policy.allowed)
            || answer.details.signature_required;
        answer.verdict = match places {
            _ if !is_accepted => Verdict::Rejected,
            Err(verdict) => verdict,
            Ok(sources) if sources.iter().all(|source| source.blocked) => Verdict::Blocked,
            Ok(_) => Verdict::Allowed,
        };
        answer
    }

    fn judge(&self, reference: &Reference, answer: &mut Answer) {
        answer.details.policy_file = Some(self.policy_file.clone());
        match &self.view.policy {
            Err(error) => answer.errors.push(error.to_string()),
            Ok(policy) => {
                let decision = policy.decide("docker", reference);
                answer.details.signature_required = decision.signature_required;
                if let Some(meaning) = self.meaning {
                    answer.details.policy_origins = origins::of_policy(meaning, &decision);
                    if origins::is_hosts_policy(meaning, &decision) {
                        answer.details.hosts_own.push("policy");
                    }
                }
                answer.policy = Some(PolicyAnswer {
                    level: decision.level.as_str(),
                    scope: decision.scope.to_owned(),
                    allowed: decision.allowed,
                });
            }
        }
    }

    /// The places, or the verdict where there are none.
    fn locate(&self, reference: &Reference, answer: &mut Answer) -> Result<Vec<Source>, Verdict> {
        let registries = match &self.view.registries {
            Ok(registries) => registries,
            Err(error) => {
                answer.errors.push(error.to_string());
                return Err(Verdict::Blocked);
            }
        };
        let entry = registries.find(reference.name());
        answer.details.entry = entry
            .map(|entry| json!({"prefix": entry.prefix, "file": entry.file.to_string_lossy()}));
        self.explain_places(reference, entry.map(|one| one.file.as_path()), &mut answer.details);
        match registries.sources(reference) {
            Ok(sources) => {
                self.describe(&sources, answer);
                Ok(sources)
            }
            Err(error) => {
                answer.errors.push(error.to_string());
                Err(Verdict::Invalid)
            }
        }
    }

    fn describe(&self, sources: &[Source], answer: &mut Answer) {
        answer.sources = sources.iter().map(source_answer).collect();
        answer.details.cas = sources
            .iter()
            .map(|source| {
                ca_directory(&self.view.certs, source.reference.host(), &mut answer.errors)
            })
            .collect();
        if answer.details.cas.iter().all(Option::is_none) {
            answer.details.cas.clear();
        }
    }

    /// Says which fields are behind the places; where the file is not ours none is.
    fn explain_places(&self, reference: &Reference, file: Option<&Path>, details: &mut Details) {
        let Some(meaning) = self.meaning else { return };
        let is_ours = |file: &Path| file == self.registries_conf;
        if file.is_none_or(is_ours) && origins::say_anything_of(meaning, reference) {
            details.source_origins = origins::of_places(meaning, reference);
        } else if file.is_some() {
            details.hosts_own.push("entry");
        }
    }

    /// What a name without registry may mean (rule C1).
    fn add_candidates(&self, text: &str, answer: &mut Answer) {
        let Ok(registries) = &self.view.registries else { return };
        let mode = self.short_name_mode.unwrap_or(registries.short_name_mode());
        match short_names::resolve(text, registries, mode) {
            Ok(found) => {
                let (from, file) = match &found.origin {
                    CandidateOrigin::Name => ("name", None),
                    CandidateOrigin::Alias(file) => ("alias", Some(file)),
                    CandidateOrigin::Search(file) => ("search", Some(file)),
                };
                let mode = match mode {
                    ShortNameMode::Disabled => "disabled",
                    ShortNameMode::Permissive => "permissive",
                    ShortNameMode::Enforcing => "enforcing",
                };
                answer.details.short_name = Some(json!({
                    "mode": mode,
                    "from": from,
                    "file": file.map(|file| file.to_string_lossy()),
                    "refused": found.ambiguous,
                }));
                let candidates = found.references.iter();
                answer.candidates =
                    candidates.map(|one| self.pull_reference(&one.to_string(), one)).collect();
            }
            Err(error) => {
                answer.details.short_name = Some(json!({"refused": true}));
                answer.details.notes.push(error.to_string());
            }
        }
    }

    /// What a push to `text` does: mirrors, remapped locations and policy.json have no part in
    /// it (rule R11).
    #[must_use]
    pub fn push(&self, text: &str) -> Answer {
        let reference = match engine::pull_reference(text) {
            Ok(reference) => reference,
            Err(error) => return Answer::invalid(text, error),
        };
        let mut answer = Answer { errors: Vec::new(), ..Answer::invalid(text, "") };
        let registries: &Registries = match &self.view.registries {
            Ok(registries) => registries,
            Err(error) => {
                answer.errors.push(error.to_string());
                answer.verdict = Verdict::Blocked;
                return answer;
            }
        };
        let target = registries.push_target(&reference);
        answer.verdict = if target.blocked { Verdict::Blocked } else { Verdict::Allowed };
        let file = registries.find(reference.name()).map(|entry| entry.file.as_path());
        self.explain_places(&reference, file, &mut answer.details);
        self.describe(&[target], &mut answer);
        answer
    }
}

fn source_answer(source: &Source) -> SourceAnswer {
    SourceAnswer {
        reference: source.reference.to_string(),
        insecure: source.insecure,
        blocked: source.blocked,
    }
}

fn ca_directory(dirs: &[CertsDir], host: &str, errors: &mut Vec<String>) -> Option<String> {
    match certs::trust(dirs, host) {
        Ok(trust) => trust.directory.map(|directory| directory.display().to_string()),
        Err(error) => {
            errors.push(error.to_string());
            None
        }
    }
}

/// Whether `text` may be imported as an image stream, by `allowedRegistriesForImport` (rule D6).
#[must_use]
pub fn import(text: &str, config: &ClusterConfig) -> Answer {
    let reference = match Reference::parse(text) {
        Ok(reference) => reference.with_default_tag(),
        Err(error) => return Answer::invalid(text, error),
    };
    let mut answer = Answer { errors: Vec::new(), ..Answer::invalid(text, "") };
    let note = "users who may create images or image stream mappings are not bound by this";
    answer.details.notes.push(note.to_owned());
    let host = reference.host();
    let is_internal = |(internal, _): &(String, HostnameOrigin)| internal == host;
    let insecure = if config.internal_registry.as_ref().is_some_and(is_internal) {
        answer.details.notes.push("the internal registry is always admitted".to_owned());
        Some(false)
    } else if let Some(rules) = &config.import {
        let rule = rules.iter().find(|rule| admits(rule, host));
        answer.details.source_origins.extend(rule.map(|rule| rule.origin.clone()));
        rule.map(|rule| rule.insecure)
    } else {
        Some(false)
    };
    answer.verdict = if insecure.is_some() { Verdict::Allowed } else { Verdict::Rejected };
    answer.sources = vec![SourceAnswer {
        reference: reference.to_string(),
        insecure: insecure.unwrap_or_default(),
        blocked: false,
    }];
    answer
}

/// A rule without port stands for 443, and with `insecure` for 80.
fn admits(rule: &ImportRule, host: &str) -> bool {
    let default = if rule.insecure { "80" } else { "443" };
    let split = |text: &str| match text.rsplit_once(':') {
        Some((name, port)) => (name.to_owned(), port.to_owned()),
        None => (text.to_owned(), default.to_owned()),
    };
    let ((rule_name, rule_port), (name, port)) = (split(&rule.domain), split(host));
    matches_pattern(&rule_name, &name) && matches_pattern(&rule_port, &port)
}

/// Whether `text` matches `pattern`, in which `*` stands for any characters and `?` for one.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on if what follows the last `*` does not match: the `*` takes one more.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match (pattern.get(p), text.get(t)) {
            (Some(b'*'), _) => {
                retry = Some((p, t));
                p += 1;
            }
            (Some(one), Some(byte)) if *one == b'?' || one == byte => (p, t) = (p + 1, t + 1),
            _ => match retry {
                Some((star, taken)) => {
                    (p, t) = (star + 1, taken + 1);
                    retry = Some((star, taken + 1));
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(domain: &str, insecure: bool) -> ImportRule {
        ImportRule { domain: domain.into(), insecure, origin: Origin::default() }
    }

    #[test]
    fn d6_import_rules_match_host_and_port() {
        let cases = [
            ("reg.io", false, "reg.io", true),
            ("reg.io", false, "reg.io:443", true),
            ("reg.io", false, "reg.io:80", false),
            ("reg.io", true, "reg.io:80", true),
            ("reg.io", true, "reg.io", true),
            ("reg.io", true, "reg.io:443", false),
            ("reg.io:5000", false, "reg.io:5000", true),
            ("reg.io:5000", false, "reg.io", false),
            ("*.io", false, "a.b.io", true),
            ("*.io", false, "io", false),
            ("reg?.io:*", false, "reg1.io:5000", true),
            ("reg?.io:*", false, "reg12.io:5000", false),
            ("*a*b", false, "xaxxab", true),
        ];
        for (domain, insecure, host, expected) in cases {
            assert_eq!(admits(&rule(domain, insecure), host), expected, "{domain} {host}");
        }
    }
}
