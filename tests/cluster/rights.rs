//! An agent has no right that it does not use (rule K5): what the API server was asked, by its own audit, is held against the
//! packaged RBAC.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::fake::{DONE, Job};
use crate::node::Node;
use crate::objects;
use crate::process::until_or;
use crate::rollout::{Member, edit};

/// A namespace, or none for the whole cluster; a group, a resource and a verb.
type Right = (String, String, String, String);

const PODS: &str = "/api/v1/namespaces/default/pods";

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What the Roles of agents grant.
fn granted() -> BTreeSet<Right> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/kubernetes/base/rbac.yaml");
    let documents = fs::read_to_string(file).unwrap();
    let objects =
        documents.split("\n---\n").map(|one| -> Value { serde_saphyr::from_str(one).unwrap() });
    let is_role = |object: &Value| {
        let kind = text(&object["kind"]);
        kind.ends_with("Role") && object["metadata"]["name"] == "image-config-agent"
    };
    let mut rights = BTreeSet::new();
    for role in objects.filter(is_role) {
        let namespace = text(&role["metadata"]["namespace"]);
        for rule in role["rules"].as_array().unwrap() {
            let all =
                |key: &str| rule[key].as_array().unwrap().iter().map(text).collect::<Vec<_>>();
            for group in all("apiGroups") {
                for resource in all("resources") {
                    for verb in all("verbs") {
                        let (group, resource) = (group.clone(), resource.clone());
                        rights.insert((namespace.clone(), group, resource, verb));
                    }
                }
            }
        }
    }
    rights
}

/// What agents have asked for and were given.
fn used(cluster: &Cluster) -> BTreeSet<Right> {
    let log = fs::read_to_string(cluster.file("audit.log")).unwrap();
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_agents = events.filter(|event| {
        text(&event["user"]["username"]).ends_with(":image-config-agent:image-config-agent")
            && event["responseStatus"]["code"].as_u64() != Some(403)
    });
    let granted = granted();
    let right = |event: Value| {
        let object = &event["objectRef"];
        let sub = object["subresource"].as_str().map(|sub| format!("/{sub}")).unwrap_or_default();
        let resource = text(&object["resource"]) + &sub;
        let (group, verb) = (text(&object["apiGroup"]), text(&event["verb"]));
        // Where the right is for the whole cluster the namespace does not matter.
        let everywhere = (String::new(), group, resource, verb);
        match granted.contains(&everywhere) {
            true => everywhere,
            false => (text(&object["namespace"]), everywhere.1, everywhere.2, everywhere.3),
        }
    };
    of_agents.map(right).collect()
}

#[test]
fn k5_an_agent_has_no_right_that_it_does_not_use() {
    let cluster = Cluster::audited();
    cluster.install();
    let member = Member::join(&cluster, "n1", "");
    let other = Node::join(&cluster, "n2", &json!({}));
    let mut pod = objects::pod("app", "n1");
    pod["metadata"]["ownerReferences"] = objects::controlled_by("ReplicaSet", "app");
    pod["spec"]["containers"][0]["image"] = json!("one.test/app:v1");
    cluster.admin.create(PODS, &pod);
    cluster.admin.patch(&format!("{PODS}/app/status"), &objects::running());
    let maps = "/api/v1/namespaces/openshift-config/configmaps";
    let data = json!({"registry.test": crate::support::CA});
    cluster.admin.create(maps, &json!({"metadata": {"name": "ca"}, "data": data}));
    // A change that drains, one that fails, and one that a node that is Degraded is let go with.
    edit(&cluster, &["one.test"]);
    let trust = json!({"spec": {"additionalTrustedCA": {"name": "ca"}}});
    cluster.admin.patch("/apis/config.openshift.io/v1/images/cluster", &trust);
    member.agent.until_verdict("one.test/app:v1", "rejected");
    member.agent.converges();
    member.engine.job(Job::Ends("failed", "failed", true));
    edit(&cluster, &["bad.test"]);
    member.agent.until("its failure", || member.agent.condition("Degraded").0 == "True");
    member.engine.job(DONE);
    edit(&cluster, &["one.test"]);
    member.agent.converges();
    member.is_free(&cluster);
    // A kind that is not there: its definition is asked for.
    cluster.admin.delete(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/imagecontentsourcepolicies.operator.openshift.io",
    );
    // What there is to say of the Image.
    let odd = json!({"spec": {"registrySources": {"insecureRegistries": ["two.test/app:v1"]}}});
    cluster.admin.patch("/apis/config.openshift.io/v1/images/cluster", &odd);
    let mut granted = granted();
    for (group, resource, verb) in [
        // An apply that makes the object is a patch, and is asked for this right as well.
        ("image-config-agent.io", "nodeimageconfigs", "create"),
        // OpenShift alone has them.
        ("config.openshift.io", "clusterversions", "list"),
        ("config.openshift.io", "clusterversions", "watch"),
    ] {
        let right = ["", group, resource, verb].map(str::to_owned);
        assert!(granted.remove(&right.into()), "{resource} {verb}");
    }
    let unused = || granted.difference(&used(&cluster)).cloned().collect::<BTreeSet<_>>();
    until_or("the use of all rights", || format!("{:#?}", unused()), || unused().is_empty());
    drop(other);
}
