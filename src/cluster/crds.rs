//! The CustomResourceDefinitions of a cluster that is not OpenShift: OpenShift's own kinds with its rules
//! for them, and the agent's kind (rule K7).

use kube::CustomResourceExt as _;
use serde_json::{Value, json};

use crate::report::node_image_config::NodeImageConfig;

/// All of them, as YAML documents.
///
/// # Errors
/// There is nothing in them that YAML could not hold.
pub fn yaml() -> Result<String, serde_saphyr::ser::Error> {
    let mut text = String::from(
        "# Written by `image-config-agent crds`. On OpenShift only the last one is needed: it brings the others.\n",
    );
    for definition in all() {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&definition)?);
    }
    Ok(text)
}

/// All of them.
fn all() -> Vec<Value> {
    let config = "config.openshift.io";
    vec![
        definition([config, "v1", "Image", "image", ""], &image()),
        definition(
            [config, "v1", "ImageDigestMirrorSet", "imagedigestmirrorset", "idms"],
            &mirror_set("imageDigestMirrors", true),
        ),
        definition(
            [config, "v1", "ImageTagMirrorSet", "imagetagmirrorset", "itms"],
            &mirror_set("imageTagMirrors", true),
        ),
        definition(
            [
                "operator.openshift.io",
                "v1alpha1",
                "ImageContentSourcePolicy",
                "imagecontentsourcepolicy",
                "icsp",
            ],
            &mirror_set("repositoryDigestMirrors", false),
        ),
        json!(NodeImageConfig::crd()),
    ]
}

fn definition([group, version, kind, singular, short]: [&str; 5], schema: &Value) -> Value {
    let plural = match singular.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{singular}s"),
    };
    let short: Vec<&str> = Some(short).filter(|short| !short.is_empty()).into_iter().collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.{group}") },
        "spec": {
            "group": group,
            "names": {
                "kind": kind,
                "listKind": format!("{kind}List"),
                "plural": plural,
                "singular": singular,
                "shortNames": short,
            },
            "scope": "Cluster",
            "versions": [{
                "name": version,
                "served": true,
                "storage": true,
                "schema": { "openAPIV3Schema": schema },
                "subresources": { "status": {} },
            }],
        },
    })
}

/// Parts of names, as regular expressions (rule D3).
const LABEL: &str = "([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
const COMPONENT: &str = "[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*";
const TAG: &str = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}";
const DIGEST: &str = "(sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})";

/// The longest name, in characters.
const LONGEST: u32 = 255;

fn host() -> String {
    format!("{LABEL}(\\.{LABEL})*(:[0-9]+)?")
}

fn wildcard() -> String {
    format!("\\*(\\.{LABEL})+")
}

/// A text that matches as a whole.
fn text(pattern: &str, about: &str) -> Value {
    json!({
        "type": "string",
        "description": about,
        "maxLength": LONGEST,
        "pattern": format!("^({pattern})$"),
    })
}

/// An entry of registrySources: tags and digests too, as the documentation of OpenShift has it.
fn entries(about: &str) -> Value {
    let (host, wildcard) = (host(), wildcard());
    let path = format!("(/{COMPONENT})+(:{TAG})?(@{DIGEST})?");
    let about_one = "host[:port], host[:port]/path, that with a tag or a digest, or *.domain";
    let one = text(&format!("{wildcard}|{host}({path})?"), about_one);
    json!({ "type": "array", "description": about, "items": one, "x-kubernetes-list-type": "atomic" })
}

fn hosts(about: &str) -> Value {
    json!({
        "type": "array",
        "description": about,
        "items": { "type": "string" },
        "x-kubernetes-list-type": "atomic",
    })
}

/// An object with one more field.
fn with(mut object: Value, field: &str, value: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
    object
}

fn object(about: &str, properties: &Value) -> Value {
    json!({ "type": "object", "description": about, "properties": properties })
}

/// A schema with what every object has.
fn top(about: &str, spec: &Value, status: &Value) -> Value {
    json!({
        "type": "object",
        "description": about,
        "required": ["spec"],
        "properties": {
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            "metadata": { "type": "object" },
            "spec": spec,
            "status": status,
        },
    })
}

