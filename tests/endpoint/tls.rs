//! Who is trusted, and who we are.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;

use crate::agent::Host;
use crate::certificates::Ca;
use crate::server::{Request, Server, answer, status};
use crate::serving::{Serving, blocking};
use crate::world::{World, serve, set};

/// A host, and a file of it beside its documents: what the agent reads as itself.
fn file(host: &Host, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = host.root().parent().unwrap().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// An agent that trusts `ca`, and a server.
fn asking(server: &Server, ca: &Ca) -> Serving {
    let host = Host::new();
    let path = file(&host, "ca.crt", ca.pem());
    server.says(answer("", blocking("a.io").to_string()));
    let url = format!("endpoint.url={}", server.url("/bundle"));
    serve(host, &[url, format!("endpoint.ca={}", path.display())])
}

#[test]
fn d5_a_server_is_trusted_by_its_ca_alone() {
    let ca = Ca::new();
    let server = Server::tls(&ca.signs(false));
    asking(&server, &ca).blocks("a.io");
    let serving = asking(&server, &Ca::new());
    serving.until_condition("SourceReady", "False", "TlsFailed");
    serving.until_condition("Valid", "False", "TlsFailed");
    assert!(!serving.host.exists("/etc"));
    let said = serving.ask("status").out;
    assert!(said.contains("invalid peer certificate"), "{said}");
}

#[test]
fn d5_an_expired_certificate_is_refused() {
    let ca = Ca::new();
    let serving = asking(&Server::tls(&ca.signs(true)), &ca);
    serving.until_condition("SourceReady", "False", "TlsFailed");
    assert!(!serving.host.exists("/etc"));
    let said = serving.ask("status").out.to_lowercase();
    assert!(said.contains("expired"), "{said}");
}

#[test]
fn d5_no_redirect_from_https_to_http() {
    let ca = Ca::new();
    let (safe, plain) = (Server::tls(&ca.signs(false)), Server::plain());
    plain.says(answer("", blocking("evil.io").to_string()));
    let serving = asking(&safe, &ca);
    serving.blocks("a.io");
    safe.says(status("302 Found", &format!("Location: {}\r\n", plain.url("/bundle"))));
    serving.until_condition("SourceReady", "False", "RedirectRefused");
    assert!(plain.requests().is_empty());
    assert_eq!(serving.host.verdict("evil.io/x:1"), "allowed");
}

#[test]
fn d5_plain_http_is_refused_unless_it_is_asked_for() {
    let host = Host::new();
    let url = "endpoint.url=http://localhost/x";
    let run = host.run(&["run", "--set", "source.order=endpoint", "--set", url]).exits(64);
    assert!(run.err.contains("allow_http"), "{}", run.err);
}

#[test]
fn d5_a_token_that_is_rotated_is_shown_at_once_and_never_said() {
    let host = Host::new();
    let token = file(&host, "token", "first-secret\n");
    let server = Server::plain();
    server.does(|request, out| match request.header("authorization") {
        Some("Bearer first-secret") => out.write_all(&answer("", blocking("a.io").to_string())),
        Some("Bearer second-secret") => out.write_all(&answer("", blocking("b.io").to_string())),
        _ => out.write_all(&status("401 Unauthorized", "")),
    });
    let settings = [
        format!("endpoint.url={}", server.url("/bundle?key=query-secret")),
        "endpoint.allow_http=true".into(),
        format!("endpoint.token_file={}", token.display()),
    ];
    let serving = serve(host, &settings);
    serving.blocks("a.io");
    fs::write(&token, "third-secret").unwrap();
    serving.until_condition("SourceReady", "False", "AccessRefused");
    let said = serving.status().to_string() + &serving.ask("status").out;
    assert!(!said.contains("secret"), "{said}");
    fs::write(&token, "second-secret").unwrap();
    serving.blocks("b.io");
    fs::remove_file(&token).unwrap();
    serving.until_condition("SourceReady", "False", "CredentialsUnusable");
}

#[test]
fn d5_a_login_does_not_follow_to_another_host() {
    let host = Host::new();
    let password = file(&host, "password", "secret");
    let (first, other) = (Server::plain(), Server::plain());
    let there = format!("Location: http://127.0.0.1:{}/bundle\r\n", other.port);
    first.says(status("302 Found", &there));
    other.says(answer("", blocking("a.io").to_string()));
    let settings = [
        format!("endpoint.url={}", first.url("/bundle")),
        "endpoint.allow_http=true".into(),
        "endpoint.user=me".into(),
        format!("endpoint.password_file={}", password.display()),
    ];
    let serving = serve(host, &settings);
    serving.blocks("a.io");
    // me:secret
    assert_eq!(first.requests()[0].header("authorization"), Some("Basic bWU6c2VjcmV0"));
    assert_eq!(other.requests()[0].header("authorization"), None);
}

#[test]
fn d5_a_unix_socket_serves_in_place_of_the_network() {
    let host = Host::new();
    let socket = host.root().parent().unwrap().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(&answer("", blocking("a.io").to_string()));
        }
    });
    let settings =
        ["endpoint.url=http://bundles/x".into(), format!("endpoint.socket={}", socket.display())];
    serve(host, &settings).blocks("a.io");
}

