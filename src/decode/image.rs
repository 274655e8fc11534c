//! `config.openshift.io/v1 Image`.

use std::collections::HashSet;

use super::document::Document;
use super::entry::entry;
use super::value::Object;
use super::walk::{Path, Walk};
use crate::model::annotations::{ACCEPT_LOCKOUT, PAUSED};
use crate::model::config::{Entry, HostnameOrigin, ImportRule};
use crate::model::reference::is_domain;
use crate::model::{ClusterConfig, Finding, Origin, Severity};

const SPEC: [&str; 5] = [
    "allowedRegistriesForImport",
    "externalRegistryHostnames",
    "additionalTrustedCA",
    "registrySources",
    "imageStreamImportMode",
];
const REGISTRY_SOURCES: [&str; 4] = [
    "insecureRegistries",
    "blockedRegistries",
    "allowedRegistries",
    "containerRuntimeSearchRegistries",
];
const STATUS: [&str; 4] = [
    "internalRegistryHostname",
    "externalRegistryHostnames",
    "imageStreamImportMode",
    "conditions",
];

/// Reads the Image into `config`; returns the name of the ConfigMap that
/// `additionalTrustedCA` names.
pub(super) fn decode(
    walk: &mut Walk<'_>,
    document: &Document<'_>,
    config: &mut ClusterConfig,
) -> Option<String> {
    let top = document.value.as_object()?;
    walk.unknown_fields(top, Path::At(""), &["apiVersion", "kind", "metadata", "spec", "status"]);
    config.accepted_lock_out = accepted_lock_out(walk, document);
    config.is_paused = is_paused(walk, document);
    let mut ca_name = None;
    if let Some(spec) = walk.object(top, Path::At("spec"), &SPEC) {
        config.import = import_rules(walk, spec);
        config.import_mode = import_mode(walk, spec);
        config.external_registries.extend(hostnames(walk, spec, Path::At("spec")));
        if let Some(ca) = walk.object(spec, Path::At("spec.additionalTrustedCA"), &["name"]) {
            let name = walk.string(ca, Path::At("spec.additionalTrustedCA.name"));
            ca_name = name.filter(|name| !name.is_empty()).map(str::to_owned);
        }
        let at_sources = Path::At("spec.registrySources");
        if let Some(sources) = walk.object(spec, at_sources, &REGISTRY_SOURCES) {
            registry_sources(walk, sources, at_sources, config);
        }
    }
    if let Some(status) = walk.object(top, Path::At("status"), &STATUS) {
        let at_internal = Path::At("status.internalRegistryHostname");
        let internal = walk.string(status, at_internal);
        if let Some(host) = internal.filter(|host| !host.is_empty()) {
            if is_domain(host) {
                config.internal_registry = Some((host.to_owned(), HostnameOrigin::Status));
            } else {
                walk.push(bad_hostname(walk.origin(at_internal), host));
            }
        }
        for host in hostnames(walk, status, Path::At("status")) {
            if !config.external_registries.contains(&host) {
                config.external_registries.push(host);
            }
        }
    }
    ca_name
}

fn accepted_lock_out(walk: &Walk<'_>, document: &Document) -> Option<(String, Origin)> {
    let value = document.value.at(&["metadata", "annotations", ACCEPT_LOCKOUT])?;
    // What is no string is no digest either; the finding about a stale one then shows it.
    let text = value.as_str().map_or_else(|| format!("{value:?}"), |text| text.trim().to_owned());
    Some((text, walk.origin(Path::At(&format!("metadata.annotations[{ACCEPT_LOCKOUT:?}]")))))
}

/// Whether nothing but CA files is to be applied (rule K2). A word that says neither yes nor no was
/// meant as a yes: too much of a pause does less harm than too little.
fn is_paused(walk: &mut Walk<'_>, document: &Document) -> bool {
    let Some(value) = document.value.at(&["metadata", "annotations", PAUSED]) else { return false };
    let at = walk.origin(Path::At(&format!("metadata.annotations[{PAUSED:?}]")));
    let (severity, name, why) = match value.as_str() {
        Some("false") => return false,
        Some("true") => (
            Severity::Info,
            "RolloutPaused",
            "nothing but CA files is applied; all else stays as it was applied last.",
        ),
        _ => (
            Severity::Warning,
            "InvalidPause",
            "this is neither true nor false; it counts as true.",
        ),
    };
    walk.push(Finding::new(severity, name, at, why, "Remove the annotation to go on."));
    true
}

pub(super) fn bad_hostname(origin: Origin, host: &str) -> Finding {
    Finding::new(
        Severity::Warning,
        "InvalidHostname",
        origin,
        "this is not a host name with an optional port, so it is passed over.",
        "Write it as hostname[:port].",
    )
    .about(host)
}

fn registry_sources(
    walk: &mut Walk<'_>,
    sources: &Object<'_>,
    at: Path<'_>,
    config: &mut ClusterConfig,
) {
    config.insecure = scopes(walk, sources, at.field("insecureRegistries")).unwrap_or_default();
    for entry in config.insecure.iter().filter(|entry| entry.scope.is_single_image()) {
        walk.push(insecure_single_image(entry));
    }
    let blocked = scopes(walk, sources, at.field("blockedRegistries"));
    config.allowed = scopes(walk, sources, at.field("allowedRegistries"));
    if config.allowed.is_some() && blocked.is_some() {
        walk.push(Finding::new(
            Severity::Error,
            "AllowedAndBlocked",
            walk.origin(at),
            "only one of allowedRegistries and blockedRegistries can be set.",
            "Keep the list of what is allowed, or the list of what is blocked.",
        ));
    }
    config.blocked = blocked.unwrap_or_default();
    config.search = search(walk, sources, at.field("containerRuntimeSearchRegistries"));
}

