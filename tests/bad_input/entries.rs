//! Objects and entries that the API would refuse.

use serde_json::{Value, json};

use super::agent::{Host, image, image_spec};
use super::{document_refused, documents_refused, shown};

const LISTS: [&str; 3] = ["allowedRegistries", "blockedRegistries", "insecureRegistries"];
const SEARCH: &str = "containerRuntimeSearchRegistries";

fn named(name: &str) -> Value {
    let mut image = image(json!({}));
    image["metadata"]["name"] = name.into();
    image
}

#[test]
fn d1_a_wrong_name() {
    let expected = ["WrongImageName", "Image/other", "metadata.name", "other"];
    document_refused(&named("other"), expected);
    documents_refused(&[image(json!({})), named("other")], &[expected]);
    document_refused(&named(""), ["WrongImageName", "Image/", "metadata.name", ""]);
}

#[test]
fn d1_a_second_image() {
    let first = image(json!({"blockedRegistries": ["a.io"]}));
    let duplicate = ["DuplicateObject", "Image/cluster", "", "-"];
    documents_refused(&[first.clone(), image(json!({}))], &[duplicate]);
    documents_refused(&[first.clone(), first.clone()], &[duplicate]);
    let mut elsewhere = image(json!({}));
    elsewhere["metadata"]["namespace"] = "somewhere".into();
    documents_refused(
        &[first, elsewhere],
        &[["DuplicateObject", "Image/somewhere/cluster", "", "-"]],
    );
}

#[test]
fn d1_no_document_of_a_known_kind() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}});
    let map = super::agent::config_map("m", json!({}));
    let policy = json!({"apiVersion": "config.openshift.io/v1", "kind": "ClusterImagePolicy", "metadata": {"name": "p"}});
    let version = json!({"apiVersion": "config.openshift.io/v1", "kind": "ClusterVersion", "metadata": {"name": "version"}});
    let nothing = json!({"apiVersion": "v1", "kind": "List", "items": []});
    for document in [pod, map, policy, version, nothing] {
        document_refused(&document, ["NoDocuments", "000.json", "", "-"]);
    }
}

#[test]
fn d2_allowed_and_blocked_together() {
    let both = image(json!({"allowedRegistries": ["a.io"], "blockedRegistries": ["b.io"]}));
    document_refused(&both, ["AllowedAndBlocked", "Image/cluster", "spec.registrySources", "-"]);
}

#[test]
fn d3_entries_that_are_no_registry() {
    let wrong = [
        "",
        " ",
        "http://a.io",
        "https://a.io/b",
        "docker://a.io",
        "a.io/",
        "a.io/b/",
        "/a.io",
        "*",
        "*a.io",
        "a.*.io",
        "a.io/*",
        "*.io/b",
        "*.io:5000",
        "**.io",
        "a.io:",
        "a.io:port",
        "a.io/B",
        "a.io//b",
        "a..io/b",
        "a.io/b:",
        "a.io/b@sha256:12",
        "a.io/../b",
        "a io",
        "a.io\n",
        "a.io\"\nx = 1",
        "-a.io",
        "\u{e4}.io",
    ];
    for list in LISTS {
        let field = format!("spec.registrySources.{list}[1]");
        for entry in wrong {
            let document = image(json!({list: ["good.io", entry]}));
            document_refused(&document, ["InvalidEntry", "Image/cluster", &field, entry]);
        }
    }
}

#[test]
fn search_entries_that_are_no_host() {
    let field = format!("spec.registrySources.{SEARCH}[1]");
    for entry in ["", "http://a.io", "a.io/b", "a.io/", "*.io", "*", "a.io:x", "a.io:5000/b"] {
        let document = image(json!({SEARCH: ["good.io", entry]}));
        document_refused(&document, ["InvalidSearchEntry", "Image/cluster", &field, entry]);
    }
    let field = format!("spec.registrySources.{SEARCH}");
    let document = image(json!({SEARCH: []}));
    document_refused(&document, ["EmptySearchList", "Image/cluster", &field, "-"]);
}

