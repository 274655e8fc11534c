//! K2: while the Image is paused only CA files are applied.

use serde_json::{Value, json};

use crate::agent::{CA, Host, OTHER_CA, REGISTRIES, config_map, image_spec};

const CA_FILE: &str = "/etc/docker/certs.d/localhost/ca.crt";

/// An Image that blocks `blocked` and trusts `ca`.
fn documents(blocked: &str, ca: &str, paused: Option<&str>) -> [Value; 2] {
    let mut image = image_spec(json!({
        "registrySources": {"blockedRegistries": [blocked]},
        "additionalTrustedCA": {"name": "ca"},
    }));
    if let Some(paused) = paused {
        image["metadata"]["annotations"] = json!({"image-config-agent.io/paused": paused});
    }
    [image, config_map("ca", json!({"localhost": ca}))]
}

/// Applies documents: the exit code, registries.conf, the CA file and the applied digests.
fn applied(host: &Host, documents: &[Value]) -> (i32, String, String, Value) {
    let code = host.documents(documents).apply().code;
    let state = host.json("/var/lib/image-config-agent/applied.json");
    (code, host.text(REGISTRIES), host.text(CA_FILE), state["digests"].clone())
}

#[test]
fn k2_only_cas_change_while_the_image_is_paused() {
    let host = Host::new();
    let (code, before, ca, digests) = applied(&host, &documents("a.io", CA, None));
    assert_eq!((code, ca.as_str()), (0, CA));
    assert!(before.contains("a.io"));
    let (code, paused, ca, mix) = applied(&host, &documents("b.io", OTHER_CA, Some("true")));
    assert_eq!((code, ca.as_str()), (0, OTHER_CA));
    assert_eq!(paused, before);
    let docs = host.docs();
    let said = host.run(&["check", "-f", docs.to_str().unwrap(), "b.io/x"]).exits(0).out;
    assert!(!said.contains("blockedRegistries"), "what is not applied decides nothing: {said}");
    assert_eq!(mix["without_cas"], digests["without_cas"]);
    assert_ne!(mix["configuration"], digests["configuration"]);
    // The digest of the mix is that of documents that say the same.
    let (_, _, _, same) = applied(&host, &documents("a.io", OTHER_CA, None));
    assert_eq!(same, mix);
    let (code, after, ca, _) = applied(&host, &documents("b.io", OTHER_CA, Some("false")));
    assert_eq!((code, ca.as_str()), (0, OTHER_CA));
    assert!(after.contains("b.io") && !after.contains("a.io"), "{after}");
}

#[test]
fn k2_a_word_that_is_no_answer_pauses_and_is_said() {
    let host = Host::new();
    let (_, before, ..) = applied(&host, &documents("a.io", CA, None));
    let (code, paused, ..) = applied(&host, &documents("b.io", CA, Some("yes")));
    assert_eq!((code, paused), (0, before));
    assert_eq!(host.on_documents("validate").finding("InvalidPause")["severity"], "warning");
}

/// What was gone away from is not what is applied meanwhile.
#[test]
fn k2_a_pause_and_a_ca_lift_no_hold() {
    let host = Host::new();
    applied(&host, &documents("a.io", CA, None));
    let (_, held, ..) = applied(&host, &documents("b.io", CA, None));
    host.run(&["rollback"]).exits(0);
    let (code, paused, ca, _) = applied(&host, &documents("b.io", OTHER_CA, Some("true")));
    assert_eq!((code, ca.as_str()), (0, OTHER_CA));
    assert_ne!(paused, held);
    host.documents(&documents("b.io", OTHER_CA, None));
    host.apply().exits(1).finds("error", "HeldByRollback", "rollback", "");
    assert_eq!(host.text(REGISTRIES), paused);
}
