//! What a test expects of a pull, held against the tools, the access logs and `check`.

use crate::{
    agent::{self, Answer, Source},
    host::{Host, assert_success},
    registry::{Registry, Serves},
    tools::{Reason, TOOLS, Tool},
};
use std::{process::Output, slice::from_ref};

/// What is asserted of a pull or push.
#[derive(Clone, Copy, Debug)]
enum Outcome<'a> {
    Served { from: &'a str, insecure: bool },
    Refused(Reason),
}

impl Host {
    /// Asserts that every tool pulls `reference`, and gets it over verified TLS from this registry.
    pub fn pulls(&self, reference: &str, from: &str) {
        for tool in TOOLS {
            self.pull(tool, reference, Outcome::Served { from, insecure: false });
        }
    }

    /// Asserts that every tool pulls `reference` from this registry, which it does not verify.
    pub fn pulls_insecurely(&self, reference: &str, from: &str) {
        for tool in TOOLS {
            self.pull(tool, reference, Outcome::Served { from, insecure: true });
        }
    }

    /// Asserts that every tool refuses to pull `reference`, for this reason.
    pub fn refuses(&self, reference: &str, reason: Reason) {
        for tool in TOOLS {
            self.pull(tool, reference, Outcome::Refused(reason));
        }
    }

    /// Asserts that podman, which alone knows short names, pulls one from this registry.
    pub fn pulls_short(&self, name: &str, from: &str) {
        self.pull(Tool::Podman, name, Outcome::Served { from, insecure: false });
    }

    /// Asserts that podman refuses to pull a short name, for this reason.
    pub fn refuses_short(&self, name: &str, reason: Reason) {
        self.pull(Tool::Podman, name, Outcome::Refused(reason));
    }

    /// Asserts that every tool can push to `reference`.
    pub fn pushes(&self, reference: &str) {
        assert_eq!(agent::check_push(&self.node(), reference).verdict, "allowed", "{reference}");
        for tool in TOOLS {
            self.succeeds(&tool.push(reference));
        }
    }

    /// Asserts that every tool refuses to push to `reference`, because its registry is blocked.
    pub fn refuses_push(&self, reference: &str) {
        assert_eq!(agent::check_push(&self.node(), reference).verdict, "blocked", "{reference}");
        for tool in TOOLS {
            self.forget_requests();
            assert_refused(&self.run(&tool.push(reference)), Reason::Blocked);
            self.assert_asked(&[]);
        }
    }

    /// Pulls and holds what happens against `outcome` and against what `check` says.
    fn pull(&self, tool: Tool, reference: &str, outcome: Outcome) {
        eprintln!("{tool:?} pulls {reference}: {outcome:?}");
        self.forget_requests();
        let output = self.run(&tool.pull(reference));
        let answer = agent::check(&self.node(), reference);
        match outcome {
            Outcome::Served { from, insecure } => {
                assert_success(&output);
                self.agrees_on_a_pull(from, insecure, &answer);
            }
            Outcome::Refused(reason) => {
                assert_refused(&output, reason);
                self.agrees_on_a_refusal(reason, &answer);
            }
        }
    }

    /// The pull was served by `from`: `check` allows it, and the places that were asked are those
    /// that it lists, in its order, up to the one that served.
    fn agrees_on_a_pull(&self, from: &str, insecure: bool, answer: &Answer) {
        let registry = self.registry(from).unwrap();
        assert!(registry.served(), "{from} did not serve: {}", registry.requests());
        assert_eq!(answer.verdict, "allowed", "{answer:?}");
        assert!(answer.is_accepted(), "{answer:?}");
        let places = open_places(answer);
        let position = places.iter().position(|place| place.registry() == from);
        let position = position.unwrap_or_else(|| panic!("{from} is not in {answer:?}"));
        assert_eq!(places[position].insecure, insecure, "{answer:?}");
        self.assert_asked(&places[..=position]);
    }

    /// The pull was refused: `check` says so too, unless it is for a reason that only the registry
    /// knows; then the places that it lists are those that were asked.
    fn agrees_on_a_refusal(&self, reason: Reason, answer: &Answer) {
        let places = open_places(answer);
        match reason {
            Reason::Rejected => {
                assert_eq!(answer.verdict, "rejected", "{answer:?}");
                assert!(!places.is_empty(), "blocked as well: {answer:?}");
            }
            Reason::Blocked => {
                // The tools look at the places first, `check` at the policy.
                let verdict = if answer.is_accepted() { "blocked" } else { "rejected" };
                assert_eq!(answer.verdict, verdict, "{answer:?}");
                assert!(places.is_empty(), "{answer:?}");
                self.assert_asked(&[]);
            }
            Reason::NotFound => {
                assert_eq!(answer.verdict, "allowed", "{answer:?}");
                self.assert_asked(&places);
            }
            Reason::Unverified(serves) => {
                assert_eq!(answer.verdict, "allowed", "{answer:?}");
                let place = places.iter().find(|place| self.serves(place) == Some(serves));
                assert!(place.is_some_and(|place| !place.insecure), "{answer:?}");
            }
        }
    }

    /// Of the running registries, those of `places` were asked and no others.
    fn assert_asked(&self, places: &[&Source]) {
        for registry in &self.registries {
            if places.iter().any(|place| place.registry() == registry.name) {
                assert!(registry.was_asked(), "{} was not asked: {places:?}", registry.name);
            } else {
                let requests = registry.requests();
                assert_eq!(requests, "", "{} was asked, in spite of {places:?}", registry.name);
            }
        }
    }

    fn forget_requests(&self) {
        self.registries.iter().for_each(Registry::forget);
    }

    fn registry(&self, name: &str) -> Option<&Registry> {
        self.registries.iter().find(|registry| registry.name == name)
    }

    /// How the registry behind a place serves, if one runs there.
    fn serves(&self, place: &Source) -> Option<Serves> {
        self.registry(place.registry()).map(|registry| registry.serves)
    }
}

/// The places that a pull goes to, in order: those of each candidate where the name is short.
fn open_places(answer: &Answer) -> Vec<&Source> {
    let answers = if answer.candidates.is_empty() { from_ref(answer) } else { &answer.candidates };
    let sources = answers.iter().flat_map(|answer| &answer.sources);
    sources.filter(|source| !source.blocked).collect()
}

fn assert_refused(output: &Output, reason: Reason) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "not refused, though {reason:?}");
    assert!(stderr.contains(reason.message()), "refused, but not because {reason:?}: {stderr}");
}