#[test]
fn wrong_types_everywhere() {
    let sources = "spec.registrySources";
    let fields = [
        ("/spec", json!("x"), "spec"),
        ("/spec", json!([]), "spec"),
        ("/spec/registrySources", json!(["a.io"]), sources),
        ("/spec/registrySources/allowedRegistries", json!("a.io"), "allowedRegistries"),
        ("/spec/registrySources/blockedRegistries", json!({"a.io": 1}), "blockedRegistries"),
        ("/spec/registrySources/insecureRegistries", json!(true), "insecureRegistries"),
        ("/spec/registrySources/insecureRegistries", json!([{"a": 1}]), "insecureRegistries[0]"),
        ("/spec/registrySources/blockedRegistries", json!([null]), "blockedRegistries[0]"),
        ("/spec/registrySources/containerRuntimeSearchRegistries", json!(5), SEARCH),
        ("/spec/additionalTrustedCA", json!("ca"), "spec.additionalTrustedCA"),
        ("/spec/additionalTrustedCA", json!({"name": 5}), "spec.additionalTrustedCA.name"),
        ("/spec/externalRegistryHostnames", json!("a.io"), "spec.externalRegistryHostnames"),
        ("/spec/allowedRegistriesForImport", json!({}), "spec.allowedRegistriesForImport"),
        ("/spec/allowedRegistriesForImport", json!(["a.io"]), "spec.allowedRegistriesForImport[0]"),
        ("/spec/imageStreamImportMode", json!(1), "spec.imageStreamImportMode"),
        ("/status", json!("x"), "status"),
        ("/status", json!({"internalRegistryHostname": 5}), "status.internalRegistryHostname"),
    ];
    for (pointer, value, field) in fields {
        let mut document = image_spec(json!({"registrySources": {}}));
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let inner = match &value {
            Value::Array(items) if field.ends_with(']') => items.first(),
            Value::Object(fields) if !field.ends_with(name) => fields.values().next(),
            _ => None,
        };
        let shown = shown(inner.unwrap_or(&value));
        document.pointer_mut(parent).unwrap()[name] = value;
        let is_whole = field.starts_with("spec") || field.starts_with("status");
        let field = if is_whole { field.to_owned() } else { format!("{sources}.{field}") };
        document_refused(&document, ["WrongType", "Image/cluster", &field, &shown]);
    }
}

#[test]
fn a_release_image_that_is_none() {
    let version = |image: &str| {
        json!({
            "apiVersion": "config.openshift.io/v1", "kind": "ClusterVersion",
            "metadata": {"name": "version"}, "status": {"desired": {"image": image}},
        })
    };
    for image_name in ["Quay.io/UPPER", "short", "a.io/b:c:d"] {
        let documents = [image(json!({})), version(image_name)];
        let at =
            ["InvalidReleaseImage", "ClusterVersion/version", "status.desired.image", image_name];
        documents_refused(&documents, &[at]);
    }
    let two = [image(json!({})), version("a.io/b@x"), version("a.io/c@x")];
    let [image, first, second] = two;
    let good = |mut version: Value, name: &str| {
        version["status"]["desired"]["image"] = name.into();
        version
    };
    let two = [image, good(first, "a.io/b:1"), good(second, "a.io/c:1")];
    documents_refused(&two, &[["DuplicateObject", "ClusterVersion/version", "", "-"]]);
}

#[test]
fn a_cluster_version_of_another_name_is_passed_over() {
    let version = |name: &str, image: &str| {
        json!({
            "apiVersion": "config.openshift.io/v1", "kind": "ClusterVersion",
            "metadata": {"name": name}, "status": {"desired": {"image": image}},
        })
    };
    let documents =
        [image(json!({})), version("version", "a.io/b:1"), version("other", "a.io/c:1")];
    let run = Host::with(&documents).on_documents("validate").exits(0);
    run.finds("warning", "WrongVersionName", "ClusterVersion/other", "metadata.name");
}
