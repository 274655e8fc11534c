//! Metrics and probes, where the settings ask for them (rule H11).

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use image_config_agent::report::metrics::FAMILIES;
use nix::sys::signal::Signal;

use crate::agent::{Host, POLICY};
use crate::serving::{SOON, Serving, blocking, serving};

const SETTINGS: &str = "/etc/image-config-agent/config.d/10.toml";
const SOCKET: &str = "/run/image-config-agent/metrics.sock";

/// An agent that serves at its unix socket.
fn at_socket() -> Serving {
    let host = Host::with(&[blocking("a.io")]);
    let serving = Serving::on(host, &["--set", &format!("metrics.listen=unix:{SOCKET}")]);
    serving.converges();
    serving
}

/// What a server answers to these bytes.
fn exchange(mut stream: impl std::io::Read + std::io::Write, request: &str) -> String {
    // It may refuse before it has read all.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}

impl Serving {
    fn asks(&self, request: &str) -> String {
        exchange(UnixStream::connect(self.host.at(SOCKET)).unwrap(), request)
    }

    /// The value of a series.
    fn metric(&self, series: &str) -> Option<f64> {
        let page = self.asks(&get("/metrics"));
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map(|value| value.parse().unwrap())
    }
}

#[test]
fn h11_metrics_say_what_the_status_says_and_what_happened() {
    let serving = at_socket();
    let metric = |series: &str| serving.metric(&format!("image_config_agent_{series}"));
    assert_eq!(metric(r#"condition{type="Applied",status="True"}"#), Some(1.0));
    assert_eq!(metric(r#"condition{type="Applied",status="False"}"#), Some(0.0));
    assert_eq!(metric(r#"changes_total{kind="apply",ending="done"}"#), Some(1.0));
    assert_eq!(metric(r#"changes_total{kind="apply",ending="rolled_back"}"#), Some(0.0));
    let digest = serving.status()["applied"]["configuration"].as_str().unwrap().to_owned();
    for which in ["observed", "applied"] {
        let series = format!(r#"configuration_info{{which="{which}",digest="{digest}"}}"#);
        assert_eq!(metric(&series), Some(1.0));
    }
    assert_eq!(metric("healed_files_total"), Some(0.0));
    serving.host.write(POLICY, "{}");
    serving.until("a heal", || metric("healed_files_total") == Some(1.0));
    assert_eq!(metric(r#"findings{severity="error"}"#), Some(0.0));
    serving.host.document("000.json", "{");
    serving.until("the error", || metric(r#"findings{severity="error"}"#) == Some(1.0));
    serving.until("a word", || metric(r#"condition{type="Valid",status="False"}"#) == Some(1.0));
}

#[test]
fn h11_the_page_is_what_its_document_says() {
    let serving = at_socket();
    let page = serving.asks(&get("/metrics"));
    assert!(page.contains("content-type: application/openmetrics-text; version=1.0.0"), "{page}");
    assert!(page.ends_with("# EOF\n"), "{page}");
    let series = page.lines().filter(|line| line.starts_with("image_config_agent_"));
    let shown: BTreeSet<String> =
        series.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect();
    let known: BTreeSet<String> = FAMILIES.iter().map(|family| family.full_name()).collect();
    assert_eq!(shown, known);
    let document = fs::read_to_string("docs/metrics.md").unwrap();
    for family in FAMILIES {
        let labels: Vec<String> = family.labels.iter().map(|name| format!("`{name}`")).collect();
        let row = format!(
            "| `{}` | {} | {} | {} |",
            family.full_name(),
            family.kind(),
            labels.join(", "),
            family.about
        );
        assert!(document.contains(&row), "{row}");
    }
    let rows = document.lines().filter(|line| line.starts_with("| `image_config_agent_")).count();
    assert_eq!(rows, FAMILIES.len());
}

#[test]
fn h11_nothing_is_served_unless_the_settings_say_where() {
    let serving = serving();
    let run = fs::read_dir(serving.host.at("/run/image-config-agent")).unwrap();
    let names: BTreeSet<_> = run.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["control.sock".into(), "status.json".into()].into());
    let process = format!("/proc/{}", serving.pid());
    let open: Vec<String> = fs::read_dir(format!("{process}/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .map(|link| link.display().to_string())
        .collect();
    for table in ["tcp", "tcp6"] {
        let sockets = fs::read_to_string(format!("{process}/net/{table}")).unwrap();
        for line in sockets.lines().skip(1) {
            let inode = format!("socket:[{}]", line.split_whitespace().nth(9).unwrap());
            assert!(!open.contains(&inode), "{line}");
        }
    }
}

#[test]
fn h11_a_probe_wakes_a_loop_that_sleeps_and_finds_it_alive() {
    let serving = at_socket();
    let ok = |path: &str| {
        let start = Instant::now();
        let answer = serving.asks(&get(path));
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(start.elapsed() < Duration::from_secs(5));
    };
    ok("/readyz");
    ok("/healthz");
    // Longer than a beat counts as fresh.
    std::thread::sleep(Duration::from_secs(16));
    ok("/healthz");
}

#[test]
fn h11_sighup_moves_what_is_served_and_a_taken_address_is_a_warning() {
    let serving = Serving::on(Host::with(&[blocking("a.io")]), &[]);
    serving.converges();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let listen = |at: &str| {
        serving.host.write(SETTINGS, format!("metrics.listen = \"{at}\"\n"));
        serving.signal(Signal::SIGHUP);
    };
    listen(&address.to_string());
    serving.until("a warning", || serving.ask("status").out.contains("MetricsUnavailable"));
    // The host is as the documents mean it all the same.
    serving.ask("status").exits(0);
    drop(taken);
    serving.signal(Signal::SIGHUP);
    let is_served = || TcpStream::connect(address).is_ok();
    serving.until("the address", is_served);
    assert!(exchange(TcpStream::connect(address).unwrap(), &get("/readyz")).contains("200 OK"));
    assert!(!serving.ask("status").out.contains("MetricsUnavailable"));
    listen(&format!("unix:{SOCKET}"));
    serving.until("the socket", || serving.host.exists(SOCKET));
    serving.until("the end of the other", || !is_served());
    assert!(serving.asks(&get("/healthz")).contains("200 OK"));
    listen("off");
    serving.until("an end", || UnixStream::connect(serving.host.at(SOCKET)).is_err());
}

#[test]
fn h11_whoever_asks_for_more_than_a_page_is_refused() {
    let serving = at_socket();
    assert!(serving.asks(&get("/")).starts_with("HTTP/1.1 404 "));
    let post = "POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}";
    let refused = serving.asks(post);
    assert!(refused.starts_with("HTTP/1.1 405 ") && refused.contains("allow: GET"), "{refused}");
    let long = format!("GET /metrics HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(100_000));
    assert!(serving.asks(&long).starts_with("HTTP/1.1 431 "));
    let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(100));
    assert!(serving.asks(&many).starts_with("HTTP/1.1 431 "));
    // One request a connection.
    assert_eq!(serving.asks(&get("/readyz").repeat(2)).matches("HTTP/1.1").count(), 1);
}

/// As many clients as there is room for say nothing: whoever comes after them waits until they are shown out.
#[test]
fn h11_clients_that_say_nothing_do_not_stay() {
    let serving = at_socket();
    let start = Instant::now();
    let silent: Vec<UnixStream> =
        (0..40).map(|_| UnixStream::connect(serving.host.at(SOCKET)).unwrap()).collect();
    assert!(serving.asks(&get("/readyz")).contains("200 OK"));
    assert!(start.elapsed() > Duration::from_secs(3), "there was room for 40");
    assert!(start.elapsed() < SOON);
    for mut one in silent {
        let mut said = Vec::new();
        one.read_to_end(&mut said).unwrap();
    }
    serving.converges();
}

#[test]
fn h11_a_socket_that_somebody_removes_is_made_again() {
    let serving = at_socket();
    let made_again = || UnixStream::connect(serving.host.at(SOCKET)).is_ok();
    fs::remove_file(serving.host.at(SOCKET)).unwrap();
    serving.signal(Signal::SIGUSR1);
    serving.until("the socket", made_again);
    assert!(serving.asks(&get("/healthz")).contains("200 OK"));
    assert!(!serving.ask("status").out.contains("MetricsUnavailable"));
    // What stands in its way is said.
    fs::remove_dir_all(serving.host.at("/run/image-config-agent")).unwrap();
    serving.host.write(SOCKET, "a file");
    serving.signal(Signal::SIGUSR1);
    serving.until("a word of it", || serving.ask("status").out.contains("MetricsUnavailable"));
    fs::remove_file(serving.host.at(SOCKET)).unwrap();
    serving.signal(Signal::SIGUSR1);
    serving.until("the socket", made_again);
    assert!(!serving.ask("status").out.contains("MetricsUnavailable"));
}

/// Another's socket is another's.
#[test]
fn h11_a_socket_on_which_somebody_listens_is_left_alone() {
    let host = Host::with(&[blocking("a.io")]);
    fs::create_dir_all(host.at("/run/other")).unwrap();
    let other = std::os::unix::net::UnixListener::bind(host.at("/run/other/x.sock")).unwrap();
    let serving = Serving::on(host, &["--set", "metrics.listen=unix:/run/other/x.sock"]);
    serving.until("a word of it", || serving.ask("status").out.contains("somebody listens there"));
    UnixStream::connect(serving.host.at("/run/other/x.sock")).unwrap();
    other.accept().unwrap();
}
