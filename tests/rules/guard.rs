//! H8: what a change must not take from a host.

use serde_json::{Value, json};

use crate::agent::{DIGEST, Host, POLICY, REGISTRIES, Run, agent, image};

const PAUSE: &str = "pause.io/pause:3.9";

fn with_pause(sources: Value) -> Host {
    let host = Host::with(&[image(sources)]);
    host.write("/etc/crio/crio.conf", format!("[crio.image]\npause_image = \"{PAUSE}\"\n"));
    host
}

fn guarded(host: &Host, command: &str, extra: &[&str]) -> Run {
    let docs = host.docs();
    host.run(&[&[command, "-o", "json", "-f", docs.to_str().unwrap()], extra].concat())
}

#[test]
fn h8_the_guard_refuses_warns_or_is_off() {
    let host = with_pause(json!({"blockedRegistries": ["pause.io"]}));
    let before = host.snapshot();
    for command in ["plan", "apply"] {
        let run = guarded(&host, command, &[]).exits(1);
        let run = run.finds("error", "LockOut", "pause_image of crio.conf", "");
        assert_eq!(run.finding("LockOut")["value"], PAUSE);
        assert_eq!(host.snapshot(), before);
    }
    let warned = guarded(&host, "plan", &["--set", "guard=warn"]).exits(2);
    warned.finds("warning", "LockOut", "pause_image of crio.conf", "");
    let off = guarded(&host, "plan", &["--set", "guard=off"]).exits(2);
    assert!(!off.names().contains(&"LockOut".to_owned()));
    guarded(&host, "apply", &["--accept-lockout"]).exits(0);
    assert_eq!(host.verdict(PAUSE), "rejected");
    // What was lost before does not count against a later change.
    host.documents(&[image(json!({"blockedRegistries": ["pause.io", "b.io"]}))]);
    guarded(&host, "apply", &[]).exits(0);
}

/// Also where it has nothing against the change.
#[test]
fn h8_plan_says_what_stays_within_reach() {
    let host = with_pause(json!({"blockedRegistries": ["b.io"]}));
    let docs = host.docs();
    let line = |set: &str| {
        let run = host.run(&["plan", "-f", docs.to_str().unwrap(), "--set", set]);
        run.out.lines().find(|line| line.starts_with("guard: ")).unwrap().to_owned()
    };
    assert_eq!(line("guard=enforce"), "guard: enforce, 1 image stays within reach");
    // What two need counts once.
    let two = line(&format!("guard_images={PAUSE},also.io/x"));
    assert_eq!(two, "guard: enforce, 2 images stay within reach");
    host.documents(&[image(json!({"blockedRegistries": ["pause.io"]}))]);
    assert_eq!(line("guard=warn"), "guard: warn, 0 images stay within reach, 1 image is lost");
    assert_eq!(line("guard=off"), "guard: off");
    let json = |set: &[&str]| guarded(&host, "plan", set).json()["guard"].clone();
    assert_eq!(json(&[]), json!({"mode": "enforce", "kept": 0, "lost": 1}));
    assert_eq!(json(&["--set", "guard=off"]), json!({"mode": "off", "kept": 0, "lost": 0}));
}

#[test]
fn h8_what_a_host_cannot_live_without() {
    let host = with_pause(json!({"allowedRegistries": ["pause.io"]}));
    let pod = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "etcd"},
            "spec": {"containers": [{"name": "c", "image": name}], "initContainers": [{"name": "i", "image": "init.io/x"}]},
        })
    };
    host.write("/etc/kubernetes/manifests/etcd.json", pod("etcd.io/etcd:v3").to_string());
    let release = format!("rel.io/x@{}", DIGEST);
    let set = ["--set", "guard_images=mine.io/agent:1,pause.io/ok", "--release-image", &release];
    let run = guarded(&host, "plan", &set).exits(1);
    let lost: Vec<Value> = run.findings().into_iter().filter(|f| f["name"] == "LockOut").collect();
    let mut values: Vec<&str> = lost.iter().map(|f| f["value"].as_str().unwrap()).collect();
    values.sort_unstable();
    assert_eq!(values, ["etcd.io/etcd:v3", "init.io/x", "mine.io/agent:1", &release]);
    // As CRI-O pulls it: the tag beside a digest is dropped.
    let both = format!("both.io/x:v1@{}", DIGEST);
    let run = guarded(&host, "plan", &["--set", &format!("guard_images={both}")]).exits(1);
    assert!(run.findings().iter().any(|f| f["value"] == both), "{}", run.out);
}

fn lost(run: &Run) -> Vec<String> {
    let findings = run.findings();
    let lost = findings.iter().filter(|finding| finding["name"] == "LockOut");
    let mut lost: Vec<_> = lost.map(|f| f["value"].as_str().unwrap().to_owned()).collect();
    lost.sort_unstable();
    lost
}

