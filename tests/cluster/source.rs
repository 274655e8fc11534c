//! The source `kube`: what the agent makes of a cluster's objects (rules D4, D5, D7, K7).

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::cluster::{ACCOUNT, Cluster, Credentials, NAMESPACE};
use crate::objects;
use crate::proxy::Proxy;
use crate::release;
use crate::support::{
    CA, Host, OTHER_CA, POLICY, REGISTRIES, agent, icsp, idms, image, image_spec, itms,
};

pub const IMAGES: &str = "/apis/config.openshift.io/v1/images";
pub const IMAGE: &str = "/apis/config.openshift.io/v1/images/cluster";
const IDMS: &str = "/apis/config.openshift.io/v1/imagedigestmirrorsets";
const ITMS: &str = "/apis/config.openshift.io/v1/imagetagmirrorsets";
const ICSP: &str = "/apis/operator.openshift.io/v1alpha1/imagecontentsourcepolicies";
const CONFIG_MAPS: &str = "/api/v1/namespaces/openshift-config/configmaps";
const CA_FILE: &str = "/etc/docker/certs.d/localhost/ca.crt";
pub const DIGEST: &str = "sha256:abababababababababababababababababababababababababababababababab";

/// A cluster that has OpenShift's kinds by the agent's own definitions.
pub fn cluster() -> Cluster {
    let cluster = Cluster::start();
    cluster.admin.create("/api/v1/namespaces", &objects::namespace("openshift-config"));
    define(&cluster, |_| true);
    cluster
}

/// Adds the definitions whose kind is wanted.
pub fn define(cluster: &Cluster, is_wanted: impl Fn(&str) -> bool) {
    let host = Host::new();
    let printed = agent(|agent| agent.arg("crds"), "").exits(0).out;
    let wanted: Vec<&str> = printed
        .split("---\n")
        .filter(|part| part.contains("kind: CustomResourceDefinition"))
        .filter(|part| {
            part.lines().any(|line| line.trim().strip_prefix("kind: ").is_some_and(&is_wanted))
        })
        .collect();
    assert!(!wanted.is_empty());
    host.write("/crds.yaml", wanted.join("---\n"));
    let file = host.at("/crds.yaml");
    cluster.kubectl(&["apply", "--server-side", "-f", file.to_str().unwrap()]);
    cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]);
}

fn admin(cluster: &Cluster, port: u16) -> String {
    cluster.kubeconfig(port, &cluster.certificate("agents", &["system:masters"]))
}

/// An agent that follows the cluster by way of a port.
pub fn follow(cluster: &Cluster, port: u16, settings: &str) -> Agent {
    with_kubeconfig(&admin(cluster, port), settings)
}

pub fn with_kubeconfig(kubeconfig: &str, settings: &str) -> Agent {
    let host = Host::new();
    let at = host.at("/etc/image-config-agent/kubeconfig");
    let settings = format!(
        "source.order = [\"kube\"]\nkube.kubeconfig = {:?}\n{settings}",
        at.display().to_string()
    );
    Agent::on(host, "n1", kubeconfig, &settings)
}

pub fn blocking(name: &str) -> Value {
    image(json!({"blockedRegistries": [name]}))
}

/// Writes the Image, whether it is there or not.
pub fn put_image(cluster: &Cluster, image: &Value) {
    let api = &cluster.admin;
    match api.find(IMAGE) {
        None => api.create(IMAGES, image),
        Some(there) => {
            let mut image = image.clone();
            image["metadata"]["resourceVersion"] = there["metadata"]["resourceVersion"].clone();
            api.replace(IMAGE, &image)
        }
    };
}

fn mirrored(name: &str, mirror: &str) -> Value {
    idms(name, json!({"source": format!("{name}.io"), "mirrors": [mirror]}))
}

impl Agent {
    pub fn until_trouble(&self, reason: &str) {
        self.until(reason, || self.status()["sources"][0]["trouble"]["reason"] == reason);
    }

