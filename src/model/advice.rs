//! What the API documents warn of: a configuration that is valid but will not do what its
//! author expects. docs/chapter.md lists the notes and warnings this goes back to.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use super::config::{ClusterConfig, Entry, MirrorSet, PullKind};
use super::scope::scopes_above;
use super::{Finding, Findings, Lookup, Meaning, Origin, Scope, ScopeMap, Severity};

/// Registries that anybody can push to or that want credentials of their own.
const PUBLIC: [&str; 4] =
    ["docker.io", "quay.io", "registry.access.redhat.com", "registry.redhat.io"];

/// Registries that an OpenShift payload comes from.
const PAYLOAD: [&str; 2] = ["quay.io", "registry.redhat.io"];

/// All advice about `config`; `short_name_mode` is the engine's, where it is known.
#[must_use]
pub fn advise(
    config: &ClusterConfig,
    meaning: &Meaning,
    short_name_mode: Option<&str>,
) -> Vec<Finding> {
    let lookup = Lookup::of(meaning);
    let mut advice = Advice { config, lookup, findings: Findings::default() };
    advice.lists();
    if let Some(allowed) = &config.allowed {
        advice.allowed(allowed);
    }
    advice.blocked();
    advice.docker_names();
    advice.search(short_name_mode.unwrap_or("enforcing"));
    advice.mirror_sets(meaning.allowed.as_ref());
    advice.other_pulls_blocked(meaning);
    advice.insecure_below_mirrors();
    advice.findings.into_vec()
}

/// Scopes, and which scopes have one of them above, at or below them in policy.json.
struct ScopeSet<'a> {
    scopes: ScopeMap<'a, ()>,
    above: HashSet<Cow<'a, str>>,
}

impl<'a> ScopeSet<'a> {
    fn of(scopes: impl Iterator<Item = &'a Scope> + Clone) -> Self {
        let above = scopes.clone().flat_map(|scope| scopes_above(scope.as_str())).collect();
        Self { scopes: scopes.map(|scope| (scope.as_str(), ())).collect(), above }
    }

    fn covers(&self, scope: &str) -> bool {
        self.scopes.above_scope(scope).next().is_some()
    }

    fn touches(&self, scope: &str) -> bool {
        self.covers(scope) || self.above.contains(scope)
    }
}

struct Advice<'a> {
    config: &'a ClusterConfig,
    lookup: Lookup<'a>,
    findings: Findings,
}

