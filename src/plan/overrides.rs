//! Files that are not ours and take part in what the engine does (rules R4, R10).

use std::path::Path;

use crate::engine::{File, FileError, Policy, Registries, Registry};
use crate::model::{Finding, Lookup, Meaning, Origin, Reference, Scope, Severity};

/// What foreign drop-ins take back of `ours`, the registries.conf that is to be written, and of
/// the search list in `search_drop_in`.
#[must_use]
pub fn drop_ins(
    meaning: &Meaning,
    ours: &Registries,
    ours_file: &Path,
    search_drop_in: &Path,
    foreign: &[&File],
) -> Vec<Finding> {
    let lookup = Lookup::of(meaning);
    let mut findings = Vec::new();
    for file in foreign {
        // One that the engine cannot read breaks every pull: `unreadable` says so.
        let Ok(theirs) = Registries::parse(&File::absent("/"), std::slice::from_ref(*file)) else {
            continue;
        };
        for entry in theirs.entries() {
            let hidden = hidden(ours, &entry.prefix);
            findings.extend(hidden.filter_map(|(place, hidden)| {
                overridden(&lookup, place, hidden, ours_file, &file.path, entry)
            }));
        }
        let is_later = file.path.file_name() > search_drop_in.file_name();
        if theirs.search().is_some() && meaning.search.is_some() && is_later {
            findings.push(search_list(&file.path, search_drop_in));
        }
    }
    findings
}

/// A file that keeps the engine from reading any: not ours to mend.
#[must_use]
pub fn unreadable(error: &FileError) -> Finding {
    Finding::new(
        Severity::Warning,
        "DropInUnreadable",
        Origin::object(error.path.display().to_string()),
        format!("the engine refuses it, and every pull with it: {error}."),
        "Mend or remove the file.",
    )
}

/// The entries of ours that one with `prefix` replaces or hides, each with the part of the name
/// space where it does.
fn hidden<'a>(
    ours: &'a Registries,
    prefix: &'a str,
) -> impl Iterator<Item = (&'a str, &'a Registry)> {
    let same = || ours.entries().find(|entry| entry.prefix == prefix);
    let covering = ours.find(prefix).or_else(same).map(|entry| (prefix, entry));
    // Of two prefixes of one length the engine takes the wildcard.
    let domain = prefix.strip_prefix('*').filter(|domain| domain.starts_with('.'));
    let tied = ours.entries().filter(move |entry| {
        entry.prefix != prefix
            && entry.prefix.len() == prefix.len()
            && domain.is_some_and(|domain| entry.prefix.ends_with(domain))
    });
    covering.into_iter().chain(tied.map(|entry| (entry.prefix.as_str(), entry)))
}

/// What it means that `theirs` takes the place of `entry` for `place`, and what that lifts.
fn overridden(
    lookup: &Lookup<'_>,
    place: &str,
    entry: &Registry,
    ours_file: &Path,
    file: &Path,
    theirs: &Registry,
) -> Option<Finding> {
    if entry.says_the_same(theirs) {
        return None;
    }
    let leads_elsewhere = !theirs.location.is_empty() && theirs.location != theirs.prefix;
    let lifts = lookup.said(place).is_blocked_place() && (!theirs.blocked || leads_elsewhere);
    let (severity, name, why) = if lifts {
        (
            Severity::Error,
            "Overridden",
            format!(
                "it lifts what {} says of {}: the source is contacted.",
                ours_file.display(),
                entry.prefix
            ),
        )
    } else {
        (
            Severity::Warning,
            "DropInOverrides",
            format!(
                "it takes the place of the entry for {} in {}.",
                entry.prefix,
                ours_file.display()
            ),
        )
    };
    let origin = Origin::object(file.display().to_string());
    let fix = "Remove the entry from the drop-in, or state it in the cluster's objects.";
    Some(Finding::new(severity, name, origin, why, fix).about(theirs.prefix.as_str()))
}

fn search_list(file: &Path, ours: &Path) -> Finding {
    Finding::new(
        Severity::Warning,
        "DropInOverrides",
        Origin::object(file.display().to_string()),
        format!("its search list comes after that of {} and replaces it.", ours.display()),
        "Remove unqualified-search-registries from the drop-in.",
    )
}

/// Policies of single namespaces that accept what the cluster refuses.
#[must_use]
pub fn namespace_policies(meaning: &Meaning, files: &[File]) -> Vec<Finding> {
    let accepts = |file: &&File| {
        let Ok(policy) = Policy::parse(file) else { return false };
        let accepted = |image: &Reference| policy.decide("docker", image).allowed;
        refused_images(meaning).iter().any(accepted)
            || meaning.allowed.is_some()
                && policy.scopes().any(|(_, scope, _)| {
                    Scope::parse(scope).is_ok_and(|scope| {
                        sample(&scope)
                            .is_some_and(|image| !meaning.pull(&image).accepted && accepted(&image))
                    })
                })
    };
    files
        .iter()
        .filter(accepts)
        .map(|file| {
            Finding::new(
                Severity::Warning,
                "NamespacePolicyAccepts",
                Origin::object(file.path.display().to_string()),
                "in place of policy.json it judges the images of one namespace, and accepts what \
                 the cluster refuses.",
                "Mend or remove the file.",
            )
        })
        .collect()
}

/// One image of every part of the name space that the cluster refuses.
fn refused_images(meaning: &Meaning) -> Vec<Reference> {
    let blocked = meaning.blocked.keys().filter_map(sample);
    let unlisted = Reference::parse("image-config-agent-probe.invalid/x:x").ok();
    let unlisted = unlisted.filter(|_| meaning.allowed.is_some());
    blocked.chain(unlisted).filter(|image| !meaning.pull(image).accepted).collect()
}

/// An image that lies in `scope`.
fn sample(scope: &Scope) -> Option<Reference> {
    let text = scope.as_str();
    let name = match text.strip_prefix('*') {
        Some(domain) => format!("image-config-agent-probe{domain}/x"),
        None if !text.contains('/') => format!("{text}/x"),
        None => text.to_owned(),
    };
    Reference::parse(&name).ok().map(Reference::with_default_tag)
}
