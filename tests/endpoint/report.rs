//! The status, sent to a URL.

use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::agent::Host;
use crate::server::{Request, Server, status};
use crate::serving::{Serving, blocking};

fn reporting(server: &Server, more: &[&str]) -> Serving {
    let url = format!("report.url={}", server.url("/reports/{node}.json"));
    let settings = [&url, "report.allow_http=true", "report.timeout_seconds=2", "kube.node=n1"];
    let all = settings.into_iter().chain(more.iter().copied());
    let arguments: Vec<&str> = all.flat_map(|setting| ["--set", setting]).collect();
    Serving::on(Host::with(&[blocking("a.io")]), &arguments)
}

fn last(server: &Server) -> Option<(Request, Value)> {
    let request = server.requests().pop()?;
    let status = serde_json::from_slice(&request.body).unwrap();
    Some((request, status))
}

#[test]
fn h13_what_is_newest_is_sent_after_each_change_and_now_and_then() {
    let server = Server::plain();
    server.says(status("204 No Content", ""));
    let serving = reporting(&server, &["report.heartbeat_seconds=2"]);
    serving.converges();
    let says = |registry: &str| {
        let is_so = |(_, status): (Request, Value)| status == serving.status();
        serving.until(registry, || last(&server).is_some_and(is_so));
    };
    says("a.io");
    let (request, _) = last(&server).unwrap();
    assert_eq!((request.method.as_str(), request.path.as_str()), ("PUT", "/reports/n1.json"));
    serving.host.documents(&[blocking("b.io")]);
    serving.blocks("b.io");
    serving.converges();
    says("b.io");
    let sent = server.requests().len();
    serving.until("a heartbeat", || server.requests().len() > sent);
    assert_eq!(last(&server).unwrap().1, serving.status());
}

#[test]
fn h13_a_server_that_hangs_or_fails_delays_nothing_and_gets_the_newest_later() {
    let server = Server::plain();
    server.does(|_, _| {
        thread::sleep(Duration::from_secs(30));
        Ok(())
    });
    let serving = reporting(&server, &["report.method=POST"]);
    serving.converges();
    serving.host.documents(&[blocking("b.io")]);
    serving.blocks("b.io");
    serving.converges();
    server.does(|_, out| out.write_all(&status("500 Internal Server Error", "")));
    server.forget();
    serving.until("another try", || !server.requests().is_empty());
    server.does(|_, out| out.write_all(&status("201 Created", "")));
    serving.until("the newest", || {
        last(&server)
            .is_some_and(|(request, status)| request.method == "POST" && status == serving.status())
    });
}
