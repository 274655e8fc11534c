//! What the credentials of one node's agent can do, with RBAC and the admission policies as they are packaged
//! (rule K5): all of it on its own node, nothing on another.

use hyper::Method;
use serde_json::{Value, json};

use crate::api::{Api, Refused};
use crate::cluster::{Cluster, Credentials, NAMESPACE};
use crate::objects;
use crate::process::until_or;

const NODES: &str = "/api/v1/nodes";
const PODS: &str = "/api/v1/namespaces/default/pods";
const CONFIGS: &str = "/apis/image-config-agent.io/v1alpha1/nodeimageconfigs";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/image-config-agent/leases";
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";

/// A cluster with the nodes a and b, and the policies in force.
struct Scene {
    cluster: Cluster,
    /// The agent of node a.
    a: Api,
    /// The agent of node b.
    b: Api,
}

fn scene() -> Scene {
    let cluster = Cluster::start();
    cluster.install();
    for name in ["a", "b"] {
        let node = json!({
            "metadata": {"name": name, "labels": {"pool": "x"}, "annotations": {"foreign": "1"}},
            "spec": {"taints": [{"key": "t", "effect": "NoSchedule"}]},
        });
        cluster.admin.create(NODES, &node);
    }
    let agent = |node: &str| cluster.api(&Credentials::Token(cluster.token(node)));
    let (a, b) = (agent("a"), agent("b"));
    Scene { cluster, a, b }
}

fn patch(api: &Api, path: &str, patch: &Value) -> Result<Value, Refused> {
    api.ask(Method::PATCH, path, Some(patch))
}

fn post(api: &Api, path: &str, object: &Value) -> Result<Value, Refused> {
    api.ask(Method::POST, path, Some(object))
}

impl Scene {
    /// Puts an object in place of another, of whose version anybody may know.
    fn put(&self, api: &Api, path: &str, object: &Value) -> Result<Value, Refused> {
        let mut object = object.clone();
        let now = self.cluster.admin.get(path);
        object["metadata"]["resourceVersion"] = now["metadata"]["resourceVersion"].clone();
        api.ask(Method::PUT, path, Some(&object))
    }
}

/// An Event on the reporter's own Node.
fn event(name: &str, reporter: &str) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": name},
        "eventTime": "2026-11-26T10:00:00.000000Z", "type": "Normal", "reason": "Cordon",
        "action": "Cordon", "reportingController": "image-config-agent.io/agent",
        "reportingInstance": reporter,
        "regarding": {"apiVersion": "v1", "kind": "Node", "name": reporter},
    })
}

/// Refused by the policies, for this reason.
#[track_caller]
fn is_denied(answer: Result<Value, Refused>, why: &str) {
    let refused = answer.expect_err("it was let through");
    let is_so = matches!(refused.code, 403 | 422) && refused.message.contains(why);
    assert!(is_so, "not for {why:?}: {refused:?}");
}

/// Refused by RBAC: nobody of the agents may do it.
#[track_caller]
fn is_forbidden(answer: Result<Value, Refused>) {
    let refused = answer.expect_err("it was let through");
    assert!(refused.code == 403 && refused.message.contains("cannot"), "{refused:?}");
}

