//! What happens when a host pulls an image: the engine's answer, and where in files and objects
//! it comes from (rules C1, C2). Pure.

mod origins;

use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use crate::engine::certs::{self, Trust};
use crate::engine::short_names::{self, CandidateOrigin, Candidates, ShortNameError};
use crate::engine::{self, Registries, ShortNameMode, Source};
use crate::model::config::{ClusterConfig, HostnameOrigin, ImportRule};
use crate::model::reference::is_short_name;
use crate::model::{Meaning, Origin, Reference};
use crate::plan::View;

/// What is to be known of every push (rule R11).
const PUSHES: &str = "a push is stopped by a blocked registry alone: policy.json is not asked";

/// The answer in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The image is used if a place serves it, with a signature where one is required.
    Allowed,
    /// policy.json refuses it.
    Rejected,
    /// No place can be asked: each is blocked, or its certs.d directory is one that the engine
    /// stumbles over; or registries.conf cannot be used.
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
    /// What is made of a name without registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short_name: Option<ShortName>,
    /// What to know about the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Where the meanings of a name without registry come from, and what becomes of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShortName {
    /// The engine's mode.
    pub mode: &'static str,
    /// `alias`, `search` or `name`; none where it has no meaning.
    pub from: Option<&'static str>,
    /// The file that says so.
    pub file: Option<String>,
    /// It is not pulled: it has no meaning, or several that the mode refuses to choose from.
    pub refused: bool,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
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
        let scheme = text.split_once("://").map(|(scheme, rest)| {
            format!("a reference has no scheme: leave {scheme}:// out, as in {rest}")
        });
        Self {
            reference: text.to_owned(),
            verdict: Verdict::Invalid,
            policy: None,
            sources: Vec::new(),
            candidates: Vec::new(),
            errors: vec![error.to_string()],
            details: Details { notes: scheme.into_iter().collect(), ..Details::default() },
        }
    }

    /// Whether what was asked for happens. Where the name can mean several images, or is read
    /// in another way by CRI-O, that is: whether any of the candidates is pulled, and the
    /// short-name mode does not refuse to choose.
    #[must_use]
    pub fn is_yes(&self) -> bool {
        match (&self.details.short_name, self.candidates.as_slice()) {
            (Some(short_name), _) if short_name.refused => false,
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
            Ok(_) if is_short_name(text) => self.add_candidates(text, &mut answer),
            Ok(reference) if reference.tag().is_some() && reference.digest().is_some() => {
                let pinned = reference.pinned();
                answer.candidates.push(self.pull_reference(&pinned.to_string(), &pinned));
            }
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
            Ok(false) => Verdict::Blocked,
            Ok(true) => Verdict::Allowed,
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

    /// Whether any place can be asked, or the verdict where there are none.
    fn locate(&self, reference: &Reference, answer: &mut Answer) -> Result<bool, Verdict> {
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
            Ok(sources) => Ok(self.describe(&sources, answer)),
            Err(error) => {
                answer.errors.push(error.to_string());
                Err(Verdict::Invalid)
            }
        }
    }

    /// Lists the places; whether any of them can be asked.
    fn describe(&self, sources: &[Source], answer: &mut Answer) -> bool {
        answer.sources = sources.iter().map(source_answer).collect();
        let mut can_be_asked = false;
        for source in sources {
            let trust = certs::trust(&self.view.certs, source.reference.host());
            can_be_asked |= !source.blocked && trust.is_ok();
            let trust = trust.unwrap_or_else(|error| {
                answer.errors.push(format!("{} cannot be asked: {error}", source.reference));
                Trust::default()
            });
            answer.details.notes.extend(hidden_cas(&trust));
            let directory = trust.directory.filter(|_| !trust.authorities.is_empty());
            answer.details.cas.push(directory.map(|directory| directory.display().to_string()));
        }
        if answer.details.cas.iter().all(Option::is_none) {
            answer.details.cas.clear();
        }
        can_be_asked
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
        let found = short_names::resolve(text, registries, mode);
        answer.details.short_name = Some(short_name(&found, mode));
        let candidates = found.map(|found| found.references).unwrap_or_default();
        let candidates = candidates.into_iter().map(Reference::pinned);
        answer.candidates =
            candidates.map(|one| self.pull_reference(&one.to_string(), &one)).collect();
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
        answer.details.notes.push(PUSHES.to_owned());
        let file = registries.find(reference.name()).map(|entry| entry.file.as_path());
        self.explain_places(&reference, file, &mut answer.details);
        let can_be_asked = self.describe(&[registries.push_target(&reference)], &mut answer);
        answer.verdict = if can_be_asked { Verdict::Allowed } else { Verdict::Blocked };
        answer
    }
}

/// That the CAs of a directory are not read because an empty one comes before it.
fn hidden_cas(trust: &Trust) -> Option<String> {
    let directory = trust.directory.as_ref().filter(|_| trust.authorities.is_empty())?.display();
    let hidden = trust.masked.first()?.display();
    Some(format!("{directory} has no CA, and hides {hidden}"))
}

fn source_answer(source: &Source) -> SourceAnswer {
    SourceAnswer {
        reference: source.reference.to_string(),
        insecure: source.insecure,
        blocked: source.blocked,
    }
}

fn short_name(found: &Result<Candidates, ShortNameError>, mode: ShortNameMode) -> ShortName {
    let (from, file, why) = match found {
        Ok(Candidates { origin, ambiguous, references }) => {
            let (from, file) = match origin {
                CandidateOrigin::Name => ("name", None),
                CandidateOrigin::Alias(file) => ("alias", Some(file)),
                CandidateOrigin::Search(file) => ("search", Some(file)),
            };
            let file = file.map(|file| file.display().to_string());
            let count = references.len();
            let why = ambiguous.then(|| format!("ambiguous: it may mean any of {count} images"));
            (Some(from), file, why)
        }
        Err(error) => (None, None, Some(error.to_string())),
    };
    let mode = match mode {
        ShortNameMode::Disabled => "disabled",
        ShortNameMode::Permissive => "permissive",
        ShortNameMode::Enforcing => "enforcing",
    };
    ShortName { mode, from, file, refused: why.is_some(), why }
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
