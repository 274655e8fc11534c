//! Documents of the cluster, as bytes, become the model and findings. Pure: reading them is the
//! business of [`crate::source`].
//!
//! Every field is walked by hand, so that all findings come at once and each names its field.

mod bundle;
mod document;
mod entry;
mod image;
mod mirrors;
mod parse;
mod pod;
mod trusted_ca;
mod value;
mod walk;
mod yaml;

use std::collections::HashMap;

use crate::model::config::HostnameOrigin;
use crate::model::reference::is_domain;
use crate::model::{ClusterConfig, Finding, Findings, Origin, Reference, Severity};

pub use document::{Document, SourceFile};
pub use parse::MAX_FILE_BYTES;
pub use pod::{PodImages, pod_images};
use walk::Walk;

/// What is known beside the documents.
#[derive(Debug, Clone)]
pub struct Context {
    /// Where the ConfigMap that `additionalTrustedCA` names lives: `openshift-config`.
    pub trusted_ca_namespace: String,
    /// The release payload's image, if it was given on the command line: it outranks the
    /// ClusterVersion.
    pub release_image: Option<String>,
    /// The environment's `OPENSHIFT_DEFAULT_REGISTRY`: the Image's status outranks it.
    pub default_registry: Option<String>,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            trusted_ca_namespace: "openshift-config".to_owned(),
            release_image: None,
            default_registry: None,
        }
    }
}

/// What the documents state, and all that is wrong with them.
#[derive(Debug, Clone, Default)]
pub struct Decoded {
    /// The model; incomplete where a finding is an error.
    pub config: ClusterConfig,
    /// In the order of the documents.
    pub findings: Vec<Finding>,
    /// The serial of the Bundle among them (rule E2).
    pub serial: Option<u64>,
}

/// The documents that matter, sorted by kind (rule D1).
#[derive(Default)]
struct Sorted<'a> {
    image: Option<Document<'a>>,
    mirror_sets: Vec<Document<'a>>,
    /// Where each mirror set is in the list, by kind and name.
    mirror_set_at: HashMap<(String, String), usize>,
    config_maps: Vec<Document<'a>>,
    cluster_version: Option<Document<'a>>,
    bundle: Option<Document<'a>>,
    /// Whether any document is of a kind that speaks for the whole configuration.
    any_known: bool,
}

impl<'a> Sorted<'a> {
    /// The same object may come in two files; with two contents it may not.
    fn mirror_set(&mut self, document: Document<'a>, findings: &mut Findings) {
        if document.name.is_empty() {
            // That is said of each; they may well be two.
            return self.mirror_sets.push(document);
        }
        let key = (document.kind.clone(), document.name.clone());
        let former = self.mirror_set_at.get(&key).and_then(|at| self.mirror_sets.get(*at));
        match former {
            Some(former) if former.value == document.value => {}
            Some(_) => findings.push(duplicate(&document)),
            None => {
                self.mirror_set_at.insert(key, self.mirror_sets.len());
                self.mirror_sets.push(document);
            }
        }
    }
}

/// Reads all documents of `files`, in any order (rules D1 to D4, D6).
#[must_use]
pub fn decode(files: &[SourceFile], context: &Context) -> Decoded {
    let mut findings = Findings::default();
    let mut sorted = Sorted::default();
    for file in files {
        for document in document::documents(file, &mut findings) {
            sort(document, &mut sorted, &mut findings);
        }
    }
    if !sorted.any_known && !findings.any_error() {
        findings.push(nothing_known(files));
    }
    let mut config = ClusterConfig::default();
    if let Some(image) = &sorted.image {
        let mut walk = Walk::new(image, &mut findings);
        let ca_name = image::decode(&mut walk, image, &mut config);
        let ca_origin = Origin::field(image.object(), "spec.additionalTrustedCA");
        config.trusted_ca = trusted_ca::decode(
            ca_name.as_deref(),
            &ca_origin,
            &sorted.config_maps,
            &context.trusted_ca_namespace,
            &mut findings,
        );
    }
    for document in &sorted.mirror_sets {
        mirrors::decode(&mut Walk::new(document, &mut findings), document, &mut config.mirrors);
    }
    config.release = release(context, sorted.cluster_version.as_ref(), &mut findings);
    config.internal_registry =
        config.internal_registry.or_else(|| default_registry(context, &mut findings));
    let serial = sorted.bundle.as_ref().and_then(|bundle| bundle::serial(bundle, &mut findings));
    Decoded { config, findings: findings.into_vec(), serial }
}

fn nothing_known(files: &[SourceFile]) -> Finding {
    let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
    Finding::new(
        Severity::Error,
        "NoDocuments",
        Origin::object(names.join(", ")),
        "no document is an Image, ImageDigestMirrorSet, ImageTagMirrorSet or \
         ImageContentSourcePolicy; taking that for an empty configuration could undo all of it.",
        "Check the paths, or pass an Image named cluster with an empty spec.",
    )
}