#[test]
fn k5_of_its_own_node_an_agent_changes_unschedulable_and_our_annotations() {
    let scene = scene();
    let a = &scene.a;
    let cordon = json!({
        "metadata": {"annotations": {"image-config-agent.io/cordoned": "true"}},
        "spec": {"unschedulable": true},
    });
    let uncordon = json!({
        "metadata": {"annotations": {"image-config-agent.io/cordoned": null}},
        "spec": {"unschedulable": null},
    });
    for change in [&cordon, &uncordon] {
        patch(a, "/api/v1/nodes/a", change).unwrap();
        is_denied(patch(a, "/api/v1/nodes/b", change), "may change its own Node alone");
    }
    let spec = "unschedulable alone";
    is_denied(patch(a, "/api/v1/nodes/a", &json!({"spec": {"taints": null}})), spec);
    is_denied(patch(a, "/api/v1/nodes/a", &json!({"spec": {"taints": []}})), spec);
    is_denied(patch(a, "/api/v1/nodes/a", &json!({"spec": {"providerID": "x"}})), spec);
    for annotations in [json!({"foreign": "2"}), json!({"foreign": null}), json!({"other": "1"})] {
        let change = json!({"metadata": {"annotations": annotations}});
        is_denied(patch(a, "/api/v1/nodes/a", &change), "those of image-config-agent.io alone");
    }
    for meta in [
        json!({"labels": {"pool": "y"}}),
        json!({"labels": null}),
        json!({"finalizers": ["x.io/y"]}),
        json!({"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "b", "uid": "1"}]}),
    ] {
        is_denied(patch(a, "/api/v1/nodes/a", &json!({"metadata": meta})), "annotations alone");
    }
    is_forbidden(patch(a, "/api/v1/nodes/a/status", &json!({"status": {"phase": "Running"}})));
    is_forbidden(a.ask(Method::DELETE, "/api/v1/nodes/a", None));
}

#[test]
fn k5_an_agent_evicts_pods_of_its_own_node_alone() {
    let Scene { cluster, a, b } = &scene();
    // Two of one name: the namespace counts.
    let other = "/api/v1/namespaces/other/pods";
    cluster.admin.create("/api/v1/namespaces", &objects::namespace("other"));
    cluster.admin.create(PODS, &objects::pod("one", "a"));
    cluster.admin.create(PODS, &objects::pod("two", "b"));
    cluster.admin.create(other, &objects::pod("one", "b"));
    let evict = |api: &Api, pods: &str, name: &str, uid: &Value| {
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name},
            "deleteOptions": {"preconditions": {"uid": uid}},
        });
        post(api, &format!("{pods}/{name}/eviction"), &eviction)
    };
    let uid = |pods: &str, name: &str| {
        cluster.admin.get(&format!("{pods}/{name}"))["metadata"]["uid"].clone()
    };
    let foreign = "may evict pods of its own node alone";
    // What the API server knows of pods lags behind a little.
    until_or("the pods", String::new, || {
        evict(a, PODS, "two", &uid(PODS, "two")).is_err()
            && evict(a, other, "one", &uid(other, "one")).is_err()
    });
    is_denied(evict(a, PODS, "two", &uid(PODS, "two")), foreign);
    is_denied(evict(a, other, "one", &uid(other, "one")), foreign);
    is_denied(evict(b, PODS, "one", &uid(PODS, "one")), foreign);
    is_denied(evict(a, PODS, "one", &json!("another")), "must say the uid");
    let bare = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "one"}});
    is_denied(post(a, &format!("{PODS}/one/eviction"), &bare), "must say the uid");
    let own = uid(PODS, "one");
    evict(a, PODS, "one", &own).unwrap();
    is_forbidden(a.ask(Method::DELETE, &format!("{PODS}/two"), None));
    is_forbidden(patch(a, &format!("{PODS}/two"), &json!({"metadata": {"labels": {"x": "y"}}})));
}

#[test]
fn k5_an_agent_writes_its_own_nodeimageconfig_alone() {
    let scene = scene();
    let (a, b) = (&scene.a, &scene.b);
    let config = |name: &str| {
        json!({
            "apiVersion": "image-config-agent.io/v1alpha1", "kind": "NodeImageConfig",
            "metadata": {"name": name}, "spec": {},
        })
    };
    let foreign = "the NodeImageConfig of its own node alone";
    post(a, CONFIGS, &config("a")).unwrap();
    is_denied(post(a, CONFIGS, &config("b")), foreign);
    is_denied(
        post(
            a,
            CONFIGS,
            &json!({
                "apiVersion": "image-config-agent.io/v1alpha1", "kind": "NodeImageConfig",
                "metadata": {"generateName": "a"}, "spec": {},
            }),
        ),
        foreign,
    );
    post(b, CONFIGS, &config("b")).unwrap();
    let label = json!({"metadata": {"labels": {"x": "y"}}});
    patch(a, &format!("{CONFIGS}/a"), &label).unwrap();
    is_denied(patch(a, &format!("{CONFIGS}/b"), &label), foreign);
    let status = json!({"status": {
        "version": "1", "phase": "Idle", "runtime": "Ready", "lastHeartbeat": "2026-11-26T10:00:00Z",
        "findings": {"errors": 0, "warnings": 0, "infos": 0},
    }});
    patch(a, &format!("{CONFIGS}/a/status"), &status).unwrap();
    is_denied(patch(a, &format!("{CONFIGS}/b/status"), &status), foreign);
    is_forbidden(a.ask(Method::DELETE, &format!("{CONFIGS}/a"), None));
}

