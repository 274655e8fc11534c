//! The kinds of objects that have a say, and how each is asked for.

use kube::api::ApiResource;
use kube::core::DynamicObject;
use kube::runtime::watcher;
use kube::{Api, Client};

/// A kind of object that has a say. Documents are given in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Image,
    DigestMirrors,
    TagMirrors,
    ContentPolicies,
    ClusterVersion,
    TrustedCa,
}

/// Objects that are watched: all of a kind, or one by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub kind: Kind,
    namespace: Option<String>,
    name: Option<String>,
}

impl Kind {
    /// Its group, version, kind and plural.
    fn words(self) -> [&'static str; 4] {
        let config = "config.openshift.io";
        match self {
            Self::Image => [config, "v1", "Image", "images"],
            Self::DigestMirrors => [config, "v1", "ImageDigestMirrorSet", "imagedigestmirrorsets"],
            Self::TagMirrors => [config, "v1", "ImageTagMirrorSet", "imagetagmirrorsets"],
            Self::ContentPolicies => [
                "operator.openshift.io",
                "v1alpha1",
                "ImageContentSourcePolicy",
                "imagecontentsourcepolicies",
            ],
            Self::ClusterVersion => [config, "v1", "ClusterVersion", "clusterversions"],
            Self::TrustedCa => ["", "v1", "ConfigMap", "configmaps"],
        }
    }

    /// Its name in a document.
    pub fn name(self) -> &'static str {
        let [_, _, kind, _] = self.words();
        kind
    }

    /// Its `apiVersion` in a document.
    pub fn api_version(self) -> String {
        match self.words() {
            ["", version, ..] => version.to_owned(),
            [group, version, ..] => format!("{group}/{version}"),
        }
    }

    /// The name of the CustomResourceDefinition that brings it, if one does.
    pub fn definition(self) -> Option<String> {
        let [group, _, _, plural] = self.words();
        (!group.is_empty()).then(|| format!("{plural}.{group}"))
    }

    fn resource(self) -> ApiResource {
        let [group, version, kind, plural] = self.words().map(str::to_owned);
        ApiResource { group, version, api_version: self.api_version(), kind, plural }
    }
}

impl Target {
    /// Objects of a kind that a CustomResourceDefinition brings: the one whose name counts, or all.
    pub fn custom(kind: Kind) -> Self {
        let name = match kind {
            // The only Image is `cluster` (rule D1).
            Kind::Image => Some("cluster".to_owned()),
            Kind::ClusterVersion => Some("version".to_owned()),
            _ => None,
        };
        Self { kind, namespace: None, name }
    }

    /// One ConfigMap.
    pub fn config_map(namespace: &str, name: &str) -> Self {
        let [namespace, name] = [namespace, name].map(|text| Some(text.to_owned()));
        Self { kind: Kind::TrustedCa, namespace, name }
    }

    pub fn api(&self, client: Client) -> Api<DynamicObject> {
        let resource = self.kind.resource();
        match &self.namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        }
    }

    /// What of them is watched: no more than what is named. The field selector is also what lets a
    /// role of RBAC name the one object.
    pub fn selection(&self) -> watcher::Config {
        selection(self.name.as_deref())
    }
}

/// Objects of this name, or all. A watch ends by itself after some minutes, not the same on all nodes,
/// and one that says nothing then is begun anew.
pub(super) fn selection(name: Option<&str>) -> watcher::Config {
    let config = watcher::Config { page_size: Some(50), ..watcher::Config::default() };
    let config = config.timeout(fastrand::u32(200..=280));
    match name {
        Some(name) => config.fields(&format!("metadata.name={name}")),
        None => config,
    }
}