/// The server behind another socket is another one, whatever the URL says.
#[test]
fn e1_another_socket_is_not_told_what_the_first_one_gave() {
    let host = Host::new();
    let through = |name: &str, registry: &str| {
        let socket = host.root().parent().unwrap().join(name);
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let body = blocking(registry).to_string();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut head = [0; 4096];
                let length = stream.read(&mut head).unwrap_or_default();
                let head = String::from_utf8_lossy(&head[..length]).to_lowercase();
                let _ = match head.contains("if-none-match: \"1\"") {
                    true => stream.write_all(&status("304 Not Modified", "")),
                    false => stream.write_all(&answer("ETag: \"1\"\r\n", &body)),
                };
            }
        });
        set(&[
            "endpoint.url=http://bundles/x".into(),
            format!("endpoint.socket={}", socket.display()),
        ])
    };
    let (first, second) = (through("first", "a.io"), through("second", "b.io"));
    let [first, second] = [&first, &second].map(|all| all.iter().map(String::as_str).collect());
    let (first, second): (Vec<_>, Vec<_>) = (first, second);
    let mut serving = Serving::on(host, &first);
    serving.blocks("a.io");
    serving.restart_with(&second);
    serving.blocks("b.io");
}

#[test]
fn d5_the_proxy_of_the_environment_is_used() {
    let ca = Ca::new();
    let server = Server::tls(&ca.signs(false));
    server.says(answer("", blocking("a.io").to_string()));
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let port = server.port;
    thread::spawn(move || proxy.incoming().flatten().for_each(|stream| tunnel(stream, port)));
    let host = Host::new();
    let ca = file(&host, "ca.crt", ca.pem());
    // A port at which only the proxy finds something.
    let settings = set(&[
        "endpoint.url=https://localhost:1/bundle".into(),
        format!("endpoint.ca={}", ca.display()),
    ]);
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let serving = Serving::with_environment(host, &settings, &[("HTTPS_PROXY", &address)]);
    serving.blocks("a.io");
}

/// Takes a CONNECT to anywhere to this port.
fn tunnel(mut stream: TcpStream, port: u16) {
    thread::spawn(move || -> io::Result<()> {
        let mut head = [0; 4096];
        let length = stream.read(&mut head)?;
        assert!(head[..length].starts_with(b"CONNECT localhost:1 "));
        let mut server = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        let (mut from, mut to) = (stream.try_clone()?, server.try_clone()?);
        thread::spawn(move || io::copy(&mut from, &mut to));
        io::copy(&mut server, &mut stream)?;
        Ok(())
    });
}

#[test]
fn h13_a_source_goes_on_as_it_is_when_other_settings_change() {
    let world = World::new();
    world.serving.host.write("/etc/image-config-agent/config.d/10.toml", "drift = 'report'\n");
    world.serving.signal(nix::sys::signal::Signal::SIGHUP);
    world.recovers();
}

#[test]
fn e1_another_url_after_sighup_is_asked_and_not_told_what_the_first_one_gave() {
    let (first, second) = (Server::plain(), Server::plain());
    let tagged = |registry: &str, etag: &'static str| {
        let body = blocking(registry).to_string();
        move |request: &Request, out: &mut dyn io::Write| match request.header("if-none-match") {
            Some(known) if known == etag => out.write_all(&status("304 Not Modified", "")),
            _ => out.write_all(&answer(&format!("ETag: {etag}\r\n"), &body)),
        }
    };
    first.does(tagged("a.io", "\"1\""));
    // What the first one gave is in force until the second gives something.
    second.says(status("503 Service Unavailable", ""));
    let host = Host::new();
    let names = |host: &Host, server: &Server| {
        let url =
            format!("endpoint.url = {:?}\nendpoint.allow_http = true\n", server.url("/bundle"));
        host.write("/etc/image-config-agent/config.d/10.toml", url);
    };
    names(&host, &first);
    let serving = serve(host, &[]);
    serving.blocks("a.io");
    let knows = |server: &Server, etag: &str| {
        let asked = server.requests();
        asked.iter().any(|request| request.header("if-none-match") == Some(etag))
    };
    serving.until("a request with an ETag", || knows(&first, "\"1\""));
    names(&serving.host, &second);
    serving.signal(nix::sys::signal::Signal::SIGHUP);
    serving.until_condition("SourceReady", "False", "ServerFailing");
    assert_eq!(serving.host.verdict("a.io/x:1"), "rejected");
    assert!(
        serving.status()["sources"][0]["origin"].as_str().unwrap().contains(&second.url("/bundle"))
    );
    first.forget();
    second.does(tagged("b.io", "\"2\""));
    serving.blocks("b.io");
    serving.until_verdict("a.io/x:1", "allowed");
    serving.until("a request with its own ETag", || knows(&second, "\"2\""));
    serving.until_condition("SourceReady", "True", "AsExpected");
    assert!(!knows(&second, "\"1\""));
    assert!(first.requests().is_empty(), "{:?}", first.requests());
}

#[test]
fn d5_a_ca_that_is_rotated_while_the_agent_runs_is_the_one_that_counts() {
    let (old, new) = (Ca::new(), Ca::new());
    let server = Server::tls(&old.signs(false));
    let serving = asking(&server, &old);
    serving.blocks("a.io");
    serving.converges();
    let files = serving.files();
    for (ca, reason) in [(new.pem(), "TlsFailed"), ("no PEM".into(), "CredentialsUnusable")] {
        file(&serving.host, "ca.crt", ca);
        serving.until_condition("SourceReady", "False", reason);
        server.says(answer("", blocking("b.io").to_string()));
        assert_eq!(serving.files(), files);
        assert_eq!(serving.condition("Applied").0, "True");
        assert_eq!(serving.ask("status").code, 0);
    }
    file(&serving.host, "ca.crt", new.pem() + &old.pem());
    serving.blocks("b.io");
    serving.until_condition("SourceReady", "True", "AsExpected");
}
