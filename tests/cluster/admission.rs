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
    let Scene { cluster, a, b } = &scene();
    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases");
    let slot = format!("{leases}/slot");
    let lease = |holder: &str, acquired: &str, renewed: &str| {
        objects::lease("slot", holder, acquired, renewed, 60)
    };
    let (t0, t30, t90, t91) = (
        "2026-11-26T10:00:00.000000Z",
        "2026-11-26T10:00:30.000000Z",
        "2026-11-26T10:01:29.999999Z",
        "2026-11-26T10:01:30.000000Z",
    );
    let foreign = "in its own name alone";
    is_denied(post(a, &leases, &lease("b", t0, t0)), foreign);
    post(b, &leases, &lease("b", t0, t0)).unwrap();
    let for_ever = objects::lease("x", "b", t0, t0, 86_401);
    is_denied(post(b, &leases, &for_ever), "for a day at most");
    // b renews it.
    patch(b, &slot, &json!({"spec": {"renewTime": t30}})).unwrap();
    // a can do nothing about it: not in b's name, not by freeing it, not by deleting it.
    is_denied(patch(a, &slot, &json!({"spec": {"renewTime": t91}})), foreign);
    let theirs = "which alone may free it";
    is_denied(patch(a, &slot, &json!({"spec": {"holderIdentity": null}})), theirs);
    is_denied(patch(a, &slot, &json!({"spec": {"holderIdentity": ""}})), theirs);
    is_denied(patch(a, &slot, &json!({"spec": null})), theirs);
    is_denied(a.ask(Method::DELETE, &slot, None), theirs);
    // Nor take it before its time is over.
    let early = "whose time is not over";
    is_denied(patch(a, &slot, &lease("a", t30, t30)), early);
    is_denied(patch(a, &slot, &lease("a", t90, t91)), early);
    is_denied(patch(a, &slot, &json!({"spec": {"holderIdentity": "a"}})), early);
    let without = json!({"spec": {"holderIdentity": "a", "acquireTime": null}});
    is_denied(patch(a, &slot, &without), "must say since when");
    // Then it may. Whoever holds it may free it, and who finds it free may take it.
    patch(a, &slot, &lease("a", t91, t91)).unwrap();
    is_denied(patch(b, &slot, &json!({"spec": {"renewTime": t91}})), foreign);
    patch(a, &slot, &json!({"spec": {"holderIdentity": null}})).unwrap();
    patch(b, &slot, &lease("b", t30, t30)).unwrap();
    b.ask(Method::DELETE, &slot, None).unwrap();
    // Leases of others are out of reach.
    let kubelets = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    cluster.admin.create(kubelets, &objects::lease("b", "b", t0, t0, 40));
    a.get(&format!("{kubelets}/b"));
    is_forbidden(patch(a, &format!("{kubelets}/a"), &json!({"spec": {"holderIdentity": "x"}})));
}

#[test]
fn k5_an_agent_reports_in_its_own_name() {
    let scene = scene();
    let (a, b) = (&scene.a, &scene.b);
    let event = |name: &str, reporter: &str| {
        json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": name},
            "eventTime": "2026-11-26T10:00:00.000000Z", "type": "Normal", "reason": "Cordon",
            "action": "Cordon", "reportingController": "image-config-agent.io/agent",
            "reportingInstance": reporter,
            "regarding": {"apiVersion": "v1", "kind": "Node", "name": reporter},
        })
    };
    let foreign = "may report in its own name alone";
    post(a, EVENTS, &event("a.1", "a")).unwrap();
    is_denied(post(a, EVENTS, &event("b.1", "b")), foreign);
    let again = json!({"series": {"count": 2, "lastObservedTime": "2026-11-26T10:01:00.000000Z"}});
    patch(a, &format!("{EVENTS}/a.1"), &again).unwrap();
    is_denied(patch(b, &format!("{EVENTS}/a.1"), &again), foreign);
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
