//! What the agent can say of documents, host and itself: every finding, and every reason of a condition,
//! with its cause and what to do. docs/findings.md is made of it, and `explain` prints it.

mod conditions;
mod documents;
mod host;
mod sources;

/// A finding, or a reason of a condition.
pub struct Entry {
    /// Its name in CamelCase. A name may have several entries.
    pub name: &'static str,
    /// Of a finding how much it weighs, of a reason the status of its condition.
    pub weight: &'static str,
    /// Of a finding the object and the field, of a reason the type of its condition.
    pub place: &'static str,
    /// When it is said.
    pub cause: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

/// Entries that belong together.
pub struct Group {
    /// What they are about: of reasons, the type of their condition.
    pub title: &'static str,
    /// They.
    pub entries: &'static [Entry],
}

/// All findings. What is wrong with a source is a finding too, and the reason of `SourceReady`.
pub const FINDINGS: [Group; 8] = [
    Group { title: "Documents", entries: documents::DOCUMENTS },
    Group { title: "Registry lists", entries: documents::LISTS },
    Group { title: "The release payload and the internal registry", entries: documents::PAYLOAD },
    Group { title: "Mirrors", entries: documents::MIRRORS },
    Group { title: "Trusted CAs", entries: documents::CAS },
    Group { title: "The host", entries: host::HOST },
    Group { title: "An endpoint", entries: sources::ENDPOINT },
    Group { title: "A cluster", entries: sources::KUBE },
];

/// All conditions with their reasons, but for `AsExpected`, which says that all is well.
pub const CONDITIONS: [Group; 7] = [
    Group { title: "SourceReady", entries: conditions::SOURCE_READY },
    Group { title: "Valid", entries: conditions::VALID },
    Group { title: "Applied", entries: conditions::APPLIED },
    Group { title: "RuntimeReady", entries: conditions::RUNTIME_READY },
    Group { title: "Drifted", entries: conditions::DRIFTED },
    Group { title: "Degraded", entries: conditions::DEGRADED },
    Group { title: "Held", entries: conditions::HELD },
];

/// What there is to say of a name, findings first; upper and lower case are one.
pub fn explain(name: &str) -> impl Iterator<Item = &'static Entry> {
    let all = FINDINGS.iter().chain(&CONDITIONS).flat_map(|group| group.entries);
    all.filter(move |entry| entry.name.eq_ignore_ascii_case(name))
}
