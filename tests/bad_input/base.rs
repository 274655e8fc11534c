//! The host's own files, where they cannot be built upon.

use serde_json::json;

use super::agent::{CRIO_POLICY, Host, POLICY, REGISTRIES, image};
use super::refused_on;

const ACCEPT: &str = r#"[{"type": "insecureAcceptAnything"}]"#;

fn blocking() -> Host {
    Host::with(&[image(json!({"blockedRegistries": ["a.io"]}))])
}

/// The documents are fine, so `validate` is left out.
#[track_caller]
fn base_refused(path: &str, bytes: impl AsRef<[u8]>) {
    let host = blocking();
    host.write(path, bytes);
    refused_on(&host, &["plan", "apply"], &[["BaseUnreadable", path, "", "-"]]);
    host.on_documents("validate").exits(0);
}

#[test]
fn registries_conf_that_the_engine_would_refuse() {
    let registry = "[[registry]]\nlocation = \"b.io\"\n";
    for text in [
        "this is not TOML",
        "[[registry]",
        "unqualified-search-registries = \"docker.io\"",
        "unqualified-search-registries = [\"docker.io/library\"]",
        "[[registry]]\nprefix = \"b.io\"",
        "[[registry]]\nlocation = \"https://b.io\"",
        &format!("{registry}insecure = true\n{registry}insecure = false\n"),
        &format!(
            "{registry}mirror-by-digest-only = true\n[[registry.mirror]]\nlocation = \"m.io\"\npull-from-mirror = \"all\""
        ),
        "a = 1\na = 2\n",
    ] {
        base_refused(REGISTRIES, text);
    }
    base_refused(REGISTRIES, b"# \xff\n");
}

#[test]
fn registries_conf_of_version_1() {
    base_refused(REGISTRIES, "[registries.search]\nregistries = [\"docker.io\"]\n");
    base_refused(
        REGISTRIES,
        "[registries.block]\nregistries = [\"b.io\"]\n[[registry]]\nlocation = \"c.io\"\n",
    );
}

#[test]
fn policy_that_the_engine_would_refuse() {
    for text in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"default": []}"#,
        r#"{"default": [{"type": "accept"}]}"#,
        &format!(r#"{{"default": {ACCEPT}, "unknown": 1}}"#),
        &format!(r#"{{"default": {ACCEPT}, "default": {ACCEPT}}}"#),
        &format!(
            r#"{{"default": {ACCEPT}, "transports": {{"atomic": {{"a.io/b:c/d": {ACCEPT}}}}}}}"#
        ),
        &format!(r#"{{"default": {ACCEPT}}} trailing"#),
    ] {
        base_refused(POLICY, text);
    }
}

#[test]
fn what_is_no_file() {
    for path in [REGISTRIES, POLICY] {
        let host = blocking();
        host.mkdir(path);
        refused_on(&host, &["plan", "apply"], &[["BaseUnreadable", path, "", "-"]]);
        let host = blocking();
        host.link(path, path);
        refused_on(&host, &["plan", "apply"], &[["BaseUnreadable", path, "", "-"]]);
    }
}

#[test]
fn cri_os_own_files() {
    let host = blocking();
    host.write(
        "/etc/crio/crio.conf.d/10.conf",
        "[crio.image]\nsignature_policy = \"/etc/crio/policy.json\"\n",
    );
    host.write(CRIO_POLICY, "{");
    refused_on(&host, &["plan", "apply"], &[["BaseUnreadable", CRIO_POLICY, "", "-"]]);
    let host = blocking();
    host.write("/etc/crio/crio.conf", "[crio]\n[crio.image\n");
    let expected = ["EngineSettingsUnreadable", "/etc/crio/crio.conf", "", "-"];
    refused_on(&host, &["plan", "apply"], &[expected]);
    let why = host.plan().finding("EngineSettingsUnreadable")["why"].to_string();
    assert!(why.contains("unclosed table") && why.contains("at line 2, column "), "{why}");
}

/// Every file that is wrong, not the first one alone.
#[test]
fn all_bases_are_judged() {
    let host = blocking();
    host.write(REGISTRIES, "[").write(POLICY, "{");
    let expected = [["BaseUnreadable", REGISTRIES, "", "-"], ["BaseUnreadable", POLICY, "", "-"]];
    refused_on(&host, &["plan", "apply"], &expected);
}

/// The path is said once, with the command that goes on from there.
#[test]
fn r1_an_unreadable_base_says_what_to_do() {
    for (path, text, place) in
        [(REGISTRIES, "\n[[registry]", "line 2, column "), (POLICY, "{", "line 1, column ")]
    {
        let host = blocking();
        host.write(path, text);
        let finding = host.plan().finding("BaseUnreadable");
        let (why, fix) = (finding["why"].as_str().unwrap(), finding["fix"].as_str().unwrap());
        assert!(why.contains(place) && !why.contains(path), "{why}");
        assert!(fix.contains(&format!("base adopt {path}")) && fix.contains("already"), "{fix}");
    }
}
