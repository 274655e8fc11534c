//! Several sources (rule E1).

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::agent::{Host, image};
use crate::server::{Server, answer, closed_port};
use crate::serving::{Serving, blocking};
use crate::world::serve;

/// A host whose files block `f.io`, with an endpoint that outranks them.
fn both(url: String, more: &[&str]) -> Serving {
    let host = Host::with(&[blocking("f.io")]);
    let mut settings = vec![
        format!("endpoint.url={url}"),
        "endpoint.allow_http=true".into(),
        "source.order=endpoint,files".into(),
    ];
    settings.extend(more.iter().map(|one| (*one).to_owned()));
    serve(host, &settings)
}

fn used(serving: &Serving) -> String {
    let sources = serving.status()["sources"].as_array().cloned().unwrap_or_default();
    let used: Vec<_> = sources.iter().filter(|source| source["used"] == true).collect();
    assert_eq!(used.len(), 1);
    used[0]["name"].as_str().unwrap().to_owned()
}

#[test]
fn e1_files_serve_until_the_endpoint_has_given_something() {
    let serving = both(format!("http://localhost:{}/x", closed_port()), &[]);
    serving.blocks("f.io");
    assert_eq!(used(&serving), "files");
    serving.until_condition("SourceReady", "False", "ServerUnreachable");
    serving.until_condition("Applied", "True", "AsExpected");
    let out = serving.ask("status").out;
    assert!(out.contains("endpoint: http://localhost") && out.contains("(not used)"), "{out}");
}

