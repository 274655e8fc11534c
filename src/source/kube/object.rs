//! An object of the API becomes the file that it would be.

use std::sync::Arc;

use kube::core::DynamicObject;
use serde_json::{Map, Value, json};

use super::kinds::Kind;
use crate::decode::SourceFile;
use crate::model::annotations::DOMAIN;

/// The document of an object. Of its metadata it holds what has a meaning alone, and of a ClusterVersion
/// the release image alone: the rest changes all the time.
pub(super) fn document(kind: Kind, object: DynamicObject) -> Arc<SourceFile> {
    let DynamicObject { metadata, data, .. } = object;
    let name = metadata.name.unwrap_or_default();
    let mut kept = Map::from_iter([("name".to_owned(), json!(name))]);
    if let Some(namespace) = &metadata.namespace {
        kept.insert("namespace".to_owned(), json!(namespace));
    }
    let mut annotations = metadata.annotations.unwrap_or_default();
    annotations.retain(|key, _| key.starts_with(DOMAIN));
    if !annotations.is_empty() {
        kept.insert("annotations".to_owned(), json!(annotations));
    }
    let mut document = match data {
        Value::Object(fields) if kind != Kind::ClusterVersion => fields,
        other => {
            let image = other.pointer("/status/desired/image").unwrap_or(&Value::Null);
            Map::from_iter([("status".to_owned(), json!({ "desired": { "image": image } }))])
        }
    };
    document.insert("apiVersion".to_owned(), json!(kind.api_version()));
    document.insert("kind".to_owned(), json!(kind.name()));
    document.insert("metadata".to_owned(), Value::Object(kept));
    let file = match &metadata.namespace {
        Some(namespace) => format!("{}/{namespace}/{name}", kind.name()),
        None => format!("{}/{name}", kind.name()),
    };
    Arc::new(SourceFile {
        name: format!("{file} of the cluster"),
        bytes: Value::Object(document).to_string().into_bytes(),
    })
}

/// An Image that says nothing: what stands for one whose absence is proven.
pub(super) fn empty_image() -> Arc<SourceFile> {
    document(
        Kind::Image,
        DynamicObject {
            types: None,
            metadata: kube::api::ObjectMeta {
                name: Some("cluster".to_owned()),
                ..kube::api::ObjectMeta::default()
            },
            data: json!({ "spec": {} }),
        },
    )
}

/// The ConfigMap that an Image names.
pub(super) fn trusted_ca(image: &SourceFile) -> Option<String> {
    let image: Value = serde_json::from_slice(&image.bytes).ok()?;
    let name = image.pointer("/spec/additionalTrustedCA/name")?.as_str()?;
    Some(name.to_owned()).filter(|name| !name.is_empty())
}

/// Whether a document is of this kind.
pub(super) fn is_of(kind: Kind, file: &SourceFile) -> bool {
    file.name.split('/').next() == Some(kind.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Context, decode};
    use crate::model::Digests;

    fn object(text: &str) -> DynamicObject {
        serde_json::from_str(text).unwrap()
    }

    const STORED: &str = r#"{
        "apiVersion": "config.openshift.io/v1", "kind": "Image",
        "metadata": {
            "name": "cluster", "uid": "u", "resourceVersion": "17", "generation": 3,
            "creationTimestamp": "2026-11-22T10:00:00Z", "labels": {"a": "b"},
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
                "image-config-agent.io/accept-lockout": "x"
            },
            "managedFields": [{"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {}}}]
        },
        "spec": {"registrySources": {"blockedRegistries": ["untrusted.com"]}},
        "status": {"internalRegistryHostname": "image-registry.svc:5000"}
    }"#;

    #[test]
    fn d7_an_object_of_the_api_means_what_its_file_means() {
        let read = document(Kind::Image, object(STORED));
        let file = SourceFile { name: "image.json".into(), bytes: STORED.as_bytes().to_vec() };
        let by_api = decode(&[SourceFile::clone(&read)], &Context::default());
        let by_file = decode(&[file], &Context::default());
        assert_eq!(by_api.config, by_file.config);
        assert_eq!(Digests::of(&by_api.config), Digests::of(&by_file.config));
        assert_eq!(by_api.findings, by_file.findings);
        assert!(by_api.config.accepted_lock_out.is_some());
    }

    #[test]
    fn d7_what_the_server_notes_about_an_object_is_no_change() {
        let later = STORED.replace("\"17\"", "\"18\"").replace("\"kubectl\"", "\"helm\"");
        let (before, after) = (object(STORED), object(&later));
        assert_ne!(before, after);
        assert_eq!(document(Kind::Image, before), document(Kind::Image, after));
    }

    #[test]
    fn of_a_cluster_version_only_the_release_image_is_read() {
        let version = |progress: &str| {
            object(&format!(
                r#"{{"metadata": {{"name": "version"}}, "spec": {{"channel": "x"}}, "status":
                {{"desired": {{"image": "a.io/r@sha256:1", "version": "5"}}, "history": ["{progress}"]}}}}"#
            ))
        };
        let file = document(Kind::ClusterVersion, version("a"));
        assert_eq!(file, document(Kind::ClusterVersion, version("b")));
        let text = String::from_utf8(file.bytes.clone()).unwrap();
        assert!(text.contains("a.io/r@sha256:1") && !text.contains("channel"), "{text}");
    }

    #[test]
    fn an_image_names_its_trusted_cas() {
        let named = STORED
            .replace("\"spec\": {", "\"spec\": {\"additionalTrustedCA\": {\"name\": \"ca\"}, ");
        assert_eq!(trusted_ca(&document(Kind::Image, object(&named))).as_deref(), Some("ca"));
        assert_eq!(trusted_ca(&document(Kind::Image, object(STORED))), None);
        assert_eq!(trusted_ca(&empty_image()), None);
    }
}