    pub fn until_well(&self) {
        self.until("no trouble", || self.status()["sources"][0]["trouble"].is_null());
    }

    fn until_places(&self, reference: &str, places: &[&str]) {
        self.until(&format!("{reference} from {places:?}"), || {
            self.host.places(reference) == places
        });
    }
}

#[test]
fn k7_every_document_of_the_chapter_passes_a_server_side_dry_run() {
    let cluster = cluster();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut count = 0;
    for example in fs::read_dir(examples).unwrap().map(|entry| entry.unwrap().path().join("input"))
    {
        if example.is_dir() {
            let dir = example.to_str().unwrap();
            cluster.kubectl(&["apply", "--dry-run=server", "--validate=strict", "-f", dir]);
            count += 1;
        }
    }
    assert!(count > 5, "{count}");
}

#[test]
fn k7_the_definitions_take_tags_and_digests_and_refuse_what_the_agent_refuses() {
    let cluster = cluster();
    let api = &cluster.admin;
    let dry = |path: &str, object: &Value| {
        api.ask(Method::POST, &format!("{path}?dryRun=All&fieldValidation=Strict"), Some(object))
            .map_err(|refused| refused.message)
    };
    for good in [
        "reg.io",
        "reg.io:5000/ns/a__b",
        "*.reg.io",
        "reg.io/app:v1",
        "localhost/x",
        &format!("reg.io/app@{DIGEST}"),
        &format!("reg.io/app:v1@{DIGEST}"),
    ] {
        dry(IMAGES, &blocking(good)).unwrap_or_else(|error| panic!("{good}: {error}"));
    }
    for bad in [
        "",
        "http://reg.io",
        "reg.io/",
        "*",
        "*.reg.io/x",
        "a.*.io",
        "reg.io/NS",
        "reg.io:x",
        "reg.io/a:b:c",
        "reg.io/a@sha256:abc",
        "-bad.io",
        "reg_under.io",
        "reg.io ",
        "[::1]:5000",
    ] {
        let error = dry(IMAGES, &blocking(bad)).unwrap_err();
        assert!(error.contains("blockedRegistries[0]"), "{bad}: {error}");
    }
    let mut other = blocking("reg.io");
    other["metadata"]["name"] = json!("other");
    let error = dry(IMAGES, &other).unwrap_err();
    assert!(error.contains("the one named cluster"), "{error}");
    let both = image(json!({"blockedRegistries": ["a.io"], "allowedRegistries": ["b.io"]}));
    assert!(dry(IMAGES, &both).unwrap_err().contains("only one of"));
    dry(IMAGES, &image(json!({"blockedRegistries": ["a.io"], "allowedRegistries": []}))).unwrap();
    assert!(dry(IMAGES, &image(json!({"containerRuntimeSearchRegistries": []}))).is_err());
    assert!(dry(IMAGES, &image(json!({"containerRuntimeSearchRegistries": ["a.io/x"]}))).is_err());
    assert!(dry(IDMS, &mirrored("a", "m.io/x:v1")).is_err());
    assert!(dry(IDMS, &mirrored("a", "*.m.io")).is_err());
    dry(IDMS, &mirrored("a", "m.io:5000/x")).unwrap();
    assert!(
        dry(
            IDMS,
            &json!({
                "apiVersion": "config.openshift.io/v1", "kind": "ImageDigestMirrorSet",
                "metadata": {"name": "x"}, "spec": {"imageDigestMirrors": [{"mirrors": ["a.io"]}]},
            })
        )
        .is_err()
    );
}