#[test]
fn k5_a_slot_is_taken_in_the_agents_own_name_and_from_another_only_past_its_time() {
    let scene = scene();
    let Scene { cluster, a, b } = &scene;
    let slot = format!("{LEASES}/image-config-agent-worker-0");
    let lease = |holder: &str, acquired: &str, renewed: &str| {
        objects::slot("worker", holder, acquired, renewed, 60)
    };
    let (t0, t30, t90, t91) = (
        "2026-11-26T10:00:00.000000Z",
        "2026-11-26T10:00:30.000000Z",
        "2026-11-26T10:01:29.999999Z",
        "2026-11-26T10:01:30.000000Z",
    );
    let foreign = "in its own name alone";
    is_denied(post(a, LEASES, &lease("b", t0, t0)), foreign);
    post(b, LEASES, &lease("b", t0, t0)).unwrap();
    let for_ever = objects::slot("control-plane", "b", t0, t0, 86_401);
    is_denied(post(b, LEASES, &for_ever), "for a day at most");
    // b renews it.
    scene.put(b, &slot, &lease("b", t0, t30)).unwrap();
    // a can do nothing about it: not in b's name, not by freeing it.
    is_denied(scene.put(a, &slot, &lease("b", t0, t91)), foreign);
    let theirs = "which alone may free it";
    is_denied(scene.put(a, &slot, &lease("", t0, t30)), theirs);
    let mut without = lease("", t0, t30);
    for spec in [json!({"holderIdentity": null}), Value::Null] {
        without["spec"] = spec;
        is_denied(scene.put(a, &slot, &without), theirs);
    }
    // Nor take it before its time is over.
    let early = "whose time is not over";
    is_denied(scene.put(a, &slot, &lease("a", t30, t30)), early);
    is_denied(scene.put(a, &slot, &lease("a", t90, t91)), early);
    without["spec"] = json!({"holderIdentity": "a", "renewTime": t91, "leaseDurationSeconds": 60});
    is_denied(scene.put(a, &slot, &without), "must say since when");
    // Then it may. Whoever holds it may free it, and who finds it free may take it.
    scene.put(a, &slot, &lease("a", t91, t91)).unwrap();
    is_denied(scene.put(b, &slot, &lease("a", t91, t91)), foreign);
    scene.put(a, &slot, &lease("", t91, t91)).unwrap();
    scene.put(b, &slot, &lease("b", t30, t30)).unwrap();
    is_forbidden(b.ask(Method::DELETE, &slot, None));
    is_forbidden(patch(b, &slot, &lease("b", t30, t30)));
    // Leases of others are out of reach.
    let kubelets = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    cluster.admin.create(kubelets, &objects::lease("b", "b", t0, t0, 40));
    a.get(&format!("{kubelets}/b"));
    let foreign = objects::lease("b", "a", t0, t0, 40);
    is_forbidden(scene.put(a, &format!("{kubelets}/b"), &foreign));
}

