//! The status, sent to a URL.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::agent::Host;
use crate::server::{Request, Server, closed_port, status};
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
    assert_eq!(last(&server).unwrap().1["host"], "n1");
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

#[test]
fn h13_what_keeps_reports_from_their_url_is_in_the_status_and_delays_nothing() {
    let (server, page) = (Server::plain(), closed_port());
    server.says(status("500 Internal Server Error", ""));
    let listen = format!("metrics.listen=127.0.0.1:{page}");
    let url = format!("report.url={}", server.url("/{node}?key=secret"));
    let serving = reporting(&server, &[&url, &listen]);
    let trouble = || serving.status()["report"]["trouble"].clone();
    serving.converges();
    serving.until("the trouble", || trouble()["reason"] == "ServerFailing");
    let since = trouble()["since"].clone();
    assert!(since.is_string() && trouble()["retry"].is_string(), "{}", trouble());
    let said = serving.ask("status");
    assert_eq!(said.code, 0, "{}", said.out);
    assert!(said.out.contains("is told nothing since") && said.out.contains("[ServerFailing]"));
    assert!(!(said.out + &serving.status().to_string()).contains("secret"));
    assert!(metrics(page).contains("image_config_agent_report_failing{to=\"url\"} 1"));
    // Another reason, and still the same trouble. What is to be applied is applied.
    server.says(status("403 Forbidden", ""));
    serving.host.documents(&[blocking("b.io")]);
    serving.blocks("b.io");
    serving.converges();
    serving.until("the other reason", || trouble()["reason"] == "AccessRefused");
    assert_eq!(trouble()["since"], since);
    server.says(status("204 No Content", ""));
    serving.until("no trouble", || trouble().is_null());
    let is_so = |(_, status): (Request, Value)| status == serving.status();
    serving.until("the newest", || last(&server).is_some_and(is_so));
    assert!(metrics(page).contains("image_config_agent_report_failing{to=\"url\"} 0"));
}

/// A report that waits for its next try is sent at a stop; one try more is made, and no more.
#[test]
fn h13_a_stop_waits_for_no_next_try_and_says_the_last_word() {
    for is_well in [true, false] {
        let server = Server::plain();
        server.says(status("500 Internal Server Error", ""));
        let mut serving = reporting(&server, &[]);
        serving.converges();
        // After it comes a wait of eight seconds and more.
        serving.until("three tries", || server.requests().len() >= 3);
        let retry = || {
            let retry = serving.status()["report"]["trouble"]["retry"].clone();
            retry.as_str().and_then(|retry| retry.parse::<jiff::Timestamp>().ok())
        };
        let now = jiff::Timestamp::now();
        serving.until("a long wait", || {
            retry().is_some_and(|at| at.duration_since(now).as_secs() > 6)
        });
        if is_well {
            server.says(status("204 No Content", ""));
        }
        server.forget();
        let start = Instant::now();
        serving.stop();
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        assert_eq!(server.requests().len(), 1);
        assert_eq!(last(&server).unwrap().1, serving.status());
    }
}

#[test]
fn h13_a_report_server_that_is_not_there_is_said() {
    let url = format!("report.url=http://localhost:{}/x", closed_port());
    let serving = reporting(&Server::plain(), &[&url]);
    serving.converges();
    serving.until("the trouble", || {
        serving.status()["report"]["trouble"]["reason"] == "ServerUnreachable"
    });
    assert_eq!(serving.ask("status").code, 0);
}

/// The page of metrics at a port.
fn metrics(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}