#[test]
fn d7_the_same_documents_by_file_and_by_kube_give_the_same_bytes_and_digest() {
    let cluster = cluster();
    let spec = json!({
        "registrySources": {"blockedRegistries": ["b.io", "reg.io/app:v1"], "insecureRegistries": ["i.io"]},
        "additionalTrustedCA": {"name": "ca"},
    });
    let ca = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "ca", "namespace": "openshift-config"}, "data": {"localhost": CA},
    });
    release::define(&cluster);
    let documents = [
        (IMAGES, image_spec(spec)),
        (IDMS, mirrored("a", "m.io")),
        (IDMS, mirrored("c", "m.io/c")),
        (ITMS, itms("t", json!({"source": "t.io", "mirrors": ["m.io/t", "n.io"]}))),
        (ICSP, icsp("p", json!({"source": "a.io", "mirrors": ["p.io"]}))),
        (release::VERSIONS, release::version(&format!("r.io/release@{DIGEST}"))),
        (CONFIG_MAPS, ca),
    ];
    let host = Host::new();
    for (path, document) in &documents {
        // As kubectl writes them: with metadata that means nothing.
        let mut document = document.clone();
        document["metadata"]["labels"] = json!({"a": "b"});
        cluster.admin.create(path, &document);
    }
    let documents = documents.map(|(_, document)| document);
    cluster.kubectl(&["annotate", "images.config.openshift.io", "cluster", "example.com/x=y"]);
    let agent = follow(&cluster, cluster.port, "kube.release_image = true");
    agent.converges();
    host.documents(&documents).apply().exits(0);
    let state = "/var/lib/image-config-agent/applied.json";
    for part in ["digests", "files"] {
        assert_eq!(agent.host.json(state)[part], host.json(state)[part]);
    }
    for path in [POLICY, REGISTRIES, CA_FILE] {
        assert_eq!(agent.host.text(path), host.text(path), "{path}");
    }
    let names = |findings: Vec<Value>| -> Vec<Value> {
        findings.into_iter().map(|finding| finding["name"].clone()).collect()
    };
    let by_kube = names(agent.status()["findings"].as_array().unwrap().clone());
    assert_eq!(by_kube, names(host.on_documents("validate").findings()));
}

#[test]
fn d4_trusted_cas_come_after_the_image_are_replaced_and_deleted() {
    let cluster = cluster();
    let api = &cluster.admin;
    let trusting = |name: &str| image_spec(json!({"additionalTrustedCA": {"name": name}}));
    put_image(&cluster, &trusting("ca"));
    let agent = follow(&cluster, cluster.port, "");
    agent.converges();
    assert!(!agent.host.exists(CA_FILE));
    let map =
        |name: &str, text: &str| json!({"metadata": {"name": name}, "data": {"localhost": text}});
    let is_text = |text: &str| agent.host.exists(CA_FILE) && agent.host.text(CA_FILE) == text;
    api.create(CONFIG_MAPS, &map("ca", CA));
    agent.until("the CA", || is_text(CA));
    api.replace(&format!("{CONFIG_MAPS}/ca"), &map("ca", OTHER_CA));
    agent.until("the other CA", || is_text(OTHER_CA));
    // Another map that nobody names is nobody's business.
    api.create(CONFIG_MAPS, &map("other", CA));
    api.delete(&format!("{CONFIG_MAPS}/ca"));
    let is_missing = |finding: &Value| finding["name"] == "TrustedCaMissing";
    agent.until("the finding", || {
        agent.status()["findings"].as_array().is_some_and(|all| all.iter().any(is_missing))
    });
    assert!(is_text(OTHER_CA));
    put_image(&cluster, &trusting("other"));
    agent.until("the CA of the other map", || is_text(CA));
    put_image(&cluster, &image_spec(json!({})));
    agent.until("no CA", || !agent.host.exists(CA_FILE));
}

