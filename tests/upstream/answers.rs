//! What the engine answers for one reference on two sets of files, and where the answers part.

use std::fmt;

use image_config_agent::engine::{Level, Policy, Registries, Source};
use image_config_agent::model::config::PullKind;
use image_config_agent::model::{Reference, intent};

use super::line::{Files, Line};

/// The engine's answer from one set of files.
pub struct Answer {
    /// None where policy.json cannot be read.
    pub verdict: Option<Verdict>,
    /// The places in order; the error is the location that makes no name.
    pub places: Result<Vec<Place>, String>,
}

pub struct Verdict {
    pub allowed: bool,
    pub signature_required: bool,
    pub level: Level,
    pub scope: String,
}

#[derive(PartialEq)]
pub struct Place {
    pub reference: Reference,
    pub insecure: bool,
    pub blocked: bool,
}

impl Answer {
    pub fn of(files: &Files, reference: &Reference) -> Self {
        let registries = files.registries.as_ref().expect("a registries.conf that can be read");
        let places = registries.sources(reference).map_err(|error| error.location);
        Self {
            verdict: files.policy.as_ref().ok().map(|policy| Verdict::of(policy, reference)),
            places: places.map(|places| places.into_iter().map(Place::of).collect()),
        }
    }

    /// The names of the places; none where one of them has none.
    pub fn names(&self) -> Option<Vec<&Reference>> {
        Some(self.places.as_ref().ok()?.iter().map(|place| &place.reference).collect())
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Some(Verdict { allowed: true, scope, .. }) => write!(f, "accepted by {scope:?}")?,
            Some(Verdict { scope, .. }) => write!(f, "refused by {scope:?}")?,
            None => write!(f, "no policy")?,
        }
        match &self.places {
            Err(location) => write!(f, " from nowhere, for {location:?}"),
            Ok(places) => places.iter().try_for_each(|Place { reference, insecure, blocked }| {
                let flags = ["", " insecure"][usize::from(*insecure)];
                write!(f, " < {reference}{flags}{}", ["", " blocked"][usize::from(*blocked)])
            }),
        }
    }
}

impl Verdict {
    fn of(policy: &Policy, reference: &Reference) -> Self {
        let decision = policy.decide("docker", reference);
        Self {
            allowed: decision.allowed,
            signature_required: decision.signature_required,
            level: decision.level,
            scope: decision.scope.to_owned(),
        }
    }
}

impl Place {
    fn of(source: Source) -> Self {
        let Source { reference, insecure, blocked, .. } = source;
        Self { reference, insecure, blocked }
    }
}

/// What two answers differ in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aspect {
    /// Whether the image may run.
    Verdict,
    /// Which places are tried, and in which order.
    Places,
    /// Whether this place may be reached without verified TLS.
    Insecure(Reference),
    /// Whether this place is passed over.
    Blocked(Reference),
}

/// Two answers for one reference.
pub struct Case<'a> {
    pub line: &'a Line,
    pub reference: &'a Reference,
    pub ours: Answer,
    pub theirs: Answer,
}

impl<'a> Case<'a> {
    pub fn of(line: &'a Line, reference: &'a Reference) -> Self {
        let ours = Answer::of(&line.ours, reference);
        let theirs = Answer::of(&line.upstream.files, reference);
        Self { line, reference, ours, theirs }
    }

    pub fn kind(&self) -> PullKind {
        if self.reference.digest().is_some() { PullKind::Digest } else { PullKind::Tag }
    }

    pub fn their_registries(&self) -> &Registries {
        self.line.upstream.files.registries.as_ref().expect("a registries.conf that can be read")
    }

    /// Everything in which the answers differ. Flags are compared place by place where the
    /// places are the same ones, and else only those of the last, which is the name itself.
    pub fn differences(&self) -> Vec<Aspect> {
        let mut differences = Vec::new();
        let verdict = |answer: &Answer| {
            answer.verdict.as_ref().map(|verdict| (verdict.allowed, verdict.signature_required))
        };
        if self.theirs.verdict.is_some() && verdict(&self.ours) != verdict(&self.theirs) {
            differences.push(Aspect::Verdict);
        }
        let is_same_list = self.ours.names() == self.theirs.names();
        if !is_same_list {
            differences.push(Aspect::Places);
        }
        let (Ok(ours), Ok(theirs)) = (&self.ours.places, &self.theirs.places) else {
            return differences;
        };
        let compared = if is_same_list { ours.len() } else { 1 };
        for (ours, theirs) in ours.iter().rev().zip(theirs.iter().rev()).take(compared) {
            if ours.insecure != theirs.insecure {
                differences.push(Aspect::Insecure(ours.reference.clone()));
            }
            if ours.blocked != theirs.blocked {
                differences.push(Aspect::Blocked(ours.reference.clone()));
            }
        }
        differences
    }

    /// Whether what we say is what the documents mean, read without any file.
    pub fn is_meant(&self, aspect: &Aspect) -> bool {
        let meant = self.line.meaning.pull(self.reference);
        if *aspect == Aspect::Verdict {
            return self.ours.verdict.as_ref().is_some_and(|v| v.allowed == meant.accepted);
        }
        let place = |place: intent::Place| Place {
            reference: place.reference,
            insecure: place.insecure,
            blocked: place.blocked,
        };
        let meant = meant.places.map(|places| places.into_iter().map(place).collect::<Vec<_>>());
        self.ours.places.as_ref().ok() == meant.as_ref()
    }
}
