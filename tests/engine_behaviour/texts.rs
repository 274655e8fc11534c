//! How the engine's two formats write a text.

use image_config_agent::engine::{File, Policy, Registries};
use image_config_agent::model::Reference;
use image_config_agent::model::reference::ReferenceError;

/// The location of an entry that is written as the TOML value `value`.
fn location(value: &str) -> String {
    let text = format!("[[registry]]\nprefix = 'p'\nlocation = {value}\n");
    let registries = Registries::parse(&File::new("f", text), &[]).unwrap();
    registries.entries().next().unwrap().location.clone()
}

#[test]
fn toml_strings_in_all_ways_to_write_them() {
    for (value, text) in [
        (r#""a\b\t\n\f\r\"\\z""#, "a\u{8}\t\n\u{c}\r\"\\z"),
        (r#""\u00e9\U0001F600.""#, "\u{e9}\u{1f600}."),
        (r"'a\b'", r"a\b"),
        ("\"\"\"\na\nb\"\"\"", "a\nb"),
        ("\"\"\"\r\na\"\"\"", "a"),
        ("\"\"\"a\\\n  \t\r\n b\"\"\"", "ab"),
        ("\"\"\"a\\tb\"\"\"", "a\tb"),
        ("\"\"\"a\"\"b\"\"\"", "a\"\"b"),
        ("\"\"\"a\"\"\"\"\"", "a\"\""),
        ("'''\na''b'''", "a''b"),
        ("'''a'''''", "a''"),
        ("'''a\\\nb'''", "a\\\nb"),
    ] {
        assert_eq!(location(value), text, "{value}");
    }
}

#[test]
fn toml_keys_in_all_ways_to_write_them() {
    for text in [
        "registry = [{location = 'a.example'}]",
        "registry = [\n  {location = 'a.example'}, # one\n]",
        "\"registry\" = [{'location' = 'a.example'}]",
        "registry = [{ location='b.example' } , { location = 'a.example' , blocked = false }]",
        "[[ registry ]] # one\nlocation\t=\t'a.example' # two\n",
    ] {
        let registries = Registries::parse(&File::new("f", text), &[]).unwrap();
        assert!(registries.find("a.example/x").is_some(), "{text}");
    }
}

#[test]
fn json_strings_in_all_ways_to_write_them() {
    for (value, text) in [
        (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
        (r#""\u00e9\u20AC.""#, "\u{e9}\u{20ac}."),
        (r#""\ud83d\ude00.""#, "\u{1f600}."),
        (r#""\ud83d.""#, "\u{fffd}."),
        (r#""\ude00\u0041""#, "\u{fffd}A"),
    ] {
        let policy = format!(
            r#"{{"default": [{{"type": "signedBy", "keyType": "GPGKeys", "keyPath": {value}}}]}}"#
        );
        let policy = Policy::parse(&File::new("f", policy)).unwrap();
        assert_eq!(requirement(&policy)["keyPath"], text, "{value}");
    }
}

/// Binary data may be base64 or an array of bytes, and is handed on as it is written.
#[test]
fn json_keys_in_both_ways_to_write_them() {
    for (value, is_read) in [
        (r#""a+/=""#, true),
        (r#""YWI=\n""#, true),
        (r#""YQ==""#, true),
        (r#""YWI""#, false),
        (r#""Y===""#, false),
        (r#""Y-I=""#, false),
        ("[1, 255, null]", true),
        ("[256]", false),
        ("[true]", false),
        ("{}", false),
    ] {
        let text = format!(
            r#"{{"default": [{{"type": "signedBy", "keyType": "GPGKeys", "keyData": {value}}}]}}"#
        );
        let policy = Policy::parse(&File::new("f", text));
        assert_eq!(policy.is_ok(), is_read, "{value}");
        if let Ok(policy) = policy {
            let written: serde_json::Value = serde_json::from_str(value).unwrap();
            assert_eq!(requirement(&policy)["keyData"], written);
        }
    }
}

/// The first requirement of the default, as it is handed on.
fn requirement(policy: &Policy) -> serde_json::Value {
    serde_json::from_str(&policy.default_requirements()[0].json).unwrap()
}

/// What does not even look like a digest is a fault of the form, not of the digest.
#[test]
fn digests_are_looked_at_twice() {
    use ReferenceError::{DigestAlgorithm, DigestFormat, DigestLength, Format};
    let zeros = "0".repeat(64);
    for (digest, error) in [
        (format!("sha256:{}", "0".repeat(31)), Format),
        (format!("sha256:{}", "0".repeat(32)), DigestLength),
        (format!("sha256:{}", "g".repeat(64)), Format),
        (format!("sha256:{}", "A".repeat(64)), DigestFormat),
        (format!("256sha:{zeros}"), Format),
        (format!("sha+:{zeros}"), Format),
        (format!("sha-256:{zeros}"), Format),
        (format!("sha+b.c_d-e:{zeros}"), DigestAlgorithm),
        (zeros, Format),
    ] {
        assert_eq!(Reference::parse(&format!("a.example/b@{digest}")), Err(error), "{digest}");
    }
}
