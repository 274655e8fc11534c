//! ImageDigestMirrorSet, ImageTagMirrorSet, ImageContentSourcePolicy.

use std::collections::BTreeSet;

use super::document::Document;
use super::entry::{invalid_entry, odd_name};
use super::value::{Object, Value};
use super::walk::{Path, Walk};
use crate::model::config::{MirrorSet, PullKind, SourcePolicy};
use crate::model::{Finding, Origin, Scope, Severity};

/// Appends the mirror sets of `document`.
pub(super) fn decode(walk: &mut Walk<'_>, document: &Document<'_>, sets: &mut Vec<MirrorSet>) {
    let (list, kind) = match document.kind.as_str() {
        "ImageDigestMirrorSet" => ("imageDigestMirrors", PullKind::Digest),
        "ImageTagMirrorSet" => ("imageTagMirrors", PullKind::Tag),
        _ => ("repositoryDigestMirrors", PullKind::Digest),
    };
    let has_policy = document.kind != "ImageContentSourcePolicy";
    let known: &[&str] = if has_policy {
        &["source", "mirrors", "mirrorSourcePolicy"]
    } else {
        &["source", "mirrors"]
    };
    let Some(top) = document.value.as_object() else { return };
    walk.unknown_fields(top, Path::At(""), &["apiVersion", "kind", "metadata", "spec", "status"]);
    let at_spec = Path::At("spec");
    let at_list = at_spec.field(list);
    name(walk, document);
    let Some(spec) = walk.object(top, at_spec, &[list]) else { return };
    for (index, item) in walk.objects(spec, at_list, known).unwrap_or_default() {
        let path = at_list.item(index);
        let policy = if has_policy { policy(walk, item, path) } else { SourcePolicy::Unset };
        sets.extend(mirror_set(walk, item, path, kind, policy));
    }
}

/// An object has a name, or nobody could tell it from others.
fn name(walk: &mut Walk<'_>, document: &Document<'_>) {
    let path = Path::At("metadata.name");
    match document.value.at(&["metadata", "name"]).filter(|value| !value.is_null()) {
        Some(value) if value.as_str().is_none() => walk.wrong_type(path, value, "a string"),
        _ if document.name.is_empty() => {
            let why = format!("an object of {} has no name.", document.file);
            let fix = "Write metadata.name, a name of its own.";
            walk.push(Finding::new(Severity::Error, "NoName", walk.origin(path), why, fix));
        }
        _ => {}
    }
}

fn policy(walk: &mut Walk<'_>, item: &Object<'_>, path: Path<'_>) -> SourcePolicy {
    let path = path.field("mirrorSourcePolicy");
    match walk.string(item, path).unwrap_or_default() {
        "" => SourcePolicy::Unset,
        "AllowContactingSource" => SourcePolicy::Allow,
        "NeverContactSource" => SourcePolicy::Never,
        other => {
            walk.push(
                Finding::new(
                    Severity::Error,
                    "InvalidValue",
                    walk.origin(path),
                    "the policy is neither AllowContactingSource nor NeverContactSource.",
                    "Write one of the two, or remove the field.",
                )
                .about(other),
            );
            SourcePolicy::Unset
        }
    }
}

fn mirror_set(
    walk: &mut Walk<'_>,
    item: &Object<'_>,
    path: Path<'_>,
    kind: PullKind,
    policy: SourcePolicy,
) -> Option<MirrorSet> {
    let (at_source, at_mirrors) = (path.field("source"), path.field("mirrors"));
    let text = walk.string(item, at_source).unwrap_or_default();
    let source = repository(walk, at_source, text);
    let is_empty = |value: &Value<'_>| {
        value.is_null() || value.as_array().is_some_and(<[Value<'_>]>::is_empty)
    };
    let is_without_mirrors = item.get("mirrors").is_none_or(is_empty);
    let strings = walk.strings(item, at_mirrors).unwrap_or_default();
    let mut mirrors = Vec::with_capacity(strings.len());
    let mut seen = BTreeSet::new();
    for (index, text) in strings {
        if let Some(mirror) = self::mirror(walk, at_mirrors.item(index), text)
            && seen.insert(text)
        {
            mirrors.push(mirror);
        }
    }
    let source = source?;
    odd_name(walk, at_source, text, &source);
    match policy {
        SourcePolicy::Never if is_without_mirrors || mirrors.contains(&source) => {
            walk.push(never_pulled(walk.origin(path), &source, is_without_mirrors));
        }
        SourcePolicy::Unset | SourcePolicy::Allow if is_without_mirrors => {
            walk.push(no_mirrors(walk.origin(path), &source));
        }
        _ => {}
    }
    Some(MirrorSet { kind, source, mirrors, policy, origin: walk.origin(path) })
}

fn never_pulled(origin: Origin, source: &Scope, no_mirrors: bool) -> Finding {
    let (name, why) = if no_mirrors {
        ("NoPlaceLeft", "the source must not be contacted, and there is no mirror.")
    } else {
        ("MirrorIsSource", "the source must not be contacted, and is one of its own mirrors.")
    };
    let fix = "Name a mirror other than the source, or list the source in blockedRegistries.";
    Finding::new(Severity::Error, name, origin, why, fix).about(source.as_str())
}

fn no_mirrors(origin: Origin, source: &Scope) -> Finding {
    let (why, fix) = ("the set names no mirrors, so it changes nothing.", "Remove it.");
    Finding::new(Severity::Info, "NoMirrors", origin, why, fix).about(source.as_str())
}

/// A source: a wildcard may be one, a tag or digest never.
fn repository(walk: &mut Walk<'_>, path: Path<'_>, text: &str) -> Option<Scope> {
    match Scope::parse(text) {
        Ok(scope) if scope.is_single_image() => {
            let problem = "a whole registry or repository is mirrored, never a tag or digest";
            walk.push(invalid_entry(walk.origin(path), text, problem));
            None
        }
        Ok(scope) => Some(scope),
        Err(error) => {
            walk.push(invalid_entry(walk.origin(path), text, &error.to_string()));
            None
        }
    }
}

/// A mirror: neither wildcard, tag nor digest; what the engine could not name is left out,
/// because one such mirror would void every other source of the pull.
fn mirror(walk: &mut Walk<'_>, path: Path<'_>, text: &str) -> Option<Scope> {
    let mirror = repository(walk, path, text)?;
    if mirror.is_wildcard() {
        walk.push(invalid_entry(walk.origin(path), text, "a mirror is one place, not a wildcard"));
        return None;
    }
    if !mirror.is_nameable() {
        walk.push(
            Finding::new(
                Severity::Warning,
                "UnusableMirror",
                walk.origin(path),
                "the engine cannot name a mirror whose host has neither a dot nor a port, or is \
                 index.docker.io, and would then pull from no place at all; the mirror is left out.",
                "Write the full host name, or add the port.",
            )
            .about(text),
        );
        return None;
    }
    Some(mirror)
}