#[test]
fn k5_a_slot_has_a_name_of_slots_and_times_that_have_an_end() {
    let scene = scene();
    let Scene { a, b, .. } = &scene;
    let t0 = "2026-11-26T10:00:00.000000Z";
    let good = objects::slot("worker", "a", t0, t0, 60);
    let named = |name: &str, pool: &str| {
        let mut slot = good.clone();
        slot["metadata"]["name"] = json!(name);
        slot["metadata"]["labels"] = json!({"image-config-agent.io/pool": pool});
        post(a, LEASES, &slot)
    };
    let name = "a slot is named";
    for (wrong, pool) in [
        ("image-config-agent-worker-0", ""),
        ("image-config-agent-worker-0", "control-plane"),
        ("image-config-agent-selected-12345678-0", "selected"),
        ("image-config-agent-worker-00", "worker"),
        ("image-config-agent-worker-1000", "worker"),
        ("image-config-agent-others-0", "others"),
        ("x", "worker"),
    ] {
        is_denied(named(wrong, pool), name);
    }
    named("image-config-agent-selected-12345678-999", "selected-12345678").unwrap();
    // No end of time, by which all readers or all successors are lost.
    let path = format!("{LEASES}/image-config-agent-worker-0");
    let slot = |holder, acquired: &str, renewed: &str| {
        objects::slot("worker", holder, acquired, renewed, 10)
    };
    let bound = "before the year 2300";
    let (taken, renewed) = ("2200-01-01T00:00:00.000000Z", "2300-01-01T00:00:00.000000Z");
    for late in [
        "9999-12-31T23:59:59.000000Z",
        "9999-12-30T22:00:00.000000Z",
        "2300-01-01T00:00:00.000001Z",
    ] {
        is_denied(post(b, LEASES, &slot("b", t0, late)), bound);
        is_denied(post(b, LEASES, &slot("b", late, t0)), bound);
        is_denied(post(b, LEASES, &slot("", t0, late)), bound);
    }
    is_denied(post(b, LEASES, &slot("b", "2200-01-01T00:00:00.000001Z", t0)), bound);
    // In UTC it is a year that nobody can read.
    let beyond = slot("b", t0, "9999-12-31T23:59:59.000000-01:00");
    assert!(matches!(post(b, LEASES, &beyond), Err(refused) if refused.code >= 400));
    // What is left at the end has a successor, and that one goes on.
    post(b, LEASES, &slot("b", taken, renewed)).unwrap();
    let early = "whose time is not over";
    is_denied(scene.put(a, &path, &slot("a", "2199-12-31T23:59:59.000000Z", t0)), early);
    scene.put(a, &path, &slot("a", taken, taken)).unwrap();
    scene.put(a, &path, &slot("a", taken, "2200-01-01T00:00:00.000001Z")).unwrap();
}

#[test]
fn k5_what_an_agent_writes_can_be_read_and_removed() {
    let scene = scene();
    let Scene { cluster, a, .. } = &scene;
    let t0 = "2026-11-26T10:00:00.000000Z";
    let config = json!({
        "apiVersion": "image-config-agent.io/v1alpha1", "kind": "NodeImageConfig",
        "metadata": {"name": "a"}, "spec": {},
    });
    let slot = objects::slot("worker", "a", t0, t0, 60);
    let stays = json!(["x.io/y"]);
    for (path, object) in [(CONFIGS, &config), (LEASES, &slot), (EVENTS, &event("a.1", "a"))] {
        let mut kept = object.clone();
        kept["metadata"]["finalizers"] = stays.clone();
        is_denied(post(a, path, &kept), "may not change finalizers");
        post(a, path, object).unwrap();
    }
    // Those of others stay, and are in nobody's way.
    let (own, label) = (format!("{CONFIGS}/a"), json!({"metadata": {"labels": {"pool": "x"}}}));
    cluster.admin.patch(&own, &json!({"metadata": {"finalizers": stays}}));
    patch(a, &own, &label).unwrap();
    for other in [json!([]), json!(["x.io/y", "x.io/z"])] {
        let change = json!({"metadata": {"finalizers": other}});
        is_denied(patch(a, &own, &change), "may not change finalizers");
    }
    let owner = |kind: &str, name: &str, blocks: bool| {
        json!({"metadata": {"ownerReferences": [{
            "apiVersion": "v1", "kind": kind, "name": name, "uid": "1", "blockOwnerDeletion": blocks,
        }]}})
    };
    for wrong in [owner("Node", "b", false), owner("Pod", "a", false), owner("Node", "a", true)] {
        is_denied(patch(a, &own, &wrong), "belongs to that Node alone");
    }
    patch(a, &own, &owner("Node", "a", false)).unwrap();
    // When who wrote what is for the server to say; a time that nobody can read would spoil lists.
    for (time, why) in [
        ("9999-12-31T23:59:59Z", "out of all bounds"),
        // In UTC it is a year of five digits.
        ("9999-12-31T23:59:59-01:00", "resulted in error: type conversion error"),
    ] {
        let annotations = json!({"image-config-agent.io/applied": "x"});
        let fields = objects::written_at(time);
        let change = json!({"metadata": {"managedFields": fields, "annotations": annotations}});
        is_denied(patch(a, "/api/v1/nodes/a", &change), why);
    }
}