impl Advice<'_> {
    fn push(
        &mut self,
        severity: Severity,
        name: &'static str,
        at: (&Origin, &str),
        why: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let (origin, value) = at;
        self.findings.push(Finding::new(severity, name, origin.clone(), why, fix).about(value));
    }

    /// A finding about the list that `entry` is in, not about the entry.
    fn on_list(
        &mut self,
        severity: Severity,
        name: &'static str,
        entry: &Entry,
        why: &'static str,
        fix: &'static str,
    ) {
        self.findings.push(Finding::new(severity, name, entry.origin.list(), why, fix));
    }

    /// Advice that is given once a list.
    fn lists(&mut self) {
        if let Some(entry) = self.config.insecure.first() {
            let why = "registries in this list are reached without a check of who answers.";
            let fix = "Give them a certificate, and trust its CA with additionalTrustedCA.";
            self.on_list(Severity::Info, "InsecureRegistry", entry, why, fix);
        }
        let why = "pushes are stopped for a blocked registry alone: not outside allowedRegistries, \
                   and not to a blocked tag or digest.";
        let fix = "Guard pushes in the registry.";
        let mut blocked = self.config.blocked.iter();
        if let Some(entry) = self.config.allowed.iter().flatten().next() {
            self.on_list(Severity::Info, "PushNotStopped", entry, why, fix);
        } else if let Some(entry) = blocked.find(|entry| entry.scope.is_single_image()) {
            self.push(Severity::Info, "PushNotStopped", at(entry), why, fix);
        }
    }

    fn allowed(&mut self, allowed: &[Entry]) {
        let Some(list) = allowed.first().map(|entry| entry.origin.list()) else { return };
        let set = ScopeSet::of(allowed.iter().map(|entry| &entry.scope));
        let config = self.config;
        for entry in config.insecure.iter().filter(|e| !set.touches(e.scope.as_str())) {
            let why = "the registry is listed as insecure but not as allowed: its images are \
                       refused.";
            let fix = "Add it to allowedRegistries, or remove it.";
            self.push(Severity::Warning, "InsecureNotAllowed", at(entry), why, fix);
        }
        for entry in config.search.iter().flatten().filter(|e| !set.touches(e.scope.as_str())) {
            let why = "the registry is searched for short names, but its images are refused.";
            let fix = "Add it to allowedRegistries, or remove it from the search list.";
            self.push(Severity::Warning, "SearchRegistryNotAllowed", at(entry), why, fix);
        }
        if let Some((host, _)) = &config.internal_registry
            && !set.touches(host)
        {
            let why = "the internal registry is not in the list: images built in the cluster are \
                       refused.";
            self.push(
                Severity::Warning,
                "InternalRegistryNotAllowed",
                (&list, host),
                why,
                "Add it.",
            );
        }
        self.payload_allowed(&list, &set);
    }

    fn payload_allowed(&mut self, list: &Origin, set: &ScopeSet<'_>) {
        let config = self.config;
        let release = config.release.as_ref().map(|(image, _)| image);
        if let Some(image) = release.filter(|image| !set.covers(&image.to_string())) {
            let why = "the release image is not in the list: this node could not be upgraded or \
                       repaired.";
            let fix = "Add its repository, and those of the payload's other images.";
            self.push(Severity::Warning, "PayloadNotAllowed", (list, image.name()), why, fix);
        }
        if release.is_none_or(|image| PAYLOAD.contains(&image.host())) {
            for host in PAYLOAD.into_iter().filter(|host| !set.touches(host)) {
                let why = "OpenShift's own images come from this registry, which is not in the \
                           list.";
                let fix = "Add it, unless the cluster's images come from elsewhere.";
                self.push(Severity::Warning, "RedHatRegistryNotAllowed", (list, host), why, fix);
            }
        }
    }

    fn blocked(&mut self) {
        let config = self.config;
        let mirrored = config.mirrors.iter().filter(|set| !set.mirrors.is_empty());
        let blocked = config.blocked.iter().map(|entry| entry.scope.as_str());
        let blocked: ScopeMap<'_, &str> = blocked.map(|scope| (scope, scope)).collect();
        let above_sources: HashSet<&str> =
            mirrored.flat_map(|set| blocked.above_name(set.source.as_str())).copied().collect();
        for entry in &config.blocked {
            let (scope, text) = (&entry.scope, entry.scope.as_str());
            if let Some((host, _)) = &config.internal_registry
                && scope.covers_name(host)
            {
                let why = "it covers the internal registry: images built in the cluster are \
                           refused.";
                self.push(
                    Severity::Warning,
                    "InternalRegistryBlocked",
                    at(entry),
                    why,
                    "Remove it.",
                );
            }
            if config.release.is_none() && PAYLOAD.iter().any(|host| scope.covers_name(host)) {
                let why = "OpenShift's own images come from a registry that it covers, and no \
                           release image is known that could be spared.";
                let fix = "Remove it, or pass --release-image.";
                self.push(Severity::Warning, "RedHatRegistryBlocked", at(entry), why, fix);
            }
            let is_payload =
                config.release.as_ref().is_some_and(|(image, _)| scope.covers_name(image.name()));
            if above_sources.contains(text) && !is_payload {
                let why = "it covers a mirrored source, whose images are refused all the same: \
                           the engine judges an image by its own name.";
                let fix = "To pull from mirrors alone, set mirrorSourcePolicy NeverContactSource \
                           in place of this entry.";
                self.push(Severity::Warning, "BlockedAndMirrored", at(entry), why, fix);
            }
        }
    }

    /// Entries right below docker.io that look like an image and are a namespace. A block that is meant
    /// for the image would let it pass.
    fn docker_names(&mut self) {
        let config = self.config;
        let others = config.allowed.iter().flatten().chain(&config.insecure);
        let others = others.map(|entry| (&entry.origin, &entry.scope));
        let sources = config.mirrors.iter().map(|set| (&set.origin, &set.source));
        let others = others.chain(sources).map(|at| (Severity::Info, at));
        let blocked = config.blocked.iter().map(|entry| (&entry.origin, &entry.scope));
        for (severity, (origin, scope)) in blocked.map(|at| (Severity::Warning, at)).chain(others) {
            let Some(name) = scope.docker_name().filter(|_| !scope.is_single_image()) else {
                continue;
            };
            let why = format!(
                "it is for images of the namespace {name} on docker.io, as docker.io/{name}/app, and \
                 not for an image {name}, which the engine calls docker.io/library/{name}."
            );
            let fix = format!("Write docker.io/library/{name} if that image is meant.");
            self.push(severity, "NamespaceAlone", (origin, scope.as_str()), why, fix);
        }
    }

    fn search(&mut self, short_name_mode: &str) {
        let config = self.config;
        let Some(search) = &config.search else { return };
        for entry in search {
            if PUBLIC.contains(&entry.scope.as_str()) {
                let why = "short names are searched in a public registry: anybody could own the \
                           name there, and it may want credentials.";
                let fix = "Use full names for images of public registries, or put the registry's \
                           credentials into the global pull secret.";
                self.push(Severity::Warning, "PublicSearchRegistry", at(entry), why, fix);
            }
            if self.lookup.said(entry.scope.as_str()).is_blocked_place() {
                let why = "the registry is searched for short names, and is blocked.";
                let fix = "Remove it from one of the two lists.";
                self.push(Severity::Warning, "SearchRegistryBlocked", at(entry), why, fix);
            }
        }
        if let [first, _, ..] = search.as_slice()
            && short_name_mode == "enforcing"
        {
            let why = "under the short-name mode enforcing, CRI-O's default, several search \
                       registries make a short name ambiguous, and it is refused.";
            let fix = "Keep one registry, set short_name_mode in crio.conf, or use full names.";
            self.on_list(Severity::Warning, "AmbiguousShortNames", first, why, fix);
        }
    }

    fn mirror_sets(&mut self, allowed: Option<&BTreeMap<Scope, Origin>>) {
        let allowed: Option<ScopeMap<'_, ()>> =
            allowed.map(|list| list.keys().map(|scope| (scope.as_str(), ())).collect());
        for set in &self.config.mirrors {
            self.mirror_set(set, allowed.as_ref());
        }
    }

    fn mirror_set(&mut self, set: &MirrorSet, allowed: Option<&ScopeMap<'_, ()>>) {
        for mirror in set.mirrors.iter().filter(|mirror| **mirror != set.source) {
            let at = (&set.origin, mirror.as_str());
            if self.lookup.said(mirror.as_str()).is_blocked_place() {
                let why = "the mirror is blocked, or is a source that must not be contacted: it \
                           is not asked.";
                let fix = "Remove it, or what blocks it.";
                self.push(Severity::Warning, "MirrorBlocked", at, why, fix);
            }
            if allowed.is_some_and(|list| list.above_scope(mirror.as_str()).next().is_none()) {
                let why = "the mirror is not in allowedRegistries; it serves mirrored pulls all \
                           the same, but not pulls by its own name.";
                let fix = "Nothing, unless images are pulled by the mirror's own name.";
                self.push(Severity::Info, "MirrorNotAllowed", at, why, fix);
            }
            if set.source.as_str().contains('/') && !mirror.as_str().contains('/') {
                let why = format!(
                    "an image named exactly {} would have no name at this mirror, so it cannot \
                     be pulled at all; images below it can.",
                    set.source
                );
                let fix = "Give the mirror a path if the source is a repository.";
                self.push(Severity::Info, "SourceNotPullable", at, why, fix);
            }
        }
    }

    /// The files know one flag `blocked` for pulls by digest and by tag (rule R6).
    fn other_pulls_blocked(&mut self, meaning: &Meaning) {
        for (scope, source) in &meaning.sources {
            for (kind, other, pulls) in [
                (PullKind::Digest, PullKind::Tag, "tag"),
                (PullKind::Tag, PullKind::Digest, "digest"),
            ] {
                let is_never =
                    |kind| self.lookup.said(scope.as_str()).may_contact_source(kind) == Some(false);
                let mirrors = source.of(kind);
                let Some(origin) = mirrors.origins.first() else { continue };
                if mirrors.may_contact_source == Some(false) && !is_never(other) {
                    let why = format!(
                        "the source is not contacted for pulls by {pulls} either, although this set \
                         is not about them: the engine has one block for both."
                    );
                    let fix =
                        format!("Name mirrors for pulls by {pulls} too, if there are such pulls.");
                    let at = (origin, scope.as_str());
                    self.push(Severity::Info, "OtherPullsBlocked", at, why, fix);
                }
            }
        }
    }

    /// The engine takes TLS settings of mirrored pulls from the mirror as listed.
    fn insecure_below_mirrors(&mut self) {
        let config = self.config;
        if config.insecure.is_empty() {
            return;
        }
        let mirrors: HashSet<&str> =
            config.mirrors.iter().flat_map(|set| &set.mirrors).map(Scope::as_str).collect();
        for entry in &config.insecure {
            let above = scopes_above(entry.scope.as_str()).skip(1);
            if let Some(mirror) = above.into_iter().find(|above| mirrors.contains(above.as_ref())) {
                let why = format!(
                    "it lies below the mirror {mirror}, whose pulls go on verifying TLS: the \
                     engine knows one setting a mirror."
                );
                let fix = "List the mirror itself as insecure, or name this part as a mirror.";
                self.push(Severity::Warning, "NotExpressible", at(entry), why, fix);
            }
        }
    }
}

fn at(entry: &Entry) -> (&Origin, &str) {
    (&entry.origin, entry.scope.as_str())
}
