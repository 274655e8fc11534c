//! An agent that follows an endpoint.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::agent::Host;
use crate::server::{Server, answer};
use crate::serving::{Serving, blocking};

pub struct World {
    pub server: Server,
    pub serving: Serving,
}

/// Settings that make the agent ask often and wait shortly.
pub const QUICK: [&str; 8] = [
    "--set",
    "endpoint.poll_seconds=1",
    "--set",
    "endpoint.timeout_seconds=5",
    "--set",
    "source.order=endpoint",
    "--set",
    "endpoint.wait_seconds=1",
];

/// Settings on a command line.
pub fn set(settings: &[String]) -> Vec<String> {
    let plain = QUICK.iter().map(|part| (*part).to_owned());
    plain.chain(settings.iter().flat_map(|one| ["--set".to_owned(), one.clone()])).collect()
}

pub fn serve(host: Host, settings: &[String]) -> Serving {
    let arguments = set(settings);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Serving::on(host, &arguments)
}

impl Serving {
    /// Until the files block this registry. A host without any policy refuses everything, so
    /// another registry must be allowed.
    #[track_caller]
    pub fn blocks(&self, registry: &str) {
        let is_so = || {
            self.host.verdict(&format!("{registry}/x:1")) == "rejected"
                && self.host.verdict("other.example/x:1") == "allowed"
        };
        self.until(&format!("{registry} blocked"), is_so);
    }

    /// The host's own files.
    pub fn files(&self) -> BTreeMap<PathBuf, String> {
        let run = self.host.at("/run");
        let mut files = self.host.own_files();
        files.retain(|path, _| !path.starts_with(&run));
        files
    }
}

impl World {
    /// A server without TLS that gives documents, of an agent that has applied them.
    pub fn new() -> Self {
        Self::with(Server::plain(), &[])
    }

    pub fn with(server: Server, settings: &[String]) -> Self {
        server.says(answer("", blocking("a.io").to_string()));
        let mut all = vec![format!("endpoint.url={}", server.url("/bundle"))];
        all.extend((!server.is_tls).then(|| "endpoint.allow_http=true".to_owned()));
        all.extend_from_slice(settings);
        let serving = serve(Host::new(), &all);
        let world = Self { server, serving };
        world.serving.blocks("a.io");
        world.serving.until_condition("SourceReady", "True", "AsExpected");
        world.serving.converges();
        world
    }

    /// What the status says of the endpoint.
    pub fn source(&self) -> Value {
        self.serving.status()["sources"][0].clone()
    }

    /// The endpoint gives nothing for this reason: the host stays as it is, and the status says so.
    /// What it offers at present is refused, or there is nothing.
    #[track_caller]
    pub fn is_left_alone(&self, reason: &str, is_refusal: bool) {
        self.serving.until_condition("SourceReady", "False", reason);
        let reached = if is_refusal { ("False", reason) } else { ("True", "AsExpected") };
        let reached = (reached.0.to_owned(), reached.1.to_owned());
        assert_eq!(self.serving.condition("Applied"), reached);
        assert_eq!(self.serving.condition("Valid"), reached);
        assert_eq!(self.serving.host.verdict("a.io/x:1"), "rejected");
        let source = self.source();
        assert_eq!(source["trouble"]["reason"], reason, "{source}");
        assert!(source["trouble"]["retry"].is_string(), "{source}");
        assert_eq!(source["used"], true, "{source}");
        let status = self.serving.ask("status");
        assert_eq!(status.code, if is_refusal { 2 } else { 0 }, "{}", status.out);
        assert!(status.out.contains(reason), "{}", status.out);
    }

    /// It gives something new, and all is well again.
    #[track_caller]
    pub fn recovers(&self) {
        self.server.says(answer("", blocking("b.io").to_string()));
        self.serving.blocks("b.io");
        self.serving.until_verdict("a.io/x:1", "allowed");
        self.serving.until_condition("SourceReady", "True", "AsExpected");
        self.serving.converges();
        assert_eq!(self.source()["trouble"], Value::Null);
    }
}