fn pod(spec: Value) -> String {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}).to_string()
}

fn with_static_pod(path: &str, spec: Value) -> Host {
    let host = with_pause(json!({"allowedRegistries": ["pause.io"]}));
    host.write(path, pod(spec));
    host
}

const STATIC_POD: &str = "/etc/kubernetes/manifests/p.yaml";

#[test]
fn h8_every_image_of_a_static_pod() {
    let spec = json!({
        "priorityClassName": "system-node-critical",
        "containers": [{"name": "a", "image": "a.io/x"}, {"name": "b", "image": "b.io/x"}],
        "initContainers": [{"name": "i", "image": "init.io/x"}],
        "ephemeralContainers": [{"name": "e", "image": "eph.io/x"}],
        "volumes": [{"name": "v", "image": {"reference": "volume.io/x"}}, {"name": "w"}],
    });
    let host = with_static_pod(STATIC_POD, spec);
    // Hidden files and directories are none of the kubelet's.
    host.write("/etc/kubernetes/manifests/.hidden", "x: [");
    host.write("/etc/kubernetes/manifests/deeper/x.yaml", "x: [");
    let run = guarded(&host, "plan", &[]).exits(1);
    assert_eq!(lost(&run), ["a.io/x", "b.io/x", "eph.io/x", "init.io/x", "volume.io/x"]);
    assert!(!run.names().contains(&"StaticPodUnreadable".to_owned()), "{}", run.out);
}

#[test]
fn h8_where_static_pods_are() {
    let spec = || json!({"containers": [{"name": "c", "image": "a.io/x"}]});
    for path in ["/srv/pods/p.yaml", "/srv/one.yaml"] {
        let host = with_static_pod(path, spec());
        assert_eq!(lost(&guarded(&host, "plan", &[]).exits(2)), [""; 0], "{path}");
        let set = ["--set", "static_pods=/nowhere,/srv/pods,/srv/one.yaml"];
        assert_eq!(lost(&guarded(&host, "plan", &set).exits(1)), ["a.io/x"], "{path}");
    }
    // Other directories take the place of the default.
    let host = with_static_pod(STATIC_POD, spec());
    assert_eq!(lost(&guarded(&host, "plan", &[]).exits(1)), ["a.io/x"]);
    guarded(&host, "plan", &["--set", "static_pods=/srv"]).exits(2);
}