#[test]
fn e1_what_the_endpoint_gave_last_outranks_files_over_restarts() {
    let server = Server::plain();
    server.says(answer("", blocking("a.io").to_string()));
    let mut serving = both(server.url("/x"), &[]);
    serving.blocks("a.io");
    serving.until_verdict("f.io/x:1", "allowed");
    // The endpoint is gone, and the agent starts anew.
    let url = format!("endpoint.url=http://localhost:{}/x", closed_port());
    let arguments = crate::world::set(&[
        url,
        "endpoint.allow_http=true".into(),
        "source.order=endpoint,files".into(),
    ]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    serving.restart_with(&arguments);
    serving.is_there();
    serving.until_condition("SourceReady", "False", "ServerUnreachable");
    serving.host.documents(&[blocking("g.io")]);
    serving.ask("apply");
    assert_eq!(used(&serving), "endpoint");
    assert_eq!(serving.host.verdict("a.io/x:1"), "rejected");
    assert_eq!(serving.host.verdict("g.io/x:1"), "allowed");
    serving.until_condition("Applied", "True", "AsExpected");
}

#[test]
fn e1_after_fallback_after_files_serve_until_it_is_back() {
    let server = Server::plain();
    server.says(answer("", blocking("a.io").to_string()));
    let serving = both(server.url("/x"), &["source.fallback_after_seconds=5"]);
    serving.blocks("a.io");
    server.does(|_, _| Ok(()));
    serving.blocks("f.io");
    assert_eq!(used(&serving), "files");
    server.says(answer("", image(json!({})).to_string()));
    serving.until_verdict("f.io/x:1", "allowed");
    assert_eq!(used(&serving), "endpoint");
    serving.converges();
}

#[test]
fn e1_a_restart_does_not_count_anew_how_long_the_endpoint_fails() {
    let server = Server::plain();
    server.says(answer("", blocking("a.io").to_string()));
    let more = ["source.fallback_after_seconds=24"];
    let mut serving = both(server.url("/x"), &more);
    serving.blocks("a.io");
    server.does(|_, _| Ok(()));
    serving.until_condition("SourceReady", "False", "AnswerCutOff");
    let start = Instant::now();
    thread::sleep(Duration::from_secs(14));
    assert_eq!(used(&serving), "endpoint");
    let mut settings = vec![format!("endpoint.url={}", server.url("/x"))];
    settings.extend(
        ["endpoint.allow_http=true", "source.order=endpoint,files", more[0]].map(String::from),
    );
    let arguments = crate::world::set(&settings);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    serving.restart_with(&arguments);
    let restarted = Instant::now();
    serving.blocks("f.io");
    assert!(start.elapsed() >= Duration::from_secs(22), "{:?}", start.elapsed());
    assert!(restarted.elapsed() < Duration::from_secs(20), "{:?}", restarted.elapsed());
    assert_eq!(used(&serving), "files");
}

/// Whatever was noted before: it may be well by now.
#[test]
fn e1_the_first_answer_after_a_restart_is_waited_for_although_the_endpoint_failed_long() {
    let server = Server::plain();
    server.says(answer("", blocking("a.io").to_string()));
    let more = ["source.fallback_after_seconds=4"];
    let mut serving = both(server.url("/x"), &more);
    serving.blocks("a.io");
    let noted = json!({"format": 1, "since": "2020-01-01T00:00:00Z"}).to_string();
    serving.host.write("/var/lib/image-config-agent/sources/endpoint.silence.json", &noted);
    server.does(|_, out| {
        thread::sleep(Duration::from_secs(3));
        out.write_all(&answer("", blocking("b.io").to_string()))
    });
    let mut settings = vec![format!("endpoint.url={}", server.url("/x"))];
    settings.extend(
        ["endpoint.allow_http=true", "source.order=endpoint,files", more[0]].map(String::from),
    );
    let arguments = crate::world::set(&settings);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    serving.restart_with(&arguments);
    serving.is_there();
    while serving.host.verdict("b.io/x:1") != "rejected" {
        assert_eq!(used(&serving), "endpoint");
        assert_eq!(serving.host.verdict("f.io/x:1"), "allowed");
    }
    // One that still gives nothing is given up as soon as that is known.
    serving.host.write("/var/lib/image-config-agent/sources/endpoint.silence.json", &noted);
    server.does(|_, _| Ok(()));
    serving.restart_with(&arguments);
    serving.blocks("f.io");
}

#[test]
fn e1_files_above_an_endpoint_are_kept_to_although_they_go() {
    let server = Server::plain();
    server.says(answer("", blocking("a.io").to_string()));
    let serving = both(server.url("/x"), &["source.order=files,endpoint"]);
    serving.blocks("f.io");
    std::fs::remove_dir_all(serving.host.docs()).unwrap();
    serving.until_condition("Valid", "False", "UnreadableSource");
    assert_eq!(used(&serving), "files");
    assert_eq!(serving.host.verdict("f.io/x:1"), "rejected");
    assert_eq!(serving.host.verdict("a.io/x:1"), "allowed");
}

#[test]
fn d5_a_damaged_store_is_no_absence() {
    let server = Server::plain();
    server.says(answer("", blocking("a.io").to_string()));
    let mut serving = both(server.url("/x"), &[]);
    serving.blocks("a.io");
    let url = format!("endpoint.url={}", server.url("/x"));
    serving.host.write("/var/lib/image-config-agent/sources/endpoint.json", "{");
    let arguments = crate::world::set(&[
        url,
        "endpoint.allow_http=true".into(),
        "source.order=endpoint,files".into(),
    ]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    serving.restart_with(&arguments);
    serving.is_there();
    serving.until_condition("Degraded", "True", "Failed");
    let said = serving.ask("status").out;
    assert!(said.contains("`image-config-agent source reset endpoint`"), "{said}");
    assert_eq!(serving.host.verdict("f.io/x:1"), "allowed");
    serving.host.run(&["source", "reset", "endpoint"]).exits(0);
    serving.converges();
    assert_eq!(serving.host.verdict("a.io/x:1"), "rejected");
}

/// As of an endpoint, so of a cluster, which is away here.
#[test]
fn d5_a_damaged_store_of_a_cluster_is_forgotten_by_a_reset() {
    let host = Host::with(&[blocking("f.io")]);
    let file = "/var/lib/image-config-agent/sources/kube.json";
    host.write(file, "{");
    let arguments = ["source.order=kube,files", "kube.kubeconfig=/nowhere", "kube.node=n1"];
    let arguments: Vec<&str> = arguments.into_iter().flat_map(|one| ["--set", one]).collect();
    let serving = Serving::on(host, &arguments);
    serving.until_condition("Degraded", "True", "Failed");
    let said = serving.ask("status").out;
    assert!(said.contains("`image-config-agent source reset kube`"), "{said}");
    assert!(!serving.host.exists("/etc/containers/policy.json"));
    let run = serving.host.run(&["source", "reset", "kube"]).exits(0);
    assert!(run.out.contains("kube"), "{}", run.out);
    assert!(!serving.host.exists(file));
    // What becomes of the files is not for an agent to do that cannot ask for its slot.
    serving.until_condition("Valid", "True", "AsExpected");
    assert_eq!(used(&serving), "files");
}

/// Whoever sets a URL and no order would wonder.
#[test]
fn e1_a_url_that_no_order_names_is_a_warning() {
    let url = format!("endpoint.url=http://localhost:{}/x", closed_port());
    let arguments = ["--set", "endpoint.allow_http=true", "--set", &url];
    let serving = Serving::on(Host::with(&[blocking("f.io")]), &arguments);
    serving.blocks("f.io");
    let said = serving.ask("status").exits(0).out;
    assert!(said.contains("EndpointNotAsked") && said.contains("source.order"), "{said}");
    let asked = both(format!("http://localhost:{}/x", closed_port()), &[]);
    asked.blocks("f.io");
    assert!(!asked.ask("status").out.contains("EndpointNotAsked"));
}
