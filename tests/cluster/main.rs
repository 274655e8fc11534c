//! The agent and a real Kubernetes API server. `tests/run cluster` builds what is needed and runs it, as root.
//!
//! To run one test by hand, once that has been built:
//! `KUBERNETES=$(tests/peers/build-kubernetes) cargo test --test cluster NAME`
//!
//! How the harness is used:
//!
//! - [`cluster::Cluster::start`] gives the test an API server of its own (etcd and kube-apiserver on loopback, RBAC and
//!   admission as in a real cluster, but no controllers): about three seconds, 300 MB. It can be killed and started
//!   again, and etcd's history compacted.
//! - [`cluster::Cluster::admin`] is an [`api::Api`]: paths and JSON in, JSON out. `Cluster::api(&Credentials)` is the same
//!   for somebody else, and says how they were refused. `Api::client` is the `kube::Client` below it, for library code
//!   that is called directly, inside `Api::block_on`.
//! - [`cluster::Cluster::install`] applies the CRDs, the RBAC and the admission policy as the package has them.
//! - [`node::Node::join`] makes a Node that a thread keeps alive as a kubelet would: Lease, heartbeat, and pods that are
//!   deleted go. It can fall silent, or be not ready.
//! - [`cluster::Cluster::token`] is a token of the agent's service account that is bound to a pod of a node,
//!   [`cluster::Cluster::token_for`] one that lasts as long as the test says;
//!   [`cluster::Cluster::certificate`] makes any user with a client certificate.
//! - [`agent::Agent::start`] runs the real binary as a node's agent on a scratch root.
//! - [`machine::Machine::join`] makes a Node that really runs pods, on a cluster of [`cluster::Cluster::for_machines`].
//! - [`proxy::Proxy`] stands before the API server and cuts or freezes the connections through it.
//! - [`objects`] has the plain objects that tests need: pods, budgets, images.
//!
//! Everything ends with its test, in the order in which it is dropped; what is killed hard ends with the test's thread.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Tests that use the whole of the harness come with what they test.
#![allow(dead_code)]

mod access;
mod admission;
mod agent;
mod alerts;
mod api;
mod cluster;
mod daemonset;
mod engine;
#[path = "../runtime_support/mod.rs"]
mod fake;
mod harness;
#[path = "../systemd/host.rs"]
mod host;
mod howto;
#[path = "../pulls/image.rs"]
mod image;
mod kills;
mod machine;
mod manifests;
mod meanwhile;
mod node;
mod nodes;
mod objects;
#[path = "../docs/page.rs"]
mod page;
mod pause;
#[path = "../systemd/peer.rs"]
mod peer;
mod process;
mod proxy;
mod release;
mod report;
mod rights;
mod rollout;
mod rollout_command;
mod slots;
mod source;
mod steps;
#[path = "../support/agent.rs"]
mod support;
mod terminal;
mod uninstall;