/// Which of two is meant nobody could say.
fn duplicate(document: &Document<'_>) -> Finding {
    Finding::new(
        Severity::Error,
        "DuplicateObject",
        Origin::object(document.object()),
        format!("{} states this object a second time.", document.file),
        "Keep one of the two.",
    )
}

fn sort<'a>(document: Document<'a>, sorted: &mut Sorted<'a>, findings: &mut Findings) {
    let known = match (document.api_version.as_str(), document.kind.as_str()) {
        ("config.openshift.io/v1", "Image") => {
            if document.name != "cluster" {
                findings.push(not_cluster(&document));
            } else if sorted.image.is_some() {
                findings.push(duplicate(&document));
            } else {
                sorted.image = Some(document);
            }
            true
        }
        ("config.openshift.io/v1", "ImageDigestMirrorSet" | "ImageTagMirrorSet")
        | ("operator.openshift.io/v1alpha1", "ImageContentSourcePolicy") => {
            sorted.mirror_set(document, findings);
            true
        }
        ("v1", "ConfigMap") => {
            sorted.config_maps.push(document);
            false
        }
        ("config.openshift.io/v1", "ClusterVersion") if document.name != "version" => {
            findings.push(not_version(&document));
            false
        }
        ("config.openshift.io/v1", "ClusterVersion") => {
            only_one(&mut sorted.cluster_version, document, findings);
            false
        }
        (bundle::API_VERSION, bundle::KIND) => {
            only_one(&mut sorted.bundle, document, findings);
            false
        }
        (
            "config.openshift.io/v1" | "config.openshift.io/v1alpha1",
            "ClusterImagePolicy" | "ImagePolicy",
        ) => {
            findings.push(not_applied(&document));
            false
        }
        _ => {
            findings.push(unknown_kind(&document));
            false
        }
    };
    sorted.any_known |= known;
}

/// Takes an object of a kind of which there is one; the same once more says nothing new.
fn only_one<'a>(place: &mut Option<Document<'a>>, document: Document<'a>, findings: &mut Findings) {
    match place {
        Some(former) if former.value != document.value => findings.push(duplicate(&document)),
        _ => *place = Some(document),
    }
}

fn not_cluster(document: &Document<'_>) -> Finding {
    Finding::new(
        Severity::Error,
        "WrongImageName",
        Origin::field(document.object(), "metadata.name"),
        "the only Image configuration is the one named cluster.",
        "Rename it to cluster or leave it out.",
    )
    .about(document.name.clone())
}

fn not_version(document: &Document<'_>) -> Finding {
    Finding::new(
        Severity::Warning,
        "WrongVersionName",
        Origin::field(document.object(), "metadata.name"),
        "the only ClusterVersion is the one named version, so this one is passed over.",
        "Rename it to version or leave it out.",
    )
    .about(document.name.clone())
}

fn not_applied(document: &Document<'_>) -> Finding {
    Finding::new(
        Severity::Warning,
        "PolicyNotApplied",
        Origin::object(document.object()),
        format!(
            "objects of kind {} are not applied: no signature is required by it.",
            document.kind
        ),
        "Require signatures in the host's own policy.json until they are.",
    )
}

fn unknown_kind(document: &Document<'_>) -> Finding {
    Finding::new(
        Severity::Warning,
        "UnknownKind",
        Origin::object(document.object()),
        format!(
            "{} {} says nothing about images and is passed over.",
            document.api_version, document.kind
        ),
        "Leave it out of the input.",
    )
}

fn release(
    context: &Context,
    cluster_version: Option<&Document<'_>>,
    findings: &mut Findings,
) -> Option<(Reference, Origin)> {
    let (text, origin) = match (&context.release_image, cluster_version) {
        (Some(text), _) => (text.as_str(), Origin::object("--release-image")),
        (None, Some(document)) => {
            let image = document.value.at(&["status", "desired", "image"])?;
            (image.as_str()?, Origin::field(document.object(), "status.desired.image"))
        }
        (None, None) => return None,
    };
    let problem = match Reference::parse(text) {
        Ok(_) if crate::model::reference::is_short_name(text) => "it names no registry".to_owned(),
        Ok(reference) => return Some((reference.with_default_tag(), origin)),
        Err(error) => error.to_string(),
    };
    findings.push(
        Finding::new(
            Severity::Error,
            "InvalidReleaseImage",
            origin,
            format!("the release image cannot be protected from being blocked: {problem}."),
            "Give the full name, as host/path@sha256:….",
        )
        .about(text),
    );
    None
}

fn default_registry(
    context: &Context,
    findings: &mut Findings,
) -> Option<(String, HostnameOrigin)> {
    let host = context.default_registry.as_deref().filter(|host| !host.is_empty())?;
    if is_domain(host) {
        return Some((host.to_owned(), HostnameOrigin::Environment));
    }
    let origin = Origin::object("OPENSHIFT_DEFAULT_REGISTRY");
    findings.push(image::bad_hostname(origin, host));
    None
}