#[test]
fn d5_an_image_that_is_deleted_stays_in_force_or_is_reverted() {
    let cluster = cluster();
    let api = &cluster.admin;
    put_image(&cluster, &blocking("a.io"));
    api.create(IDMS, &mirrored("b", "m.io"));
    let mut keeping = follow(&cluster, cluster.port, "");
    let reverting = follow(&cluster, cluster.port, "kube.on_missing = \"revert\"");
    for agent in [&keeping, &reverting] {
        agent.converges();
        agent.until_verdict("a.io/x:1", "rejected");
    }
    api.delete(IMAGE);
    reverting.until_verdict("a.io/x:1", "allowed");
    api.delete(&format!("{IDMS}/b"));
    let from_b = format!("b.io/x@{DIGEST}");
    keeping.until_places(&from_b, &[&from_b]);
    assert_eq!(keeping.host.verdict("a.io/x:1"), "rejected");
    // What is left is what an Image that says nothing makes of such a host.
    let empty = Host::with(&[image_spec(json!({}))]);
    empty.apply().exits(0);
    reverting.until("the host's own files", || {
        !reverting.host.exists(REGISTRIES) && reverting.host.text(POLICY) == empty.text(POLICY)
    });
    // It stays so over a restart, when nobody remembers the Image but the disk.
    keeping.crash_and_restart();
    keeping.until_well();
    assert_eq!(keeping.host.verdict("a.io/x:1"), "rejected");
    put_image(&cluster, &blocking("c.io"));
    for agent in [&keeping, &reverting] {
        agent.until_verdict("c.io/x:1", "rejected");
        agent.until_verdict("a.io/x:1", "allowed");
    }
}

#[test]
fn d5_a_kind_that_comes_and_goes_with_its_definition() {
    let cluster = Cluster::start();
    cluster.admin.create("/api/v1/namespaces", &objects::namespace("openshift-config"));
    define(&cluster, |kind| kind.starts_with("Image") && kind != "ImageContentSourcePolicy");
    put_image(&cluster, &blocking("a.io"));
    let start = Instant::now();
    let agent = follow(&cluster, cluster.port, "");
    agent.until_trouble("KindAbsent");
    // It counts as absent only once it has been so for a minute.
    thread::sleep(Duration::from_secs(40));
    assert!(!agent.host.exists(POLICY), "after {:?}", start.elapsed());
    agent.until("the first files", || agent.host.exists(POLICY));
    assert!(start.elapsed() >= Duration::from_secs(60));
    define(&cluster, |kind| kind == "ImageContentSourcePolicy");
    let mirrors = icsp("x", json!({"source": "s.io", "mirrors": ["m.io"]}));
    cluster.admin.create(ICSP, &mirrors);
    let (source, mirror) = (format!("s.io/x@{DIGEST}"), format!("m.io/x@{DIGEST}"));
    agent.until_places(&source, &[&mirror, &source]);
    // Its objects go with a definition, and later it is as absent as at first.
    cluster.kubectl(&["delete", "crd", "imagecontentsourcepolicies.operator.openshift.io"]);
    agent.until_places(&source, &[&source]);
    agent.until_trouble("KindAbsent");
    put_image(&cluster, &blocking("b.io"));
    agent.until_verdict("b.io/x:1", "rejected");
    thread::sleep(Duration::from_secs(30));
    agent.until_well();
}

#[test]
fn d5_an_api_server_that_is_lost_changes_nothing() {
    let mut cluster = cluster();
    put_image(&cluster, &blocking("a.io"));
    cluster.admin.create(IDMS, &mirrored("b", "m.io"));
    let proxy = Proxy::before(cluster.port);
    let mut agent = follow(&cluster, proxy.port, "");
    agent.converges();
    let applied = agent.status()["applied"].clone();
    // Its connections are cut, and come back: nobody notices.
    proxy.drop_connections();
    put_image(&cluster, &blocking("c.io"));
    agent.until_verdict("c.io/x:1", "rejected");
    agent.until("the other", || agent.status()["applied"] != applied);
    put_image(&cluster, &blocking("a.io"));
    agent.until("as before", || agent.status()["applied"] == applied);
    // It dies, and is there again, with its history forgotten.
    cluster.kill_apiserver();
    agent.until_trouble("Unreachable");
    assert_eq!(agent.status()["applied"], applied);
    cluster.start_apiserver();
    agent.until_well();
    cluster.compact();
    put_image(&cluster, &blocking("d.io"));
    agent.until_verdict("d.io/x:1", "rejected");
    agent.until("word of it", || agent.status()["applied"] != applied);
    agent.until_well();
    // The agent starts while it is away, and obeys what it knew.
    let applied = agent.status()["applied"].clone();
    agent.stop();
    cluster.kill_apiserver();
    fs::write(agent.host.at("/etc/containers/registries.conf"), "# foreign\n").unwrap();
    agent.start_again();
    agent.until_verdict("d.io/x:1", "rejected");
    agent.until_trouble("Unreachable");
    assert_eq!(agent.status()["observed"], applied);
    cluster.start_apiserver();
    agent.until_well();
    assert_eq!(agent.status()["applied"], applied);
}

