//! `NodeImageConfig`: what one node says of itself to its cluster. There is one for each Node, of its
//! name and owned by it. The spec is for people to write, the status for the node's agent alone.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::machine::Kind;
use crate::model::Digests;

/// The longest message in a status, in bytes. Longer ones are cut.
pub const LONGEST_MESSAGE: usize = 1024;

/// The most conditions of a status.
const MOST_CONDITIONS: usize = 16;

/// What people ask of a node's agent.
#[derive(
    CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[kube(
    group = "image-config-agent.io",
    version = "v1alpha1",
    kind = "NodeImageConfig",
    status = "NodeImageConfigStatus",
    derive = "PartialEq",
    doc = "How far the image configuration of the cluster is on the Node of this name.",
    selectable = ".status.degradedOn.withoutCas",
    printcolumn = r#"{"name":"Node","type":"string","jsonPath":".metadata.name"}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Applied","type":"string","jsonPath":".status.applied.short"}"#,
    printcolumn = r#"{"name":"Desired","type":"string","jsonPath":".status.desired.short"}"#,
    printcolumn = r#"{"name":"Runtime","type":"string","jsonPath":".status.runtime"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct NodeImageConfigSpec {
    /// Asks the agent to try again what was undone, rolled back or is contested, once for each value
    /// (`image-config-agent rollout retry`). The status repeats the value that was obeyed last.
    #[schemars(length(min = 1, max = 64))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
}

/// What the node's agent says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeImageConfigStatus {
    /// The generation of the spec that the agent knew when it wrote this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The agent's version.
    #[schemars(length(max = 64))]
    pub version: String,
    /// The pool whose slots the node takes.
    #[schemars(length(max = 253))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// What is being done: Idle, or the step of a change.
    #[schemars(length(max = 64))]
    pub phase: String,
    /// The configuration that was read last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired: Option<ConfigDigests>,
    /// The configuration that is applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied: Option<ConfigDigests>,
    /// The configuration on which the node is Degraded, if it is. No new slot is given while enough
    /// nodes of the pool are Degraded on the one that is being rolled out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degraded_on: Option<ConfigDigests>,
    /// The container engine in one word: Ready, or the reason why not.
    #[schemars(length(max = 64))]
    pub runtime: String,
    /// When the agent wrote last. It does so every few minutes although nothing has changed.
    pub last_heartbeat: Time,
    /// How many findings there are.
    pub findings: FindingCounts,
    /// The change before, or the one under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_change: Option<NodeChange>,
    /// What is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<NodeWaiting>,
    /// The value of spec.retry that was obeyed last.
    #[schemars(length(max = 64))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retried: Option<String>,
    /// What holds, and what does not.
    #[schemars(schema_with = "conditions")]
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// The two digests of a configuration (rule D7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigDigests {
    /// SHA-256 over everything that has a meaning, in hexadecimal.
    #[schemars(length(max = 64))]
    pub configuration: String,
    /// The same without the trusted CAs.
    #[schemars(length(max = 64))]
    pub without_cas: String,
    /// The begin of the first, as tables show it.
    #[schemars(length(max = 12))]
    pub short: String,
}

/// A change of the node, and how it went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeChange {
    /// What it was for: apply, heal, rollback, revert or restart.
    #[schemars(with = "String", length(max = 64))]
    pub kind: Kind,
    /// When it began.
    pub began: Time,
    /// The configuration that it went to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<ConfigDigests>,
    /// How many files changed.
    #[schemars(range(min = 0))]
    pub files: i32,
    /// How long the files took.
    #[schemars(range(min = 0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files_milliseconds: Option<i64>,
    /// How long the engine took; unset where it was not told.
    #[schemars(range(min = 0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_milliseconds: Option<i64>,
    /// How it ended, in one word; unset while it is under way.
    #[schemars(length(max = 64))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Why it ended so.
    #[schemars(length(max = 1024))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How many findings there are of each severity.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindingCounts {
    /// They keep everything from being written.
    #[schemars(range(min = 0))]
    pub errors: i32,
    /// All is applied, but not as somebody might think.
    #[schemars(range(min = 0))]
    pub warnings: i32,
    /// Worth knowing.
    #[schemars(range(min = 0))]
    pub infos: i32,
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeWaiting {
    /// In words.
    #[schemars(length(max = 1024))]
    #[serde(rename = "for")]
    pub what: String,
    /// When the wait ends at the latest.
    pub until: Time,
}

impl From<&Digests> for ConfigDigests {
    fn from(digests: &Digests) -> Self {
        Self {
            configuration: digests.configuration.clone(),
            without_cas: digests.without_cas.clone(),
            short: digests.configuration.chars().take(12).collect(),
        }
    }
}

/// The schema of conditions in the form that Kubernetes gives them: a map by type, with limits.
fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "description": "What holds, and what does not.",
        "maxItems": MOST_CONDITIONS,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "type": {"type": "string", "maxLength": 64},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                "reason": {"type": "string", "minLength": 1, "maxLength": 64},
                "message": {"type": "string", "maxLength": LONGEST_MESSAGE},
                "lastTransitionTime": {"type": "string", "format": "date-time"},
                "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::CustomResourceExt as _;
    use serde_json::{Value, json};

    /// Every text and list of the schema has a limit: what a node writes cannot fill the store.
    #[test]
    fn d7_the_schema_has_limits() {
        fn check(path: &str, schema: &Value) {
            let has = |key: &str| schema.get(key).is_some();
            let is_free_text = schema["type"] == "string" && schema["format"] != "date-time";
            assert!(!is_free_text || has("maxLength") || has("enum"), "{path} has no maxLength");
            assert!(schema["type"] != "array" || has("maxItems"), "{path} has no maxItems");
            assert!(schema["type"].is_string(), "{path} has no type");
            for (name, part) in schema["properties"].as_object().into_iter().flatten() {
                check(&format!("{path}.{name}"), part);
            }
            if let Some(items) = schema.get("items") {
                check(&format!("{path}[]"), items);
            }
        }
        let crd = serde_json::to_value(NodeImageConfig::crd()).unwrap();
        let version = &crd["spec"]["versions"][0];
        let schema = &version["schema"]["openAPIV3Schema"]["properties"];
        check("spec", &schema["spec"]);
        check("status", &schema["status"]);
        assert_eq!(crd["spec"]["scope"], "Cluster");
        assert_eq!(version["subresources"]["status"], json!({}));
    }

    #[test]
    fn columns_are_those_that_people_asked_for() {
        let crd = serde_json::to_value(NodeImageConfig::crd()).unwrap();
        let columns = crd["spec"]["versions"][0]["additionalPrinterColumns"].as_array().unwrap();
        let names: Vec<_> = columns.iter().map(|column| column["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["Node", "Phase", "Applied", "Desired", "Runtime", "Age"]);
    }
}
