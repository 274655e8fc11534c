//! The cluster's documents, as an administrator writes them.

/// The cluster's Image with these `registrySources`, in YAML's one-line form.
pub fn image(registry_sources: &str) -> String {
    format!(
        "apiVersion: config.openshift.io/v1\n\
         kind: Image\n\
         metadata: {{name: cluster}}\n\
         spec: {{registrySources: {{{registry_sources}}}}}\n"
    )
}

/// The cluster's Image that trusts the CAs of a ConfigMap, and that ConfigMap.
pub fn trusted_ca(key: &str, pem: &str) -> [String; 2] {
    let image = "apiVersion: config.openshift.io/v1\n\
                 kind: Image\n\
                 metadata: {name: cluster}\n\
                 spec: {additionalTrustedCA: {name: registry-cas}}\n";
    let pem = pem.trim_end().replace('\n', "\n    ");
    let map = format!(
        "apiVersion: v1\n\
         kind: ConfigMap\n\
         metadata: {{name: registry-cas, namespace: openshift-config}}\n\
         data:\n  {key}: |\n    {pem}\n"
    );
    [image.to_owned(), map]
}

/// An ImageDigestMirrorSet of one source. `mirrors` lists them, separated by commas.
pub fn digest_mirrors(source: &str, mirrors: &str) -> String {
    mirror_set(
        "ImageDigestMirrorSet",
        "imageDigestMirrors",
        source,
        mirrors,
        "AllowContactingSource",
    )
}

/// An ImageTagMirrorSet of one source.
pub fn tag_mirrors(source: &str, mirrors: &str) -> String {
    mirror_set("ImageTagMirrorSet", "imageTagMirrors", source, mirrors, "AllowContactingSource")
}

/// An ImageDigestMirrorSet whose source must not be contacted.
pub fn only_digest_mirrors(source: &str, mirrors: &str) -> String {
    mirror_set("ImageDigestMirrorSet", "imageDigestMirrors", source, mirrors, "NeverContactSource")
}

/// An ImageTagMirrorSet whose source must not be contacted.
pub fn only_tag_mirrors(source: &str, mirrors: &str) -> String {
    mirror_set("ImageTagMirrorSet", "imageTagMirrors", source, mirrors, "NeverContactSource")
}

/// The older form of [`digest_mirrors`].
pub fn content_source_policy(source: &str, mirrors: &str) -> String {
    format!(
        "apiVersion: operator.openshift.io/v1alpha1\n\
         kind: ImageContentSourcePolicy\n\
         metadata: {{name: mirrors}}\n\
         spec:\n  repositoryDigestMirrors:\n  - source: {source}\n    mirrors: [{mirrors}]\n"
    )
}

fn mirror_set(kind: &str, list: &str, source: &str, mirrors: &str, policy: &str) -> String {
    format!(
        "apiVersion: config.openshift.io/v1\n\
         kind: {kind}\n\
         metadata: {{name: mirrors}}\n\
         spec:\n  {list}:\n  - source: {source}\n    mirrors: [{mirrors}]\n    \
         mirrorSourcePolicy: {policy}\n"
    )
}