#[test]
fn d5_a_connection_that_falls_silent_is_noticed() {
    let cluster = cluster();
    put_image(&cluster, &blocking("a.io"));
    let proxy = Proxy::before(cluster.port);
    let agent = follow(&cluster, proxy.port, "");
    agent.converges();
    proxy.freeze();
    put_image(&cluster, &blocking("b.io"));
    agent.until("trouble", || !agent.status()["sources"][0]["trouble"].is_null());
    assert_eq!(agent.host.verdict("a.io/x:1"), "rejected");
    proxy.pass();
    proxy.drop_connections();
    agent.until_verdict("b.io/x:1", "rejected");
    agent.until_well();
}

#[test]
fn d5_an_api_server_that_knows_nothing_yet_changes_nothing() {
    let cluster = cluster();
    put_image(&cluster, &blocking("a.io"));
    cluster.admin.create(IDMS, &mirrored("b", "m.io"));
    let agent = follow(&cluster, cluster.port, "kube.on_missing = \"revert\"");
    agent.converges();
    let applied = agent.status()["applied"].clone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let body = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}"#;
        let length = body.len();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let head =
                "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\nconnection: close";
            let _ = write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n{body}");
        }
    });
    let real = admin(&cluster, cluster.port);
    let mut false_one: Value = serde_json::from_str(&real).unwrap();
    false_one["clusters"][0]["cluster"] = json!({"server": format!("http://127.0.0.1:{port}")});
    agent.rotate(&false_one.to_string());
    // Watches go on until somebody asks anew.
    let mut agent = agent;
    agent.crash_and_restart();
    agent.until_trouble("KindAbsent");
    thread::sleep(Duration::from_secs(15));
    assert_eq!(agent.status()["applied"], applied);
    agent.rotate(&real);
    agent.until_well();
    assert_eq!(agent.status()["applied"], applied);
}

#[test]
fn d5_a_token_that_has_ended_changes_nothing_and_a_new_one_is_taken() {
    let cluster = cluster();
    put_image(&cluster, &blocking("a.io"));
    cluster.kubectl(&[
        "create",
        "clusterrolebinding",
        "agents",
        "--clusterrole=cluster-admin",
        &format!("--serviceaccount={NAMESPACE}:{ACCOUNT}"),
    ]);
    let proxy = Proxy::before(cluster.port);
    let with = |life: u64| {
        let token = cluster.token_for("n1", Duration::from_secs(life));
        cluster.kubeconfig(proxy.port, &Credentials::Token(token))
    };
    let agent = with_kubeconfig(&with(20), "");
    agent.converges();
    thread::sleep(Duration::from_secs(22));
    proxy.drop_connections();
    agent.until("Unauthorized", || {
        // The API server remembers for some seconds whom it has let in.
        proxy.drop_connections();
        thread::sleep(Duration::from_secs(1));
        agent.status()["sources"][0]["trouble"]["reason"] == "Unauthorized"
    });
    assert_eq!(agent.host.verdict("a.io/x:1"), "rejected");
    agent.rotate(&with(3600));
    agent.until_well();
    put_image(&cluster, &blocking("b.io"));
    agent.until_verdict("b.io/x:1", "rejected");
}