#[test]
fn k5_an_agent_reports_in_its_own_name() {
    let scene = scene();
    let (a, b) = (&scene.a, &scene.b);
    let foreign = "may report in its own name alone";
    post(a, EVENTS, &event("a.1", "a")).unwrap();
    is_denied(post(a, EVENTS, &event("b.1", "b")), foreign);
    let again = json!({"series": {"count": 2, "lastObservedTime": "2026-11-26T10:01:00.000000Z"}});
    patch(a, &format!("{EVENTS}/a.1"), &again).unwrap();
    is_denied(patch(b, &format!("{EVENTS}/a.1"), &again), foreign);
    // Nor does it speak as somebody else, or of somebody else.
    let with = |key: &str, value: Value| {
        let mut event = event("a.2", "a");
        event[key] = value;
        post(a, EVENTS, &event)
    };
    is_denied(
        with("reportingController", json!("kubelet")),
        "as image-config-agent.io/agent alone",
    );
    let node = |name: &str| json!({"apiVersion": "v1", "kind": "Node", "name": name});
    for other in [
        node("b"),
        json!({"apiVersion": "v1", "kind": "Pod", "name": "a", "namespace": "default"}),
        json!({"apiVersion": "apps/v1", "kind": "Image", "name": "cluster"}),
        Value::Null,
    ] {
        is_denied(with("regarding", other), "on its own Node and the Image alone");
    }
    is_denied(with("related", node("b")), "on one object alone");
    let source = with("deprecatedSource", json!({"component": "kubelet"})).unwrap_err();
    assert!(source.message.contains("needs to be unset"), "{source:?}");
    let image = json!({"apiVersion": "config.openshift.io/v1", "kind": "Image", "name": "cluster"});
    with("regarding", image).unwrap();
}

#[test]
fn k5_an_agent_reads_what_it_needs_and_no_more() {
    let scene = scene();
    let a = &scene.a;
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let images = "/apis/config.openshift.io/v1/images";
    let name = "fieldSelector=metadata.name%3D";
    a.get(&format!("{images}?{name}cluster"));
    a.get(&format!("{definitions}?{name}images.config.openshift.io"));
    a.get(&format!("/api/v1/namespaces/openshift-config/configmaps?{name}ca"));
    a.get("/api/v1/pods?fieldSelector=spec.nodeName%3Da");
    for path in [
        images,
        definitions,
        "/api/v1/secrets",
        "/api/v1/namespaces/kube-system/configmaps",
        "/api/v1/namespaces/image-config-agent/secrets",
    ] {
        is_forbidden(a.ask(Method::GET, path, None));
    }
}

#[test]
fn k5_a_host_service_is_its_node_and_who_is_no_node_is_refused() {
    let Scene { cluster, .. } = scene();
    let cordon = json!({"spec": {"unschedulable": true}});
    let host = |user: &str| cluster.api(&cluster.certificate(user, &["image-config-agent:nodes"]));
    let a = host("image-config-agent:a");
    patch(&a, "/api/v1/nodes/a", &cordon).unwrap();
    is_denied(patch(&a, "/api/v1/nodes/b", &cordon), "may change its own Node alone");
    for nobody in ["image-config-agent:", "somebody"] {
        is_denied(patch(&host(nobody), "/api/v1/nodes/a", &cordon), "must say which node");
    }
    // A token of the service account that no pod stands behind.
    let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/image-config-agent/token");
    let token = cluster.admin.create(&path, &json!({"spec": {}}));
    let token = token["status"]["token"].as_str().unwrap().to_owned();
    let nobody = cluster.api(&Credentials::Token(token));
    is_denied(patch(&nobody, "/api/v1/nodes/a", &cordon), "must say which node");
    // Nobody else is looked at.
    cluster.admin.patch("/api/v1/nodes/b", &json!({"spec": {"taints": null}}));
}
