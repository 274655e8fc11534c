//! Mirror sets that the API would refuse, or that leave no place to pull from.

use serde_json::{Value, json};

use super::agent::{icsp, idms, itms};
use super::{document_refused, documents_refused, shown};

type Make = fn(&str, Value) -> Value;

/// Each kind with its name and list.
const KINDS: [(Make, &str, &str); 3] = [
    (idms, "ImageDigestMirrorSet/m", "imageDigestMirrors"),
    (itms, "ImageTagMirrorSet/m", "imageTagMirrors"),
    (icsp, "ImageContentSourcePolicy/m", "repositoryDigestMirrors"),
];

#[test]
fn sources_and_mirrors_that_are_no_repository() {
    let tag = "a.io/b:v1";
    for (make, object, list) in KINDS {
        for wrong in ["", "http://a.io", "a.io/", "a.io/*", "*a.io", tag] {
            let field = format!("spec.{list}[0].source");
            let document = make("m", json!({"source": wrong, "mirrors": ["m.io"]}));
            document_refused(&document, ["InvalidEntry", object, &field, wrong]);
            let field = format!("spec.{list}[0].mirrors[1]");
            let document = make("m", json!({"source": "s.io", "mirrors": ["m.io", wrong]}));
            document_refused(&document, ["InvalidEntry", object, &field, wrong]);
        }
        let field = format!("spec.{list}[0].mirrors[0]");
        let document = make("m", json!({"source": "s.io", "mirrors": ["*.io"]}));
        document_refused(&document, ["InvalidEntry", object, &field, "*.io"]);
        let document = make("m", json!({"mirrors": ["m.io"]}));
        let field = format!("spec.{list}[0].source");
        document_refused(&document, ["InvalidEntry", object, &field, ""]);
    }
}

#[test]
fn wrong_types() {
    for (make, object, list) in KINDS {
        for (entry, field, shown) in [
            (json!("s.io"), "", "s.io"),
            (json!({"source": "s.io", "mirrors": "m.io"}), ".mirrors", "m.io"),
            (json!({"source": "s.io", "mirrors": [5]}), ".mirrors[0]", "5"),
        ] {
            let field = format!("spec.{list}[0]{field}");
            document_refused(&make("m", entry), ["WrongType", object, &field, shown]);
        }
        let mut document = make("m", json!({}));
        document["spec"][list] = json!({"source": "s.io"});
        document_refused(&document, ["WrongType", object, &format!("spec.{list}"), "-"]);
    }
}

#[test]
fn nothing_left_to_pull_from() {
    for (make, object, list) in &KINDS[..2] {
        let field = format!("spec.{list}[0]");
        let never = |mirrors: Value| json!({"source": "s.io/a", "mirrors": mirrors, "mirrorSourcePolicy": "NeverContactSource"});
        let none = ["NoPlaceLeft", object, &field, "s.io/a"];
        document_refused(&make("m", never(json!([]))), none);
        document_refused(
            &make("m", json!({"source": "s.io/a", "mirrorSourcePolicy": "NeverContactSource"})),
            none,
        );
        let itself = ["MirrorIsSource", object, &field, "s.io/a"];
        document_refused(&make("m", never(json!(["s.io/a"]))), itself);
        document_refused(&make("m", never(json!(["m.io", "s.io/a"]))), itself);
    }
}

#[test]
fn policies_that_contradict_each_other() {
    let set =
        |policy: &str| json!({"source": "s.io", "mirrors": ["m.io"], "mirrorSourcePolicy": policy});
    let conflict =
        ["ConflictingSourcePolicy", "ImageDigestMirrorSet/a", "spec.imageDigestMirrors[0]", "s.io"];
    let never = idms("a", set("NeverContactSource"));
    documents_refused(&[never.clone(), idms("b", set("AllowContactingSource"))], &[conflict]);
    documents_refused(&[never.clone(), itms("b", set("AllowContactingSource"))], &[conflict]);
    documents_refused(
        &[never.clone(), icsp("b", json!({"source": "s.io", "mirrors": ["m.io"]}))],
        &[conflict],
    );
    let unknown = idms("m", set("never"));
    let field = "spec.imageDigestMirrors[0].mirrorSourcePolicy";
    document_refused(&unknown, ["InvalidValue", "ImageDigestMirrorSet/m", field, "never"]);
}

#[test]
fn one_name_with_two_contents() {
    let set = |source: &str| idms("m", json!({"source": source, "mirrors": ["m.io"]}));
    let duplicate = ["DuplicateObject", "ImageDigestMirrorSet/m", "", "-"];
    documents_refused(&[set("s.io"), set("t.io")], &[duplicate]);
}

#[test]
fn d3_mirror_sets_without_a_name() {
    for (make, object, _) in KINDS {
        let (kind, _) = object.split_once('/').unwrap();
        let nameless = format!("{kind}/");
        let named = |name: Value| {
            let mut set = make("m", json!({"source": "s.io", "mirrors": ["m.io"]}));
            set["metadata"]["name"] = name;
            set
        };
        for wrong in [json!(5), json!(["a"]), json!({}), json!(true)] {
            let expected = ["WrongType", nameless.as_str(), "metadata.name", &shown(&wrong)];
            document_refused(&named(wrong.clone()), expected);
        }
        let expected = ["NoName", nameless.as_str(), "metadata.name", "-"];
        document_refused(&named(json!(null)), expected);
        document_refused(&named(json!("")), expected);
        let mut bare = named(json!(""));
        bare.as_object_mut().unwrap().remove("metadata");
        document_refused(&bare, expected);
        // Two of them are two, not one that is there twice.
        let mut other = named(json!(""));
        other["spec"] = json!({});
        documents_refused(&[named(json!("")), other], &[expected, expected]);
    }
}

/// Where a mistake is all there is, it is all that is said.
#[test]
fn no_mirrors_is_not_said_of_mistakes() {
    let set = |mirrors: Value, policy: &str| {
        idms("m", json!({"source": "s.io", "mirrors": mirrors, "mirrorSourcePolicy": policy}))
    };
    for policy in ["NeverContactSource", "AllowContactingSource", ""] {
        for (mirrors, name) in [
            (json!(["http://bad"]), "InvalidEntry"),
            (json!([""]), "InvalidEntry"),
            (json!([{}]), "WrongType"),
            (json!("m.io"), "WrongType"),
        ] {
            let host = super::agent::Host::with(&[set(mirrors, policy)]);
            let mut names = host.plan().exits(1).names();
            names.retain(|name| name != "OtherPullsBlocked");
            assert_eq!(names, [name]);
        }
    }
    let unusable = super::agent::Host::with(&[set(json!(["mirror"]), "")]);
    assert_eq!(unusable.plan().names(), ["UnusableMirror"]);
}