#[test]
fn h8_a_static_pod_that_cannot_be_read() {
    let good = r#"{"name": "c", "image": "pause.io/x"}"#;
    for text in [
        "x: [".to_owned(),
        String::new(),
        "apiVersion: v1\nkind: ConfigMap\n".to_owned(),
        pod(json!({})),
        pod(json!({"containers": [{"name": "c"}]})),
        format!(r#"{{"apiVersion": "v1", "kind": "Pod", "spec": {{"containers": [{good}, 5]}}}}"#),
    ] {
        let host = with_pause(json!({"allowedRegistries": ["pause.io"]}));
        host.write(STATIC_POD, &text);
        for command in ["plan", "apply"] {
            let run = guarded(&host, command, &[]);
            assert_ne!(run.code, 1, "{text}: {}", run.out);
            run.finds("warning", "StaticPodUnreadable", STATIC_POD, "");
        }
        let off = guarded(&host, "plan", &["--set", "guard=off"]);
        assert!(!off.names().contains(&"StaticPodUnreadable".to_owned()), "{}", off.out);
    }
    // What can be read of it is guarded all the same.
    let spec = json!({"containers": [{"name": "c"}, {"name": "d", "image": "d.io/x"}]});
    let run = guarded(&with_static_pod(STATIC_POD, spec), "plan", &[]).exits(1);
    assert_eq!(lost(&run.finds("warning", "StaticPodUnreadable", STATIC_POD, "")), ["d.io/x"]);
}

#[test]
fn h8_the_agents_own_image() {
    let host = with_pause(json!({"blockedRegistries": ["agent.io"]}));
    guarded(&host, "plan", &[]).exits(2);
    let run = guarded(&host, "plan", &["--set", "agent_image=agent.io/agent:1"]).exits(1);
    run.finds("error", "LockOut", "agent_image of the settings", "");
    let run = agent(
        |agent| {
            let agent = agent.args(["plan", "-o", "json", "-f"]).arg(host.docs());
            let agent = agent.arg("--root").arg(host.root());
            agent.env("IMAGE_CONFIG_AGENT_AGENT_IMAGE", "agent.io/agent:1")
        },
        "",
    );
    assert_eq!(lost(&run.exits(1)), ["agent.io/agent:1"]);
    // What is no full name could not be guarded.
    for image in ["agent", "https://agent.io/x", "a.io/X"] {
        guarded(&host, "plan", &["--set", &format!("agent_image={image}")]).exits(64);
        guarded(&host, "plan", &["--set", &format!("guard_images={image}")]).exits(64);
    }
}

/// Short names are lost with the registries that they are searched in.
/// What the name means CRI-O finds out before it drops the tag.
#[test]
fn h8_a_short_name_with_tag_and_digest() {
    let short = format!("x:v1@{DIGEST}");
    let spec = json!({"containers": [{"name": "c", "image": short}]});
    let host = with_static_pod(STATIC_POD, spec);
    host.write(REGISTRIES, "unqualified-search-registries = [\"both.io\"]\n");
    assert_eq!(lost(&guarded(&host, "plan", &[]).exits(1)), [short]);
    host.documents(&[image(json!({"allowedRegistries": ["pause.io", "both.io"]}))]);
    assert_eq!(lost(&guarded(&host, "plan", &[]).exits(2)), [""; 0]);
}

#[test]
fn h8_short_names() {
    let search = |hosts: Value| image(json!({"containerRuntimeSearchRegistries": hosts}));
    let host = Host::with(&[search(json!(["a.io"]))]);
    host.write(STATIC_POD, pod(json!({"containers": [{"name": "c", "image": "etcd:3"}]})));
    guarded(&host, "apply", &[]).exits(0);
    host.documents(&[search(json!(["b.io"]))]);
    guarded(&host, "plan", &[]).exits(2);
    // With two of them the name is ambiguous, and refused unless the mode permits it.
    host.documents(&[search(json!(["a.io", "b.io"]))]);
    assert_eq!(lost(&guarded(&host, "plan", &[]).exits(1)), ["etcd:3"]);
    host.write("/etc/crio/crio.conf", "[crio.image]\nshort_name_mode = \"permissive\"\n");
    guarded(&host, "plan", &[]).exits(2);
    let blocked = json!({
        "containerRuntimeSearchRegistries": ["a.io"], "blockedRegistries": ["a.io"],
    });
    host.documents(&[image(blocked)]);
    assert_eq!(lost(&guarded(&host, "plan", &[]).exits(1)), ["etcd:3"]);
}

const ANNOTATION: &str = "image-config-agent.io/accept-lockout";

fn annotated(value: &Value) -> Value {
    let mut image = image(json!({"blockedRegistries": ["pause.io"]}));
    image["metadata"]["annotations"] = json!({ANNOTATION: value});
    image
}

#[test]
fn h8_an_annotation_accepts_one_configuration() {
    let host = with_pause(json!({"blockedRegistries": ["pause.io"]}));
    let refused = guarded(&host, "plan", &[]).exits(1);
    let digest = refused.json()["digest"].clone();
    let fix = refused.finding("LockOut")["fix"].to_string();
    assert!(fix.contains(&format!("{ANNOTATION}: {}", digest.as_str().unwrap())), "{fix}");
    host.documents(&[annotated(&digest)]);
    let plan = guarded(&host, "plan", &[]).exits(2);
    assert_eq!(plan.json()["digest"], digest, "the annotation is in the digest");
    let plan = plan.finds("warning", "LockOut", "pause_image of crio.conf", "");
    assert!(!plan.names().contains(&"StaleAcceptance".to_owned()), "{}", plan.out);
    guarded(&host, "apply", &[]).exits(0);
    assert_eq!(host.verdict(PAUSE), "rejected");
}

#[test]
fn h8_a_stale_annotation_accepts_nothing() {
    let field = format!("metadata.annotations[{ANNOTATION:?}]");
    for value in [json!("0".repeat(64)), json!(""), json!(true), json!(5)] {
        let host = with_pause(json!({}));
        host.documents(&[annotated(&value)]);
        let before = host.snapshot();
        for command in ["plan", "apply"] {
            let run = guarded(&host, command, &[]).exits(1);
            run.finds("warning", "StaleAcceptance", "Image/cluster", &field).finds(
                "error",
                "LockOut",
                "pause_image of crio.conf",
                "",
            );
        }
        assert_eq!(host.snapshot(), before);
        guarded(&host, "validate", &[]).exits(0).finds(
            "warning",
            "StaleAcceptance",
            "Image/cluster",
            &field,
        );
    }
}

/// A required signature counts as pullable.
#[test]
fn h8_a_signature_is_no_lock_out() {
    let host = with_pause(json!({"allowedRegistries": ["pause.io"]}));
    host.write(
        POLICY,
        r#"{"default": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}]}"#,
    );
    guarded(&host, "apply", &[]).exits(0);
    assert_eq!(host.policy("docker", "pause.io").unwrap(), "signedBy");
}