/// A list of scopes; an empty one counts as not set (rule D2).
fn scopes(walk: &mut Walk<'_>, parent: &Object<'_>, path: Path<'_>) -> Option<Vec<Entry>> {
    if walk.list(parent, path)?.is_empty() {
        walk.push(empty_list(walk.origin(path)));
        return None;
    }
    let strings = walk.strings(parent, path)?;
    let entry = |(index, text)| entry(walk, path.item(index), text);
    Some(strings.into_iter().filter_map(entry).collect())
}

fn empty_list(origin: Origin) -> Finding {
    let (why, fix) = ("an empty list means the same as no list.", "Remove the field.");
    Finding::new(Severity::Info, "EmptyList", origin, why, fix)
}

/// The engine looks registries up without tag and digest (rule R5).
fn insecure_single_image(entry: &Entry) -> Finding {
    Finding::new(
        Severity::Warning,
        "InsecureTagIgnored",
        entry.origin.clone(),
        "the engine cannot be told to treat one tag or digest as insecure, so this entry is left \
         out.",
        format!("List the repository: {}", entry.scope.repository()),
    )
    .about(entry.scope.as_str())
}

/// The search list: hosts alone, at least one (rule D2).
fn search(walk: &mut Walk<'_>, parent: &Object<'_>, path: Path<'_>) -> Option<Vec<Entry>> {
    if walk.list(parent, path)?.is_empty() {
        walk.push(Finding::new(
            Severity::Error,
            "EmptySearchList",
            walk.origin(path),
            "the API wants one registry or more in this list.",
            "Remove the field to search the host's default registries.",
        ));
        return None;
    }
    let strings = walk.strings(parent, path)?;
    let mut seen = HashSet::new();
    let mut entries = Vec::with_capacity(strings.len());
    for (index, text) in strings {
        if !is_domain(text) {
            walk.push(
                Finding::new(
                    Severity::Error,
                    "InvalidSearchEntry",
                    walk.origin(path.item(index)),
                    "the engine searches registries by host alone and refuses anything else.",
                    "Write host[:port], without scheme, path or wildcard.",
                )
                .about(text),
            );
        } else if let Some(entry) = entry(walk, path.item(index), text)
            && seen.insert(entry.scope.clone())
        {
            entries.push(entry);
        }
    }
    Some(entries)
}

/// Who may be imported from; an empty list counts as not set, as its observer in OpenShift has it. One
/// whose items are all passed over admits nothing but the internal registry (rule D6).
fn import_rules(walk: &mut Walk<'_>, spec: &Object<'_>) -> Option<Vec<ImportRule>> {
    let at = Path::At("spec.allowedRegistriesForImport");
    if walk.list(spec, at)?.is_empty() {
        walk.push(empty_list(walk.origin(at)));
        return None;
    }
    let items = walk.objects(spec, at, &["domainName", "insecure"])?;
    let mut rules = Vec::with_capacity(items.len());
    for (index, item) in items {
        let path = at.item(index);
        let domain = walk.string(item, path.field("domainName"));
        let insecure = walk.boolean(item, path.field("insecure")).unwrap_or_default();
        let origin = walk.origin(path);
        match domain {
            Some(domain) if is_domain_pattern(domain) => {
                rules.push(ImportRule { domain: domain.to_owned(), insecure, origin });
            }
            Some(domain) => walk.push(bad_hostname(origin, domain)),
            None if item.get("domainName").is_none_or(|value| value.is_null()) => {
                walk.push(bad_hostname(origin, ""));
            }
            // It was said that it is no string.
            None => {}
        }
    }
    Some(rules)
}

/// Whether `text` is `hostname[:port]`, with `*` and `?` as wildcards in either.
fn is_domain_pattern(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "443"));
    is_domain(&format!("{}:{}", host.replace(['*', '?'], "x"), port.replace(['*', '?'], "1")))
}

fn import_mode(walk: &mut Walk<'_>, spec: &Object<'_>) -> Option<String> {
    let path = Path::At("spec.imageStreamImportMode");
    let mode = walk.string(spec, path).filter(|mode| !mode.is_empty())?;
    if !matches!(mode, "Legacy" | "PreserveOriginal") {
        walk.push(
            Finding::new(
                Severity::Error,
                "InvalidValue",
                walk.origin(path),
                "the mode is neither Legacy nor PreserveOriginal.",
                "Write one of the two, or remove the field.",
            )
            .about(mode),
        );
    }
    Some(mode.to_owned())
}

fn hostnames(walk: &mut Walk<'_>, parent: &Object<'_>, at: Path<'_>) -> Vec<String> {
    let path = at.field("externalRegistryHostnames");
    let mut hosts = Vec::new();
    for (index, host) in walk.strings(parent, path).unwrap_or_default() {
        if is_domain(host) {
            hosts.push(host.to_owned());
        } else {
            walk.push(bad_hostname(walk.origin(path.item(index)), host));
        }
    }
    hosts
}