fn image() -> Value {
    let internal = json!({
        "type": "string",
        "description": "host[:port] of the cluster's own registry.",
    });
    let external = "host[:port] by which the cluster's own registry is reached from outside; the first \
                    one is the one that is published.";
    let mode = json!({
        "type": "string",
        "description": "How image streams import images of several architectures.",
        "enum": ["", "Legacy", "PreserveOriginal"],
    });
    let trusted_ca = json!({
        "type": "object",
        "description": "The ConfigMap of additional CAs to trust; by default in the namespace \
                        openshift-config.",
        "required": ["name"],
        "properties": { "name": { "type": "string", "description": "Its name." } },
    });
    let spec = json!({
        "additionalTrustedCA": trusted_ca,
        "allowedRegistriesForImport": import_rules(),
        "externalRegistryHostnames": hosts(external),
        "imageStreamImportMode": mode,
        "registrySources": registry_sources(),
    });
    let status = json!({
        "externalRegistryHostnames": hosts(external),
        "imageStreamImportMode": mode,
        "internalRegistryHostname": internal,
    });
    let schema = top(
        "Which registries the nodes of the cluster may use, and how. The only one is named cluster.",
        &object("What is wanted.", &spec),
        &object("What the cluster itself says.", &status),
    );
    let only_one = json!([{
        "rule": "self.metadata.name == 'cluster'",
        "message": "the only Image configuration is the one named cluster",
    }]);
    with(schema, "x-kubernetes-validations", only_one)
}

fn registry_sources() -> Value {
    let search = json!({
        "type": "array",
        "description": "Where short names of images are looked for, in this order.",
        "minItems": 1,
        "items": text(&host(), "host[:port]"),
        "x-kubernetes-list-type": "set",
    });
    let sources = object(
        "How the nodes treat registries.",
        &json!({
            "allowedRegistries": entries("The only registries to pull from."),
            "blockedRegistries": entries("Registries that are not pulled from."),
            "containerRuntimeSearchRegistries": search,
            "insecureRegistries": entries("Registries without a valid certificate, or with plain HTTP."),
        }),
    );
    let is_set = |field: &str| format!("has(self.{field}) && size(self.{field}) > 0");
    let both = [is_set("allowedRegistries"), is_set("blockedRegistries")].join(" && ");
    let not_both = json!([{
        "rule": format!("!({both})"),
        "message": "only one of allowedRegistries and blockedRegistries can be set",
    }]);
    with(sources, "x-kubernetes-validations", not_both)
}

fn import_rules() -> Value {
    let rule = object(
        "A registry.",
        &json!({
            "domainName": { "type": "string", "description": "host[:port]; * and ? are wildcards." },
            "insecure": { "type": "boolean", "description": "Whether plain HTTP is fine." },
        }),
    );
    json!({
        "type": "array",
        "description": "Registries that users may import image streams from.",
        "items": rule,
        "x-kubernetes-list-type": "atomic",
    })
}

/// The schema of a set of mirrors; an old one knows no policy and does not check its names.
fn mirror_set(list: &str, is_new: bool) -> Value {
    let (host, wildcard) = (host(), wildcard());
    let repository = format!("{host}(/{COMPONENT})*");
    let [source, mirror] = if is_new {
        [
            text(&format!("{wildcard}|{repository}"), "host[:port][/path] or *.domain"),
            text(&repository, "host[:port][/path]"),
        ]
    } else {
        [json!({ "type": "string" }), json!({ "type": "string" })]
    };
    let list_type = if is_new { "set" } else { "atomic" };
    let properties = json!({
        "source": source,
        "mirrors": {
            "type": "array",
            "description": "Where the same images are too, first choice first.",
            "items": mirror,
            "x-kubernetes-list-type": list_type,
        },
    });
    let policy = json!({
        "type": "string",
        "description": "Whether the source may be asked when no mirror served.",
        "enum": ["AllowContactingSource", "NeverContactSource"],
    });
    let properties =
        if is_new { with(properties, "mirrorSourcePolicy", policy) } else { properties };
    let item = object("One source and its mirrors.", &properties);
    let item = with(item, "required", json!(["source"]));
    let items = json!({
        "type": "array",
        "description": "Sources and their mirrors.",
        "items": item,
        "x-kubernetes-list-type": "atomic",
    });
    let spec = object("What is wanted.", &json!({ list: items }));
    top(
        "Where the nodes of the cluster find the images of a registry, beside that registry itself.",
        &spec,
        &json!({ "type": "object" }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k7_what_is_committed_is_what_the_command_prints() {
        let file = "packaging/kubernetes/base/crds.yaml";
        let printed = yaml().unwrap();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(file, &printed).unwrap();
        }
        let committed = std::fs::read_to_string(file).unwrap();
        assert!(committed == printed, "run this test once more with UPDATE=1 to write {file}");
    }
}
